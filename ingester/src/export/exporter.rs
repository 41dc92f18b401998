//! One exporter: its queue, and the task that sends what is in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use model::relabel::RelabelRule;
use parking_lot::Mutex;
use runtime::Clock;
use runtime::metrics::Exposition;
use runtime::process::blocking;
use runtime::tasks::Owned;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::sleep;
use tsdb::batch::Batch;

use super::figures::RemoteStorage;
use super::window::{Naming, Window, Windows};
use super::{Sent, Target};
use crate::config::Export;
use crate::queue::{Queue, QueueStats};

/// Pause after the queue could not be read.
const READ_PAUSE: Duration = Duration::from_secs(5);

/// Reasons of refusals that are told apart.
const REASONS_MAX: usize = 50;
/// What all others are counted under.
const OTHER_REASON: &str = "other";

/// What an exporter is made of.
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) config: Export,
    pub(super) rules: Vec<RelabelRule>,
    pub(super) naming: Naming,
    pub(super) target: Box<dyn Target>,
    pub(super) queue: Arc<Queue>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What an exporter did since the start.
#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    /// By reason.
    refused: Mutex<BTreeMap<String, u64>>,
    filtered: AtomicU64,
    damaged: AtomicU64,
    not_queued: AtomicU64,
    retries: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// An exporter's figures, as people see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Figures {
    pub(super) name: String,
    pub(super) url: String,
    #[serde(flatten)]
    pub(super) queue: QueueStats,
    pub(super) lag_ms: i64,
    pub(super) sent_samples: u64,
    pub(super) refused_samples: u64,
    pub(super) refused_by_reason: BTreeMap<String, u64>,
    pub(super) filtered_samples: u64,
    pub(super) retries: u64,
    pub(super) last_error: Option<String>,
}

/// An exporter.
pub(super) struct Exporter {
    inner: Arc<Inner>,
    task: Mutex<Option<Owned<()>>>,
}

struct Inner {
    settings: Settings,
    counters: Counters,
    remote: RemoteStorage,
    wake: Notify,
}

impl Exporter {
    /// One that sends nothing yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings,
                counters: Counters::default(),
                remote: RemoteStorage::default(),
                wake: Notify::new(),
            }),
            task: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.inner.settings.name
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.inner.settings.queue)
    }

    /// Whether this is what a configuration asks for.
    pub(super) fn is(&self, name: &str, config: &Export) -> bool {
        self.name() == name && self.inner.settings.config == *config
    }

    /// Begins to send, unless it does. Call within an async runtime.
    pub(super) fn start(self: &Arc<Self>) {
        let mut task = self.task.lock();
        if task.is_none() {
            *task = Some(Owned::spawn(Arc::clone(&self.inner).run()));
        }
    }

    /// Ends sending; what is on its way is sent again later.
    pub(super) fn stop(&self) {
        *self.task.lock() = None;
    }

    /// Whether exemplars that come alone are worth a place in the queue.
    pub(super) fn sends_exemplars(&self) -> bool {
        matches!(&self.inner.settings.config, Export::RemoteWrite(config) if config.exemplars)
    }

    /// Queues samples, the newest of which is of the second time. Where that fails they are lost to this
    /// exporter, which is counted.
    pub(super) fn take(&self, (now_ms, newest_ms): (i64, i64), samples: u32, record: &[u8]) {
        let inner = &self.inner;
        match inner.settings.queue.append(now_ms, samples, record) {
            Ok(_) => {
                inner.remote.queued(newest_ms);
                inner.wake.notify_one();
            }
            Err(error) => {
                add(&inner.counters.not_queued, samples as usize);
                inner.counters.note(&error.to_string());
            }
        }
    }

    /// Makes durable what was queued.
    pub(super) fn sync(&self) {
        if let Err(error) = self.inner.settings.queue.sync_all() {
            self.inner.counters.note(&error.to_string());
        }
    }

    pub(super) fn figures(&self) -> Figures {
        let Inner {
            settings, counters, ..
        } = &*self.inner;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut queue = settings.queue.stats();
        queue.dropped_samples += load(&counters.not_queued) + load(&counters.damaged);
        let refused_by_reason = counters.refused.lock().clone();
        let lag = queue
            .oldest_ms
            .map(|oldest| settings.clock.now_ms() - oldest);
        Figures {
            name: settings.name.clone(),
            url: shown_url(settings.config.url()),
            lag_ms: lag.unwrap_or(0).max(0),
            queue,
            sent_samples: load(&counters.sent),
            refused_samples: refused_by_reason.values().sum(),
            refused_by_reason,
            filtered_samples: load(&counters.filtered),
            retries: load(&counters.retries),
            last_error: counters.last_error.lock().clone(),
        }
    }

    pub(super) fn collect(&self, out: &mut Exposition) {
        let figures = self.figures();
        if let Export::RemoteWrite(config) = &self.inner.settings.config {
            let shards_max = config.send.shards_max;
            self.inner.remote.collect(&figures, shards_max, out);
        }
        let labels = [("exporter", &*figures.name), ("url", &*figures.url)];
        for (name, help, value) in [
            (
                "promontory_export_queue_samples",
                "Samples that wait for an exporter.",
                figures.queue.samples as f64,
            ),
            (
                "promontory_export_queue_bytes",
                "Bytes on disk that wait for an exporter.",
                figures.queue.bytes as f64,
            ),
            (
                "promontory_export_lag_seconds",
                "How long the oldest samples wait for an exporter.",
                figures.lag_ms as f64 / 1000.0,
            ),
        ] {
            out.gauge(name, help, &labels, value);
        }
        for (name, help, value) in [
            (
                "promontory_export_samples_total",
                "Samples that another system took.",
                figures.sent_samples,
            ),
            (
                "promontory_export_dropped_samples_total",
                "Samples that an exporter lost: its queue was full or damaged.",
                figures.queue.dropped_samples,
            ),
            (
                "promontory_export_filtered_samples_total",
                "Samples that rules of an exporter dropped, that were too old for it, or that it cannot say.",
                figures.filtered_samples,
            ),
            (
                "promontory_export_retries_total",
                "Requests of an exporter that were sent again.",
                figures.retries,
            ),
        ] {
            out.counter(name, help, &labels, value);
        }
        for (reason, samples) in &figures.refused_by_reason {
            let [exporter, url] = labels;
            out.counter(
                "promontory_export_refused_samples_total",
                "Samples that another system refused for good.",
                &[exporter, url, ("reason", reason)],
                *samples,
            );
        }
    }
}

