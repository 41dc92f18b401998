//! A data directory on this machine as a store.
//!
//! The answers are those of a Prometheus on the same directory: a series is put together from all
//! blocks that hold a part of it and from the head, and what is deleted in one of them is hidden
//! there only.

mod head;
mod series;

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use model::{Labels, TimeRange};
use promql::source::SourceError;
use storeapi::merge;
use storeapi::{Frame, Info, LabelsRequest, SeriesRequest, Store, StoreError, Strings};
use tsdb::db::{DataDir, DataDirReport};
use tsdb::head::Head;

use crate::blocks::Blocks;

/// A data directory, as it was when it was opened. Clones share it.
#[derive(Debug, Clone)]
pub struct LocalStore {
    blocks: Blocks,
    head: Arc<Head>,
    report: Arc<DataDirReport>,
}

impl LocalStore {
    /// The blocks and the head of a data directory.
    pub fn new(dir: DataDir) -> Self {
        let (blocks, head, report) = dir.into_parts();
        Self {
            blocks: Blocks::new(blocks),
            head: Arc::new(head),
            report: Arc::new(report),
        }
    }

    /// The blocks.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What of the directory could not be read.
    pub fn report(&self) -> &DataDirReport {
        &self.report
    }

    /// The range of time that it has samples of.
    fn time_range(&self) -> Option<TimeRange> {
        let blocks = self.blocks.iter().map(|block| block.meta().range());
        blocks
            .chain(self.head.time_range())
            .reduce(|a, b| TimeRange::new(a.min.min(b.min), a.max.max(b.max)))
    }

    fn head_within(&self, range: TimeRange) -> Option<Arc<Head>> {
        let overlaps = self.head.time_range()?.overlaps(range);
        overlaps.then(|| Arc::clone(&self.head))
    }

    /// The label names of the series that all matchers accept, in ascending order. A block that
    /// overlaps the range counts as a whole.
    fn names(&self, request: &LabelsRequest) -> Result<Vec<String>, SourceError> {
        let (matchers, range) = (&request.matchers, request.range);
        let mut lists = vec![self.blocks.label_names(matchers, range)?];
        if let Some(head) = self.head_within(range) {
            lists.push(head.label_names(matchers));
        }
        let mut names = union(lists);
        names.retain(|name| !request.without_replica_labels.contains(name));
        Ok(names)
    }

    /// The values of a label, as [`LocalStore::names`].
    fn values(&self, name: &str, request: &LabelsRequest) -> Result<Vec<String>, SourceError> {
        if request.without_replica_labels.iter().any(|n| n == name) {
            return Ok(Vec::new());
        }
        let (matchers, range) = (&request.matchers, request.range);
        let mut lists = vec![self.blocks.label_values(name, matchers, range)?];
        if let Some(head) = self.head_within(range) {
            lists.push(head.label_values(name, matchers));
        }
        Ok(union(lists))
    }

    /// True when series have one of these labels.
    fn has_labels(&self, names: &[String]) -> Result<bool, SourceError> {
        if names.is_empty() {
            return Ok(false);
        }
        let found = self.names(&LabelsRequest::default())?;
        Ok(names.iter().any(|name| found.contains(name)))
    }
}

impl Store for LocalStore {
    fn is_local(&self) -> bool {
        true
    }

    fn info(&self) -> Info {
        let range = self.time_range();
        Info {
            min_time: range.map_or(i64::MIN, |range| range.min),
            max_time: range.map_or(i64::MAX, |range| range.max - 1),
            supports_without_replica_labels: true,
            supports_sharding: true,
            ..Info::default()
        }
    }

    fn series(&self, mut request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        if let Some(shard) = request.shard.take() {
            // So many of the shard, of which what is first in all may have fewer.
            request.limit = 0;
            return merge::in_shard(self.series(request), shard);
        }
        let removes = self.has_labels(&request.without_replica_labels);
        let merged = series::Merged::new(self, request);
        match (merged, removes) {
            (Ok(merged), Ok(false)) => stream::iter(merged).boxed(),
            (Ok(mut merged), Ok(true)) => {
                let all = merged.relabelled();
                let frame = all.map(Frame::Series);
                let is_empty = matches!(&frame, Ok(Frame::Series(all)) if all.is_empty());
                stream::iter((!is_empty).then_some(frame)).boxed()
            }
            (Err(error), _) | (_, Err(error)) => stream::iter([Err(failed(&error))]).boxed(),
        }
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let store = self.clone();
        Box::pin(async move { strings(store.names(&request), request.limit) })
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let store = self.clone();
        Box::pin(async move { strings(store.values(&name, &request), request.limit) })
    }
}

fn strings(found: Result<Vec<String>, SourceError>, limit: usize) -> Result<Strings, StoreError> {
    let mut values = found.map_err(|error| failed(&error))?;
    if limit > 0 {
        values.truncate(limit);
    }
    Ok(Strings {
        values,
        warnings: Vec::new(),
    })
}

fn failed(error: &SourceError) -> StoreError {
    StoreError::new(error.kind, model::error::chain(error))
}

/// The labels but for some.
fn without_labels(labels: &Labels, names: &[String]) -> Labels {
    let kept = |(name, _): &(&str, &str)| !names.iter().any(|n| n == name);
    Labels::from_sorted(labels.iter().filter(kept))
}

/// What is in ascending lists, each item once.
pub(crate) fn union(mut lists: Vec<Vec<String>>) -> Vec<String> {
    if lists.len() == 1 {
        return lists.remove(0);
    }
    // The sort finds the ascending runs and merges them.
    let mut all = lists.concat();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests;
