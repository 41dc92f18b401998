//! Names and values of labels, and series, over all blocks of a range of time.
//!
//! As in Prometheus, a block counts as a whole: a series is found when a block that overlaps the
//! range holds it.

use std::collections::BTreeSet;

use model::stop::Pace;
use model::{Labels, Matcher, Stop, TimeRange};
use promql::source::SourceError;
use tsdb::block::Block;

use super::{Blocks, failed};

impl Blocks {
    /// The names of the labels of the series that all of `matchers` select, in ascending order.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError> {
        self.union(range, |block| {
            block
                .index()
                .label_names_matching(matchers, &Pace::new(&Stop::never()))
        })
    }

    /// The values that the label `name` has in the series that all of `matchers` select, in
    /// ascending order.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError> {
        self.union(range, |block| {
            block
                .index()
                .label_values_matching(name, matchers, &Pace::new(&Stop::never()))
        })
    }

    /// The labels of the series that all of `matchers` select, in ascending order.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<Labels>, SourceError> {
        self.union(range, |block| {
            let series = block.select(matchers, block.meta().range())?;
            series.map(|s| s.map(|s| s.labels)).collect()
        })
    }

    /// What the blocks that overlap `range` list in ascending order, each item once.
    fn union<T: Ord>(
        &self,
        range: TimeRange,
        list: impl Fn(&Block) -> tsdb::Result<Vec<T>>,
    ) -> Result<Vec<T>, SourceError> {
        let mut lists = Vec::new();
        for block in &self.blocks {
            if block.meta().range().overlaps(range) {
                lists.push(list(block).map_err(failed)?);
            }
        }
        if lists.len() == 1 {
            return Ok(lists.remove(0));
        }
        let all: BTreeSet<T> = lists.into_iter().flatten().collect();
        Ok(all.into_iter().collect())
    }
}
