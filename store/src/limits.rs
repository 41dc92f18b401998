//! What one request may cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use model::ErrorKind;
use model::figure::Tally;
use storeapi::StoreError;
use tokio::sync::OwnedSemaphorePermit;

use crate::stats::{DataType, Stats};

/// Samples that a chunk is taken to hold, as by Thanos: counting them would mean decoding.
const SAMPLES_PER_CHUNK: u64 = 120;

/// The flag of what is read.
const BYTES_FLAG: &str = "store.grpc.downloaded-bytes-limit";

/// Limits of one request; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Series, those of each block counted.
    pub series_max: u64,
    /// Samples, 120 for each chunk.
    pub samples_max: u64,
    /// Blocks that have series of the answer, which are held open until it ends.
    pub blocks_max: u64,
    /// Bytes that are read of the bucket, and held for it.
    pub bytes_max: u64,
    /// Bytes of chunks that are sent from where they lie in files, without being held.
    pub mapped_bytes_max: u64,
}

/// A request's place among those that are answered at once, given back when it is dropped. What it cost
/// is counted then.
#[derive(Debug)]
pub struct Place {
    stats: Arc<Stats>,
    usage: Arc<Usage>,
    blocks: usize,
    series: u64,
    chunk_bytes: Tally,
    begin: Instant,
    /// When the first series was found.
    found: Option<Instant>,
    _permit: OwnedSemaphorePermit,
    /// For the blocks that it reads.
    _open_blocks: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Counts a query of so many blocks that is answered from now on. It has permits to be answered, and
    /// to hold its blocks open.
    pub fn new(
        (permit, open_blocks): (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
        (usage, blocks): (Arc<Usage>, usize),
        stats: Arc<Stats>,
    ) -> Self {
        stats.queries.add(1);
        stats.queries_running.add(1);
        Self {
            usage,
            blocks,
            series: 0,
            chunk_bytes: stats.requests.sent_chunk_bytes.tally(),
            begin: Instant::now(),
            found: None,
            stats,
            _permit: permit,
            _open_blocks: open_blocks,
        }
    }

    /// Notes that the series of all blocks are found.
    pub fn found(&mut self) {
        self.found.get_or_insert_with(Instant::now);
    }

    /// Counts a series that is sent with chunks of so many bytes.
    pub fn sent(&mut self, chunks: impl Iterator<Item = usize>) {
        self.series += 1;
        let mut count = 0;
        for bytes in chunks {
            self.chunk_bytes.observe(bytes as f64);
            count += 1;
        }
        self.stats.series.add(1);
        self.stats.chunks.add(count);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stats.queries_running.sub(1);
        let (requests, usage) = (&self.stats.requests, &self.usage);
        requests.blocks.observe(self.blocks as f64);
        requests.series.observe(self.series as f64);
        requests.sent_chunk_bytes.add(&self.chunk_bytes);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        requests.touched[DataType::Series as usize].observe(load(&usage.series));
        let chunks = load(&usage.samples) / SAMPLES_PER_CHUNK as f64;
        requests.touched[DataType::Chunks as usize].observe(chunks);
        for (histogram, bytes) in requests.fetched_bytes.iter().zip(&usage.fetched) {
            histogram.observe(load(bytes));
        }
        let now = Instant::now();
        let found = self.found.unwrap_or(now);
        let seconds = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
        requests.get_all.observe(seconds(self.begin, found));
        requests.merge.observe(seconds(found, now));
    }
}

/// What a request has used of its limits.
#[derive(Debug)]
pub struct Usage {
    limits: Limits,
    series: AtomicU64,
    samples: AtomicU64,
    blocks: AtomicU64,
    bytes: AtomicU64,
    mapped_bytes: AtomicU64,
    /// Bytes that were read of the bucket, of each type.
    fetched: [AtomicU64; DataType::ALL.len()],
}

impl Usage {
    /// Nothing used yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            series: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            blocks: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            mapped_bytes: AtomicU64::new(0),
            fetched: Default::default(),
        }
    }

    /// Takes series into account.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] beyond the limit.
    pub fn series(&self, n: usize) -> Result<(), StoreError> {
        let max = self.limits.series_max;
        take(
            &self.series,
            n as u64,
            max,
            "series",
            "store.limits.request-series",
        )
    }

    /// Takes chunks into account.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] beyond the limit.
    pub fn chunks(&self, n: usize) -> Result<(), StoreError> {
        let samples = n as u64 * SAMPLES_PER_CHUNK;
        let max = self.limits.samples_max;
        take(
            &self.samples,
            samples,
            max,
            "samples",
            "store.limits.request-samples",
        )
    }

    /// Takes a block into account that has series of the answer.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] beyond the limit.
    pub fn block(&self) -> Result<(), StoreError> {
        let max = self.limits.blocks_max;
        take(
            &self.blocks,
            1,
            max,
            "blocks",
            "store.limits.request-blocks",
        )
    }

    /// Counts bytes that are read of the bucket.
    pub fn fetched(&self, of: DataType, n: u64) {
        self.fetched[of as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Takes bytes into account, before they are read.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] beyond the limit.
    pub fn bytes(&self, n: u64) -> Result<(), StoreError> {
        take(&self.bytes, n, self.limits.bytes_max, "bytes", BYTES_FLAG)
    }

    /// Takes bytes into account that are sent from files.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] beyond the limit.
    pub fn mapped_bytes(&self, n: u64) -> Result<(), StoreError> {
        let max = self.limits.mapped_bytes_max;
        take(&self.mapped_bytes, n, max, "bytes", BYTES_FLAG)
    }
}

fn take(used: &AtomicU64, n: u64, max: u64, what: &str, flag: &str) -> Result<(), StoreError> {
    let used = used.fetch_add(n, Ordering::Relaxed) + n;
    if max == 0 || used <= max {
        return Ok(());
    }
    let message = format!(
        "the request needs {used} {what} of the bucket or more, and the limit is {max} (--{flag}); narrow its matchers or its time"
    );
    Err(StoreError::new(ErrorKind::Exhausted, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_names_its_flag() {
        let usage = Usage::new(Limits {
            series_max: 2,
            samples_max: 240,
            blocks_max: 1,
            bytes_max: 10,
            mapped_bytes_max: 20,
        });
        assert!(usage.series(2).is_ok());
        assert!(usage.chunks(2).is_ok());
        assert!(usage.block().is_ok());
        assert!(usage.bytes(10).is_ok());
        assert!(usage.mapped_bytes(20).is_ok());
        for (error, said) in [
            (
                usage.series(1),
                "3 series of the bucket or more, and the limit is 2 (--store.limits.request-series)",
            ),
            (
                usage.chunks(1),
                "360 samples of the bucket or more, and the limit is 240 (--store.limits.request-samples)",
            ),
            (
                usage.block(),
                "2 blocks of the bucket or more, and the limit is 1 (--store.limits.request-blocks)",
            ),
            (
                usage.bytes(7),
                "17 bytes of the bucket or more, and the limit is 10 (--store.grpc.downloaded-bytes-limit)",
            ),
            (
                usage.mapped_bytes(1),
                "21 bytes of the bucket or more, and the limit is 20 (--store.grpc.downloaded-bytes-limit)",
            ),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Exhausted);
            assert!(error.message.contains(said), "{}", error.message);
        }
        let unlimited = Usage::new(Limits {
            series_max: 0,
            samples_max: 0,
            blocks_max: 0,
            bytes_max: 0,
            mapped_bytes_max: 0,
        });
        assert!(unlimited.bytes(u64::MAX / 2).is_ok(), "0 means no limit");
    }
}
