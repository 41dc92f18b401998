//! Pushes are held on disk while the TSDB takes none: while it reads its logs at the start, and while
//! its disk is too full.
//!
//! [`Buffer`] stands between the receivers of foreign protocols and the storage. As long as the
//! storage takes what is pushed, it passes it on and does nothing else. When the storage cannot, a
//! push goes to a queue of its tenant and is durable there before it is acknowledged; so do all later
//! ones, until the queue was drained in order. Nothing overtakes what waits.
//!
//! A record leaves its queue after the storage made it durable. A kill in between has it come again,
//! which the head takes for the sample that it has. What the head refuses then was acknowledged
//! already; it is counted and shown as every refusal.
//!
//! Remote write does not come by here: its senders hold what was not taken themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::{ErrorKind, Labels};
use parking_lot::RwLock;
use runtime::Clock;
use runtime::metrics::{Collect, Exposition};
use runtime::process::{self, Shutdown};
use serde::Serialize;
use tokio::sync::Notify;
use tsdb::batch::{Appended, Batch, CommitPoint, WriteError};
use tsdb::db::DirLock;

use crate::append::Appender;
use crate::protocols::status::ReceiverStatus;
use crate::queue::record::{RecordReader, encode};
use crate::queue::{Position, Queue, QueueError, QueueOptions, QueueStats, WhenFull};
use crate::receive::{Outcome, Reason};
use crate::storage::tenant_name;

/// The receiver that refusals of drained points are shown under.
pub const BUFFER: &str = "buffer";
/// What a push that is held answers to a commit: it is durable already.
const HELD: CommitPoint = CommitPoint(u64::MAX);
/// Directory of the default tenant's queue. No tenant's name begins with a dot.
const DEFAULT_DIR: &str = ".default";
/// Records that are drained before they are made durable together.
const RECORDS_PER_COMMIT: usize = 64;
/// Pause between two attempts to drain.
const DRAIN_EVERY: Duration = Duration::from_millis(500);

const SEGMENT_BYTES: u64 = 8 << 20;
/// Segments of the default tenant whose place on the disk is kept.
const SPARES: usize = 4;
/// The TSDB writes nothing below 256 MiB of free space. Half of that is left for it to cut and remove
/// blocks, which is how it may come to write again.
const FREE_BYTES_MIN: u64 = 128 << 20;

/// Where pushes are held, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferOptions {
    /// Directory of the queues.
    pub dir: PathBuf,
    /// Bytes of all queues together; 0 holds nothing.
    pub bytes_max: u64,
    /// Only the default tenant may be pushed to.
    pub single_tenant: bool,
    /// Whether the directory is locked.
    pub lock: bool,
}

/// Figures of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BufferFigures {
    /// Tenants whose pushes are held.
    pub holding_tenants: usize,
    /// Bytes that the queues may have.
    pub bytes_max: u64,
    /// What they have.
    #[serde(flatten)]
    pub queues: QueueStats,
    /// Samples that were held since the start.
    pub held_samples: u64,
    /// Samples that were handed on since the start.
    pub drained_samples: u64,
    /// Pushes that found the buffer full since the start.
    pub full: u64,
}

/// The queue of one tenant.
#[derive(Debug)]
struct Line {
    tenant: String,
    queue: Queue,
    /// Pushes go to the queue. Held for reading while one does.
    is_open: RwLock<bool>,
}

/// Holds pushes while the storage takes none.
pub struct Buffer {
    options: BufferOptions,
    clock: Arc<dyn Clock>,
    status: ReceiverStatus,
    storage: OnceLock<Arc<dyn Appender>>,
    lines: RwLock<BTreeMap<String, Arc<Line>>>,
    /// Lines that are open.
    open: AtomicUsize,
    wake: Notify,
    held: AtomicU64,
    drained: AtomicU64,
    full: AtomicU64,
    _lock: Option<DirLock>,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("options", &self.options)
            .field("figures", &self.figures())
            .finish_non_exhaustive()
    }
}

