//! A store in memory: what tests ask, and the shortest account of what a store must do.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{BoxFuture, ready};
use futures::stream::{self, BoxStream, StreamExt as _};
use model::{Labels, LabelsBuilder, Matcher, TimeRange};

use crate::external_labels::{remaining_matchers, with_external};
use crate::store::{
    ChunkData, Frame, Info, InfoPart, LabelsRequest, Series, SeriesChunk, SeriesRequest, Store,
    StoreError, Strings,
};

/// Series in a frame.
const FRAME_SERIES: usize = 16;

/// Series in memory, all of one producer.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    external: Labels,
    series: BTreeMap<Labels, Vec<SeriesChunk>>,
    /// The labels by which requests may ask for less are for the asker to apply.
    is_plain: bool,
}

impl MemoryStore {
    /// An empty store whose series get these external labels.
    pub fn new(external: Labels) -> Self {
        Self {
            external,
            ..Self::default()
        }
    }

    /// A store that neither removes replica labels nor answers for a shard, as old ones do not.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.is_plain = true;
        self
    }

    /// Adds chunks to the series with these labels, external ones left out.
    pub fn insert(&mut self, labels: Labels, chunks: impl IntoIterator<Item = SeriesChunk>) {
        let all = self.series.entry(labels).or_default();
        all.extend(chunks);
        all.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
    }

    /// The series that a request selects, as they are shown, sorted.
    fn select(
        &self,
        range: TimeRange,
        matchers: &[Matcher],
        without: &[String],
    ) -> Result<BTreeMap<Labels, Vec<&SeriesChunk>>, StoreError> {
        let mut selected = BTreeMap::<_, Vec<_>>::new();
        let Some(matchers) = remaining_matchers(matchers, &self.external) else {
            return Ok(selected);
        };
        if matchers.is_empty() {
            return Err(StoreError::no_matchers());
        }
        self.select_own(range, &matchers, without, &mut selected);
        Ok(selected)
    }

    fn select_own<'a>(
        &'a self,
        range: TimeRange,
        matchers: &[Matcher],
        without: &[String],
        selected: &mut BTreeMap<Labels, Vec<&'a SeriesChunk>>,
    ) {
        for (labels, chunks) in &self.series {
            let mut chunks = chunks.iter().filter(|c| overlaps(c, range)).peekable();
            if labels.match_all(matchers) && chunks.peek().is_some() {
                let shown = with_external(labels, &self.external);
                let shown = without_labels(&shown, without);
                selected.entry(shown).or_default().extend(chunks);
            }
        }
    }

    /// Labels of the series that a request for labels is about.
    fn select_labels(&self, request: &LabelsRequest) -> Vec<Labels> {
        let mut selected = BTreeMap::new();
        if let Some(matchers) = remaining_matchers(&request.matchers, &self.external) {
            let without = &request.without_replica_labels;
            self.select_own(request.range, &matchers, without, &mut selected);
        }
        selected.into_keys().collect()
    }
}

impl Store for MemoryStore {
    fn info(&self) -> Info {
        let chunks = || self.series.values().flatten();
        let part = InfoPart {
            labels: self.external.clone(),
            min_time: chunks().map(|c| c.min_time).min().unwrap_or(i64::MAX),
            max_time: chunks().map(|c| c.max_time).max().unwrap_or(i64::MIN),
        };
        let has_labels = !self.external.is_empty();
        Info {
            label_sets: has_labels
                .then(|| self.external.clone())
                .into_iter()
                .collect(),
            min_time: part.min_time,
            max_time: part.max_time,
            parts: vec![part],
            supports_without_replica_labels: !self.is_plain,
            supports_sharding: !self.is_plain,
        }
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        let without = match self.is_plain {
            true => &[][..],
            false => &request.without_replica_labels,
        };
        let selected = match self.select(request.range, &request.matchers, without) {
            Ok(selected) => selected,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let shard = request.shard.as_ref().filter(|_| !self.is_plain);
        let in_shard = |labels: &Labels| shard.is_none_or(|shard| shard.contains(labels));
        let limit = match request.limit {
            0 => usize::MAX,
            limit => limit,
        };
        let series: Vec<_> = selected
            .into_iter()
            .filter(|(labels, _)| in_shard(labels))
            .take(limit)
            .map(|(labels, mut chunks)| {
                chunks.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
                let chunks = chunks.into_iter().filter(|_| !request.skip_chunks);
                let chunks = chunks.cloned().collect();
                Series { labels, chunks }
            })
            .collect();
        let frames: Vec<_> = series
            .chunks(FRAME_SERIES)
            .map(|frame| Ok(Frame::Series(frame.to_vec())))
            .collect();
        stream::iter(frames).boxed()
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let selected = self.select_labels(&request);
        let names = selected.iter().flatten().map(|(name, _)| name);
        Box::pin(ready(Ok(strings(names, request.limit))))
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let selected = self.select_labels(&request);
        let values = selected.iter().filter_map(|labels| labels.get(&name));
        Box::pin(ready(Ok(strings(values, request.limit))))
    }
}

fn overlaps(chunk: &SeriesChunk, range: TimeRange) -> bool {
    TimeRange::closed(chunk.min_time, chunk.max_time).overlaps(range)
}

fn without_labels(labels: &Labels, without: &[String]) -> Labels {
    if without.is_empty() {
        return labels.clone();
    }
    let mut builder = LabelsBuilder::from_labels(labels);
    for name in without {
        builder.delete(name);
    }
    builder.labels()
}

fn strings<'a>(all: impl Iterator<Item = &'a str>, limit: usize) -> Strings {
    let unique: BTreeSet<_> = all.collect();
    let limit = if limit == 0 { usize::MAX } else { limit };
    Strings {
        values: unique.into_iter().take(limit).map(str::to_owned).collect(),
        warnings: Vec::new(),
    }
}

/// A raw chunk of floats; for tests that do not care for more.
///
/// # Panics
/// When there are no samples.
pub fn float_chunk(samples: &[(i64, f64)]) -> SeriesChunk {
    let mut encoder = tsdb::chunk::xor::Encoder::new();
    for (t, v) in samples {
        encoder.append(*t, *v);
    }
    let (first, last) = (samples.first(), samples.last());
    SeriesChunk {
        min_time: first.expect("samples").0,
        max_time: last.expect("samples").0,
        data: ChunkData::Raw(encoder.chunk()),
    }
}
