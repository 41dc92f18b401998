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

mod drain;
mod figures;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use model::ErrorKind;
use parking_lot::RwLock;
use runtime::Clock;
use tokio::sync::Notify;
use tsdb::batch::{Appended, Batch, CommitPoint, Reject, WriteError};
use tsdb::db::DirLock;
use tsdb::durable;

pub use figures::BufferFigures;

use crate::append::Appender;
use crate::protocols::status::ReceiverStatus;
use crate::queue::record::encode;
use crate::queue::{Position, Queue, QueueError, QueueOptions, WhenFull};
use crate::storage::tenant_name;

/// The receiver that refusals of drained points are shown under.
pub const BUFFER: &str = "buffer";
/// What a push that is held answers to a commit: it is durable already.
const HELD: CommitPoint = CommitPoint(u64::MAX);
/// Directory of the default tenant's queue. No tenant's name begins with a dot.
const DEFAULT_DIR: &str = ".default";

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

    fn waiting_bytes(&self) -> u64 {
        self.figures().queues.bytes
    }

    fn limit(&self, tenant: &str, reason: Reject) -> String {
        self.storage
            .get()
            .map_or_else(String::new, |storage| storage.limit(tenant, reason))
    }

    fn commit(&self, tenant: &str, at: CommitPoint) -> Result<(), WriteError> {
        match self.storage.get() {
            _ if at == HELD => Ok(()),
            Some(storage) => storage.commit(tenant, at),
            None => Err(starting()),
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
    durable::create_dir_all(dir)?;
    DirLock::acquire(dir).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
