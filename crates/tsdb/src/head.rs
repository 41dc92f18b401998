//! The head: the newest samples of all series, in memory and in logs.
//!
//! A head is filled by a replay of what the last one left: head chunk files, the newest checkpoint,
//! the WAL's segments and the WBL. [`replay`](replay()) stops there, writes nothing and gives a head
//! for reading; [`Head::open`] repairs what a crash damaged and gives one that takes writes.
//!
//! A series has completed chunks in head chunk files, in time order, one open chunk in memory, and
//! chunks of what came out of order. Series are found by their labels ([`lookup`]) when they are
//! written to and by matchers ([`index`]) when they are read. All methods take `&self`; many threads
//! may write and read at the same time. Locks are taken in this order: logs, stripes of the lookup,
//! index; or logs, one series, head chunk files. Moving completed chunks into files is a lock before
//! those of series.
//!
//! Reading order: [`series`] (cutting chunks), [`out_of_order`], [`chunk_files`], [`entry`],
//! [`lookup`], [`index`], [`bounds`] (which samples are taken), [`append`], [`rows`] and [`logs`]
//! (what is logged, and when it is durable), [`read`], [`cut`] (what blocks are made of),
//! [`truncate`], [`replay`] and [`open`] (filling it from a data directory).

mod append;
mod bounds;
mod chunk_files;
mod cut;
mod delete;
mod entry;
mod exemplars;
mod index;
mod logs;
mod lookup;
mod open;
mod options;
mod out_of_order;
mod read;
mod readers;
mod replay;
mod rows;
mod series;
mod truncate;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::{HashMap, HashSet};
use model::{ErrorKind, Metadata, TimeRange};
use parking_lot::{Mutex, RwLock};

use crate::batch::{CommitPoint, SeriesRef, WriteError};
use crate::block::Intervals;
use bounds::Bounds;
use chunk_files::ChunkFiles;
use entry::Entry;
use exemplars::Exemplars;
use index::Index;
use logs::{Flusher, Logs};
use lookup::Lookup;
use series::Cutting;

pub use cut::{CutSeries, OutOfOrderCut};
pub use index::LabelCounts;
pub use logs::WalStats;
pub use open::{OpenReport, Progress};
pub use options::{FloatRecords, HeadOptions, SyncMode};
pub use read::{SelectedSeries, SeriesExemplars};
pub use replay::{ReplayOptions, ReplayReport, replay};
pub use truncate::Truncated;

/// How long a chunk range is unless Prometheus was told otherwise: two hours, in milliseconds.
pub const CHUNK_RANGE: i64 = 2 * 60 * 60 * 1000;

/// Samples that a float chunk aims at.
pub const SAMPLES_PER_CHUNK: u16 = 120;

/// The newest samples of all series.
#[derive(Debug)]
pub struct Head {
    options: HeadOptions,
    series_max: AtomicUsize,
    lookup: Lookup,
    index: Index,
    files: Arc<ChunkFiles>,
    /// Held while completed chunks are moved into files.
    writing_full: Mutex<()>,
    bounds: Bounds,
    deleted: RwLock<HashMap<SeriesRef, Arc<Intervals>>>,
    exemplars: Mutex<Exemplars>,
    /// Equal metadata of many series are there once.
    metadata: Mutex<HashSet<Arc<Metadata>>>,
    /// Absent while the head is for reading only.
    logs: Option<Arc<Logs>>,
    /// Held by who reads chunks.
    readers: readers::Readers,
    _flusher: Option<Flusher>,
}

impl Head {
    /// A head without series, for reading only.
    pub fn empty() -> Self {
        Self::new(HeadOptions::default(), ChunkFiles::new("".as_ref()))
    }

    fn new(options: HeadOptions, files: ChunkFiles) -> Self {
        Self {
            lookup: Lookup::new(),
            index: Index::default(),
            files: Arc::new(files),
            writing_full: Mutex::default(),
            bounds: Bounds::new(options.min_valid_time),
            deleted: RwLock::default(),
            exemplars: Mutex::new(Exemplars::new(options.exemplars_max)),
            metadata: Mutex::default(),
            logs: None,
            readers: readers::Readers::new(options.reader_patience),
            _flusher: None,
            series_max: AtomicUsize::new(options.series_max),
            options,
        }
    }

