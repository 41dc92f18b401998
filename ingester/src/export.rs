//! Samples on their way to other systems, each behind a queue on disk.
//!
//! [`Exporting`] stands before the storage: what that took goes to the queue of every exporter too.
//! An [`Exporter`] reads its queue from the front, a window at a time, and hands it to its
//! [`Target`]. A window leaves the queue when the target took it or said that it never will; so
//! samples may arrive twice after a crash, and never out of order.
//!
//! A queue that is full gives up what is oldest, and never holds up a write: what is acknowledged is
//! in the TSDB.

mod elasticsearch;
mod exporter;
mod figures;
mod remote_write;
#[cfg(test)]
mod tests;
mod window;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use futures::future::{BoxFuture, FutureExt as _};
use model::Labels;
use model::labels::NameScheme;
use parking_lot::{Mutex, RwLock};
use runtime::Clock;
use runtime::metrics::{Collect, Exposition};
use tsdb::batch::{Appended, Batch, CommitPoint, Reject, WriteError};

use crate::append::Appender;
use crate::config::Export;
use crate::pipeline::push_series;
use crate::queue::record::encode;
use crate::queue::{QueueOptions, WhenFull};
use crate::scrape::client::{Clients, Error as ClientError};
use elasticsearch::ElasticsearchTarget;
use exporter::{Exporter, Settings};
use remote_write::RemoteWriteTarget;
use window::Naming;

/// Bytes that wait for one exporter, at most.
const QUEUE_BYTES_MAX: u64 = 1 << 30;
const SEGMENT_BYTES: u64 = 16 << 20;
/// The TSDB's own floor: what waits for others must not keep it from writing.
const FREE_BYTES_MIN: u64 = 512 << 20;

/// Samples that a target will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Why, in a word of which a target has few.
    pub(crate) reason: String,
    /// How many.
    pub(crate) samples: usize,
    /// What the other side said of one of them.
    pub(crate) said: String,
}

/// Samples that a target did not take, and may take later.
#[derive(Debug, Clone, Default)]
pub(crate) struct Left {
    /// Those that are to be sent again; without it all that were sent.
    pub(crate) batch: Option<Batch>,
    /// How long to wait, in milliseconds, where the other side said so.
    pub(crate) after_ms: Option<u64>,
    /// What the other side said.
    pub(crate) reason: String,
}

/// What became of a batch that was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent {
    /// Samples that were taken.
    pub(crate) taken: usize,
    /// Samples that the target has no way to say.
    pub(crate) unsayable: usize,
    /// Samples that never will be taken.
    pub(crate) refused: Vec<Refusal>,
    /// Samples that may be taken later.
    pub(crate) left: Option<Left>,
}

impl Sent {
    /// Nothing of the batch was taken, for now.
    pub(crate) fn nothing(reason: impl Into<String>, after_ms: Option<u64>) -> Self {
        Self {
            left: Some(Left {
                batch: None,
                after_ms,
                reason: reason.into(),
            }),
            ..Self::default()
        }
    }

    /// Adds samples that never will be taken.
    pub(crate) fn refuse(&mut self, reason: &str, samples: usize, said: &str) {
        match self.refused.iter_mut().find(|r| r.reason == reason) {
            Some(refusal) => refusal.samples += samples,
            None => self.refused.push(Refusal {
                reason: reason.to_owned(),
                samples,
                said: said.to_owned(),
            }),
        }
    }
}

/// Another system. To take a batch twice must do no harm.
pub(crate) trait Target: Send + Sync {
    /// Sends a batch, and returns when the other side has it, or said what it has not.
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Sent>;

    /// What is to be done while nothing is under way and nothing waits to be sent again.
    fn rest(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// Why an exporter cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What it makes requests with.
    #[error("exporter {name}: {source}")]
    Client { name: String, source: ClientError },
    /// Its queue.
    #[error("queue of exporter {name}: {source}")]
    Queue {
        name: String,
        source: std::io::Error,
    },
}

/// All exporters.
pub(crate) struct Exporters {
    dir: PathBuf,
    naming: Naming,
    clock: Arc<dyn Clock>,
    clients: Clients,
    /// Writes are acknowledged when the disk has them, and not before the disk has these queues.
    durable: bool,
    list: RwLock<Vec<Arc<Exporter>>>,
    is_started: Mutex<bool>,
    /// Samples that were to be sent to all.
    samples_in: AtomicU64,
    /// The time of the newest of them, in milliseconds.
    newest_ms: AtomicI64,
}

impl std::fmt::Debug for Exporters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dir = &self.dir;
        f.debug_struct("Exporters")
            .field("dir", dir)
            .finish_non_exhaustive()
    }
}

