//! A view of a whole data directory: blocks, and what a replay of the logs finds.

use std::path::{Path, PathBuf};

use model::{Matcher, TimeRange};
use ulid::Ulid;

use super::blocks::{Blocks, in_order_end};
use super::series::SeriesSet;
use crate::block::Block;
use crate::error::{Error, Result};
use crate::head::{Head, ReplayOptions, ReplayReport, replay};

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

#[cfg(test)]
mod tests;
