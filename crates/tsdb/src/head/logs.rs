//! The logs of a head, and making them durable.
//!
//! An append holds the lock of the logs while it changes series, so that a log has the samples of a
//! series in the order in which the series took them. Flushing to disk happens outside of that lock:
//! whoever waits first flushes everything written so far, and all who wait then wait for that one
//! flush or the next, which begins at least [`FLUSH_GAP`] later. After an error nothing more is written or acknowledged: what the disk holds is
//! not known then.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use model::figure::Quantiles;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::chunk_files::ChunkFiles;
use super::out_of_order::OutOfOrder;
use super::rows::Rows;
use super::{FloatRecords, HeadOptions, SyncMode};
use crate::batch::{CommitPoint, SeriesRef, WriteError};
use crate::durable;
use crate::error::{Error, Result};
use crate::wal::dir::{LogDir, SegmentFile};
use crate::wal::{Writer, WriterOptions};

/// Flushes begin at least so long after one another. Every flush writes the last page of the file
/// again, so writers that come one after the other should share one, while a single one hardly waits.
const FLUSH_GAP: Duration = Duration::from_millis(2);

/// Both logs of a head, open for writing.
#[derive(Debug)]
pub(super) struct Logs {
    open: Mutex<OpenLogs>,
    durable: Mutex<Durable>,
    /// Told when `durable` changes.
    flushed: Condvar,
    sync: SyncMode,
    /// Seconds that it took to make data durable.
    syncs: Mutex<Quantiles>,
    corruptions: AtomicU64,
}

/// Quantiles of what flushes to disk take; Prometheus' own.
const SYNC_QUANTILES: &[f64] = &[0.5, 0.9, 0.99];

/// The log of a head, for people and metrics.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WalStats {
    /// The segment that is written to.
    pub segment: u32,
    /// How often segments were brought to disk.
    pub syncs: u64,
    /// How many seconds that took in all.
    pub sync_seconds: f64,
    /// How many seconds it took of late, by quantile.
    pub sync_quantiles: Vec<(f64, f64)>,
    /// True after an error, from which on nothing is written.
    pub has_failed: bool,
    /// Damaged parts that were set aside, at the start or later.
    pub corruptions: u64,
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
    float_records: FloatRecords,
    /// Appends written.
    written: u64,
    /// References that no series has any longer, with the last segment that may use each: until
    /// that is gone, checkpoints keep their series records.
    pub(super) expiring: HashMap<u64, u32>,
    failed: Option<Arc<Error>>,
    /// The failure is one that room on the disk does not mend.
    is_broken: bool,
    /// There was no room for the first file of the log of samples out of order.
    lacks_wbl: bool,
}

#[derive(Debug, Default)]
struct Durable {
    /// Appends that are on disk.
    until: u64,
    is_flushing: bool,
    /// When the last flush began.
    begun: Option<Instant>,
    failed: Option<Arc<Error>>,
}

/// Opens the log in `dir`, whose last segment is known to be sound, for a further segment.
///
/// What that holds is made durable: a killed process may have left records that are in no file yet,
/// which a replay takes, and which are acknowledged to who sends them again.
fn open_log(dir: &Path, options: WriterOptions) -> Result<Writer> {
    durable::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    let log = LogDir::new(dir);
    // What is no file, a pipe as tests have it, has nothing that could be lost.
    if let Some(last) = log.segments()?.last().filter(|last| last.path.is_file()) {
        let synced = File::open(&last.path).and_then(|file| file.sync_data());
        synced.map_err(|e| Error::io("sync", &last.path, e))?;
    }
    let next = log.next_segment()?;
    Writer::create(log, next, options)
}