    /// Waits until the writes up to `at` are as durable as [`HeadOptions::sync`] demands.
    ///
    /// # Errors
    /// When they cannot be made durable; nobody knows then which of them are, and no further write
    /// is taken until the head is opened again.
    pub fn commit(&self, at: CommitPoint) -> Result<(), WriteError> {
        self.logs()?.commit(at)
    }

    /// Makes everything appended so far durable, whatever [`HeadOptions::sync`] says.
    ///
    /// # Errors
    /// As [`Head::commit`].
    pub fn flush(&self) -> Result<(), WriteError> {
        self.logs()?.flush_all()
    }

    /// Completes all chunks and moves them into head chunk files, before a head is dropped in whose
    /// log Prometheus would not find them ([`FloatRecords::Changes`]). What cannot be moved stays in the
    /// log alone. Nobody may append any more.
    pub fn close(&self) {
        if self.options.float_records == FloatRecords::Samples {
            return;
        }
        let all = self.index.all();
        for entry in &all {
            entry.state.lock().samples.close();
        }
        self.write_full(&all);
    }

    /// The time from the first sample to the last, unless there is none.
    pub fn time_range(&self) -> Option<TimeRange> {
        self.bounds.time_range()
    }

    /// First and last time of the samples that came in order, unless there is none. Blocks are cut
    /// by it.
    pub fn in_order_span(&self) -> Option<(i64, i64)> {
        self.bounds.in_order.get()
    }

    /// First and last time of the samples that came out of order, unless there is none.
    pub fn out_of_order_span(&self) -> Option<(i64, i64)> {
        self.bounds.out_of_order.get()
    }

    /// In-order samples before this time are refused.
    pub fn min_valid_time(&self) -> i64 {
        self.bounds.min_valid()
    }

    /// Takes over series, in ascending order of their references, after a replay; further references
    /// come after `last`.
    fn adopt(&self, entries: &[Arc<Entry>], last: u64) {
        self.index.adopt(entries, last);
        for entry in entries {
            self.lookup.adopt(entry);
            let samples = &entry.state.lock().samples;
            samples
                .in_order_span()
                .into_iter()
                .for_each(|s| self.bounds.in_order.add(s));
            let out_of_order = samples.out_of_order_span().into_iter();
            out_of_order.for_each(|s| self.bounds.out_of_order.add(s));
        }
    }

    /// How many series there may be.
    pub fn series_max(&self) -> usize {
        self.series_max.load(Ordering::Relaxed)
    }

    /// Lets there be `max` series from now on. Those that are there stay.
    pub fn set_series_max(&self, max: usize) {
        self.series_max.store(max, Ordering::Relaxed);
    }

    /// The highest reference that any series has or had.
    pub fn last_reference(&self) -> u64 {
        self.index.last()
    }

    /// Number of series.
    pub fn series_count(&self) -> usize {
        self.index.len()
    }

    /// Number of series that were ever added, by the replay too.
    pub fn series_created(&self) -> u64 {
        self.index.created()
    }

    /// What became of the log so far; nothing while the head is for reading only.
    pub fn wal_stats(&self) -> WalStats {
        self.logs
            .as_ref()
            .map_or_else(WalStats::default, |logs| logs.stats())
    }

    fn logs(&self) -> Result<&Arc<Logs>, WriteError> {
        self.logs.as_ref().ok_or_else(|| WriteError::Refused {
            kind: ErrorKind::Invalid,
            reason: "the data directory is open for reading only".to_owned(),
        })
    }

    fn cutting(&self) -> Cutting<'_> {
        Cutting {
            chunk_range: self.options.chunk_range,
            files: &self.files,
        }
    }

    /// The one copy of some metadata.
    fn interned(&self, metadata: &Metadata) -> Arc<Metadata> {
        let mut all = self.metadata.lock();
        let found = all.get_or_insert_with(metadata, |m| Arc::new(m.clone()));
        Arc::clone(found)
    }
}

#[cfg(test)]
mod tests;
