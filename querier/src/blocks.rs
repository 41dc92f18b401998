//! PromQL over blocks on this machine.

mod metadata;

use std::sync::Arc;
use std::vec;

use model::{Labels, Sample, TimeRange, Value};
use promql::columns::Samples;
use promql::source::{SelectRequest, Series, SeriesSet, Source, SourceError};
use tsdb::block::{Block, BlockSeries};
use tsdb::chunk::{TimedChunk, xor};
use tsdb::merge::samples::merged_samples;
use tsdb::{Chunk, Corruption, Encoding};

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
}

impl Source for Blocks {
    fn select(&self, request: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError> {
        let mut found = Vec::new();
        for block in &self.blocks {
            if !block.meta().range().overlaps(request.range) {
                continue;
            }
            for series in block
                .select(&request.matchers, request.range)
                .map_err(failed)?
            {
                found.push(Part {
                    block: Arc::clone(block),
                    series: series.map_err(failed)?,
                });
            }
        }
        // Each block's series are sorted; the sort is stable and merges what is.
        if self.blocks.len() > 1 {
            found.sort_by(|a, b| a.series.labels.cmp(&b.series.labels));
        }
        Ok(Box::new(Found {
            parts: found.into_iter(),
            ahead: None,
        }))
    }
}

fn failed(error: tsdb::Error) -> SourceError {
    SourceError::caused_by(error.kind(), "read block", error)
}

/// What one block holds of a series.
struct Part {
    block: Arc<Block>,
    series: BlockSeries,
}

/// The series found, part by part.
struct Found {
    parts: vec::IntoIter<Part>,
    /// The first part of the next series.
    ahead: Option<Part>,
}

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        let Some(first) = self.ahead.take().or_else(|| self.parts.next()) else {
            return Ok(None);
        };
        let mut parts = vec![first];
        for part in self.parts.by_ref() {
            if part.series.labels != parts[0].series.labels {
                self.ahead = Some(part);
                break;
            }
            parts.push(part);
        }
        Ok(Some(Box::new(BlocksSeries { parts })))
    }
}

/// One series of some blocks.
struct BlocksSeries {
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
        for sample in merged_samples(self.chunks(range)?) {
            let sample = sample.map_err(damaged)?;
            if !self
                .parts
                .iter()
                .any(|part| part.series.deleted.contains(sample.t))
            {
                push(sample, out);
            }
        }
        Ok(())
    }
}

impl BlocksSeries {
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
        for part in &self.parts {
            for meta in &part.series.chunks {
                if meta.min_time >= range.max || meta.max_time < range.min {
                    continue;
                }
                let chunk = part.block.chunk(meta.reference).map_err(failed)?;
                decode(&chunk, out).map_err(damaged)?;
            }
        }
        Ok(())
    }

    /// The chunks that may have samples in `range`, in order of their first times.
    fn chunks(&self, range: TimeRange) -> Result<Vec<TimedChunk>, SourceError> {
        let mut chunks = Vec::new();
        for part in &self.parts {
            for meta in &part.series.chunks {
                if meta.min_time < range.max && meta.max_time >= range.min {
                    chunks.push(TimedChunk {
                        min_time: meta.min_time,
                        max_time: meta.max_time,
                        chunk: part.block.chunk(meta.reference).map_err(failed)?,
                    });
                }
            }
        }
        chunks.sort_by_key(|chunk| chunk.min_time);
        Ok(chunks)
    }
}

fn damaged(corruption: Corruption) -> SourceError {
    SourceError::caused_by(model::ErrorKind::Corrupt, "decode chunk", corruption)
}

/// Appends a chunk's samples to the columns.
fn decode(chunk: &Chunk, out: &mut Samples) -> Result<(), Corruption> {
    if chunk.encoding == Encoding::Xor {
        return xor::decode_columns(&chunk.data, &mut out.ts, &mut out.values);
    }
    for sample in chunk.samples() {
        push(sample?, out);
    }
    Ok(())
}

fn push(sample: Sample, out: &mut Samples) {
    match sample.value {
        Value::Float(v) => out.push_float(sample.t, v, 0),
        Value::Histogram(h) => out.push_hist(sample.t, Arc::new(h.to_float()), 0),
        Value::FloatHistogram(h) => out.push_hist(sample.t, Arc::new(*h), 0),
    }
}