fn add(counter: &AtomicU64, samples: usize) {
    counter.fetch_add(samples as u64, Ordering::Relaxed);
}

impl Counters {
    /// Counts what became of samples.
    fn count(&self, sent: &Sent) {
        add(&self.sent, sent.taken);
        add(&self.filtered, sent.unsayable);
        let mut refused = self.refused.lock();
        for refusal in &sent.refused {
            let is_known = refused.contains_key(&refusal.reason);
            let reason = match is_known || refused.len() < REASONS_MAX {
                true => &*refusal.reason,
                false => OTHER_REASON,
            };
            *refused.entry(reason.to_owned()).or_default() += refusal.samples as u64;
            self.note(&refusal.said);
        }
    }

    fn note(&self, error: &str) {
        let mut last = self.last_error.lock();
        if last.as_deref() != Some(error) {
            *last = Some(error.to_owned());
        }
    }
}

impl Inner {
    /// Sends what is in the queue for as long as nobody cancels it.
    async fn run(self: Arc<Self>) {
        loop {
            let waiting = self.wake.notified();
            let reader = Arc::clone(&self);
            match blocking(move || reader.next_window()).await {
                Ok(Some(window)) => self.deliver(window).await,
                Ok(None) => waiting.await,
                Err(error) => {
                    tracing::error!(exporter = self.settings.name, %error, "cannot read the queue");
                    self.counters.note(&error.to_string());
                    sleep(READ_PAUSE).await;
                }
            }
        }
    }

    fn next_window(&self) -> std::io::Result<Option<Window>> {
        let windows = Windows {
            naming: &self.settings.naming,
            rules: &self.settings.rules,
            send: self.settings.config.send(),
        };
        windows.next(&self.settings.queue, self.settings.clock.now_ms())
    }

    /// Sends a window until all of it was taken or refused for good, and forgets it.
    async fn deliver(self: &Arc<Self>, window: Window) {
        add(&self.counters.filtered, window.filtered);
        add(&self.counters.damaged, window.damaged);
        self.remote.sharded(window.shards.len());
        let shards = window.shards.iter().map(async |requests| {
            for batch in requests {
                self.send(batch).await;
            }
        });
        join_all(shards).await;
        self.remote.done(window.newest_ms);
        let owner = Arc::clone(self);
        blocking(move || owner.settings.queue.consume(window.end)).await;
        self.settings.target.rest().await;
    }

    async fn send(&self, batch: &Batch) {
        let config = self.settings.config.send();
        let exporter = &self.settings.name;
        let mut pause_ms = config.backoff_min_ms;
        let mut rest: Option<Batch> = None;
        loop {
            let asked = rest.as_ref().unwrap_or(batch);
            let begin = Instant::now();
            let sent = self.settings.target.send(asked).await;
            self.remote.sent(asked, &sent, begin.elapsed());
            self.counters.count(&sent);
            for refusal in &sent.refused {
                let (samples, said) = (refusal.samples, &refusal.said);
                tracing::error!(
                    exporter,
                    samples,
                    said,
                    "samples were refused and are not sent again"
                );
            }
            let Some(left) = sent.left else { return };
            if left.batch.is_some() {
                rest = left.batch;
            }
            if sent.taken > 0 {
                pause_ms = config.backoff_min_ms;
            }
            let retries = self.counters.retries.fetch_add(1, Ordering::Relaxed);
            if retries == 0 || pause_ms >= config.backoff_max_ms {
                let reason = &left.reason;
                tracing::warn!(
                    exporter,
                    reason,
                    "samples are not taken; sending them again"
                );
            }
            self.counters.note(&left.reason);
            sleep(Duration::from_millis(left.after_ms.unwrap_or(pause_ms))).await;
            pause_ms = (pause_ms * 2).min(config.backoff_max_ms);
        }
    }
}

/// An address without the password that it may have.
fn shown_url(url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else {
        return String::new();
    };
    if parsed.password().is_some() {
        // Addresses with a user have a host, so that this works.
        let _ = parsed.set_password(Some("xxxxx"));
    }
    parsed.to_string()
}
