//! What blocks of one producer have of a series, where their times overlap.
//!
//! Samples that came late are cut into blocks of their own, which lie beside those that were cut before
//! until a compactor has merged them. Whoever is told a replica label takes chunks that overlap for those
//! of replicas, of which it believes one at a time. Hence chunks of one series in blocks of one producer
//! are merged here where they overlap, by the rules by which blocks are merged; those of different
//! producers stay apart.

use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use storeapi::{ChunkData, Series, SeriesChunk};
use tsdb::chunk::TimedChunk;
use tsdb::merge::merge_chunks;

use crate::block::Block;

/// Whose series it is: the producer, and what stands for the labels of the series that are not shown.
pub type Origin = (u32, u64);

/// For each block that answers a question, which come producer by producer, the producer's number where
/// another block of the same may have samples of the same series at the same time.
pub fn overlapping(blocks: &[(Arc<Block>, Arc<[Matcher]>)]) -> Vec<Option<u32>> {
    let mut producers = vec![None; blocks.len()];
    let mut begin = 0;
    let by_producer = blocks.chunk_by(|a, b| a.0.external() == b.0.external());
    for (number, group) in (0..).zip(by_producer) {
        // Windows of samples are no samples.
        let raw = group.iter().zip(begin..);
        let raw = raw.filter(|((block, _), _)| block.resolution() == 0);
        let mut raw: Vec<(TimeRange, usize)> =
            raw.map(|((block, _), at)| (block.range(), at)).collect();
        raw.sort_by_key(|(range, _)| (range.min, range.max));
        let mut last: Option<(i64, usize)> = None;
        for (range, at) in raw {
            if let Some((end, before)) = last
                && range.min < end
            {
                producers[before] = Some(number);
                producers[at] = Some(number);
            }
            if last.is_none_or(|(end, _)| end < range.max) {
                last = Some((range.max, at));
            }
        }
        begin += group.len();
    }
    producers
}

/// A series, of which blocks have parts.
#[derive(Debug)]
pub struct Gathered {
    /// Its labels as they are shown.
    pub labels: Labels,
    /// Of blocks that have no samples at the same time as others of their producer.
    apart: Vec<SeriesChunk>,
    /// Of the others.
    parts: Vec<(Origin, Vec<SeriesChunk>)>,
}

impl Gathered {
    /// A series without chunks.
    pub const fn new(labels: Labels) -> Self {
        Self {
            labels,
            apart: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Adds what a block has of it, in order of time.
    pub fn push(&mut self, origin: Option<Origin>, chunks: Vec<SeriesChunk>) {
        let Some(origin) = origin else {
            return join(&mut self.apart, chunks);
        };
        match self.parts.iter_mut().find(|(of, _)| *of == origin) {
            Some((_, part)) => join(part, chunks),
            None => self.parts.push((origin, chunks)),
        }
    }

    /// Whether finishing it means decoding chunks.
    pub fn is_to_be_merged(&self) -> bool {
        self.parts.iter().any(|(_, part)| overlaps(part))
    }

    /// The series with its chunks in order of time.
    pub fn finish(self) -> Series {
        let mut chunks = self.apart;
        for (_, part) in self.parts {
            join(&mut chunks, merged(part));
        }
        Series {
            labels: self.labels,
            chunks,
        }
    }
}

/// Whether one of the chunks, which are in order, begins before all before it have ended.
fn overlaps(chunks: &[SeriesChunk]) -> bool {
    chunks.windows(2).any(|w| w[1].min_time <= w[0].max_time)
}

/// The same samples in chunks that do not overlap.
fn merged(part: Vec<SeriesChunk>) -> Vec<SeriesChunk> {
    if !overlaps(&part) {
        return part;
    }
    let timed = part.iter().map(|chunk| match &chunk.data {
        ChunkData::Raw(raw) => Some(TimedChunk {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            chunk: raw.clone(),
        }),
        ChunkData::Aggregates(_) => None,
    });
    let timed = timed.collect::<Option<Vec<_>>>();
    match timed.map(merge_chunks) {
        Some(Ok(merged)) => merged.into_iter().map(shown).collect(),
        // Who reads them says what is wrong with them.
        Some(Err(_)) | None => part,
    }
}

fn shown(timed: TimedChunk) -> SeriesChunk {
    SeriesChunk {
        min_time: timed.min_time,
        max_time: timed.max_time,
        data: ChunkData::Raw(timed.chunk),
    }
}

/// Adds `more` to the chunks of a series.
fn join(chunks: &mut Vec<SeriesChunk>, more: Vec<SeriesChunk>) {
    let by_time = |a: &SeriesChunk| (a.min_time, a.max_time);
    let is_after = match (chunks.last(), more.first()) {
        (Some(last), Some(first)) => by_time(last) < by_time(first),
        _ => true,
    };
    if chunks.is_empty() {
        *chunks = more;
    } else {
        chunks.extend(more);
    }
    if !is_after {
        chunks.sort_by_key(by_time);
        // Blocks of which one was made from the other hold the same chunks.
        chunks.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(
        cluster: &str,
        resolution: i64,
        (min, max): (i64, i64),
    ) -> (Arc<Block>, Arc<[Matcher]>) {
        let block = crate::set::tests::block(1, cluster, resolution, min, max);
        (block, Arc::default())
    }

    #[test]
    fn blocks_of_one_producer_that_overlap_are_found() {
        let blocks = [
            block("a", 0, (0, 100)),
            block("a", 0, (100, 200)),
            block("a", 0, (0, 50)),
            block("a", 300_000, (120, 190)),
            block("b", 0, (0, 100)),
            block("c", 0, (0, 300)),
            block("c", 0, (10, 20)),
            block("c", 0, (200, 210)),
            block("c", 0, (300, 310)),
        ];
        let (a, c) = (Some(0), Some(2));
        let expected = [a, None, a, None, None, c, c, c, None];
        assert_eq!(overlapping(&blocks), expected);
    }
}
