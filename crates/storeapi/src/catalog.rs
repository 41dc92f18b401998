//! What a component knows beside series: rules, scrape targets, metadata of metrics, exemplars, and
//! what its heads are made of.
//!
//! [`Catalog`] is the seam. Whoever has a Prometheus at hand, or is one, implements it; over gRPC it
//! is Thanos' services Rules, Targets, Metadata, Exemplars and Status ([`crate::grpc::catalog`]). The
//! types are written to and read from JSON as Prometheus' HTTP API has them.
//!
//! Which of the services a component has, its [`Services`] say; the others it is not asked for.

mod exemplars;
mod json;
mod rules;
pub mod statistics;
mod targets;

use std::collections::BTreeMap;
use std::fmt;

use futures::future::BoxFuture;
use model::{Metadata, TimeRange};
use serde::{Deserialize, Serialize};

pub use exemplars::SeriesExemplars;
pub use json::When;
pub use rules::{Alert, AlertState, AlertingRule, RecordingRule, Rule, RuleGroup, RuleGroups};
pub use statistics::StatisticsByTenant;
pub use targets::{ActiveTarget, DroppedTarget, Health, Targets};

use crate::store::{PartialResponse, StoreError};

/// Data, and what the user should know about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer<T> {
    /// What was asked for.
    pub data: T,
    /// Parts that are missing, in words.
    pub warnings: Vec<String>,
}

impl<T> From<T> for Answer<T> {
    fn from(data: T) -> Self {
        Self {
            data,
            warnings: Vec::new(),
        }
    }
}

/// An answer that is underway.
pub type Answering<T> = BoxFuture<'static, Result<Answer<T>, StoreError>>;

/// Something that knows of rules, scrape targets, metadata, exemplars and heads.
pub trait Catalog: Send + Sync + fmt::Debug {
    /// Groups of rules. Those that `request` does not mean may be among them.
    fn rules(&self, request: RulesRequest) -> Answering<Vec<RuleGroup>>;

    /// Scrape targets.
    fn targets(&self, request: TargetsRequest) -> Answering<Targets>;

    /// What is known of metrics.
    fn metadata(&self, request: MetadataRequest) -> Answering<MetadataByMetric>;

    /// Exemplars, by series.
    fn exemplars(&self, request: ExemplarsRequest) -> Answering<Vec<SeriesExemplars>>;

    /// What heads are made of, by tenant.
    fn statistics(&self, request: StatisticsRequest) -> Answering<StatisticsByTenant>;
}

/// Which questions a catalog has answers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Services {
    /// It has rules.
    pub rules: bool,
    /// It has scrape targets.
    pub targets: bool,
    /// It has metadata of metrics.
    pub metadata: bool,
    /// First and last time of exemplars, if it has them.
    pub exemplars: Option<(i64, i64)>,
    /// It has heads, and says what is in them.
    pub statistics: bool,
}

/// What every question says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asker {
    /// What to do when a part of the answer cannot be had.
    pub partial_response: PartialResponse,
    /// Whom the question is for, forwarded on every hop; empty for the default tenant.
    pub tenant: String,
}

/// A question for rules. Lists that are empty choose nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RulesRequest {
    /// Only rules of this kind.
    pub kind: Option<RuleKind>,
    /// Selectors, as PromQL writes them, of which one must accept a rule's labels.
    pub matchers: Vec<String>,
    /// Names of rules.
    pub names: Vec<String>,
    /// Names of groups.
    pub groups: Vec<String>,
    /// Files that groups are from.
    pub files: Vec<String>,
    /// Who asks.
    pub asker: Asker,
}

/// What a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// It raises alerts.
    Alerting,
    /// It makes series.
    Recording,
}

/// A question for scrape targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetsRequest {
    /// Which targets.
    pub state: TargetState,
    /// Who asks.
    pub asker: Asker,
}

/// Which targets are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetState {
    /// All of them.
    #[default]
    Any,
    /// Those that are scraped.
    Active,
    /// Those that relabelling dropped.
    Dropped,
}

/// A question for metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetadataRequest {
    /// The metric; empty for all.
    pub metric: String,
    /// Metrics that suffice; none for all.
    pub limit: Option<usize>,
    /// Who asks.
    pub asker: Asker,
}

/// A question for exemplars.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExemplarsRequest {
    /// The PromQL expression whose series are meant.
    pub query: String,
    /// Exemplars outside are not wanted.
    pub range: TimeRange,
    /// Who asks.
    pub asker: Asker,
}

/// A question for what heads are made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatisticsRequest {
    /// Entries of each ranking that suffice; none for as many as there are.
    pub limit: Option<usize>,
    /// Who asks.
    pub asker: Asker,
}

/// What is known of metrics, by name: every variant that somebody says.
pub type MetadataByMetric = BTreeMap<String, Vec<MetricMetadata>>;

/// What is known of a metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricMetadata {
    /// Its type, in Prometheus' words.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it means.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

impl From<&Metadata> for MetricMetadata {
    fn from(metadata: &Metadata) -> Self {
        Self {
            kind: metadata.kind.as_str().to_owned(),
            help: metadata.help.clone(),
            unit: metadata.unit.clone(),
        }
    }
}

/// Adds a variant that is not there yet.
pub fn add_metadata(all: &mut MetadataByMetric, metric: &str, metadata: MetricMetadata) {
    match all.get_mut(metric) {
        Some(variants) if variants.contains(&metadata) => {}
        Some(variants) => variants.push(metadata),
        None => drop(all.insert(metric.to_owned(), vec![metadata])),
    }
}

#[cfg(test)]
mod tests;
