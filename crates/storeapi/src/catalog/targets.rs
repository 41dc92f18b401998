//! Scrape targets.

use std::collections::BTreeMap;

use model::Labels;
use serde::{Deserialize, Serialize};

use super::TargetState;
use super::json::{self, When};
use crate::external_labels::with_external;

/// The `data` of `/api/v1/targets`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Targets {
    /// Targets that are scraped.
    #[serde(deserialize_with = "json::or_null")]
    pub active_targets: Vec<ActiveTarget>,
    /// Targets that relabelling dropped, as far as they are kept.
    #[serde(deserialize_with = "json::or_null")]
    pub dropped_targets: Vec<DroppedTarget>,
    /// How many relabelling dropped, by pool, as far as that is known.
    #[serde(deserialize_with = "json::or_null")]
    pub dropped_target_counts: BTreeMap<String, usize>,
}

/// A target that is scraped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ActiveTarget {
    /// Labels before relabelling.
    #[serde(with = "json::labels")]
    pub discovered_labels: Labels,
    /// Labels of its series.
    #[serde(with = "json::labels")]
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
    pub last_scrape: When,
    /// How long that took, in seconds.
    pub last_scrape_duration: f64,
    /// How it is.
    pub health: Health,
    /// How often it is scraped; empty where that is not known, as gRPC does not say it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scrape_interval: String,
    /// How long a scrape may take; empty where that is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scrape_timeout: String,
}

/// A target that relabelling dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DroppedTarget {
    /// Labels before relabelling.
    #[serde(with = "json::labels")]
    pub discovered_labels: Labels,
    /// The name of its job; empty where that is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scrape_pool: String,
}

/// How a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Its last scrape failed.
    Down,
    /// It answers.
    Up,
    /// It was not scraped yet.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Targets {
    /// Leaves out what is not meant.
    pub fn keep(&mut self, state: TargetState) {
        match state {
            TargetState::Any => {}
            TargetState::Active => {
                self.dropped_targets.clear();
                self.dropped_target_counts.clear();
            }
            TargetState::Dropped => self.active_targets.clear(),
        }
    }

    /// Adds the external labels of whoever has the targets.
    pub fn add_external(&mut self, external: &Labels) {
        self.change_labels(|labels| with_external(labels, external));
    }

    /// Removes the labels with these names, which are sorted.
    pub fn remove_labels(&mut self, names: &[String]) {
        self.change_labels(|labels| labels.without(names));
    }

    fn change_labels(&mut self, change: impl Fn(&Labels) -> Labels) {
        for target in &mut self.active_targets {
            target.labels = change(&target.labels);
            target.discovered_labels = change(&target.discovered_labels);
        }
        for target in &mut self.dropped_targets {
            target.discovered_labels = change(&target.discovered_labels);
        }
    }
}
