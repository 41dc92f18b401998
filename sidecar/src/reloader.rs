//! Has Prometheus read its configuration again when the files of it change.
//!
//! Files are looked at by their content: a mounted directory changes by a link, and a file may be
//! written anew with what it held.

mod files;
mod trigger;

use std::sync::Arc;
use std::time::Duration;

use model::figure::{Figure, Value};
use parking_lot::Mutex;
use runtime::metrics::{Collect, Exposition, Registry};
use runtime::process::{self, Shutdown};
use runtime::{Clock, Error};
use tokio::time::sleep;

use crate::client::Client;
use crate::flags::ReloaderConfig;
use files::Files;
use trigger::Trigger;

/// Longest time between two looks. Thanos is told of changes by the system and reads all again after
/// the watch interval only; reading some files is cheap enough to need no such news.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(5);

/// Watches the files of Prometheus' configuration.
pub(crate) struct Reloader {
    files: Arc<Files>,
    trigger: Trigger,
    /// Time between two looks; none when the files are read at the start only.
    interval: Option<Duration>,
    retry_interval: Duration,
    clock: Arc<dyn Clock>,
    counts: Mutex<Counts>,
}

/// What became of it so far.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    applied: u64,
    apply_failures: u64,
    reloads: u64,
    reload_failures: u64,
    succeeded_last: bool,
    succeeded_ms: i64,
}

impl Reloader {
    /// One for these files and the Prometheus that `client` speaks to, shown by `registry`. Writes the
    /// configuration, which Prometheus may be waiting for to start.
    ///
    /// # Errors
    /// [`Error::Start`] when a file cannot be read, expanded or written.
    pub(crate) async fn start(
        config: &ReloaderConfig,
        client: Client,
        clock: &Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Arc<Self>, Error> {
        let interval = config.watch_interval;
        let reloader = Arc::new(Self {
            files: Arc::new(Files::new(config)),
            trigger: Trigger::new(&config.method, client),
            interval: (!interval.is_zero()).then(|| interval.min(LOOK_INTERVAL_MAX)),
            retry_interval: config.retry_interval,
            clock: Arc::clone(clock),
            counts: Mutex::default(),
        });
        registry.register(Arc::clone(&reloader) as _);
        let applied = reloader.apply().await;
        applied.map_err(|reason| Error::Start {
            action: "apply the configuration that --reloader.config-file names".to_owned(),
            source: reason.into(),
        })?;
        Ok(reloader)
    }

    async fn apply(&self) -> Result<u64, String> {
        let files = Arc::clone(&self.files);
        process::blocking(move || files.apply()).await
    }

    /// Looks at the files until `shutdown`, or until Prometheus took what is there at the start if
    /// they are not to be watched.
    pub(crate) async fn run(&self, mut shutdown: Shutdown) {
        let mut in_force = None;
        loop {
            let took = tokio::select! {
                () = shutdown.requested() => return,
                took = self.look(&mut in_force) => took,
            };
            let pause = match (took, self.interval) {
                (true, None) => return,
                (true, Some(interval)) => interval,
                (false, _) => self.retry_interval,
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Looks once; whether what is there is in force, whose fingerprint is then `in_force`.
    async fn look(&self, in_force: &mut Option<u64>) -> bool {
        let found = match self.apply().await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(error, "the configuration of Prometheus cannot be applied");
                let mut counts = self.counts.lock();
                counts.applied += 1;
                counts.apply_failures += 1;
                return false;
            }
        };
        if *in_force == Some(found) {
            return true;
        }
        let reloaded = self.trigger.reload().await;
        let mut counts = self.counts.lock();
        counts.applied += 1;
        counts.reloads += 1;
        counts.succeeded_last = reloaded.is_ok();
        match reloaded {
            Ok(()) => {
                counts.succeeded_ms = self.clock.now_ms();
                *in_force = Some(found);
                tracing::info!("Prometheus read its configuration again");
                true
            }
            Err(error) => {
                counts.reload_failures += 1;
                tracing::error!(error, "Prometheus does not read its configuration again");
                false
            }
        }
    }
}

impl Collect for Reloader {
    fn collect(&self, out: &mut Exposition) {
        let counts = *self.counts.lock();
        let succeeded_s = counts.succeeded_ms as f64 / 1e3;
        let method = [("method", self.trigger.method())];
        let figures = [
            (
                "thanos_sidecar_reloader_info",
                "How Prometheus is told to read its configuration again.",
                &method[..],
                Value::Gauge(1.0),
            ),
            (
                "thanos_sidecar_reloader_config_apply_operations_total",
                "How often changed files were applied.",
                &[],
                Value::Counter(counts.applied as f64),
            ),
            (
                "thanos_sidecar_reloader_config_apply_operations_failed_total",
                "How often files could not be applied.",
                &[],
                Value::Counter(counts.apply_failures as f64),
            ),
            (
                "thanos_sidecar_reloader_reloads_total",
                "How often Prometheus was told to read its configuration again.",
                &[],
                Value::Counter(counts.reloads as f64),
            ),
            (
                "thanos_sidecar_reloader_reloads_failed_total",
                "How often it did not.",
                &[],
                Value::Counter(counts.reload_failures as f64),
            ),
            (
                "thanos_sidecar_reloader_last_reload_successful",
                "Whether it did when it was told last.",
                &[],
                Value::Gauge(f64::from(counts.succeeded_last)),
            ),
            (
                "thanos_sidecar_reloader_last_reload_success_timestamp_seconds",
                "When it did last.",
                &[],
                Value::Gauge(succeeded_s),
            ),
        ];
        for (name, help, labels, value) in figures {
            out.add(Figure {
                name,
                help,
                labels,
                value,
            });
        }
    }
}
