//! Selected series of blocks and a head, merged: each label set once, with the chunks of all.
//!
//! One series is looked at at a time, so that memory does not grow with their number. Sources are
//! merged with a heap: a data directory whose blocks are shipped, and so not merged, has hundreds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::vec;

use model::{Labels, Matcher, Sample, Stop, TimeRange};

use crate::block::{Block, BlockSeries, Interval, Intervals, Select};
use crate::chunk::TimedChunk;
use crate::error::{Corruption, Error, Result};
use crate::head::SelectedSeries;
use crate::merge::{encode, merge_chunks};

/// Selected series in order of their labels. The first error ends them.
#[derive(Debug)]
pub struct Selection {
    sources: Vec<Source>,
    /// The next series of each source that has one; the least labels are on top.
    heap: BinaryHeap<Reverse<(Labels, usize)>>,
    range: TimeRange,
    failed: bool,
}

/// Where series come from.
#[derive(Debug)]
struct Source {
    /// Where the chunks of the series are that the heap has the labels of.
    next: Option<Part>,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    Block(Arc<Block>, Box<Select<Arc<Block>>>),
    Head(vec::IntoIter<SelectedSeries>),
}

/// Chunks of one series in one source.
#[derive(Debug)]
enum Part {
    Block(Arc<Block>, BlockSeries),
    Head(SelectedSeries),
}

/// A series that was found.
#[derive(Debug)]
pub struct Found {
    labels: Labels,
    parts: Vec<Part>,
    range: TimeRange,
}

impl Source {
    fn advance(&mut self) -> Result<Option<(Labels, Part)>> {
        Ok(match &mut self.rest {
            Rest::Block(block, select) => select.next().transpose()?.map(|mut series| {
                let labels = std::mem::take(&mut series.labels);
                (labels, Part::Block(Arc::clone(block), series))
            }),
            Rest::Head(rest) => rest
                .next()
                .map(|series| (series.labels().clone(), Part::Head(series))),
        })
    }
}

impl Selection {
    /// Selects from `blocks`, and from what was selected of a head.
    pub(super) fn new(
        blocks: &[Arc<Block>],
        head: Vec<SelectedSeries>,
        matchers: &[Matcher],
        (range, stop): (TimeRange, &Stop),
    ) -> Result<Self> {
        let mut rests = Vec::new();
        for block in blocks.iter().filter(|b| b.meta().range().overlaps(range)) {
            let select = Select::new(Arc::clone(block), matchers, range, stop.clone())?;
            rests.push(Rest::Block(Arc::clone(block), Box::new(select)));
        }
        rests.push(Rest::Head(head.into_iter()));
        let mut selection = Self {
            sources: rests
                .into_iter()
                .map(|rest| Source { next: None, rest })
                .collect(),
            heap: BinaryHeap::new(),
            range,
            failed: false,
        };
        for i in 0..selection.sources.len() {
            selection.load(i)?;
        }
        Ok(selection)
    }

    /// Reads the next series of a source, and queues it.
    fn load(&mut self, i: usize) -> Result<()> {
        if let Some((labels, part)) = self.sources[i].advance()? {
            self.sources[i].next = Some(part);
            self.heap.push(Reverse((labels, i)));
        }
        Ok(())
    }

    fn next_series(&mut self) -> Result<Option<Found>> {
        let Some(Reverse((labels, first))) = self.heap.pop() else {
            return Ok(None);
        };
        let mut parts = Vec::new();
        let mut source = Some(first);
        while let Some(i) = source {
            parts.extend(self.sources[i].next.take());
            self.load(i)?;
            let is_same = matches!(self.heap.peek(), Some(Reverse((next, _))) if *next == labels);
            source = match is_same {
                true => self.heap.pop().map(|Reverse((_, i))| i),
                false => None,
            };
        }
        Ok(Some(Found {
            labels,
            parts,
            range: self.range,
        }))
    }
}

impl Iterator for Selection {
    type Item = Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_series();
        self.failed = next.is_err();
        next.transpose()
    }
}

impl Found {
    /// The series' labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The series' labels, when its chunks are not wanted, or no more.
    pub fn into_labels(self) -> Labels {
        self.labels
    }

    /// The chunks that overlap the range asked for, in order of time. They may reach beyond it, but
    /// do not overlap each other: whoever reads chunks that do takes them for those of replicas, of
    /// which one is to be believed. A chunk is encoded anew only where something is deleted of it, or
    /// another overlaps it, as one of samples that came out of order does.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`]; [`Error::Invalid`] when a chunk that has to be decoded is
    /// damaged.
    pub fn chunks(&self) -> Result<Vec<TimedChunk>> {
        let mut chunks = Vec::new();
        for part in &self.parts {
            match part {
                Part::Block(block, series) => read(block, series, &mut chunks)?,
                Part::Head(series) => {
                    for chunk in series.chunks(self.range)? {
                        keep_undeleted(chunk, series.deleted(), &mut chunks)?;
                    }
                }
            }
        }
        merge_chunks(chunks)
    }
}

fn read(block: &Block, series: &BlockSeries, chunks: &mut Vec<TimedChunk>) -> Result<()> {
    chunks.reserve(series.chunks.len());
    for at in &series.chunks {
        let timed = TimedChunk {
            min_time: at.min_time,
            max_time: at.max_time,
            chunk: block.chunk(at.reference)?,
        };
        keep_undeleted(timed, Some(&series.deleted), chunks)?;
    }
    Ok(())
}

/// Adds a chunk, or what is left of it.
pub(super) fn keep_undeleted(
    timed: TimedChunk,
    deleted: Option<&Intervals>,
    chunks: &mut Vec<TimedChunk>,
) -> Result<()> {
    let touched = |i: &Interval| i.min <= timed.max_time && timed.min_time <= i.max;
    match deleted.filter(|d| d.as_slice().iter().any(touched)) {
        Some(deleted) => keep_samples(&timed, |t| !deleted.contains(t), chunks),
        None => {
            chunks.push(timed);
            Ok(())
        }
    }
}

/// Encodes the samples of a chunk anew whose time is wanted.
pub(super) fn keep_samples(
    timed: &TimedChunk,
    is_wanted: impl Fn(i64) -> bool,
    chunks: &mut Vec<TimedChunk>,
) -> Result<()> {
    let wanted = |s: &Result<Sample, Corruption>| s.as_ref().map_or(true, |s| is_wanted(s.t));
    let samples = timed.chunk.samples().filter(wanted);
    encode(
        samples.map(|s| s.map_err(|e| Error::Invalid(format!("a chunk to be cut is {e}")))),
        chunks,
    )
}
