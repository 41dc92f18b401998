//! What is known of the Prometheus behind the sidecar, and asking for it again and again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use model::{ErrorKind, Labels};
use parking_lot::RwLock;
use reqwest::Method;
use runtime::Clock;
use runtime::Readiness;
use runtime::metrics::{Collect, Exposition};
use runtime::process::Shutdown;
use serde::Deserialize;
use storeapi::StoreError;
use storeapi::remote_read::ReadError;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::flags::MinTime;

/// Pause between attempts while Prometheus was not reached yet.
const START_PAUSE: Duration = Duration::from_secs(2);

/// What is known of a Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Known {
    /// Its external labels.
    pub(crate) labels: Labels,
    /// Its version, empty when it does not say.
    pub(crate) version: String,
    /// Time of its first sample, in milliseconds, if it says so.
    pub(crate) first_sample: Option<i64>,
}

/// A Prometheus as it was when last asked.
pub(crate) struct Source {
    client: Client,
    min_time: MinTime,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
    is_up: AtomicBool,
    /// Milliseconds.
    last_seen: AtomicI64,
    /// Series have labels of their own with the names of external ones.
    has_hidden_labels: AtomicBool,
    /// Chunks of it are of encodings that are not read here.
    has_strange_chunks: AtomicBool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("known", &*self.known.read())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct StatusConfig {
    yaml: String,
}

/// The part of Prometheus' configuration that matters.
#[derive(Deserialize, Default)]
struct PrometheusConfig {
    #[serde(default)]
    global: Option<Global>,
}

#[derive(Deserialize, Default)]
struct Global {
    #[serde(default)]
    external_labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct BuildInfo {
    #[serde(default)]
    version: String,
}

impl Source {
    pub(crate) fn new(client: Client, min_time: MinTime, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            min_time,
            clock,
            known: RwLock::default(),
            is_up: AtomicBool::new(false),
            last_seen: AtomicI64::new(0),
            has_hidden_labels: AtomicBool::new(false),
            has_strange_chunks: AtomicBool::new(false),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn known(&self) -> Known {
        self.known.read().clone()
    }

    pub(crate) fn labels(&self) -> Labels {
        self.known.read().labels.clone()
    }

    /// Begin of what is served, in milliseconds.
    pub(crate) fn first_time(&self) -> i64 {
        let first = self.known.read().first_sample.unwrap_or(i64::MIN);
        first.max(self.min_time.resolve(self.clock.now_ms()))
    }

    /// Whether external labels hide labels of series, so that their order says nothing.
    pub(crate) fn has_hidden_labels(&self) -> bool {
        self.has_hidden_labels.load(Ordering::Relaxed)
    }

    /// Takes note that they do.
    pub(crate) fn found_hidden_labels(&self) {
        self.has_hidden_labels.store(true, Ordering::Relaxed);
    }

    /// Whether it is to be asked for samples, for chunks of it are of encodings that are not read here.
    pub(crate) fn has_strange_chunks(&self) -> bool {
        self.has_strange_chunks.load(Ordering::Relaxed)
    }

    /// Takes note that they are.
    pub(crate) fn found_strange_chunks(&self, error: &ReadError) {
        if !self.has_strange_chunks.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                "Prometheus is asked for samples from now on, which takes more of it and of this; with \
                 storage.tsdb.chunk_encoding.floats set to xor there, and a restart here, it need not be"
            );
        }
    }

    /// Asks Prometheus for what is to be known.
    async fn ask(&self) -> Result<Known, StoreError> {
        let client = &self.client;
        let config = client.ask::<StatusConfig>(Method::GET, "/api/v1/status/config", &[]);
        let labels = external_labels(&config.await?.data.yaml)?;
        // What follows some servers do not answer, and can be done without.
        let build = client.ask::<BuildInfo>(Method::GET, "/api/v1/status/buildinfo", &[]);
        let version = optional(build.await)?.map(|answer| answer.data.version);
        let metrics = optional(client.page("/metrics").await)?;
        let first_sample = metrics.and_then(|text| first_sample(&String::from_utf8_lossy(&text)));
        for (name, _) in &labels {
            let path = format!("/api/v1/label/{name}/values");
            let limit = [("limit", "1".to_owned())];
            let values = client.ask::<Vec<String>>(Method::GET, &path, &limit).await;
            if optional(values)?.is_some_and(|values| !values.data.is_empty()) {
                self.found_hidden_labels();
            }
        }
        Ok(Known {
            labels,
            version: version.unwrap_or_default(),
            first_sample,
        })
    }

