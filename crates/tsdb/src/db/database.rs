//! [`Db`]: a data directory that is written to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use model::stop::Pace;
use model::{Matcher, Stop, TimeRange};
use parking_lot::Mutex;
use ulid::Ulid;

use super::blocks::{Blocks, in_order_end};
use super::disk::DiskGuard;
use super::leftovers::{self, SetAside};
use super::lock::DirLock;
use super::maintenance::Maintenance;
use super::retention::Retention;
use super::selection::Selection;
use super::written::{Counters, Written};
use crate::batch::{Appended, Batch, CommitPoint, WriteError};
use crate::block::Block;
use crate::durable;
use crate::error::{Error, Result};
use crate::head::{self, Head, HeadOptions, Progress, WalStats};

/// How a database is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DbOptions {
    /// The head. Its chunk range is the length of the blocks that are cut from it; its bound for
    /// valid times comes from the blocks.
    pub head: HeadOptions,
    /// The longest range in milliseconds that blocks are merged into; `None` merges nothing, for
    /// blocks that somebody ships.
    pub merge_max: Option<i64>,
    /// How much is kept.
    pub retention: Retention,
    /// Whether retention removes only blocks that [`Db::release`] named: somebody copies them first.
    pub hold_unreleased: bool,
    /// Below so many free bytes on the disk, nothing is written.
    pub free_bytes_min: u64,
    /// Whether to lock the directory. Without, two processes may destroy each other's data.
    pub lock: bool,
}

/// Two WAL segments' worth of the disk stay free, so that the logs can be replayed and cut.
const FREE_BYTES_MIN: u64 = 256 << 20;

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            head: HeadOptions::default(),
            merge_max: None,
            retention: Retention::default(),
            hold_unreleased: false,
            free_bytes_min: FREE_BYTES_MIN,
            lock: true,
        }
    }
}

/// What opening a database met, beside what it reads.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// What was left of blocks that were never finished, or of removals; it is gone now.
    pub removed: Vec<PathBuf>,
    /// Damaged blocks.
    pub set_aside: Vec<SetAside>,
    /// Blocks that cannot be read and are not known to be damaged, such as those of a later version. They
    /// stay where they are, and are left out.
    pub unreadable: Vec<(PathBuf, Error)>,
    /// Whether who had it open before closed it; not known unless it is locked.
    pub is_clean_start: Option<bool>,
    /// How long opening it took.
    pub took: Duration,
    /// What opening the head met.
    pub head: head::OpenReport,
}

/// The blocks that are read, in order of time, as of one moment.
pub(super) type BlockSet = Vec<Arc<Block>>;

/// A data directory that is written to: a head with its logs, and the blocks that are cut from it.
///
/// Samples go to the head with [`append`](Self::append) and are read through
/// [`select`](Self::select). Everything else happens when somebody calls, on a timer:
/// [`compact`](Self::compact), [`retain`](Self::retain), [`check_disk`](Self::check_disk). All of it
/// may be called at once from many threads. Maintenance waits for maintenance, and, before the head
/// forgets what a block holds, for those who began to read before the block was there.
#[derive(Debug)]
pub struct Db {
    pub(super) dir: PathBuf,
    pub(super) options: DbOptions,
    pub(super) head: Arc<Head>,
    pub(super) blocks: ArcSwap<BlockSet>,
    pub(super) maintenance: Mutex<Maintenance>,
    pub(super) disk: DiskGuard,
    pub(super) written: Counters,
    /// Blocks that retention may remove where it asks.
    pub(super) released: Mutex<BTreeSet<Ulid>>,
    report: OpenReport,
    /// Given up last, when nothing is written any more.
    lock: Option<DirLock>,
}

