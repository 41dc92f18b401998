//! Sizes that readers of a block plan their requests with.

use tsdb::block::Block;
use tsdb::block::meta::IndexStats;
use tsdb::index::{SeriesEntry, SeriesRef};

/// Series entries are aligned to this many bytes, and references count in it.
const SERIES_ALIGN: u64 = 16;

/// Most that stands before and behind a chunk's data: its length, encoding and checksum.
const CHUNK_FRAME_MAX: u64 = 5 + 1 + 4;

/// The largest series entry, its padding included, and the largest chunk.
///
/// # Errors
/// As the index' walk.
pub fn index_stats(block: &Block) -> tsdb::Result<IndexStats> {
    let mut stats = IndexStats::default();
    let mut walk = block.index().walk();
    let mut entry = SeriesEntry::default();
    let mut last: Option<SeriesRef> = None;
    let mut last_chunk = None;
    while let Some(series) = walk.next_into(&mut entry)? {
        if let Some(last) = last {
            let size = u64::from(series.0 - last.0) * SERIES_ALIGN;
            stats.series_max_size = stats.series_max_size.max(size);
        }
        last = Some(series);
        for chunk in &entry.chunks {
            if let Some(before) = last_chunk.replace(chunk.reference) {
                let size = chunk_size(block, before, Some(chunk.reference));
                stats.chunk_max_size = stats.chunk_max_size.max(size);
            }
        }
    }
    if let Some(last) = last {
        let size = block.index().toc().label_indices - u64::from(last.0) * SERIES_ALIGN;
        stats.series_max_size = stats.series_max_size.max(size);
    }
    if let Some(before) = last_chunk {
        stats.chunk_max_size = stats.chunk_max_size.max(chunk_size(block, before, None));
    }
    Ok(stats)
}

/// Size of a chunk, by where the next one starts, where that follows in the same segment.
fn chunk_size(block: &Block, chunk: u64, next: Option<u64>) -> u64 {
    match next {
        Some(next) if next > chunk && next >> 32 == chunk >> 32 => next - chunk,
        _ => (block.chunks().view(chunk)).map_or(0, |v| v.data().len() as u64 + CHUNK_FRAME_MAX),
    }
}
