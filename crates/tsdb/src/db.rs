//! A whole data directory, as Prometheus or an ingester leaves it: blocks and the head's logs.
//!
//! [`DataDir`] is a view: it never writes, so that it may be opened on a directory that someone
//! else is writing to, and on a damaged one. What cannot be read is left out and reported. Samples
//! come out as Prometheus' querier returns them.

pub mod dump;
mod series;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use model::{Matcher, TimeRange};
use ulid::Ulid;

use crate::block::Block;
use crate::error::{Error, Result};
use crate::head::{Head, ReplayOptions, ReplayReport, replay};
pub use series::{Series, SeriesSet};

/// A hint in `meta.json`: the block's samples came out of order.
const FROM_OUT_OF_ORDER: &str = "from-out-of-order";
/// A hint in `meta.json`: the block's series had ended.
const FROM_STALE_SERIES: &str = "from-stale-series";

/// The blocks and the head of a data directory, read-only.
#[derive(Debug)]
pub struct DataDir {
    /// In order of time.
    blocks: Vec<Block>,
    head: Head,
    report: DataDirReport,
}

/// What opening a data directory met.
#[derive(Debug, Default)]
pub struct DataDirReport {
    /// Blocks that could not be opened, and were left out.
    pub unreadable_blocks: Vec<(PathBuf, Error)>,
    /// Blocks that were left out because a newer one was made from them.
    pub superseded_blocks: Vec<Ulid>,
    /// What the replay of the logs met.
    pub replay: ReplayReport,
}

impl DataDir {
    /// Opens the data directory at `path`. With `workers` threads beside this one, its logs are
    /// replayed.
    ///
    /// # Errors
    /// [`Error::Io`] when a directory or a log cannot be read, [`Error::Invalid`] when a segment of
    /// a log is missing.
    pub fn open(path: &Path, workers: usize) -> Result<Self> {
        let mut report = DataDirReport::default();
        let blocks = open_blocks(path, &mut report)?;
        let options = ReplayOptions {
            min_valid_time: in_order_end(&blocks).unwrap_or(i64::MIN),
            workers,
            ..ReplayOptions::default()
        };
        let head;
        (head, report.replay) = replay(path, &options)?;
        Ok(Self {
            blocks,
            head,
            report,
        })
    }

    /// The blocks, in order of time.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What could not be read.
    pub fn report(&self) -> &DataDirReport {
        &self.report
    }

    /// The series that all of `matchers` select, in order of their labels, with their samples in
    /// `range`. Series without any may be among them.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] when a block's index cannot be read.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesSet<'_>> {
        SeriesSet::new(self, matchers, range)
    }
}

/// Opens all blocks in `path` that no other block was made from.
fn open_blocks(path: &Path, report: &mut DataDirReport) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| Error::io("list", path, e))? {
        let entry = entry.map_err(|e| Error::io("list", path, e))?;
        let name = entry.file_name();
        if name
            .to_str()
            .and_then(|n| Ulid::from_string(n).ok())
            .is_none()
        {
            continue;
        }
        match Block::open(&entry.path()) {
            Ok(block) => blocks.push(block),
            Err(error) => report.unreadable_blocks.push((entry.path(), error)),
        }
    }
    let parents: HashSet<Ulid> = blocks
        .iter()
        .flat_map(|b| b.meta().compaction.parents.iter().map(|p| p.ulid))
        .collect();
    blocks.retain(|block| {
        let ulid = block.meta().ulid;
        let is_superseded = parents.contains(&ulid);
        if is_superseded {
            report.superseded_blocks.push(ulid);
        }
        !is_superseded
    });
    blocks.sort_by_key(|b| (b.meta().min_time, b.meta().ulid));
    Ok(blocks)
}

/// The time up to which blocks hold everything that came in order.
fn in_order_end(blocks: &[Block]) -> Option<i64> {
    let is_in_order = |hint: &String| hint != FROM_OUT_OF_ORDER && hint != FROM_STALE_SERIES;
    let blocks = blocks.iter().map(Block::meta);
    let in_order = blocks.filter(|meta| meta.compaction.hints.iter().all(is_in_order));
    in_order.map(|meta| meta.max_time).max()
}

#[cfg(test)]
mod tests;