/// What a database has, for people and metrics.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DbStats {
    /// Series in the head.
    pub head_series: usize,
    /// Series that came into the head since it was opened, by its replay too.
    pub head_series_created: u64,
    /// Times of the head's samples; `None` when it is empty.
    pub head_range: Option<TimeRange>,
    /// Blocks that are read.
    pub blocks: usize,
    /// Bytes of their indexes and chunks.
    pub block_bytes: u64,
    /// Writes are refused because the disk is nearly full.
    pub is_read_only: bool,
    /// First time of all samples, in blocks and head; `None` when there are none.
    pub lowest_time: Option<i64>,
    /// What was written since it was opened.
    pub written: Written,
    /// The log of the head.
    pub wal: WalStats,
}

impl Db {
    /// Opens the data directory `dir`, which is made when it is not there: locks it, removes what
    /// was never finished, sets damaged blocks aside, opens the others and replays the logs.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it open, [`Error::Io`], and what opening the head
    /// fails with.
    pub fn open(
        dir: &Path,
        options: DbOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        durable::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        let begin = Instant::now();
        let lock = options.lock.then(|| DirLock::acquire(dir)).transpose()?;
        let removed = leftovers::clear(dir)?;
        let mut blocks = Blocks::reopen(dir, &[])?;
        let set_aside = leftovers::set_aside(dir, &mut blocks)?;
        let mut head_options = options.head;
        if let Some(end) = in_order_end(&blocks.readable) {
            head_options.min_valid_time = head_options.min_valid_time.max(end);
        }
        let (head, head_report) = Head::open(dir, head_options, progress)?;
        let mut db = Self {
            dir: dir.to_owned(),
            disk: DiskGuard::new(options.free_bytes_min),
            options,
            head: Arc::new(head),
            blocks: ArcSwap::from_pointee(blocks.readable),
            maintenance: Mutex::default(),
            written: Counters::default(),
            released: Mutex::default(),
            report: OpenReport {
                removed,
                set_aside,
                unreadable: blocks.unreadable,
                is_clean_start: lock.as_ref().map(|lock| !lock.was_left()),
                took: begin.elapsed(),
                head: head_report,
            },
            lock,
        };
        // Blocks that another was made from are still there after a crash.
        db.retain()?;
        if let Some(lock) = &mut db.lock {
            lock.note_in_order();
        }
        Ok(db)
    }

    /// What opening met.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// The data directory. Finished blocks are the directories in it whose names are ULIDs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Notes that nothing more is written, so that the next start knows that this one was ended
    /// properly, also if the process ends before all who read are done.
    pub fn note_end(&self) {
        if let Some(lock) = &self.lock {
            lock.give_up();
        }
    }

    /// Says which blocks retention may remove, if the options have it wait for that; all others stay,
    /// however old or many they are.
    pub fn release(&self, blocks: BTreeSet<Ulid>) {
        *self.released.lock() = blocks;
    }

    /// The newest samples.
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// The blocks that are read, in order of time.
    pub fn blocks(&self) -> Arc<Vec<Arc<Block>>> {
        self.blocks.load_full()
    }

    /// Appends a batch at the time `now_ms`; see [`Head::append`].
    ///
    /// # Errors
    /// [`WriteError::Refused`] while the disk is nearly full, and as the head.
    pub fn append(&self, batch: &Batch, now_ms: i64) -> Result<Appended, WriteError> {
        self.disk.admit()?;
        let result = self.note_full(self.head.append(batch, now_ms));
        if let Ok(appended) = &result {
            self.written.note(appended);
        }
        result
    }

    /// Returns once what was appended until `at` is as durable as the options say.
    ///
    /// # Errors
    /// As [`Head::commit`].
    pub fn commit(&self, at: CommitPoint) -> Result<(), WriteError> {
        self.note_full(self.head.commit(at))
    }

    /// Stops writing as soon as a write finds the disk full.
    fn note_full<T>(&self, result: Result<T, WriteError>) -> Result<T, WriteError> {
        if let Err(WriteError::Storage(error)) = &result
            && error.is_for_want_of_room()
        {
            self.disk.found_full();
        }
        result
    }

    /// Takes note of how many bytes are free on the disk, see
    /// [`free_bytes`](super::disk::free_bytes): below the floor of the options nothing is written
    /// until there is enough again. True when that changed.
    pub fn check_disk(&self, free: u64) -> bool {
        self.disk.check(free)
    }

