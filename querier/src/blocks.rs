//! PromQL over blocks on this machine.

mod metadata;

use std::sync::Arc;

use model::{Labels, Matcher, Sample, Stop, TimeRange};
use promql::columns::Samples;
use promql::source::{SelectRequest, Series, SeriesSet, Source, SourceError};
use tsdb::Encoding;
use tsdb::block::{Block, BlockSeries, Intervals, Select};
use tsdb::chunk::{ChunkMeta, SeriesEncoder, TimedChunk, xor};
use tsdb::merge::{SampleMerge, merged_samples};

use crate::decode::{damaged, push};

/// Blocks that are queried together.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    blocks: Vec<Arc<Block>>,
}

impl Blocks {
    /// The blocks, which may overlap, in any order.
    pub fn new(blocks: impl IntoIterator<Item = Block>) -> Self {
        let mut blocks: Vec<_> = blocks.into_iter().map(Arc::new).collect();
        blocks.sort_by_key(|block| block.meta().min_time);
        Self { blocks }
    }

    /// The blocks, in order of time.
    pub fn iter(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().map(|block| &**block)
    }
}

impl Blocks {
    /// The series that all matchers accept and that have chunks in the range.
    pub(crate) fn find(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        stop: &Stop,
    ) -> Result<Found, SourceError> {
        let mut heads = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            if block.meta().range().overlaps(range) {
                let rest = Select::new(Arc::clone(block), matchers, range, stop.clone());
                let rest = rest.map_err(failed)?;
                let mut head = Head {
                    block: Arc::clone(block),
                    next: None,
                    rest,
                };
                head.advance()?;
                heads.push(head);
            }
        }
        Ok(Found { heads })
    }
}

impl Source for Blocks {
    fn select(&self, request: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError> {
        Ok(Box::new(self.find(
            &request.matchers,
            request.range,
            &request.stop,
        )?))
    }
}

/// Samples of a chunk as Prometheus and we cut them.
const CHUNK_SAMPLES: usize = 120;

fn failed(error: tsdb::Error) -> SourceError {
    SourceError::caused_by(error.kind(), "read block", error)
}

/// What one block holds of a series.
struct Part {
    block: Arc<Block>,
    series: BlockSeries,
}

impl Part {
    /// The chunks that may have samples in `range`, in order of their first times.
    fn chunks(&self, range: TimeRange) -> Result<Vec<TimedChunk>, SourceError> {
        let chunks = self.series.chunks.iter();
        let wanted = chunks.filter(|c| c.min_time < range.max && c.max_time >= range.min);
        wanted
            .map(|meta| {
                Ok(TimedChunk {
                    min_time: meta.min_time,
                    max_time: meta.max_time,
                    chunk: self.block.chunk(meta.reference).map_err(failed)?,
                })
            })
            .collect()
    }
}

/// The series that one block holds, in order of labels.
struct Head {
    block: Arc<Block>,
    next: Option<BlockSeries>,
    rest: Select<Arc<Block>>,
}

impl Head {
    /// Takes the next series.
    fn advance(&mut self) -> Result<Option<Part>, SourceError> {
        let following = self.rest.next().transpose().map_err(failed)?;
        let taken = std::mem::replace(&mut self.next, following);
        Ok(taken.map(|series| Part {
            block: Arc::clone(&self.block),
            series,
        }))
    }
}

/// The series found, merged as they are asked for: a query's memory does not depend on their number.
pub(crate) struct Found {
    /// One per block, in order of the blocks' times.
    heads: Vec<Head>,
}

impl Found {
    /// The next series, with its parts in all blocks.
    pub(crate) fn advance(&mut self) -> Result<Option<BlocksSeries>, SourceError> {
        let least = |head: &Head, least: &Head| match (&head.next, &least.next) {
            (Some(a), Some(b)) => a.labels < b.labels,
            (next, _) => next.is_some(),
        };
        let mut first = 0;
        for i in 1..self.heads.len() {
            if least(&self.heads[i], &self.heads[first]) {
                first = i;
            }
        }
        let Some(head) = self.heads.get_mut(first) else {
            return Ok(None);
        };
        let Some(part) = head.advance()? else {
            return Ok(None);
        };
        let mut parts = vec![part];
        // Of blocks with the same series the first was found.
        for head in &mut self.heads[first + 1..] {
            if let Some(next) = &head.next
                && next.labels == parts[0].series.labels
            {
                parts.extend(head.advance()?);
            }
        }
        Ok(Some(BlocksSeries { parts }))
    }
}

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        let series = self.advance()?;
        Ok(series.map(|series| Box::new(series) as Box<dyn Series>))
    }
}