impl Logs {
    /// Begins a segment of the WAL in the data directory `dir`.
    pub(super) fn open(dir: &Path, head: &HeadOptions) -> Result<Self> {
        let options = head.wal;
        let wbl_dir = dir.join("wbl");
        let wbl = wbl_dir.is_dir().then(|| open_log(&wbl_dir, options));
        Ok(Self {
            open: Mutex::new(OpenLogs {
                wal: open_log(&dir.join("wal"), options)?,
                wbl: wbl.transpose()?,
                dir: dir.to_owned(),
                options,
                wal_rows: Rows::new(head.float_records),
                wbl_rows: Rows::new(FloatRecords::Samples),
                float_records: head.float_records,
                written: 0,
                expiring: HashMap::new(),
                failed: None,
                is_broken: false,
                lacks_wbl: false,
            }),
            durable: Mutex::default(),
            flushed: Condvar::new(),
            sync: head.sync,
            syncs: Mutex::new(Quantiles::new(SYNC_QUANTILES)),
            corruptions: AtomicU64::new(0),
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
    /// The error that an earlier append or flush met, unless that was a full disk and there is room now.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, OpenLogs>, WriteError> {
        let mut open = self.open.lock();
        if open.is_full() {
            open.recover();
        }
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
            let next = durable.begun.map(|begun| begun + FLUSH_GAP);
            let (begun, result) = MutexGuard::unlocked(&mut durable, || {
                std::thread::sleep(next.map_or(Duration::ZERO, |next| {
                    next.saturating_duration_since(Instant::now())
                }));
                (Instant::now(), self.flush_now())
            });
            durable.begun = Some(begun);
            durable.is_flushing = false;
            self.flushed.notify_all();
            match result {
                // It began after `at` was written, unless that is of another log.
                Ok(until) => {
                    durable.until = until;
                    return Ok(());
                }
                Err(error) => durable.failed = Some(Arc::new(error)),
            }
        }
    }

    /// The WAL's state and figures.
    pub(super) fn stats(&self) -> WalStats {
        let (segment, has_failed) = {
            let open = self.open.lock();
            (open.wal.segment(), open.failed.is_some())
        };
        let (sync_quantiles, syncs, sync_seconds) = self.syncs.lock().read(Instant::now());
        WalStats {
            segment,
            syncs,
            sync_seconds,
            sync_quantiles,
            has_failed,
            corruptions: self.corruptions.load(Ordering::Relaxed),
        }
    }

    /// Counts damaged parts that were set aside.
    pub(super) fn set_aside(&self, count: usize) {
        (self.corruptions).fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Flushes both logs, first the one that has the series of the other; returns how many appends
    /// are durable then.
    fn flush_now(&self) -> Result<u64> {
        let mut open = self.open.lock();
        let written = open.written;
        open.end_blocks()?;
        let logs: Vec<_> = [Some(&open.wal), open.wbl.as_ref()]
            .into_iter()
            .flatten()
            .map(|log| (log.path(), Arc::clone(log.file())))
            .collect();
        drop(open);
        for (path, mut file) in logs {
            let started = Instant::now();
            let synced = file.sync();
            let ended = Instant::now();
            let took = ended.duration_since(started).as_secs_f64();
            self.syncs.lock().observe(took, ended);
            if let Err(e) = synced {
                let error = Error::io("sync", &path, e);
                self.open.lock().fail(&error);
                return Err(error);
            }
        }
        Ok(written)
    }
}

impl OpenLogs {
    /// Writes what was gathered; returns how far the logs must be durable for it to be.
    pub(super) fn write(&mut self) -> Result<CommitPoint, WriteError> {
        match self.write_rows() {
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

    /// True when what failed did so for want of room only. What was gathered then is kept: series have it
    /// already.
    fn is_full(&self) -> bool {
        let is_full = self.wal.is_full() || self.wbl.as_ref().is_some_and(Writer::is_full);
        (is_full || self.lacks_wbl) && !self.is_broken
    }

    /// Writes what a full disk kept out of the logs.
    fn recover(&mut self) {
        match self.write_again() {
            Ok(()) => {
                tracing::info!("what the disk had no room for is in the log now");
                self.failed = None;
            }
            Err(error) => self.failed = Some(Arc::new(error)),
        }
    }

    fn write_again(&mut self) -> Result<()> {
        if self.wal.recover()? {
            // It goes into another segment than the values that it was relative to.
            self.wal_rows.make_whole();
        }
        if let Some(wbl) = &mut self.wbl {
            wbl.recover()?;
        }
        self.written += u64::from(self.write_rows()?);
        Ok(())
    }

    /// Gathers a float of the WAL; `before` is the newest float of the series, and `changed_in` what
    /// its state says.
    #[inline]
    pub(super) fn wal_float(
        &mut self,
        (series, t, value): (SeriesRef, i64, f64),
        before: Option<f64>,
        changed_in: &mut u32,
    ) {
        let segment = self.wal.segment() + 1;
        let before = before.filter(|_| *changed_in == segment);
        *changed_in = segment;
        self.wal_rows.float(series, t, value, before);
    }

    /// Moves what a series buffers of samples out of order into a head chunk file, and gathers the marker
    /// that says so. When it cannot be written it stays, and so does what the log has of it.
    pub(super) fn write_buffer(
        &mut self,
        series: SeriesRef,
        samples: &mut OutOfOrder,
        files: &ChunkFiles,
    ) {
        if let Some(last) = samples.write_buffer(series.0, files) {
            self.wbl_rows.marker(series, last);
        }
    }

    /// True when there was something to write.
    fn write_rows(&mut self) -> Result<bool> {
        let has_wal = self.write_wal()?;
        self.wal_rows.clear();
        let wbl = self.wbl_rows.records();
        let has_wbl = !wbl.is_empty();
        if has_wbl {
            let log = match &mut self.wbl {
                Some(log) => log,
                none => {
                    let opened = open_log(&self.dir.join("wbl"), self.options);
                    self.lacks_wbl = opened.as_ref().is_err_and(Error::is_for_want_of_room);
                    none.insert(opened?)
                }
            };
            log.log(&wbl)?;
        }
        self.wbl_rows.clear();
        Ok(has_wal || has_wbl)
    }

    /// Writes what was gathered for the WAL. What is relative to values in the open segment goes into
    /// that; when it does not fit, everything is written whole, into the next.
    fn write_wal(&mut self) -> Result<bool> {
        let are_relative = self.wal_rows.are_relative();
        let records = self.wal_rows.records();
        if records.is_empty() {
            return Ok(false);
        }
        if !are_relative || self.wal.has_room(&records) {
            self.wal.log(&records)?;
            return Ok(true);
        }
        self.wal.next_segment()?;
        self.wal_rows.make_whole();
        self.wal.log(&self.wal_rows.records())?;
        Ok(true)
    }

    /// Lets flushes write few blocks twice, unless the log is to be as Prometheus writes it.
    fn end_blocks(&mut self) -> Result<()> {
        if self.float_records == FloatRecords::Samples || self.failed.is_some() {
            return Ok(());
        }
        let ended = [Some(&mut self.wal), self.wbl.as_mut()]
            .into_iter()
            .flatten()
            .try_for_each(Writer::end_block);
        match ended {
            // What was written before is whole, and can be made durable.
            Err(error) if self.is_full() => {
                self.failed = Some(Arc::new(error));
                Ok(())
            }
            ended => ended.inspect_err(|error| self.fail(error)),
        }
    }

    /// Lets nobody write any longer.
    fn fail(&mut self, error: &Error) {
        let again = Error::Invalid(format!("{error}; nothing is written any longer"));
        self.failed = Some(Arc::new(again));
        self.is_broken = true;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::{Compression, PAGE_SIZE};

    #[test]
    fn an_append_of_nothing_but_samples_out_of_order_leaves_the_wal_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let wal = WriterOptions {
            segment_size: PAGE_SIZE,
            compression: Compression::None,
        };
        let options = HeadOptions {
            wal,
            ..HeadOptions::default()
        };
        let logs = Logs::open(dir.path(), &options).unwrap();
        let mut open = logs.lock().unwrap();
        // Leaves three bytes, too few for anything.
        open.wal.log(&[vec![0; PAGE_SIZE - 10]]).unwrap();
        open.wbl_rows.float(SeriesRef(1), 5, 1.0, None);
        assert_eq!(open.write().unwrap(), CommitPoint(1));
        assert_eq!(open.wal.segment(), 0);
        assert_eq!(open.write().unwrap(), CommitPoint(1));
        assert_eq!(open.wal.segment(), 0);
    }
}