    /// True while writes are refused because the disk is nearly full.
    pub fn is_read_only(&self) -> bool {
        self.disk.is_full()
    }

    /// The series that all of `matchers` select and that have chunks which overlap `range`, in order
    /// of their labels. It sees the samples that are there when their chunks are read, and keeps the
    /// head from forgetting any meanwhile; so it is not for keeping.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] when a block's index cannot be read.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Selection> {
        self.select_holding(&[], matchers, range, &Stop::never())
    }

    /// As [`Db::select`], and the blocks `held` are read too if they were removed meanwhile: for who
    /// counted on them when it asked others for less, and may `stop` waiting for it.
    ///
    /// # Errors
    /// As [`Db::select`], and [`Error::Stopped`].
    pub fn select_holding(
        &self,
        held: &[Arc<Block>],
        matchers: &[Matcher],
        range: TimeRange,
        stop: &Stop,
    ) -> Result<Selection> {
        // In this order: what leaves the head after that is in the blocks.
        let head = self.head.select_until(matchers, range, stop)?;
        let mut blocks = self.blocks.load_full();
        let is_gone = |b: &&Arc<Block>| !blocks.iter().any(|other| Arc::ptr_eq(b, other));
        let gone: BlockSet = held.iter().filter(is_gone).cloned().collect();
        if !gone.is_empty() {
            Arc::make_mut(&mut blocks).extend(gone);
        }
        Selection::new(&blocks, head, matchers, (range, stop))
    }

    /// The names of the labels of the series that all of `matchers` select, sorted, at most `limit`
    /// of them. `range` selects blocks, not series within one.
    ///
    /// # Errors
    /// As [`Db::select`].
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>> {
        let of_head = |head: &Head| head.label_names(matchers);
        let of_block = |block: &Block| {
            block
                .index()
                .label_names_matching(matchers, &Pace::new(&Stop::never()))
        };
        self.union(range, limit, of_head, of_block)
    }

    /// The values of the label `name` of the series that all of `matchers` select; otherwise as
    /// [`Db::label_names`].
    ///
    /// # Errors
    /// As [`Db::select`].
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>> {
        let of_head = |head: &Head| head.label_values(name, matchers);
        let of_block = |block: &Block| {
            block
                .index()
                .label_values_matching(name, matchers, &Pace::new(&Stop::never()))
        };
        self.union(range, limit, of_head, of_block)
    }

    fn union(
        &self,
        range: TimeRange,
        limit: usize,
        of_head: impl Fn(&Head) -> Vec<String>,
        of_block: impl Fn(&Block) -> Result<Vec<String>>,
    ) -> Result<Vec<String>> {
        let mut all = BTreeSet::new();
        // The head first, as in `select`.
        if self
            .head
            .time_range()
            .is_some_and(|covered| covered.overlaps(range))
        {
            all.extend(of_head(&self.head));
        }
        let blocks = self.blocks.load_full();
        for block in blocks.iter().filter(|b| b.meta().range().overlaps(range)) {
            all.extend(of_block(block)?);
        }
        Ok(all.into_iter().take(limit).collect())
    }

    /// The time from the first sample to the last, in blocks and head.
    pub fn time_range(&self) -> Option<TimeRange> {
        let blocks = self.blocks.load();
        (blocks.iter().map(|b| b.meta().range()))
            .chain(self.head.time_range())
            .reduce(|a, b| TimeRange::new(a.min.min(b.min), a.max.max(b.max)))
    }

    /// What the database has.
    pub fn stats(&self) -> DbStats {
        let blocks = self.blocks.load();
        DbStats {
            head_series: self.head.series_count(),
            head_series_created: self.head.series_created(),
            head_range: self.head.time_range(),
            blocks: blocks.len(),
            block_bytes: blocks.iter().map(|b| b.size_bytes()).sum(),
            is_read_only: self.is_read_only(),
            lowest_time: self.time_range().map(|range| range.min),
            written: self.written.read(),
            wal: self.head.wal_stats(),
        }
    }
}
