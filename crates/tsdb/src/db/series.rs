//! Selected series of a data directory, put together from its blocks and its head.

use std::iter::Peekable;
use std::vec;

use model::{Labels, Matcher, Sample, TimeRange};

use super::data_dir::DataDir;
use crate::block::{Block, BlockSeries, Intervals, Select};
use crate::chunk::ChunkMeta;
use crate::error::{Error, Result};
use crate::head::SelectedSeries;
use crate::merge::{SampleMerge, merged_samples};

/// Selected series in order of their labels, one at a time; see [`DataDir::select`]. The first
/// error ends them.
#[derive(Debug)]
pub struct SeriesSet<'a> {
    blocks: Vec<BlockSelect<'a>>,
    head: Peekable<vec::IntoIter<SelectedSeries>>,
    range: TimeRange,
    failed: bool,
}

/// What is selected of one block, with the next series read ahead.
#[derive(Debug)]
struct BlockSelect<'a> {
    block: &'a Block,
    next: Option<BlockSeries>,
    rest: Select<&'a Block>,
}

/// A series and where its samples are.
#[derive(Debug)]
pub struct Series<'a> {
    labels: Labels,
    blocks: Vec<(&'a Block, BlockSeries)>,
    head: Option<SelectedSeries>,
    range: TimeRange,
}

impl BlockSelect<'_> {
    fn advance(&mut self) -> Result<Option<BlockSeries>> {
        let next = self.rest.next().transpose()?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

impl<'a> SeriesSet<'a> {
    pub(super) fn new(dir: &'a DataDir, matchers: &[Matcher], range: TimeRange) -> Result<Self> {
        let mut blocks = Vec::new();
        for block in dir
            .blocks()
            .iter()
            .filter(|b| b.meta().range().overlaps(range))
        {
            let mut select = BlockSelect {
                block,
                next: None,
                rest: block.select(matchers, range)?,
            };
            select.advance()?;
            blocks.push(select);
        }
        Ok(Self {
            blocks,
            head: dir.head().select(matchers, range).into_iter().peekable(),
            range,
            failed: false,
        })
    }

    fn next_series(&mut self) -> Result<Option<Series<'a>>> {
        let in_blocks = self
            .blocks
            .iter()
            .filter_map(|b| Some(&b.next.as_ref()?.labels));
        let in_head = self.head.peek().map(SelectedSeries::labels);
        let Some(labels) = in_blocks.chain(in_head).min().cloned() else {
            return Ok(None);
        };
        let mut blocks = Vec::new();
        for select in &mut self.blocks {
            if select.next.as_ref().is_some_and(|s| s.labels == labels)
                && let Some(series) = select.advance()?
            {
                blocks.push((select.block, series));
            }
        }
        let head = self.head.next_if(|series| *series.labels() == labels);
        Ok(Some(Series {
            labels,
            blocks,
            head,
            range: self.range,
        }))
    }
}

impl<'a> Iterator for SeriesSet<'a> {
    type Item = Result<Series<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_series();
        self.failed = next.is_err();
        next.transpose()
    }
}

/// Samples of one place.
type Samples<'s> = Box<dyn Iterator<Item = Result<Sample>> + 's>;

impl Series<'_> {
    /// The series' labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The samples in order of time; the first error ends them.
    pub fn samples(&self) -> impl Iterator<Item = Result<Sample>> {
        let blocks = self.blocks.iter().map(|(block, series)| {
            let samples = Box::new(BlockSamples::new(block, &series.chunks)) as Samples<'_>;
            self.keep(samples, Some(&series.deleted))
        });
        let head = self
            .head
            .iter()
            .map(|series| match series.chunks(self.range) {
                Ok(chunks) => {
                    let samples = merged_samples(chunks).map(|s| {
                        s.map_err(|c| {
                            Error::Invalid(format!("a head chunk of {} is {c}", self.labels))
                        })
                    });
                    self.keep(Box::new(samples), series.deleted())
                }
                Err(error) => Box::new(std::iter::once(Err(error))),
            });
        SampleMerge::new(blocks.chain(head).collect())
    }

    /// Leaves out what is outside of the range asked for, and what is deleted.
    fn keep<'s>(&self, samples: Samples<'s>, deleted: Option<&'s Intervals>) -> Samples<'s> {
        let range = self.range;
        let is_kept =
            move |s: &Sample| range.contains(s.t) && !deleted.is_some_and(|d| d.contains(s.t));
        Box::new(samples.filter(move |s: &Result<Sample>| s.as_ref().map_or(true, is_kept)))
    }
}

/// The samples of a block's chunks, read one chunk at a time.
struct BlockSamples<'a> {
    block: &'a Block,
    chunks: std::slice::Iter<'a, ChunkMeta>,
    samples: vec::IntoIter<Sample>,
}

impl<'a> BlockSamples<'a> {
    fn new(block: &'a Block, chunks: &'a [ChunkMeta]) -> Self {
        Self {
            block,
            chunks: chunks.iter(),
            samples: Vec::new().into_iter(),
        }
    }

    fn read(&self, chunk: &ChunkMeta) -> Result<Vec<Sample>> {
        let payload = self.block.chunk(chunk.reference)?;
        payload.samples().collect::<Result<_, _>>().map_err(|c| {
            Error::Invalid(format!(
                "chunk {:#x} of block {} is {c}",
                chunk.reference,
                self.block.meta().ulid
            ))
        })
    }
}

impl Iterator for BlockSamples<'_> {
    type Item = Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(sample) = self.samples.next() {
                return Some(Ok(sample));
            }
            let chunk = self.chunks.next()?;
            match self.read(chunk) {
                Ok(samples) => self.samples = samples.into_iter(),
                Err(error) => {
                    self.chunks = [].iter();
                    return Some(Err(error));
                }
            }
        }
    }
}
