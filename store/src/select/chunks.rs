//! Chunks of the selected series: where they are, and how they are shown.

use std::collections::BTreeMap;
use std::ops::Range;

use storeapi::{Aggregate, Aggregates, ChunkData, SeriesChunk};
use tsdb::block::ChunkReader;
use tsdb::chunk::aggregate;
use tsdb::{ChunkMeta, Corruption, Encoding};

use super::Wanted;
use super::read::Found;

/// Bytes between the first of a series' chunks and the end of the last, which lie side by side.
pub(super) fn extent_of(chunks: &[ChunkMeta], estimate: u64) -> u64 {
    match (chunks.first(), chunks.last()) {
        (Some(first), Some(last)) if first.reference >> 32 == last.reference >> 32 => {
            last.reference.saturating_sub(first.reference) + estimate / 4
        }
        _ => chunks.len() as u64 * estimate,
    }
}

/// The ranges of chunks by their segments. A chunk that another follows ends there, if that is near.
pub(super) fn chunk_ranges(batch: &[Found], estimate: u64) -> BTreeMap<usize, Vec<Range<u64>>> {
    let mut references: Vec<u64> = batch
        .iter()
        .flat_map(|(_, places)| places.chunks.iter().map(|c| c.reference))
        .collect();
    references.sort_unstable();
    references.dedup();
    let mut ranges: BTreeMap<usize, Vec<Range<u64>>> = BTreeMap::new();
    for (i, reference) in references.iter().enumerate() {
        let at = reference & 0xffff_ffff;
        let until_next = references
            .get(i + 1)
            .map_or(u64::MAX, |next| next - reference);
        let segment = (reference >> 32) as usize;
        // Readers look at more than a short chunk has.
        let bytes = estimate.min(until_next.max(tsdb::block::segments::CHUNK_GUESS));
        ranges.entry(segment).or_default().push(at..at + bytes);
    }
    ranges
}

/// The chunks of some series, and why some are left out, if any are.
pub(super) type Decoded = (Vec<Vec<SeriesChunk>>, Option<tsdb::Error>);

/// Reads the chunks of each series, but those of encodings that only later versions read.
pub(super) fn decode_chunks(
    chunks: &ChunkReader,
    batch: &[Found],
    wanted: &Wanted,
) -> tsdb::Result<Decoded> {
    let mut series = Vec::with_capacity(batch.len());
    let (mut failed, mut left_out) = (None, None);
    for (_, places) in batch {
        let mut read = Vec::with_capacity(places.chunks.len());
        for meta in &places.chunks {
            match chunks.chunk(meta.reference) {
                Ok(_) if failed.is_some() => {}
                Ok(chunk) => read.extend(shown_chunk(chunk, meta, &wanted.aggregates)?),
                Err(e @ tsdb::Error::Unsupported { .. }) => left_out = left_out.or(Some(e)),
                // Goes on, so that all that is missing is known at once.
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        series.push(read);
    }
    match failed {
        Some(e) => Err(e),
        None => Ok((series, left_out)),
    }
}

/// A chunk as it is sent; nothing when it has none of the aggregates.
///
/// # Errors
/// When it is damaged.
pub fn shown_chunk(
    chunk: tsdb::Chunk,
    meta: &ChunkMeta,
    aggregates: &[Aggregate],
) -> tsdb::Result<Option<SeriesChunk>> {
    let data = match chunk.encoding {
        Encoding::Aggregate => match aggregates_of(&chunk, meta, aggregates)? {
            Some(found) => ChunkData::Aggregates(Box::new(found)),
            None => return Ok(None),
        },
        _ => ChunkData::Raw(chunk),
    };
    Ok(Some(SeriesChunk {
        min_time: meta.min_time,
        max_time: meta.max_time,
        data,
    }))
}

fn aggregates_of(
    chunk: &tsdb::Chunk,
    meta: &ChunkMeta,
    wanted: &[Aggregate],
) -> tsdb::Result<Option<Aggregates>> {
    let damage = |d: Corruption| d.in_file(format!("chunk {:#x}", meta.reference).as_ref());
    let [count, sum, min, max, counter] = aggregate::decode(&chunk.data).map_err(damage)?;
    let keep = |kind: Aggregate, chunk: Option<tsdb::Chunk>| {
        chunk.filter(|_| wanted.is_empty() || wanted.contains(&kind))
    };
    let found = Aggregates {
        count: keep(Aggregate::Count, count),
        sum: keep(Aggregate::Sum, sum),
        min: keep(Aggregate::Min, min),
        max: keep(Aggregate::Max, max),
        counter: keep(Aggregate::Counter, counter),
    };
    Ok(Some(found).filter(|f| *f != Aggregates::default()))
}
