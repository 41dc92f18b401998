//! Selecting series of a block by matchers and time.

use std::ops::Deref;

use model::stop::{Pace, Stopped};
use model::{Labels, Matcher, Stop, TimeRange};

use super::{Block, Intervals};
use crate::chunk::ChunkMeta;
use crate::error::Result;
use crate::index::{LastLabels, Postings, SeriesEntry, SeriesRef};

/// Series that are read in vain before somebody looks whether to go on.
const SKIPPED_MAX: u32 = 512;

/// A series of a block, without the chunks' payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSeries {
    /// Stands for the series in this block.
    pub reference: SeriesRef,
    /// The labels.
    pub labels: Labels,
    /// The chunks that may hold samples of the range asked for, in order of time.
    pub chunks: Vec<ChunkMeta>,
    /// What is deleted of the series.
    pub deleted: Intervals,
}

/// The selected series in order of labels, see [`Block::select`]. `B` is how the block is held: a
/// reference, or an `Arc` that keeps it open.
#[derive(Debug)]
pub struct Select<B> {
    block: B,
    postings: Postings,
    range: TimeRange,
    stop: Stop,
    entry: SeriesEntry,
    /// Of the series before.
    labels: LastLabels,
}

impl Block {
    /// The series that all of `matchers` select and that have chunks which overlap `range` and are
    /// not deleted whole. Read [`BlockSeries::chunks`] with [`Block::chunk`].
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`].
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Select<&Self>> {
        Select::new(self, matchers, range, Stop::never())
    }
}

impl<B: Deref<Target = Block>> Select<B> {
    /// As [`Block::select`], of a block that is held as `B`, for who may `stop` waiting for it.
    ///
    /// # Errors
    /// As [`Block::select`], and [`crate::Error::Stopped`].
    pub fn new(block: B, matchers: &[Matcher], range: TimeRange, stop: Stop) -> Result<Self> {
        Ok(Self {
            postings: (block.index).postings_at_pace(matchers, &Pace::new(&stop))?,
            stop,
            block,
            range,
            entry: SeriesEntry::default(),
            labels: LastLabels::default(),
        })
    }

    /// Reads a series; `None` when no chunk of it is wanted.
    fn read(&mut self, reference: SeriesRef) -> Result<Option<BlockSeries>> {
        let index = &self.block.index;
        index.series(reference, &mut self.entry)?;
        let deleted = self.block.tombstones.get(u64::from(reference.0));
        let wanted = |c: &&ChunkMeta| {
            c.min_time < self.range.max
                && self.range.min <= c.max_time
                && deleted.is_none_or(|d| !d.covers(c.min_time, c.max_time))
        };
        let wanted = self.entry.chunks.iter().filter(wanted).copied();
        let count = wanted.clone().count();
        if count == 0 {
            return Ok(None);
        }
        let mut chunks = Vec::with_capacity(count);
        chunks.extend(wanted);
        Ok(Some(BlockSeries {
            reference,
            labels: index.labels_after(&self.entry, &mut self.labels)?,
            chunks,
            deleted: deleted.cloned().unwrap_or_default(),
        }))
    }
}

impl<B: Deref<Target = Block>> Iterator for Select<B> {
    type Item = Result<BlockSeries>;

    fn next(&mut self) -> Option<Self::Item> {
        // Of many series none may have a chunk that is wanted.
        for skipped in 1_u32.. {
            let reference = self.postings.next()?;
            if let Some(series) = self.read(reference).transpose() {
                return Some(series);
            }
            if skipped % SKIPPED_MAX == 0 && self.stop.is_asked() {
                return Some(Err(Stopped.into()));
            }
        }
        None
    }
}
