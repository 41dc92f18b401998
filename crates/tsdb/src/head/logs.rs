//! The logs of a head, and making them durable.
//!
//! An append holds the lock of the logs while it changes series, so that a log has the samples of a
//! series in the order in which the series took them. Flushing to disk happens outside of that lock:
//! whoever waits first flushes everything written so far, and all who wait then wait for that one
//! flush or the next. After an error nothing more is written or acknowledged: what the disk holds is
//! not known then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::SyncMode;
use super::rows::Rows;
use crate::batch::{CommitPoint, WriteError};
use crate::error::{Error, Result};
use crate::wal::dir::{LogDir, SegmentFile};
use crate::wal::{Writer, WriterOptions};

/// Both logs of a head, open for writing.
#[derive(Debug)]
pub(super) struct Logs {
    open: Mutex<OpenLogs>,
    durable: Mutex<Durable>,
    /// Told when `durable` changes.
    flushed: Condvar,
    sync: SyncMode,
    syncs: Mutex<Syncs>,
}

/// How often data was made durable.
#[derive(Debug, Default)]
struct Syncs {
    count: u64,
    time: Duration,
}

impl Syncs {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.time += took;
    }
}

/// The log of a head, for people and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WalStats {
    /// The segment that is written to.
    pub segment: u32,
    /// How often segments were brought to disk.
    pub syncs: u64,
    /// How long that took in all.
    pub sync_time: Duration,
    /// True after an error, from which on nothing is written.
    pub has_failed: bool,
}

/// The logs while they are locked.
#[derive(Debug)]
pub(super) struct OpenLogs {
    /// Of everything but samples out of order.
    pub(super) wal: Writer,
    /// Of samples out of order; begun with the first.
    wbl: Option<Writer>,
    dir: PathBuf,
    options: WriterOptions,
    /// What the append under way puts into each.
    pub(super) wal_rows: Rows,
    pub(super) wbl_rows: Rows,
    /// Appends written.
    written: u64,
    /// References that no series has any longer, with the last segment that may use each: until
    /// that is gone, checkpoints keep their series records.
    pub(super) expiring: HashMap<u64, u32>,
    failed: Option<Arc<Error>>,
}

#[derive(Debug, Default)]
struct Durable {
    /// Appends that are on disk.
    until: u64,
    is_flushing: bool,
    failed: Option<Arc<Error>>,
}

/// Opens the log in `dir`, whose last segment is known to be sound, for a further segment.
fn open_log(dir: &Path, options: WriterOptions) -> Result<Writer> {
    std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    let log = LogDir::new(dir);
    let next = log.next_segment()?;
    Writer::create(log, next, options)
}

impl Logs {
    /// Begins a segment of the WAL in the data directory `dir`.
    pub(super) fn open(dir: &Path, options: WriterOptions, sync: SyncMode) -> Result<Self> {
        let wbl_dir = dir.join("wbl");
        let wbl = wbl_dir.is_dir().then(|| open_log(&wbl_dir, options));
        Ok(Self {
            open: Mutex::new(OpenLogs {
                wal: open_log(&dir.join("wal"), options)?,
                wbl: wbl.transpose()?,
                dir: dir.to_owned(),
                options,
                wal_rows: Rows::default(),
                wbl_rows: Rows::default(),
                written: 0,
                expiring: HashMap::new(),
                failed: None,
            }),
            durable: Mutex::default(),
            flushed: Condvar::new(),
            sync,
            syncs: Mutex::default(),
        })
    }

    /// Notes references that no series has, but which the segments so far may use.
    pub(super) fn expire(&self, references: Vec<u64>) {
        let mut open = self.open.lock();
        let last = open.wal.segment();
        open.expiring
            .extend(references.into_iter().map(|r| (r, last)));
    }