/// One series of some blocks.
pub(crate) struct BlocksSeries {
    /// In order of the blocks' times; never empty.
    parts: Vec<Part>,
}

impl Series for BlocksSeries {
    fn labels(&self) -> &Labels {
        &self.parts[0].series.labels
    }

    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        if self.is_plain() {
            return self.read_plain(range, out);
        }
        let mut places = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let deleted = &part.series.deleted;
            let is_kept = move |s: &Sample| !deleted.contains(s.t);
            let samples = merged_samples(part.chunks(range)?);
            places.push(samples.filter(move |s| s.as_ref().map_or(true, is_kept)));
        }
        for sample in SampleMerge::new(places) {
            push(sample.map_err(damaged)?, out);
        }
        Ok(())
    }

    fn take_labels(&mut self) -> Labels {
        std::mem::take(&mut self.parts[0].series.labels)
    }
}

impl BlocksSeries {
    /// Its chunks in `range`, in order of time within each block, without what is deleted.
    pub(crate) fn chunks(&self, range: TimeRange) -> Result<Vec<TimedChunk>, SourceError> {
        let mut all = Vec::new();
        for part in &self.parts {
            let chunks = part.chunks(range)?;
            if part.series.deleted.is_empty() {
                all.extend(chunks);
            } else {
                all.extend(without(chunks, &part.series.deleted)?);
            }
        }
        Ok(all)
    }

    /// True when the chunks follow each other in time and nothing is deleted.
    fn is_plain(&self) -> bool {
        let metas = || self.parts.iter().flat_map(|part| &part.series.chunks);
        self.parts.iter().all(|part| part.series.deleted.is_empty())
            && metas()
                .zip(metas().skip(1))
                .all(|(a, b)| a.max_time < b.min_time)
    }

    /// Decodes chunk after chunk.
    fn read_plain(&self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        let is_wanted = |meta: &&ChunkMeta| meta.min_time < range.max && meta.max_time >= range.min;
        let metas = self.parts.iter().flat_map(|part| &part.series.chunks);
        out.reserve_floats(metas.filter(is_wanted).count() * CHUNK_SAMPLES);
        for part in &self.parts {
            for meta in part.series.chunks.iter().filter(is_wanted) {
                decode(&part.block, meta.reference, out)?;
            }
        }
        Ok(())
    }
}

/// The samples of chunks in order, cut anew, but for those that are deleted.
pub(crate) fn without(
    chunks: Vec<TimedChunk>,
    deleted: &Intervals,
) -> Result<Vec<TimedChunk>, SourceError> {
    let mut encoder = SeriesEncoder::new();
    let mut kept = Vec::new();
    for sample in merged_samples(chunks) {
        let sample = sample.map_err(damaged)?;
        if !deleted.contains(sample.t) {
            kept.extend(encoder.push(&sample).map_err(failed)?);
        }
    }
    kept.extend(encoder.finish());
    Ok(kept)
}

/// Appends a chunk's samples to the columns.
fn decode(block: &Block, reference: u64, out: &mut Samples) -> Result<(), SourceError> {
    let view = block.chunks().view(reference).map_err(failed)?;
    if view.encoding() == Encoding::Xor {
        return xor::decode_columns(view.data(), &mut out.ts, &mut out.values).map_err(damaged);
    }
    for sample in block.chunk(reference).map_err(failed)?.samples() {
        push(sample.map_err(damaged)?, out);
    }
    Ok(())
}
