//! Taking over head chunk files.

use std::path::Path;

use bytes::Bytes;
use hashbrown::HashMap;

use super::ReplayReport;
use crate::error::{Corruption, Error, Result};
use crate::head::chunk_files::{ChunkFiles, MappedChunk};
use crate::source::{ByteSource, Memory};
use crate::wal::MmapMarker;
use crate::wal::head_chunks::{self, HeadChunk, HeadChunks, chunk_reference};

/// Completed chunks by the reference of their series.
#[derive(Debug, Default)]
pub(super) struct MappedChunks {
    by_series: HashMap<u64, SeriesChunks, ahash::RandomState>,
    /// The series of out-of-order chunks that were read, by the references of the chunks.
    out_of_order: HashMap<u64, u64, ahash::RandomState>,
    /// Before every chunk of the first file; nothing when there are no files.
    first: Option<u64>,
    /// The highest reference of a series, whether its chunks are needed or not.
    last_series: u64,
    /// About the first chunk of an encoding that cannot be read.
    unsupported: Option<Error>,
}

/// Completed chunks of one series.
#[derive(Debug, Default)]
pub(super) struct SeriesChunks {
    pub(super) in_order: Vec<MappedChunk>,
    pub(super) out_of_order: Vec<MappedChunk>,
    /// True once a chunk could not be read: the WAL supplies everything from there on.
    is_cut_off: bool,
}

impl MappedChunks {
    /// The chunks of a series, once.
    pub(super) fn take(&mut self, reference: u64) -> Option<SeriesChunks> {
        self.by_series.remove(&reference)
    }

    /// The highest reference of a series that any chunk has: its record may be gone, but whoever is
    /// given the reference again would be taken for the owner of the chunk.
    pub(super) fn last_series(&self) -> u64 {
        self.last_series
    }

    /// True when the chunk that a marker names was read, or its file was dropped with what is in blocks.
    ///
    /// Chunks are written behind the log: after a crash, a marker may name one that no file has, where
    /// later files have chunks after it.
    pub(super) fn has(&self, marker: MmapMarker) -> bool {
        let in_blocks = self.first.is_some_and(|first| marker.chunk < first);
        in_blocks || self.out_of_order.get(&marker.chunk) == Some(&marker.series)
    }
}

/// Maps and reads all head chunk files in `dir`, up to the first damage. Chunks behind that are left
/// to the WAL, which still has their samples: with a gap in between, those could not be appended.
pub(super) fn load(
    dir: &Path,
    min_valid_time: i64,
    report: &mut ReplayReport,
) -> Result<(MappedChunks, ChunkFiles)> {
    let mut mapped = MappedChunks::default();
    let files = ChunkFiles::new(dir);
    for file in head_chunks::files(dir)? {
        let bytes = Memory::map(&file.path)?;
        let bytes: Bytes = bytes.in_memory().cloned().unwrap_or_default();
        files.adopt(file.index, bytes.clone());
        let start = chunk_reference(file.index, 0);
        mapped.first.get_or_insert(start);
        let result = HeadChunks::new(&bytes).and_then(|chunks| {
            for chunk in chunks {
                let chunk = chunk?;
                mapped.last_series = mapped.last_series.max(chunk.series);
                if chunk.out_of_order || chunk.max_time >= min_valid_time {
                    mapped.add(&chunk, file.index)?;
                    report.head_chunks += 1;
                }
            }
            Ok(())
        });
        if let Err(corruption) = result {
            report.damage.push(corruption.in_file(&file.path));
            break;
        }
    }
    if let Some(error) = mapped.unsupported.take() {
        report.damage.push(error);
    }
    Ok((mapped, files))
}

impl MappedChunks {
    fn add(&mut self, found: &HeadChunk, file: u32) -> Result<(), Corruption> {
        let series = self.by_series.entry(found.series).or_default();
        let Some(chunk) = MappedChunk::of(found, file) else {
            // The samples of one that came out of order are taken from the WBL, whose marker has none.
            series.is_cut_off |= !found.out_of_order;
            let reference = chunk_reference(file, found.offset);
            self.unsupported.get_or_insert_with(|| Error::Unsupported {
                what: format!(
                    "encoding {} of head chunk {reference:#x} of series {}",
                    found.encoding, found.series
                ),
                advice: "its samples are taken from the write-ahead logs",
            });
            return Ok(());
        };
        if found.out_of_order {
            self.out_of_order.insert(chunk.reference, found.series);
            series.out_of_order.push(chunk);
        } else if !series.is_cut_off {
            if let Some(last) = series.in_order.last()
                && chunk.min_time <= last.max_time
            {
                let expected = format!("a chunk after the series' last one, {}", last.max_time);
                return Err(Corruption::new(found.offset as usize + 8, expected));
            }
            series.in_order.push(chunk);
        }
        Ok(())
    }
}
