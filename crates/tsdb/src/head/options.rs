//! How a head is kept.

use std::time::Duration;

use super::CHUNK_RANGE;
use super::out_of_order::BUFFER_SIZE;
use crate::wal::WriterOptions;

/// When a write is durable enough to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncMode {
    /// Once the disk has it: it survives power cuts. Writers that wait at the same time share one
    /// flush.
    #[default]
    Always,
    /// Once the operating system has it. The disk gets it within the given time, so that a power
    /// cut loses no more than that, and the crash of the process nothing.
    Batch(Duration),
    /// Once the operating system has it; the disk gets it when a segment ends.
    None,
}

/// How the log holds float samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FloatRecords {
    /// Each relative to the one before of its series: a seventh of the bytes, in records that Prometheus
    /// skips. [`Head::close`](super::Head::close) leaves everything where it finds it nevertheless.
    #[default]
    Changes,
    /// As Prometheus writes them, so that it reads the log after a crash too.
    Samples,
}

/// How a head is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadOptions {
    /// Chunks are cut at multiples of this, in milliseconds. Half of it is how much older than the
    /// newest sample of the head an in-order sample may be.
    pub chunk_range: i64,
    /// In-order samples before this time are refused, and skipped by the replay: blocks hold them.
    pub min_valid_time: i64,
    /// How much older than the newest sample of the head one that is out of order may be, in
    /// milliseconds; with 0 they are refused.
    pub out_of_order_window: i64,
    /// Samples out of order that a series buffers before they become a chunk.
    pub out_of_order_cap: usize,
    /// How far ahead of now a sample may be, in milliseconds; `i64::MAX` for no limit.
    pub future_max: i64,
    /// Series that there may be, unless [`Head::set_series_max`](super::Head::set_series_max) says other.
    pub series_max: usize,
    /// New series have references above this: no one who knew another head in the place of this one
    /// takes them for theirs.
    pub references_after: u64,
    /// So many exemplars are kept, the newest ones.
    pub exemplars_max: usize,
    /// When a write may be acknowledged.
    pub sync: SyncMode,
    /// How the logs are written.
    pub wal: WriterOptions,
    /// How the WAL holds float samples.
    pub float_records: FloatRecords,
    /// How long forgetting what blocks hold waits for those who read it. It may be as long as queries
    /// may take; who is slower gets an error.
    pub reader_patience: Duration,
    /// Threads that append during the replay, beside the one that reads.
    pub replay_workers: usize,
}

impl Default for HeadOptions {
    fn default() -> Self {
        Self {
            chunk_range: CHUNK_RANGE,
            min_valid_time: i64::MIN,
            out_of_order_window: 0,
            out_of_order_cap: BUFFER_SIZE,
            future_max: 10 * 60 * 1000,
            series_max: usize::MAX,
            references_after: 0,
            exemplars_max: 100_000,
            sync: SyncMode::default(),
            wal: WriterOptions::default(),
            float_records: FloatRecords::default(),
            reader_patience: Duration::from_secs(120),
            replay_workers: 2,
        }
    }
}