impl Exporters {
    /// None yet. Queues are in `dir`; series of `tenant_label`'s tenants are told apart by it, but
    /// for those of the default tenant.
    pub(crate) fn new(
        dir: PathBuf,
        external: Labels,
        tenant_label: String,
        durable: bool,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            dir,
            naming: Naming {
                external,
                tenant_label,
            },
            clock,
            clients: Clients::default(),
            durable,
            list: RwLock::default(),
            is_started: Mutex::default(),
            samples_in: AtomicU64::new(0),
            newest_ms: AtomicI64::new(0),
        }
    }

    /// Has exactly these exporters from now on. One that was there and is as before goes on.
    ///
    /// # Errors
    /// [`Error`]; nothing is changed then.
    pub(crate) fn set(&self, configs: &[Export]) -> Result<(), Error> {
        // Held so that a reload does not meet the start.
        let is_started = self.is_started.lock();
        let before = self.list.read().clone();
        let mut list = Vec::new();
        let mut names = HashSet::new();
        for config in configs {
            let name = config.name().map(str::to_owned);
            let mut name = name.unwrap_or_else(|| default_name(config.url()));
            while !names.insert(name.clone()) {
                name.push('\'');
            }
            let known = before.iter().find(|exporter| exporter.is(&name, config));
            list.push(match known {
                Some(exporter) => Arc::clone(exporter),
                None => {
                    let queue = before.iter().find(|exporter| exporter.name() == name);
                    let queue = queue.map(|exporter| exporter.queue());
                    Arc::new(self.exporter(name, config, queue)?)
                }
            });
        }
        *self.list.write() = list.clone();
        for exporter in &before {
            if !list.iter().any(|kept| Arc::ptr_eq(kept, exporter)) {
                exporter.stop();
            }
        }
        if *is_started {
            list.iter().for_each(|exporter| exporter.start());
        }
        Ok(())
    }

    fn exporter(
        &self,
        name: String,
        config: &Export,
        queue: Option<Arc<crate::queue::Queue>>,
    ) -> Result<Exporter, Error> {
        let target = self.target(config).map_err(|source| Error::Client {
            name: name.clone(),
            source,
        })?;
        let compile = |rule: &model::relabel::RelabelConfig| {
            rule.compile(NameScheme::Utf8)
                .expect("rules were compiled when they were read")
        };
        let queue = match queue {
            Some(queue) => queue,
            None => {
                let options = QueueOptions {
                    segment_bytes: SEGMENT_BYTES,
                    bytes_max: QUEUE_BYTES_MAX,
                    when_full: WhenFull::DropOldest,
                    free_bytes_min: FREE_BYTES_MIN,
                    spares: 0,
                };
                let queue = crate::queue::Queue::open(&self.dir.join(dir_name(&name)), options);
                Arc::new(queue.map_err(|source| Error::Queue {
                    name: name.clone(),
                    source,
                })?)
            }
        };
        Ok(Exporter::new(Settings {
            name,
            config: config.clone(),
            rules: config.relabel().iter().map(compile).collect(),
            naming: self.naming.clone(),
            target,
            queue,
            clock: Arc::clone(&self.clock),
        }))
    }

    fn target(&self, config: &Export) -> Result<Box<dyn Target>, ClientError> {
        Ok(match config {
            Export::RemoteWrite(config) => Box::new(RemoteWriteTarget::new(config, &self.clients)?),
            Export::Elasticsearch(config) => {
                let clock = Arc::clone(&self.clock);
                Box::new(ElasticsearchTarget::new(config, &self.clients, clock)?)
            }
        })
    }

    /// Begins to send. Call within an async runtime.
    pub(crate) fn start(&self) {
        let mut is_started = self.is_started.lock();
        *is_started = true;
        self.list
            .read()
            .iter()
            .for_each(|exporter| exporter.start());
    }

    /// Ends all sending; what waits stays in the queues.
    pub(crate) fn stop(&self) {
        let mut is_started = self.is_started.lock();
        *is_started = false;
        self.list.read().iter().for_each(|exporter| exporter.stop());
    }

    fn is_empty(&self) -> bool {
        self.list.read().is_empty()
    }

    /// Queues what the storage took of a batch.
    fn take(&self, tenant: &str, batch: &Batch, appended: &Appended) {
        let accepted = accepted(batch, appended);
        let batch = accepted.as_ref().unwrap_or(batch);
        let now_ms = self.clock.now_ms();
        let newest_ms = figures::newest_ms(batch).unwrap_or(0);
        self.newest_ms.fetch_max(newest_ms, Ordering::Relaxed);
        (self.samples_in).fetch_add(batch.sample_count() as u64, Ordering::Relaxed);
        let has_exemplars = batch.has_exemplars();
        for (samples, record) in encode(tenant, batch) {
            for exporter in &*self.list.read() {
                if samples > 0 || (has_exemplars && exporter.sends_exemplars()) {
                    exporter.take((now_ms, newest_ms), samples, &record);
                }
            }
        }
    }

    fn sync(&self) {
        if self.durable {
            self.list.read().iter().for_each(|exporter| exporter.sync());
        }
    }

    /// What `/api/v1/status/ingest` shows of them.
    pub(crate) fn shown(&self) -> serde_json::Value {
        let figures = self
            .list
            .read()
            .iter()
            .map(|exporter| exporter.figures())
            .collect::<Vec<_>>();
        serde_json::json!(figures)
    }
}

