//! A whole data directory, as Prometheus or an ingester leaves it: blocks and the head's logs.
//!
//! [`DataDir`] is a view: it never writes, so that it may be opened on a directory that someone
//! else is writing to, and on a damaged one. What cannot be read is left out and reported. Samples
//! come out as Prometheus' querier returns them.

pub mod dump;
mod series;
pub mod verify;

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

/// The blocks of a data directory.
#[derive(Debug, Default)]
pub struct Blocks {
    /// Those to read, in order of time.
    pub readable: Vec<Block>,
    /// Those that could not be opened.
    pub unreadable: Vec<(PathBuf, Error)>,
    /// Those that a newer block was made from.
    pub superseded: Vec<Ulid>,
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
        let blocks = Blocks::open(path)?;
        let options = ReplayOptions {
            min_valid_time: in_order_end(&blocks.readable).unwrap_or(i64::MIN),
            workers,
            ..ReplayOptions::default()
        };
        let (head, replay) = replay(path, &options)?;
        Ok(Self {
            blocks: blocks.readable,
            head,
            report: DataDirReport {
                unreadable_blocks: blocks.unreadable,
                superseded_blocks: blocks.superseded,
                replay,
            },
        })
    }

    /// A view of one block alone.
    pub fn of_block(block: Block) -> Self {
        Self {
            blocks: vec![block],
            head: Head::empty(),
            report: DataDirReport::default(),
        }
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

    /// The blocks, in order of time, the head, and what could not be read.
    pub fn into_parts(self) -> (Vec<Block>, Head, DataDirReport) {
        (self.blocks, self.head, self.report)
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

impl Blocks {
    /// Opens all blocks in the directory `path`; what is no block is left alone.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let mut found = Self::default();
        for entry in fs::read_dir(path).map_err(|e| Error::io("list", path, e))? {
            let entry = entry.map_err(|e| Error::io("list", path, e))?;
            let name = entry.file_name();
            let is_block = name.to_str().is_some_and(|n| Ulid::from_string(n).is_ok());
            if !is_block {
                continue;
            }
            match Block::open(&entry.path()) {
                Ok(block) => found.readable.push(block),
                Err(error) => found.unreadable.push((entry.path(), error)),
            }
        }
        let parents: HashSet<Ulid> = found
            .readable
            .iter()
            .flat_map(|b| b.meta().compaction.parents.iter().map(|p| p.ulid))
            .collect();
        found.readable.retain(|block| {
            let ulid = block.meta().ulid;
            let is_superseded = parents.contains(&ulid);
            if is_superseded {
                found.superseded.push(ulid);
            }
            !is_superseded
        });
        let by_time = |b: &Block| (b.meta().min_time, b.meta().ulid);
        found.readable.sort_by_key(by_time);
        Ok(found)
    }
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