impl Buffer {
    /// Opens the queues, whatever a run before left in them. Nothing is handed on before
    /// [`Buffer::attach`].
    ///
    /// # Errors
    /// When the directory cannot be had, or another process has it.
    pub(crate) fn open(
        options: BufferOptions,
        clock: Arc<dyn Clock>,
        status: ReceiverStatus,
    ) -> io::Result<Self> {
        let is_on = options.bytes_max > 0;
        let lock = match is_on && options.lock {
            true => Some(lock(&options.dir)?),
            false => None,
        };
        let buffer = Self {
            options,
            clock,
            status,
            storage: OnceLock::new(),
            lines: RwLock::default(),
            open: AtomicUsize::new(0),
            wake: Notify::new(),
            held: AtomicU64::new(0),
            drained: AtomicU64::new(0),
            full: AtomicU64::new(0),
            _lock: lock,
        };
        if is_on {
            buffer.line("")?;
            for entry in fs::read_dir(&buffer.options.dir)? {
                let name = entry?.file_name();
                let name = name.to_str().unwrap_or_default();
                if buffer.options.dir.join(name).is_dir() && name != DEFAULT_DIR {
                    buffer.line(name)?;
                }
            }
        }
        Ok(buffer)
    }

    /// Hands everything on to `storage` from now on. A second call changes nothing.
    pub fn attach(&self, storage: Arc<dyn Appender>) {
        // The first one stays.
        let _ = self.storage.set(storage);
        self.wake.notify_one();
    }

    /// The queue of a tenant, which is made when there is none.
    fn line(&self, tenant: &str) -> io::Result<Arc<Line>> {
        if let Some(line) = self.lines.read().get(tenant) {
            return Ok(Arc::clone(line));
        }
        let mut lines = self.lines.write();
        if let Some(line) = lines.get(tenant) {
            return Ok(Arc::clone(line));
        }
        let (dir, spares) = match tenant {
            "" => (DEFAULT_DIR, SPARES),
            name => (name, 0),
        };
        let bytes_max = self.options.bytes_max;
        let options = QueueOptions {
            segment_bytes: SEGMENT_BYTES.min(bytes_max),
            bytes_max,
            when_full: WhenFull::Refuse,
            free_bytes_min: FREE_BYTES_MIN,
            spares: spares.min(usize::try_from(bytes_max / SEGMENT_BYTES).unwrap_or(spares)),
        };
        let queue = Queue::open(&self.options.dir.join(dir), options)?;
        let is_open = !queue.is_empty();
        if is_open {
            let samples = queue.stats().samples;
            tracing::info!(tenant, samples, "pushes were held when the last run ended");
            self.open.fetch_add(1, Ordering::AcqRel);
        }
        let line = Arc::new(Line {
            tenant: tenant.to_owned(),
            queue,
            is_open: RwLock::new(is_open),
        });
        lines.insert(tenant.to_owned(), Arc::clone(&line));
        Ok(line)
    }

    /// Appends to the queue of the tenant while that is open, otherwise to the storage; opens the
    /// queue when the storage does not take it for now.
    fn append_in_turn(&self, tenant: &str, batch: &Batch) -> Result<Appended, WriteError> {
        self.check_tenant(tenant)?;
        let line = self.line(tenant).map_err(|error| unavailable(&error))?;
        loop {
            let is_open = line.is_open.read();
            if *is_open {
                return self.hold(&line, batch);
            }
            drop(is_open);
            let refused = match self.storage.get() {
                None => starting(),
                Some(storage) => match storage.append(tenant, batch) {
                    Err(error) if error.kind() == ErrorKind::Unavailable => error,
                    result => return result,
                },
            };
            let mut is_open = line.is_open.write();
            if !*is_open {
                *is_open = true;
                self.open.fetch_add(1, Ordering::AcqRel);
                tracing::warn!(tenant, reason = %refused, "pushes are held on disk");
            }
        }
    }

    /// What the storage would refuse later must not be acknowledged.
    fn check_tenant(&self, tenant: &str) -> Result<(), WriteError> {
        if tenant.is_empty() {
            return Ok(());
        }
        tenant_name::check(tenant)?;
        match (self.options.single_tenant, self.storage.get()) {
            (true, None) => Err(WriteError::Refused {
                kind: ErrorKind::Invalid,
                reason: format!("only one tenant is kept here, not {tenant:?}"),
            }),
            _ => Ok(()),
        }
    }