    /// Locks the logs, to append.
    ///
    /// # Errors
    /// The error that an earlier append or flush met.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, OpenLogs>, WriteError> {
        let open = self.open.lock();
        match &open.failed {
            Some(error) => Err(WriteError::Storage(Arc::clone(error))),
            None => Ok(open),
        }
    }

    /// Waits until everything written before `at` is as durable as was asked for.
    pub(super) fn commit(&self, at: CommitPoint) -> Result<(), WriteError> {
        if self.sync == SyncMode::Always {
            return self.flush(at);
        }
        match &self.durable.lock().failed {
            Some(error) => Err(WriteError::Storage(Arc::clone(error))),
            None => Ok(()),
        }
    }

    /// Makes everything written so far durable.
    pub(super) fn flush_all(&self) -> Result<(), WriteError> {
        let written = self.open.lock().written;
        self.flush(CommitPoint(written))
    }

    /// Waits until everything written before `at` is on disk, or brings it there.
    fn flush(&self, at: CommitPoint) -> Result<(), WriteError> {
        let mut durable = self.durable.lock();
        loop {
            if let Some(error) = &durable.failed {
                return Err(WriteError::Storage(Arc::clone(error)));
            }
            if durable.until >= at.0 {
                return Ok(());
            }
            if durable.is_flushing {
                self.flushed.wait(&mut durable);
                continue;
            }
            durable.is_flushing = true;
            let result = MutexGuard::unlocked(&mut durable, || self.flush_now());
            durable.is_flushing = false;
            match result {
                Ok(until) => durable.until = until,
                Err(error) => durable.failed = Some(Arc::new(error)),
            }
            self.flushed.notify_all();
        }
    }

    /// The WAL's state and figures.
    pub(super) fn stats(&self) -> WalStats {
        let (segment, has_failed) = {
            let open = self.open.lock();
            (open.wal.segment(), open.failed.is_some())
        };
        let syncs = self.syncs.lock();
        WalStats {
            segment,
            syncs: syncs.count,
            sync_time: syncs.time,
            has_failed,
        }
    }

    /// Flushes both logs, first the one that has the series of the other; returns how many appends
    /// are durable then.
    fn flush_now(&self) -> Result<u64> {
        let open = self.open.lock();
        let written = open.written;
        let logs: Vec<_> = [Some(&open.wal), open.wbl.as_ref()]
            .into_iter()
            .flatten()
            .map(|log| (log.path(), Arc::clone(log.file())))
            .collect();
        drop(open);
        for (path, mut file) in logs {
            let started = Instant::now();
            let synced = file.sync();
            self.syncs.lock().add(started.elapsed());
            if let Err(e) = synced {
                let error = Error::io("sync", &path, e);
                let again = Error::Invalid(format!("{error}; nothing is written any longer"));
                self.open.lock().failed = Some(Arc::new(again));
                return Err(error);
            }
        }
        Ok(written)
    }
}

impl OpenLogs {
    /// Writes what was gathered; returns how far the logs must be durable for it to be.
    pub(super) fn write(&mut self) -> Result<CommitPoint, WriteError> {
        let result = self.write_rows();
        self.wal_rows.clear();
        self.wbl_rows.clear();
        match result {
            Ok(is_more) => {
                self.written += u64::from(is_more);
                Ok(CommitPoint(self.written))
            }
            Err(error) => {
                let error = Arc::new(error);
                self.failed = Some(Arc::clone(&error));
                Err(WriteError::Storage(error))
            }
        }
    }

    /// True when there was something to write.
    fn write_rows(&mut self) -> Result<bool> {
        let wal = self.wal_rows.records();
        if !wal.is_empty() {
            self.wal.log(&wal)?;
        }
        let wbl = self.wbl_rows.records();
        if !wbl.is_empty() {
            let log = match &mut self.wbl {
                Some(log) => log,
                none => none.insert(open_log(&self.dir.join("wbl"), self.options)?),
            };
            log.log(&wbl)?;
        }
        Ok(!wal.is_empty() || !wbl.is_empty())
    }

    /// The data directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends the segment of the out-of-order log, if there is one, and returns its number.
    pub(super) fn end_wbl_segment(&mut self) -> Result<Option<u32>> {
        let Some(wbl) = &mut self.wbl else {
            return Ok(None);
        };
        Ok(Some(wbl.next_segment()? - 1))
    }
}

/// Flushes the logs of a head from time to time, on a thread that ends with it.
#[derive(Debug)]
pub(super) struct Flusher {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(super) fn start(logs: Arc<Logs>, every: Duration) -> Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let told = Arc::clone(&stop);
        let run = move || {
            let mut is_stopped = told.0.lock();
            while !*is_stopped {
                told.1.wait_for(&mut is_stopped, every);
                // An error is kept and met by the next writer.
                let _ = MutexGuard::unlocked(&mut is_stopped, || logs.flush_all());
            }
        };
        let thread = std::thread::Builder::new().name("wal-flush".to_owned());
        let thread = thread.spawn(run).map_err(|e| {
            Error::Invalid(format!("cannot start the thread that flushes the log: {e}"))
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread does not panic, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}
