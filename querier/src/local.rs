//! PromQL, label names and label values over a data directory on this machine.
//!
//! The answers are those of a Prometheus on the same directory: a series is put together from all
//! blocks that hold a part of it and from the head, and what is deleted in one of them is hidden
//! there only.

mod head;
mod join;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use promql::source::{Hints, SelectRequest, SeriesSet, Source, SourceError};
use tsdb::db::{DataDir, DataDirReport};
use tsdb::head::Head;

use crate::blocks::Blocks;

/// A data directory as the query API reads it.
#[derive(Debug, Clone)]
pub struct LocalSource {
    blocks: Blocks,
    head: Arc<Head>,
    report: Arc<DataDirReport>,
}

impl LocalSource {
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

    /// The label names of the series that some of `selectors` select, of all series when there is
    /// no selector, in ascending order. A block that overlaps `range` counts as a whole.
    ///
    /// # Errors
    /// When a block's index cannot be read.
    pub fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError> {
        let mut lists = Vec::new();
        for matchers in any_of(selectors) {
            lists.push(self.blocks.label_names(matchers, range)?);
            if let Some(head) = self.head_within(range) {
                lists.push(head_label_names(head, matchers));
            }
        }
        Ok(union(lists))
    }

    /// The values that the label `name` has in the series that some of `selectors` select, in all
    /// series when there is no selector, in ascending order. A block that overlaps `range` counts
    /// as a whole.
    ///
    /// # Errors
    /// When a block's index cannot be read.
    pub fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError> {
        let mut lists = Vec::new();
        for matchers in any_of(selectors) {
            lists.push(self.blocks.label_values(name, matchers, range)?);
            if let Some(head) = self.head_within(range) {
                lists.push(head_label_values(head, name, matchers));
            }
        }
        Ok(union(lists))
    }

    /// The label sets of the series that some of `selectors` select, of all series when there is no
    /// selector, in order, each once. Only chunks that overlap `range` count.
    ///
    /// # Errors
    /// When a block's index cannot be read.
    pub fn label_sets(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<Labels>, SourceError> {
        let mut found: Vec<Labels> = Vec::new();
        for matchers in any_of(selectors) {
            let mut set = self.select(&SelectRequest {
                matchers: matchers.clone(),
                range,
                hints: Hints::default(),
            })?;
            while let Some(series) = set.next()? {
                found.push(series.labels().clone());
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn head_within(&self, range: TimeRange) -> Option<&Arc<Head>> {
        self.head
            .time_range()?
            .overlaps(range)
            .then_some(&self.head)
    }
}

impl Source for LocalSource {
    fn select(&self, request: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError> {
        let blocks = self.blocks.select(request)?;
        let Some(head) = self.head_within(request.range) else {
            return Ok(blocks);
        };
        let head = head::HeadSet::new(Arc::clone(head), request);
        Ok(Box::new(join::Joined::new(blocks, head)?))
    }
}

/// The selectors to go through; the one that selects everything when there is none.
fn any_of(selectors: &[Vec<Matcher>]) -> &[Vec<Matcher>] {
    const ALL: &[Vec<Matcher>] = &[Vec::new()];
    if selectors.is_empty() { ALL } else { selectors }
}

/// The label names of some series of the head, ascending.
fn head_label_names(head: &Head, matchers: &[Matcher]) -> Vec<String> {
    let names: BTreeSet<&str> = if matchers.is_empty() {
        head.index().label_names().into_iter().collect()
    } else {
        let series = head.index().select(matchers).into_iter();
        series
            .flat_map(|id| head.labels(id).iter().map(|(name, _)| name))
            .collect()
    };
    names.into_iter().map(str::to_owned).collect()
}

/// The values of a label of some series of the head, ascending.
fn head_label_values(head: &Head, name: &str, matchers: &[Matcher]) -> Vec<String> {
    if matchers.is_empty() {
        return head.index().label_values(name).map(str::to_owned).collect();
    }
    let series = head.index().select(matchers).into_iter();
    let values: BTreeSet<&str> = series.filter_map(|id| head.labels(id).get(name)).collect();
    values.into_iter().map(str::to_owned).collect()
}

/// What is in ascending lists, each item once.
fn union(mut lists: Vec<Vec<String>>) -> Vec<String> {
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
