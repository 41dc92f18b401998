//! Rules.

use model::Labels;
use serde::{Deserialize, Serialize};

use super::RuleKind;
use super::json::{self, When};
use crate::external_labels::with_external;
use crate::store::PartialResponse;

/// The `data` of `/api/v1/rules`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RuleGroups {
    /// The groups.
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated one after the other.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleGroup {
    /// Its name, unique in its file.
    pub name: String,
    /// The file it is from.
    pub file: String,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// Seconds between evaluations.
    pub interval: f64,
    /// Series or alerts that a rule may make; 0 for any number.
    pub limit: i64,
    /// Seconds that its last evaluation took.
    pub evaluation_time: f64,
    /// When that was.
    pub last_evaluation: When,
    /// What its rules do when not all data can be had. Prometheus, which always has all, says
    /// nothing of it.
    #[serde(
        rename = "partialResponseStrategy",
        serialize_with = "json::strategy",
        skip_deserializing,
        default = "abort"
    )]
    pub partial_response: PartialResponse,
}

const fn abort() -> PartialResponse {
    PartialResponse::Abort
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Rule {
    /// It raises alerts.
    Alerting(AlertingRule),
    /// It makes series.
    Recording(RecordingRule),
}

/// A rule that raises alerts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AlertingRule {
    /// The worst state of its alerts.
    pub state: AlertState,
    /// Its name.
    pub name: String,
    /// The expression.
    pub query: String,
    /// Seconds that the expression must hold before the alert fires.
    pub duration: f64,
    /// Seconds that the alert goes on firing.
    pub keep_firing_for: f64,
    /// Labels of its alerts.
    #[serde(with = "json::labels")]
    pub labels: Labels,
    /// Texts of its alerts.
    #[serde(with = "json::labels")]
    pub annotations: Labels,
    /// What it raised.
    pub alerts: Vec<Alert>,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// Why its last evaluation failed; empty if it did not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// Seconds that its last evaluation took.
    pub evaluation_time: f64,
    /// When that was.
    pub last_evaluation: When,
}

/// A rule that makes series.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordingRule {
    /// The metric that it makes.
    pub name: String,
    /// The expression.
    pub query: String,
    /// Labels of its series.
    #[serde(with = "json::labels", skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// Why its last evaluation failed; empty if it did not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// Seconds that its last evaluation took.
    pub evaluation_time: f64,
    /// When that was.
    pub last_evaluation: When,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Alert {
    /// Its labels.
    #[serde(with = "json::labels")]
    pub labels: Labels,
    /// Its texts.
    #[serde(with = "json::labels")]
    pub annotations: Labels,
    /// How far it is.
    pub state: AlertState,
    /// Since when its expression holds.
    #[serde(skip_serializing_if = "When::is_never")]
    pub active_at: When,
    /// The value of the expression, in text.
    pub value: String,
    /// What its rule does when not all data can be had. For alerts of a Prometheus, Thanos shows the
    /// one that is first in its list.
    #[serde(
        rename = "partialResponseStrategy",
        serialize_with = "json::strategy",
        skip_deserializing
    )]
    pub partial_response: PartialResponse,
}

/// How far an alert is; the later, the worse.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Its expression does not hold.
    Inactive,
    /// Its expression holds, but not for long enough.
    Pending,
    /// It is on.
    Firing,
    /// Nobody knows.
    #[default]
    #[serde(other)]
    Unknown,
}

impl RuleGroup {
    /// Adds the external labels of whoever has the rules to them. Their alerts stay as they are, as
    /// in Thanos: an alert of two replicas is the same one.
    pub fn add_external(&mut self, external: &Labels) {
        for rule in &mut self.rules {
            let labels = rule.labels_mut();
            *labels = with_external(labels, external);
        }
    }

    /// Removes the labels with these names, which are sorted.
    pub fn remove_labels(&mut self, names: &[String]) {
        for rule in &mut self.rules {
            let labels = rule.labels_mut();
            *labels = labels.without(names);
            if let Rule::Alerting(rule) = rule {
                for alert in &mut rule.alerts {
                    alert.labels = alert.labels.without(names);
                }
            }
        }
    }
}

impl Rule {
    /// What it is for.
    pub const fn kind(&self) -> RuleKind {
        match self {
            Self::Alerting(_) => RuleKind::Alerting,
            Self::Recording(_) => RuleKind::Recording,
        }
    }

    const fn labels_mut(&mut self) -> &mut Labels {
        match self {
            Self::Alerting(rule) => &mut rule.labels,
            Self::Recording(rule) => &mut rule.labels,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Alerting(rule) => &rule.name,
            Self::Recording(rule) => &rule.name,
        }
    }

    /// Labels of what it makes.
    pub const fn labels(&self) -> &Labels {
        match self {
            Self::Alerting(rule) => &rule.labels,
            Self::Recording(rule) => &rule.labels,
        }
    }

    /// The expression.
    pub fn query(&self) -> &str {
        match self {
            Self::Alerting(rule) => &rule.query,
            Self::Recording(rule) => &rule.query,
        }
    }

    /// When it was last evaluated.
    pub const fn last_evaluation(&self) -> When {
        match self {
            Self::Alerting(rule) => rule.last_evaluation,
            Self::Recording(rule) => rule.last_evaluation,
        }
    }
}
