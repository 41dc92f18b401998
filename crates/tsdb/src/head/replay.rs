//! Filling a head from a data directory, without writing to it.
//!
//! One thread reads, decompresses and decodes records and looks up which series they are about;
//! workers, among whom series are divided, append the samples. So records of one series are
//! applied in their order. Damage ends the log that it is in, as it does for Prometheus, and is
//! reported; everything before it is there.

mod mapped;
mod parts;
mod router;
mod worker;

use std::fs::File;
use std::path::Path;

use super::{CHUNK_RANGE, Head, HeadOptions, Progress};
use crate::error::{Error, Result};
use crate::wal::SegmentReader;
use crate::wal::dir::{LogDir, Segment};
use crate::wal::segment::SegmentError;
use router::Router;

/// The number of a series in a replay, from zero in the order of first records.
type SeriesId = u32;

/// How a replay is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayOptions {
    /// Chunks are cut at multiples of this, in milliseconds.
    pub chunk_range: i64,
    /// In-order samples before this time are skipped, because blocks hold them.
    pub min_valid_time: i64,
    /// Threads that append, beside the one that reads.
    pub workers: usize,
    /// So many exemplars are kept, the newest ones.
    pub exemplars_max: usize,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            chunk_range: CHUNK_RANGE,
            min_valid_time: i64::MIN,
            workers: 2,
            exemplars_max: 100_000,
        }
    }
}

/// What a replay met.
#[derive(Debug, Default)]
pub struct ReplayReport {
    /// Segments read, checkpoints included.
    pub segments: usize,
    /// Records read, those of unknown types included.
    pub records: u64,
    /// Float and histogram samples read from WAL and WBL.
    pub samples: u64,
    /// Records of types that this version does not know, which were skipped.
    pub unknown_records: u64,
    /// Samples, tombstones, exemplars, metadata and markers of series that no record introduced, and
    /// changes of values that were not read; they were skipped.
    pub unknown_series: u64,
    /// Histograms that contradict themselves; they were skipped.
    pub invalid_histograms: u64,
    /// Head chunks that were taken over.
    pub head_chunks: u64,
    /// Damage, the first of each log, and head chunks of encodings that cannot be read. What is
    /// behind it in the same log was not read; samples of unreadable head chunks come from the WAL.
    pub damage: Vec<Error>,
    /// A record at the end of a log that a crash cut short; it was never whole.
    pub torn: Vec<Error>,
}

/// Reads the head of the data directory `dir`: its `chunks_head`, `wal` and `wbl`, any of which may
/// be absent.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read, [`Error::Invalid`] when a segment is missing. Damage
/// is no error, but part of the report.
pub fn replay(dir: &Path, options: &ReplayOptions) -> Result<(Head, ReplayReport)> {
    let options = HeadOptions {
        chunk_range: options.chunk_range,
        min_valid_time: options.min_valid_time,
        replay_workers: options.workers,
        exemplars_max: options.exemplars_max,
        ..HeadOptions::default()
    };
    let replayed = run(dir, &options, &mut |_| ())?;
    Ok((replayed.head, replayed.report))
}

/// A head for reading, and what is needed to write to it.
pub(super) struct Replayed {
    pub(super) head: Head,
    /// References in the logs that are not, or no longer, that of a series.
    pub(super) aliases: Vec<u64>,
    pub(super) report: ReplayReport,
}

/// As [`replay`](replay()), telling about each segment.
pub(super) fn run(
    dir: &Path,
    options: &HeadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Replayed> {
    let mut report = ReplayReport::default();
    let chunks_dir = dir.join("chunks_head");
    let (mapped, files) = mapped::load(&chunks_dir, options.min_valid_time, &mut report)?;
    let wal = LogDir::new(&dir.join("wal"));
    let checkpoint = wal.last_checkpoint()?;
    let mut segments = wal.segments()?;
    let checkpoint_segments = match &checkpoint {
        Some(checkpoint) => {
            segments.retain(|s| s.index > checkpoint.index);
            LogDir::new(&checkpoint.path).segments()?
        }
        None => Vec::new(),
    };
    let out_of_order = LogDir::new(&dir.join("wbl")).segments()?;
    let total = checkpoint_segments.len() + segments.len() + out_of_order.len();
    let mut progress = |done| progress(Progress { done, total });

    let parts = std::thread::scope(|scope| -> Result<_> {
        let workers = worker::start(scope, options, &files);
        let mut router = Router::new(*options, mapped, workers, report);
        read_log(&checkpoint_segments, &mut router, Log::Wal, &mut progress)?;
        read_log(&segments, &mut router, Log::Wal, &mut progress)?;
        read_log(&out_of_order, &mut router, Log::OutOfOrder, &mut progress)?;
        Ok(router.finish())
    })?;
    Ok(parts.into_head(*options, files))
}

/// Which log a record is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Wal,
    OutOfOrder,
}

/// Applies every record of a log, up to the first damage.
fn read_log(
    segments: &[Segment],
    router: &mut Router<'_>,
    log: Log,
    progress: &mut dyn FnMut(usize),
) -> Result<()> {
    for (i, segment) in segments.iter().enumerate() {
        progress(router.report.segments);
        let file = File::open(&segment.path).map_err(|e| Error::io("open", &segment.path, e))?;
        let mut reader = SegmentReader::new(file);
        router.report.segments += 1;
        router.begin_segment();
        loop {
            let (corruption, torn) = match reader.next_record() {
                Ok(None) => break,
                Ok(Some(record)) => match router.record(record, log) {
                    Ok(()) => continue,
                    Err(in_record) => (in_record.shift(reader.record_start()), false),
                },
                Err(SegmentError::Io(e)) => return Err(Error::io("read", &segment.path, e)),
                Err(SegmentError::Damaged { corruption, torn }) => (corruption, torn),
            };
            let error = corruption.in_file(&segment.path);
            if torn && i + 1 == segments.len() {
                router.report.torn.push(error);
            } else {
                router.report.damage.push(error);
            }
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