    /// Asks Prometheus for what is to be known, waiting for at most `patience`, and remembers it.
    pub(crate) async fn refresh(&self, patience: Duration) -> Result<(), StoreError> {
        let answer = timeout(patience, self.ask()).await.unwrap_or_else(|_| {
            Err(StoreError::new(
                ErrorKind::Unavailable,
                format!("Prometheus did not say within {patience:?} what it is"),
            ))
        });
        self.is_up.store(answer.is_ok(), Ordering::Relaxed);
        let known = answer?;
        self.last_seen.store(self.clock.now_ms(), Ordering::Relaxed);
        let mut old = self.known.write();
        if old.labels != known.labels || old.version != known.version {
            tracing::info!(labels = %known.labels, version = known.version, "reached Prometheus");
        }
        *old = known;
        Ok(())
    }

    /// Waits for Prometheus for at most `patience`.
    pub(crate) async fn wait(
        &self,
        patience: Duration,
        ask_timeout: Duration,
    ) -> Result<(), StoreError> {
        let waiting = async {
            loop {
                match self.refresh(ask_timeout).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%error, "waiting for Prometheus"),
                }
                sleep(START_PAUSE).await;
            }
        };
        timeout(patience, waiting).await.map_err(|_| {
            StoreError::new(
                ErrorKind::Unavailable,
                format!("it was not ready within {patience:?}; see --prometheus.ready_timeout"),
            )
        })
    }

    /// Keeps asking until `shutdown`; `readiness` follows whether Prometheus answers.
    pub(crate) async fn watch(
        &self,
        interval: Duration,
        patience: Duration,
        readiness: &Readiness,
        mut shutdown: Shutdown,
    ) {
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = sleep(interval) => {}
            }
            let answer = self.refresh(patience).await;
            match &answer {
                Ok(()) if !readiness.get() => tracing::info!("Prometheus is there again"),
                Err(error) if readiness.get() => tracing::warn!(%error, "not ready"),
                _ => {}
            }
            readiness.set(answer.is_ok());
        }
    }
}

impl Collect for Source {
    fn collect(&self, out: &mut Exposition) {
        out.gauge(
            "thanos_sidecar_prometheus_up",
            "Whether Prometheus answered when it was last asked for its configuration.",
            &[],
            f64::from(u8::from(self.is_up.load(Ordering::Relaxed))),
        );
        out.gauge(
            "thanos_sidecar_last_heartbeat_success_time_seconds",
            "When Prometheus last answered.",
            &[],
            self.last_seen.load(Ordering::Relaxed) as f64 / 1_000.0,
        );
    }
}

/// An answer that may be missing: a server that does not know the question is no failure.
fn optional<T>(answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The external labels of a configuration.
fn external_labels(yaml: &str) -> Result<Labels, StoreError> {
    let config: Option<PrometheusConfig> = runtime::yaml::read(yaml).map_err(|error| {
        StoreError::new(
            ErrorKind::Unavailable,
            format!("Prometheus' configuration cannot be read: {error}"),
        )
    })?;
    let global = config.unwrap_or_default().global.unwrap_or_default();
    Ok(Labels::from_pairs(
        global.external_labels.unwrap_or_default(),
    ))
}

/// Time of the first sample, in milliseconds, among Prometheus' own metrics. While it has none it
/// shows a time at the end of the world.
fn first_sample(metrics: &str) -> Option<i64> {
    let value = |name: &str| {
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse::<f64>().ok()
    };
    let ms = value("prometheus_tsdb_lowest_timestamp_seconds")
        .map(|seconds| seconds * 1_000.0)
        .or_else(|| value("prometheus_tsdb_lowest_timestamp"))?;
    // Casting saturates; half of all time is later than any sample.
    Some(ms as i64).filter(|ms| *ms < i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_labels_are_found() {
        let labels = |yaml: &str| external_labels(yaml).unwrap().to_string();
        assert_eq!(labels(""), "{}");
        assert_eq!(
            labels("global:\n  scrape_interval: 15s\nscrape_configs: []\n"),
            "{}"
        );
        assert_eq!(
            labels("global:\n  external_labels:\n    replica: \"1\"\n    cluster: eu\n"),
            r#"{cluster="eu", replica="1"}"#
        );
        assert!(external_labels("global: [").is_err());
    }

    #[test]
    fn first_samples_are_found() {
        let text = "# HELP x y\nprometheus_tsdb_lowest_timestamp_seconds 1.6e+09\n";
        assert_eq!(first_sample(text), Some(1_600_000_000_000));
        assert_eq!(
            first_sample("prometheus_tsdb_lowest_timestamp 5\n"),
            Some(5)
        );
        assert_eq!(
            first_sample("prometheus_tsdb_lowest_timestamp 9.223372036854776e+18\n"),
            None
        );
        assert_eq!(first_sample(""), None);
    }
}
