//! A Prometheus as a store.
//!
//! Series come by remote read, names and values of labels by the HTTP API. External labels are
//! Prometheus' own idea of who it is; it does not store them, so they are taken out of questions
//! and put into answers here.

mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use model::{Labels, Matcher, TimeRange};
use reqwest::Method;
use storeapi::external_labels::{remaining_matchers, with_external};
use storeapi::merge::{self, Frames};
use storeapi::{
    Frame, Info, InfoPart, LabelsRequest, Series, SeriesRequest, Store, StoreError, Strings,
};

use crate::client::selection;
use crate::source::Source;

/// What Prometheus says when it has more than was asked for.
const TRUNCATED: &str = "results truncated due to limit";

/// Series of a frame when only labels are asked for.
const FRAME_SERIES: usize = 256;

/// A Prometheus as a store.
#[derive(Debug, Clone)]
pub(crate) struct PrometheusStore {
    source: Arc<Source>,
}

/// A question for series, as it is put to Prometheus.
#[derive(Debug)]
struct Question {
    request: SeriesRequest,
    external: Labels,
    /// Those not decided by external labels.
    matchers: Vec<Matcher>,
    /// What of the range Prometheus has.
    range: TimeRange,
    /// Labels to remove, sorted.
    without: Vec<String>,
}

impl Question {
    /// A series' labels as they are shown.
    fn shown(&self, own: &Labels) -> Labels {
        let labels = with_external(own, &self.external);
        match self.without.is_empty() {
            true => labels,
            false => labels.without(&self.without),
        }
    }

    /// True when labels of the series themselves may be removed, which no order survives.
    fn removes_own_labels(&self) -> bool {
        let is_external = |name: &String| self.external.get(name).is_some();
        !self.without.iter().all(is_external)
    }
}

impl PrometheusStore {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source }
    }

    /// The part of a range that is served.
    fn served(&self, range: TimeRange) -> TimeRange {
        range.intersect(TimeRange::new(self.source.first_time(), i64::MAX))
    }

    fn question(&self, request: SeriesRequest) -> Result<Option<Question>, StoreError> {
        let external = self.source.labels();
        let Some(matchers) = remaining_matchers(&request.matchers, &external) else {
            return Ok(None);
        };
        if matchers.is_empty() {
            return Err(StoreError::no_matchers());
        }
        let range = self.served(request.range);
        let mut without = request.without_replica_labels.clone();
        without.sort_unstable();
        without.dedup();
        Ok((!range.is_empty()).then_some(Question {
            request,
            external,
            matchers,
            range,
            without,
        }))
    }

    /// The labels of series only.
    async fn labels_only(source: Arc<Source>, question: Question) -> Frames {
        let parameters = selection(&question.matchers, question.range);
        let client = source.client();
        let answer = client.ask::<Vec<BTreeMap<String, String>>>(
            Method::POST,
            "/api/v1/series",
            &parameters,
        );
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => return failed(error),
        };
        let mut all: Vec<_> = answer
            .data
            .into_iter()
            .map(|labels| question.shown(&Labels::from_pairs(labels)))
            .collect();
        all.sort_unstable();
        all.dedup();
        let warnings = answer.warnings.into_iter().map(Frame::Warning);
        let mut frames: Vec<_> = warnings.map(Ok).collect();
        let series = |labels: &Labels| Series {
            labels: labels.clone(),
            chunks: Vec::new(),
        };
        frames.extend(
            all.chunks(FRAME_SERIES)
                .map(|labels| Ok(Frame::Series(labels.iter().map(series).collect()))),
        );
        stream::iter(frames).boxed()
    }

    /// Asks for strings, if external labels leave anything to ask for.
    async fn strings(
        &self,
        path: &str,
        request: &LabelsRequest,
        method: Method,
    ) -> Result<Strings, StoreError> {
        let range = self.served(request.range);
        let matchers = remaining_matchers(&request.matchers, &self.source.labels());
        let Some(matchers) = matchers.filter(|_| !range.is_empty()) else {
            return Ok(Strings::default());
        };
        let mut parameters = selection(&matchers, range);
        if request.limit > 0 {
            parameters.push(("limit", request.limit.to_string()));
        }
        let answer = self
            .source
            .client()
            .ask::<Vec<String>>(method, path, &parameters);
        let answer = answer.await?;
        Ok(Strings {
            values: answer.data,
            warnings: answer.warnings,
        })
    }

    async fn names(&self, request: &LabelsRequest) -> Result<Strings, StoreError> {
        let mut names = self
            .strings("/api/v1/labels", request, Method::POST)
            .await?;
        if names.values.is_empty() {
            return Ok(names);
        }
        let external = self.source.labels();
        names
            .values
            .extend(external.iter().map(|(name, _)| name.to_owned()));
        names
            .values
            .retain(|name| !request.without_replica_labels.contains(name));
        Ok(sorted(names, request.limit))
    }

    async fn values(&self, name: &str, request: &LabelsRequest) -> Result<Strings, StoreError> {
        if request.without_replica_labels.iter().any(|w| w == name) {
            return Ok(Strings::default());
        }
        let external = self.source.labels();
        let Some(value) = external.get(name) else {
            let path = format!("/api/v1/label/{}/values", percent_encoded(name));
            let values = self.strings(&path, request, Method::GET).await?;
            return Ok(sorted(values, request.limit));
        };
        // It is a label of every series, if there is one.
        let any = LabelsRequest {
            limit: 1,
            ..request.clone()
        };
        let mut names = self.strings("/api/v1/labels", &any, Method::POST).await?;
        // The limit is ours, and so what Prometheus says of it.
        names.warnings.retain(|warning| warning != TRUNCATED);
        if !names.values.is_empty() {
            names.values = vec![value.to_owned()];
        }
        Ok(names)
    }
}

impl Store for PrometheusStore {
    fn info(&self) -> Info {
        let labels = self.source.labels();
        let part = InfoPart {
            labels: labels.clone(),
            min_time: self.source.first_time(),
            max_time: i64::MAX,
        };
        Info {
            label_sets: (!labels.is_empty()).then_some(labels).into_iter().collect(),
            min_time: part.min_time,
            max_time: part.max_time,
            parts: vec![part],
            supports_without_replica_labels: true,
            supports_sharding: true,
        }
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        let question = match self.question(request) {
            Ok(Some(question)) => question,
            Ok(None) => return stream::empty().boxed(),
            Err(error) => return failed(error),
        };
        let source = Arc::clone(&self.source);
        let shard = question.request.shard.clone();
        let limit = question.request.limit;
        let asking = async move {
            match question.request.skip_chunks {
                true => Self::labels_only(source, question).await,
                false => read::series(source, question).await,
            }
        };
        let mut frames = stream::once(asking).flatten().boxed();
        if let Some(shard) = shard {
            frames = merge::in_shard(frames, shard);
        }
        merge::limited(frames, limit)
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let this = self.clone();
        Box::pin(async move { this.names(&request).await })
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let this = self.clone();
        Box::pin(async move { this.values(&name, &request).await })
    }
}

fn failed(error: StoreError) -> Frames {
    stream::iter([Err(error)]).boxed()
}

fn sorted(mut strings: Strings, limit: usize) -> Strings {
    strings.values.sort_unstable();
    strings.values.dedup();
    if limit > 0 {
        strings.values.truncate(limit);
    }
    strings
}

/// A label's name as a segment of a path.
fn percent_encoded(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

#[cfg(test)]
mod tests;