impl Collect for Exporters {
    fn collect(&self, out: &mut Exposition) {
        if !self.is_empty() {
            out.counter(
                "prometheus_remote_storage_samples_in_total",
                "Samples that were to be sent to other systems, counted once for all of them.",
                &[],
                self.samples_in.load(Ordering::Relaxed),
            );
            out.gauge(
                "prometheus_remote_storage_highest_timestamp_in_seconds",
                "Time of the newest sample that was to be sent to any other system.",
                &[],
                self.newest_ms.load(Ordering::Relaxed) as f64 / 1000.0,
            );
        }
        for exporter in &*self.list.read() {
            exporter.collect(out);
        }
    }
}

/// A name for what was given none: always the same for the same address.
fn default_name(url: &str) -> String {
    format!("{:016x}", twox_hash::XxHash64::oneshot(0, url.as_bytes()))
}

/// A directory's name for an exporter's.
fn dir_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= 100 && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("_{}", default_name(name))
}

/// A batch without what was rejected of it; nothing when that is all of it.
fn accepted(batch: &Batch, appended: &Appended) -> Option<Batch> {
    if appended.rejected.is_empty() {
        return None;
    }
    let mut samples = HashSet::new();
    let mut exemplars = HashSet::new();
    for rejection in &appended.rejected {
        let of = match rejection.reason.is_of_exemplar() {
            true => &mut exemplars,
            false => &mut samples,
        };
        of.insert((rejection.series, rejection.t));
    }
    let mut accepted = Batch::new();
    for (i, series) in batch.iter().enumerate() {
        let mut floats = series.floats.to_vec();
        floats.retain(|float| !samples.contains(&(i, float.t)));
        let mut histograms = series.histograms.to_vec();
        histograms.retain(|histogram| !samples.contains(&(i, histogram.t())));
        let mut with = series.exemplars.to_vec();
        with.retain(|exemplar| !exemplars.contains(&(i, exemplar.t)));
        let mut kept = series;
        (kept.floats, kept.histograms, kept.exemplars) = (&floats, &histograms, &with);
        push_series(&mut accepted, Labels::iter_encoded(series.labels), &kept);
    }
    Some(accepted)
}

/// The storage, and behind it the exporters.
pub(crate) struct Exporting {
    storage: Arc<dyn Appender>,
    exporters: Arc<Exporters>,
}

impl Exporting {
    /// One that writes to `storage` and has what that took exported.
    pub(crate) fn new(storage: Arc<dyn Appender>, exporters: Arc<Exporters>) -> Self {
        Self { storage, exporters }
    }
}

impl Appender for Exporting {
    fn append(&self, tenant: &str, batch: &Batch) -> Result<Appended, WriteError> {
        let appended = self.storage.append(tenant, batch)?;
        if !self.exporters.is_empty() {
            self.exporters.take(tenant, batch, &appended);
        }
        Ok(appended)
    }

    fn needs_labels(&self) -> bool {
        !self.exporters.is_empty()
    }

    fn limit(&self, tenant: &str, reason: Reject) -> String {
        self.storage.limit(tenant, reason)
    }

    fn commit(&self, tenant: &str, at: CommitPoint) -> Result<(), WriteError> {
        self.storage.commit(tenant, at)?;
        self.exporters.sync();
        Ok(())
    }
}