    fn hold(&self, line: &Line, batch: &Batch) -> Result<Appended, WriteError> {
        let bytes: u64 = (self.lines.read().values())
            .map(|line| line.queue.stats().bytes)
            .sum();
        if bytes >= self.options.bytes_max {
            return Err(self.refuse_full(&QueueError::Full {
                bytes,
                max: self.options.bytes_max,
            }));
        }
        let now_ms = self.clock.now_ms();
        let mut end = Position::default();
        for (samples, record) in encode(&line.tenant, batch) {
            let appended = line.queue.append(now_ms, samples, &record);
            end = appended.map_err(|error| self.refuse_full(&error))?;
        }
        line.queue.sync(end).map_err(|error| unavailable(&error))?;
        let count =
            |of: fn(&tsdb::batch::BatchSeries<'_>) -> usize| batch.iter().map(|s| of(&s)).sum();
        let appended = Appended {
            series: vec![None; batch.len()],
            floats: count(|series| series.floats.len()),
            histograms: count(|series| series.histograms.len()),
            exemplars: count(|series| series.exemplars.len()),
            rejected: Vec::new(),
            commit: HELD,
        };
        self.held
            .fetch_add(batch.sample_count() as u64, Ordering::Relaxed);
        self.wake.notify_one();
        Ok(appended)
    }

    fn refuse_full(&self, error: &QueueError) -> WriteError {
        self.full.fetch_add(1, Ordering::Relaxed);
        WriteError::Refused {
            kind: ErrorKind::Unavailable,
            reason: format!("the TSDB takes nothing now, and {error}"),
        }
    }

    /// Hands on what is held, whenever there is something, until told to stop.
    pub async fn run(self: Arc<Self>, mut shutdown: Shutdown) {
        loop {
            let waking = async {
                self.wake.notified().await;
                // Not at once: what makes the storage refuse lasts for a while.
                tokio::time::sleep(DRAIN_EVERY).await;
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = waking => {}
            }
            let buffer = Arc::clone(&self);
            process::blocking(move || buffer.drain()).await;
            if self.open.load(Ordering::Acquire) > 0 {
                self.wake.notify_one();
            }
        }
    }

    /// Hands on what is held, as far as the storage takes it.
    pub fn drain(&self) {
        let Some(storage) = self.storage.get() else {
            return;
        };
        let lines: Vec<_> = self.lines.read().values().map(Arc::clone).collect();
        for line in lines {
            if !*line.is_open.read() {
                continue;
            }
            while self.drain_some(&line, &**storage) {}
        }
    }

    /// Hands on the first records of a queue. False when it is done, or must be tried again later.
    fn drain_some(&self, line: &Line, storage: &dyn Appender) -> bool {
        let mut reader = RecordReader::default();
        let mut at = line.queue.front();
        let (mut samples, mut commit, mut is_blocked) = (0, None, false);
        for _ in 0..RECORDS_PER_COMMIT {
            let entry = match line.queue.read(at) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(tenant = line.tenant, %error, "cannot read what is held");
                    is_blocked = true;
                    break;
                }
            };
            match self.hand_on(line, &mut reader, &entry.payload, storage) {
                Ok(point) => commit = point.or(commit),
                Err(_) => {
                    is_blocked = true;
                    break;
                }
            }
            samples += u64::from(entry.samples);
            at = entry.end;
        }
        if let Some(commit) = commit
            && storage.commit(&line.tenant, commit).is_err()
        {
            // They come again, and the head knows them.
            return false;
        }
        if at == line.queue.front() {
            return !is_blocked && !self.close(line);
        }
        self.drained.fetch_add(samples, Ordering::Relaxed);
        line.queue.consume(at);
        !is_blocked
    }

    /// Appends a record to the storage; an error when that takes nothing now.
    fn hand_on(
        &self,
        line: &Line,
        reader: &mut RecordReader,
        payload: &[u8],
        storage: &dyn Appender,
    ) -> Result<Option<CommitPoint>, WriteError> {
        let mut outcome = Outcome::default();
        let batch = match reader.read(payload) {
            Ok((_, batch)) => batch,
            Err(error) => {
                tracing::error!(tenant = line.tenant, %error, "cannot use what is held");
                return Ok(None);
            }
        };
        let commit = match storage.append(&line.tenant, batch) {
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(error) => {
                tracing::error!(tenant = line.tenant, %error, "what was held is refused");
                return Ok(None);
            }
            Ok(appended) => {
                outcome.floats = appended.floats;
                outcome.histograms = appended.histograms;
                for rejection in &appended.rejected {
                    outcome.refusals.add(Reason::Head(rejection.reason), 1, || {
                        let labels = Labels::from_encoded(batch.get(rejection.series).labels);
                        format!("{labels} at {}", rejection.t)
                    });
                }
                appended.commit
            }
        };
        self.status
            .wrote(self.clock.now_ms(), &line.tenant, &outcome);
        Ok(Some(commit))
    }

    /// Has pushes go to the storage again, unless one came meanwhile. True when they do.
    fn close(&self, line: &Line) -> bool {
        let mut is_open = line.is_open.write();
        if !line.queue.is_empty() {
            return false;
        }
        if *is_open {
            *is_open = false;
            self.open.fetch_sub(1, Ordering::AcqRel);
            tracing::info!(
                tenant = line.tenant,
                "what was held is stored; pushes go to the TSDB"
            );
        }
        true
    }

    /// Figures as of now.
    pub fn figures(&self) -> BufferFigures {
        let mut figures = BufferFigures {
            holding_tenants: self.open.load(Ordering::Relaxed),
            bytes_max: self.options.bytes_max,
            held_samples: self.held.load(Ordering::Relaxed),
            drained_samples: self.drained.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
            ..BufferFigures::default()
        };
        for line in self.lines.read().values() {
            let stats = line.queue.stats();
            let all = &mut figures.queues;
            all.bytes += stats.bytes;
            all.records += stats.records;
            all.samples += stats.samples;
            all.damaged_segments += stats.damaged_segments;
            all.oldest_ms = match (all.oldest_ms, stats.oldest_ms) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        figures
    }
}

