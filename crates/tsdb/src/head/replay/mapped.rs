//! Taking over head chunk files.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};

use super::ReplayReport;
use crate::chunk::{Chunk, Encoding, TimedChunk};
use crate::error::{Corruption, Error, Result};
use crate::wal::head_chunks::{self, HeadChunk, HeadChunks, chunk_reference};

/// Completed chunks by the reference of their series.
#[derive(Debug, Default)]
pub(super) struct MappedChunks {
    by_series: HashMap<u64, SeriesChunks, ahash::RandomState>,
    /// Out-of-order chunks that cannot be read; their samples are still needed from the WBL.
    unreadable: HashSet<u64, ahash::RandomState>,
    /// The last chunk that was read.
    last: Option<u64>,
    /// About the first chunk of an encoding that cannot be read.
    unsupported: Option<Error>,
}

/// Completed chunks of one series.
#[derive(Debug, Default)]
pub(super) struct SeriesChunks {
    pub(super) in_order: Vec<TimedChunk>,
    pub(super) out_of_order: Vec<TimedChunk>,
    /// True once a chunk could not be read: the WAL supplies everything from there on.
    is_cut_off: bool,
}

impl MappedChunks {
    /// The chunks of a series, once.
    pub(super) fn take(&mut self, reference: u64) -> Option<SeriesChunks> {
        self.by_series.remove(&reference)
    }

    /// True when the chunk that a marker names was read.
    pub(super) fn has(&self, chunk: u64) -> bool {
        self.last.is_some_and(|last| chunk <= last) && !self.unreadable.contains(&chunk)
    }
}

/// Reads all head chunk files in `dir`, up to the first damage. Chunks behind that are left to the
/// WAL, which still has their samples: with a gap in between, those could not be appended.
pub(super) fn load(
    dir: &Path,
    min_valid_time: i64,
    report: &mut ReplayReport,
) -> Result<MappedChunks> {
    let mut mapped = MappedChunks::default();
    for file in head_chunks::files(dir)? {
        let bytes = fs::read(&file.path).map_err(|e| Error::io("read", &file.path, e))?;
        let bytes = Bytes::from(bytes);
        let result = HeadChunks::new(&bytes).and_then(|chunks| {
            for chunk in chunks {
                let chunk = chunk?;
                let reference = chunk_reference(file.index, chunk.offset);
                if chunk.out_of_order || chunk.max_time >= min_valid_time {
                    mapped.add(&chunk, reference, &bytes)?;
                    report.head_chunks += 1;
                }
                mapped.last = Some(reference);
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
    Ok(mapped)
}

impl MappedChunks {
    fn add(&mut self, found: &HeadChunk, reference: u64, file: &Bytes) -> Result<(), Corruption> {
        let series = self.by_series.entry(found.series).or_default();
        let encoding = Encoding::from_byte(found.encoding).filter(|e| e.check_readable().is_ok());
        let Some(encoding) = encoding else {
            if found.out_of_order {
                self.unreadable.insert(reference);
            } else {
                series.is_cut_off = true;
            }
            self.unsupported.get_or_insert_with(|| Error::Unsupported {
                what: format!(
                    "encoding {} of head chunk {reference:#x} of series {}",
                    found.encoding, found.series
                ),
                advice: "its samples are taken from the write-ahead logs",
            });
            return Ok(());
        };
        let chunk = TimedChunk {
            min_time: found.min_time,
            max_time: found.max_time,
            chunk: Chunk {
                encoding,
                data: file.slice(found.data.clone()),
            },
        };
        if found.out_of_order {
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
