//! The series of all blocks in order of labels.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::symbols::SymbolMap;
use crate::chunk::ChunkMeta;
use crate::error::{Error, Result};
use crate::index::{self, SeriesEntry, SeriesRef, SeriesWalk};

/// Name and value of each label as merged symbols. Symbols are numbered in their order, so that
/// these compare as the labels do.
pub(super) type MergedLabels = Vec<(u32, u32)>;

/// A series in one of the blocks.
#[derive(Debug)]
pub(super) struct Member {
    /// Which block.
    pub(super) block: usize,
    /// The series there.
    pub(super) series: SeriesRef,
    /// Its chunks there.
    pub(super) chunks: Vec<ChunkMeta>,
}

/// Walks several blocks, series by series.
#[derive(Debug)]
pub(super) struct SeriesMerge<'a> {
    walks: Vec<Walk<'a>>,
    /// The next series of each block that has one; the least labels are on top.
    heap: BinaryHeap<Reverse<(MergedLabels, usize)>>,
    labels: MergedLabels,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Walk<'a> {
    index: &'a index::Reader,
    walk: SeriesWalk<'a>,
    map: SymbolMap,
    entry: SeriesEntry,
    series: SeriesRef,
}

impl<'a> SeriesMerge<'a> {
    pub(super) fn new(blocks: &[&'a index::Reader], maps: Vec<SymbolMap>) -> Result<Self> {
        let walks = blocks.iter().zip(maps).map(|(index, map)| Walk {
            index,
            walk: index.walk(),
            map,
            entry: SeriesEntry::default(),
            series: SeriesRef(0),
        });
        let mut merge = Self {
            walks: walks.collect(),
            heap: BinaryHeap::new(),
            labels: Vec::new(),
            members: Vec::new(),
        };
        for block in 0..merge.walks.len() {
            merge.load(block, Vec::new())?;
        }
        Ok(merge)
    }

    /// Reads the next series of a block, into the buffer `labels`, and queues it.
    fn load(&mut self, block: usize, mut labels: MergedLabels) -> Result<()> {
        labels.clear();
        if !self.walks[block].step(&mut labels)? {
            return Ok(());
        }
        // What was loaded before is in `self.labels` now.
        if labels <= self.labels {
            return Err(Error::Invalid(format!(
                "the series in {} are not in order of their labels; rewrite the block first",
                self.walks[block].index.source().path().display()
            )));
        }
        self.heap.push(Reverse((labels, block)));
        Ok(())
    }

    /// The next label set, with the blocks that have it, in the order in which they were given.
    ///
    /// # Errors
    /// Damage; [`Error::Invalid`] when a block's series are not in order.
    pub(super) fn next_series(&mut self) -> Result<Option<(&MergedLabels, &[Member])>> {
        self.members.clear();
        let Some(Reverse((labels, block))) = self.heap.pop() else {
            return Ok(None);
        };
        let mut buffer = std::mem::replace(&mut self.labels, labels);
        let mut block = block;
        loop {
            let walk = &mut self.walks[block];
            self.members.push(Member {
                block,
                series: walk.series,
                chunks: std::mem::take(&mut walk.entry.chunks),
            });
            self.load(block, buffer)?;
            match self.heap.peek() {
                Some(Reverse((labels, _))) if *labels == self.labels => {}
                _ => break,
            }
            let Some(Reverse((labels, next))) = self.heap.pop() else {
                break;
            };
            (buffer, block) = (labels, next);
        }
        Ok(Some((&self.labels, &self.members)))
    }
}

impl Walk<'_> {
    /// Reads the next series and its labels; false after the last.
    fn step(&mut self, labels: &mut MergedLabels) -> Result<bool> {
        let Some(series) = self.walk.next_into(&mut self.entry)? else {
            return Ok(false);
        };
        self.series = series;
        for &(name, value) in &self.entry.labels {
            match (self.map.get(name), self.map.get(value)) {
                (Some(name), Some(value)) => labels.push((name, value)),
                _ => {
                    return Err(Error::Invalid(format!(
                        "a series in {} refers to a symbol that is not there",
                        self.index.source().path().display()
                    )));
                }
            }
        }
        Ok(true)
    }
}