impl Appender for Buffer {
    fn append(&self, tenant: &str, batch: &Batch) -> Result<Appended, WriteError> {
        if self.options.bytes_max == 0 {
            let storage = self.storage.get().ok_or_else(starting)?;
            return storage.append(tenant, batch);
        }
        if self.open.load(Ordering::Acquire) == 0
            && let Some(storage) = self.storage.get()
        {
            match storage.append(tenant, batch) {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                result => return result,
            }
        }
        self.append_in_turn(tenant, batch)
    }

    fn commit(&self, tenant: &str, at: CommitPoint) -> Result<(), WriteError> {
        match self.storage.get() {
            _ if at == HELD => Ok(()),
            Some(storage) => storage.commit(tenant, at),
            None => Err(starting()),
        }
    }
}

impl Collect for Buffer {
    fn collect(&self, out: &mut Exposition) {
        let figures = self.figures();
        let oldest = figures.queues.oldest_ms;
        let lag_ms = oldest.map_or(0, |oldest| (self.clock.now_ms() - oldest).max(0));
        for (name, help, value) in [
            (
                "promontory_buffer_bytes",
                "Bytes of pushes that are held on disk.",
                figures.queues.bytes as f64,
            ),
            (
                "promontory_buffer_samples",
                "Samples that are held on disk.",
                figures.queues.samples as f64,
            ),
            (
                "promontory_buffer_lag_seconds",
                "How long the oldest push that is held waits.",
                lag_ms as f64 / 1000.0,
            ),
            (
                "promontory_buffer_holding_tenants",
                "Tenants whose pushes are held.",
                figures.holding_tenants as f64,
            ),
        ] {
            out.gauge(name, help, &[], value);
        }
        for (name, help, value) in [
            (
                "promontory_buffer_held_samples_total",
                "Samples that were held on disk.",
                figures.held_samples,
            ),
            (
                "promontory_buffer_drained_samples_total",
                "Samples that were held and then handed on.",
                figures.drained_samples,
            ),
            (
                "promontory_buffer_full_total",
                "Pushes that found the buffer full.",
                figures.full,
            ),
        ] {
            out.counter(name, help, &[], value);
        }
    }
}

fn starting() -> WriteError {
    WriteError::Refused {
        kind: ErrorKind::Unavailable,
        reason: "the TSDB is starting; try again".to_owned(),
    }
}

fn unavailable(error: &io::Error) -> WriteError {
    WriteError::Refused {
        kind: ErrorKind::Unavailable,
        reason: format!("the push cannot be held on disk: {error}"),
    }
}

/// Locks the directory, which is made when it is not there.
fn lock(dir: &Path) -> io::Result<DirLock> {
    fs::create_dir_all(dir)?;
    DirLock::acquire(dir).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
