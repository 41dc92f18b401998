//! Targets and their metadata as Prometheus' API shows them.

use model::time::DurationMs;
use model::{Labels, Metadata};
use serde::{Serialize, Serializer};
use storeapi::catalog::{
    ActiveTarget, DroppedTarget, Health as Shown, MetadataByMetric, MetricMetadata, Targets, When,
    add_metadata,
};

use super::Manager;
use super::pool::View;
use super::run::Health;

/// Metadata of one metric of one target: an item of `/api/v1/targets/metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

fn labels<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}

impl Manager {
    /// The names of all jobs, sorted.
    pub fn pools(&self) -> Vec<String> {
        self.pools.lock().keys().cloned().collect()
    }

    /// True when a target is scraped whose URL is what `matches` says.
    pub fn scrapes(&self, matches: impl Fn(&reqwest::Url) -> bool) -> bool {
        let pools = self.pools.lock();
        let mut active = pools.values().flat_map(super::pool::Pool::active);
        active.any(|view| matches(&view.scraped.target.url))
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
    pub fn metadata(&self, metric: Option<&str>) -> MetadataByMetric {
        let mut all = MetadataByMetric::new();
        self.each_metadata(metric, |_, name, metadata| {
            add_metadata(&mut all, name, metadata.into());
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
    ActiveTarget {
        discovered_labels: view.discovered,
        labels: target.labels.clone(),
        scrape_pool: pool.to_owned(),
        scrape_url: target.url.to_string(),
        global_url: global_url.to_string(),
        last_error: status.last_error,
        last_scrape: status.last_scrape_ms.map(When::at).unwrap_or_default(),
        last_scrape_duration: status.last_seconds,
        health: match status.health {
            Health::Unknown => Shown::Unknown,
            Health::Up => Shown::Up,
            Health::Down => Shown::Down,
        },
        scrape_interval: DurationMs(target.interval_ms).to_string(),
        scrape_timeout: DurationMs(target.timeout_ms).to_string(),
    }
}
