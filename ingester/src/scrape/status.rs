//! Targets and their metadata as Prometheus' API shows them.

use std::collections::BTreeMap;

use model::time::{DurationMs, Rfc3339};
use model::{Labels, Metadata};
use serde::{Serialize, Serializer};

use super::Manager;
use super::pool::View;
use super::run::Health;

/// What Go's zero time looks like, which stands for "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The `data` of `/api/v1/targets`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// Targets that are scraped, by pool, then labels.
    pub active_targets: Vec<ActiveTarget>,
    /// Targets that relabelling dropped, as far as they are kept.
    pub dropped_targets: Vec<DroppedTarget>,
    /// How many relabelling dropped, by pool.
    pub dropped_target_counts: BTreeMap<String, usize>,
}

/// A target that is scraped.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveTarget {
    /// Labels before relabelling.
    #[serde(serialize_with = "labels")]
    pub discovered_labels: Labels,
    /// Labels of its series.
    #[serde(serialize_with = "labels")]
    pub labels: Labels,
    /// The name of its job.
    pub scrape_pool: String,
    /// What is asked.
    pub scrape_url: String,
    /// The same, as others reach it.
    pub global_url: String,
    /// Why the last scrape failed; empty if it did not.
    pub last_error: String,
    /// When it was scraped last.
    pub last_scrape: String,
    /// How long that took, in seconds.
    pub last_scrape_duration: f64,
    /// `up`, `down` or `unknown`.
    pub health: &'static str,
    /// How often it is scraped.
    pub scrape_interval: String,
    /// How long a scrape may take.
    pub scrape_timeout: String,
}

/// A target that relabelling dropped.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppedTarget {
    /// Labels before relabelling.
    #[serde(serialize_with = "labels")]
    pub discovered_labels: Labels,
    /// The name of its job.
    pub scrape_pool: String,
}

/// Metadata of one metric of one target: an item of `/api/v1/targets/metadata`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct TargetMetadata {
    /// Labels of the target.
    #[serde(serialize_with = "labels")]
    pub target: Labels,
    /// The metric, unless one was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric: String,
    /// Its metadata.
    #[serde(flatten)]
    pub metadata: MetricMetadata,
}

/// Metadata of a metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MetricMetadata {
    /// The type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it means.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

impl From<&Metadata> for MetricMetadata {
    fn from(metadata: &Metadata) -> Self {
        Self {
            kind: metadata.kind.as_str(),
            help: metadata.help.clone(),
            unit: metadata.unit.clone(),
        }
    }
}

fn labels<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}

impl Manager {
    /// The names of all jobs, sorted.
    pub fn pools(&self) -> Vec<String> {
        self.pools.lock().keys().cloned().collect()
    }

    /// All targets, or those of one pool.
    pub fn targets(&self, pool: Option<&str>) -> Targets {
        let mut targets = Targets::default();
        for (name, found) in &*self.pools.lock() {
            if pool.is_some_and(|pool| pool != name) {
                continue;
            }
            let mut active: Vec<_> = found.active();
            active.sort_by(|a, b| a.scraped.target.labels.cmp(&b.scraped.target.labels));
            let hostname = &self.shared.settings.hostname;
            let shown = active
                .into_iter()
                .map(|view| active_target(name, view, hostname));
            targets.active_targets.extend(shown);
            let (dropped, count) = found.dropped();
            targets
                .dropped_targets
                .extend(dropped.into_iter().map(|labels| DroppedTarget {
                    discovered_labels: labels,
                    scrape_pool: name.clone(),
                }));
            targets.dropped_target_counts.insert(name.clone(), count);
        }
        targets
    }

    /// What is known of each metric, or of `metric` alone: every variant that some target has.
    pub fn metadata(&self, metric: Option<&str>) -> BTreeMap<String, Vec<MetricMetadata>> {
        let mut all: BTreeMap<String, Vec<MetricMetadata>> = BTreeMap::new();
        self.each_metadata(metric, |_, name, metadata| {
            let variants = all.entry(name.to_owned()).or_default();
            let metadata = MetricMetadata::from(metadata);
            if !variants.contains(&metadata) {
                variants.push(metadata);
            }
        });
        all
    }

    /// What the targets that `matching` accepts say of their metrics, or of `metric` alone; at most
    /// `limit`.
    pub fn targets_metadata(
        &self,
        matching: impl Fn(&Labels) -> bool,
        metric: Option<&str>,
        limit: Option<usize>,
    ) -> Vec<TargetMetadata> {
        let mut found = Vec::new();
        self.each_metadata(metric, |target, name, metadata| {
            if limit.is_none_or(|limit| found.len() < limit) && matching(target) {
                found.push(TargetMetadata {
                    target: target.clone(),
                    metric: metric.map_or_else(|| name.to_owned(), |_| String::new()),
                    metadata: metadata.into(),
                });
            }
        });
        found
    }

    fn each_metadata(&self, metric: Option<&str>, mut take: impl FnMut(&Labels, &str, &Metadata)) {
        for pool in self.pools.lock().values() {
            for View { scraped, .. } in pool.active() {
                let families = scraped.families.lock();
                let target = &scraped.target.labels;
                match metric {
                    Some(name) => {
                        if let Some(metadata) = families.get(name) {
                            take(target, name, metadata);
                        }
                    }
                    None => families.iter().for_each(|(name, m)| take(target, name, m)),
                }
            }
        }
    }
}

fn active_target(pool: &str, view: View, hostname: &str) -> ActiveTarget {
    let target = &view.scraped.target;
    let status = view.scraped.status.lock().clone();
    let mut global_url = target.url.clone();
    let local = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    if !hostname.is_empty() && target.url.host_str().is_some_and(local) {
        // A name that no URL can have leaves it as it is.
        let _ = global_url.set_host(Some(hostname));
    }
    let never = || NEVER.to_owned();
    ActiveTarget {
        discovered_labels: view.discovered,
        labels: target.labels.clone(),
        scrape_pool: pool.to_owned(),
        scrape_url: target.url.to_string(),
        global_url: global_url.to_string(),
        last_error: status.last_error,
        last_scrape: (status.last_scrape_ms).map_or_else(never, |ms| Rfc3339(ms).to_string()),
        last_scrape_duration: status.last_seconds,
        health: match status.health {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        },
        scrape_interval: DurationMs(target.interval_ms).to_string(),
        scrape_timeout: DurationMs(target.timeout_ms).to_string(),
    }
}
