//! Between the messages of Thanos' services Rules, Targets, Metadata and Exemplars and the types of
//! [`crate::catalog`].

use model::{Exemplar, Labels, TimeRange};
use prost_types::Timestamp;
use proto::thanos::{self as wire, LabelSet, rule, rules_request, targets_request};

use super::closed;
use super::info::read_labels;
use super::request::{strategy_from_wire, strategy_to_wire};
use crate::catalog::{
    ActiveTarget, Alert, AlertState, AlertingRule, Asker, DroppedTarget, ExemplarsRequest, Health,
    MetadataByMetric, MetadataRequest, MetricMetadata, RecordingRule, Rule, RuleGroup, RuleKind,
    RulesRequest, SeriesExemplars, TargetState, Targets, TargetsRequest, When, add_metadata,
};
use crate::store::StoreError;

/// Go's zero time, in seconds.
const NEVER_SECONDS: i64 = -62_135_596_800;

fn when_to_wire(when: When) -> Timestamp {
    let Some(ms) = when.ms() else {
        return Timestamp {
            seconds: NEVER_SECONDS,
            nanos: 0,
        };
    };
    let below_second = i32::try_from(ms.rem_euclid(1_000)).expect("less than a thousand");
    Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos: below_second * 1_000_000,
    }
}

fn when_from_wire(at: Option<Timestamp>) -> When {
    at.map_or_else(When::default, |at| {
        let below_second = i64::from(at.nanos / 1_000_000);
        When::at(
            at.seconds
                .saturating_mul(1_000)
                .saturating_add(below_second),
        )
    })
}

fn labels(set: Option<&LabelSet>) -> Result<Labels, StoreError> {
    set.map_or_else(|| Ok(Labels::empty()), read_labels)
}

fn asker(partial_response_strategy: i32, tenant: String) -> Asker {
    Asker {
        partial_response: strategy_from_wire(false, partial_response_strategy),
        tenant,
    }
}

/// A question for rules.
pub fn rules_request_to_wire(request: &RulesRequest) -> wire::RulesRequest {
    wire::RulesRequest {
        r#type: match request.kind {
            None => rules_request::Type::All,
            Some(RuleKind::Alerting) => rules_request::Type::Alert,
            Some(RuleKind::Recording) => rules_request::Type::Record,
        }
        .into(),
        partial_response_strategy: strategy_to_wire(request.asker.partial_response),
        matcher_string: request.matchers.clone(),
        rule_name: request.names.clone(),
        rule_group: request.groups.clone(),
        file: request.files.clone(),
    }
}

/// A question for rules that came for `tenant`.
pub fn rules_request_from_wire(request: wire::RulesRequest, tenant: String) -> RulesRequest {
    RulesRequest {
        kind: match request.r#type() {
            rules_request::Type::All => None,
            rules_request::Type::Alert => Some(RuleKind::Alerting),
            rules_request::Type::Record => Some(RuleKind::Recording),
        },
        asker: asker(request.partial_response_strategy, tenant),
        matchers: request.matcher_string,
        names: request.rule_name,
        groups: request.rule_group,
        files: request.file,
    }
}

/// A group of rules.
pub fn group_to_wire(group: &RuleGroup) -> wire::RuleGroup {
    let rule = |rule: &Rule| wire::Rule {
        result: Some(match rule {
            Rule::Alerting(rule) => rule::Result::Alert(alerting_to_wire(rule)),
            Rule::Recording(rule) => rule::Result::Recording(wire::RecordingRule {
                name: rule.name.clone(),
                query: rule.query.clone(),
                labels: Some(LabelSet::from(&rule.labels)),
                health: rule.health.clone(),
                last_error: rule.last_error.clone(),
                evaluation_duration_seconds: rule.evaluation_time,
                last_evaluation: Some(when_to_wire(rule.last_evaluation)),
            }),
        }),
    };
    wire::RuleGroup {
        name: group.name.clone(),
        file: group.file.clone(),
        rules: group.rules.iter().map(rule).collect(),
        interval: group.interval,
        evaluation_duration_seconds: group.evaluation_time,
        last_evaluation: Some(when_to_wire(group.last_evaluation)),
        partial_response_strategy: strategy_to_wire(group.partial_response),
        limit: group.limit,
    }
}

fn alerting_to_wire(rule: &AlertingRule) -> wire::Alert {
    let alert = |alert: &Alert| wire::AlertInstance {
        labels: Some(LabelSet::from(&alert.labels)),
        annotations: Some(LabelSet::from(&alert.annotations)),
        state: state_to_wire(alert.state).into(),
        active_at: (alert.active_at.ms()).map(|_| when_to_wire(alert.active_at)),
        value: alert.value.clone(),
        partial_response_strategy: strategy_to_wire(alert.partial_response),
    };
    wire::Alert {
        state: state_to_wire(rule.state).into(),
        name: rule.name.clone(),
        query: rule.query.clone(),
        duration_seconds: rule.duration,
        labels: Some(LabelSet::from(&rule.labels)),
        annotations: Some(LabelSet::from(&rule.annotations)),
        alerts: rule.alerts.iter().map(alert).collect(),
        health: rule.health.clone(),
        last_error: rule.last_error.clone(),
        evaluation_duration_seconds: rule.evaluation_time,
        last_evaluation: Some(when_to_wire(rule.last_evaluation)),
        keep_firing_for_seconds: rule.keep_firing_for,
    }
}

/// A group of rules.
///
/// # Errors
/// When its labels are not text.
pub fn group_from_wire(group: wire::RuleGroup) -> Result<RuleGroup, StoreError> {
    let partial_response = strategy_from_wire(false, group.partial_response_strategy);
    let rules = group.rules.into_iter().filter_map(|rule| rule.result);
    let rules = rules.map(|rule| match rule {
        rule::Result::Alert(rule) => Ok(Rule::Alerting(alerting_from_wire(rule)?)),
        rule::Result::Recording(rule) => Ok(Rule::Recording(RecordingRule {
            labels: labels(rule.labels.as_ref())?,
            name: rule.name,
            query: rule.query,
            health: rule.health,
            last_error: rule.last_error,
            evaluation_time: rule.evaluation_duration_seconds,
            last_evaluation: when_from_wire(rule.last_evaluation),
        })),
    });
    Ok(RuleGroup {
        name: group.name,
        file: group.file,
        rules: rules.collect::<Result<_, StoreError>>()?,
        interval: group.interval,
        limit: group.limit,
        evaluation_time: group.evaluation_duration_seconds,
        last_evaluation: when_from_wire(group.last_evaluation),
        partial_response,
    })
}

fn alerting_from_wire(rule: wire::Alert) -> Result<AlertingRule, StoreError> {
    let alert = |alert: wire::AlertInstance| {
        Ok(Alert {
            labels: labels(alert.labels.as_ref())?,
            annotations: labels(alert.annotations.as_ref())?,
            state: state_from_wire(alert.state()),
            active_at: when_from_wire(alert.active_at),
            partial_response: strategy_from_wire(false, alert.partial_response_strategy),
            value: alert.value,
        })
    };
    Ok(AlertingRule {
        state: state_from_wire(rule.state()),
        labels: labels(rule.labels.as_ref())?,
        annotations: labels(rule.annotations.as_ref())?,
        alerts: (rule.alerts.into_iter().map(alert)).collect::<Result<_, StoreError>>()?,
        name: rule.name,
        query: rule.query,
        duration: rule.duration_seconds,
        keep_firing_for: rule.keep_firing_for_seconds,
        health: rule.health,
        last_error: rule.last_error,
        evaluation_time: rule.evaluation_duration_seconds,
        last_evaluation: when_from_wire(rule.last_evaluation),
    })
}

const fn state_to_wire(state: AlertState) -> wire::AlertState {
    match state {
        AlertState::Inactive => wire::AlertState::Inactive,
        AlertState::Pending => wire::AlertState::Pending,
        AlertState::Firing => wire::AlertState::Firing,
        AlertState::Unknown => wire::AlertState::Unknown,
    }
}

const fn state_from_wire(state: wire::AlertState) -> AlertState {
    match state {
        wire::AlertState::Inactive => AlertState::Inactive,
        wire::AlertState::Pending => AlertState::Pending,
        wire::AlertState::Firing => AlertState::Firing,
        wire::AlertState::Unknown => AlertState::Unknown,
    }
}

/// A question for targets.
pub fn targets_request_to_wire(request: &TargetsRequest) -> wire::TargetsRequest {
    wire::TargetsRequest {
        state: match request.state {
            TargetState::Any => targets_request::State::Any,
            TargetState::Active => targets_request::State::Active,
            TargetState::Dropped => targets_request::State::Dropped,
        }
        .into(),
        partial_response_strategy: strategy_to_wire(request.asker.partial_response),
    }
}

/// A question for targets that came for `tenant`.
pub fn targets_request_from_wire(request: wire::TargetsRequest, tenant: String) -> TargetsRequest {
    TargetsRequest {
        state: match request.state() {
            targets_request::State::Any => TargetState::Any,
            targets_request::State::Active => TargetState::Active,
            targets_request::State::Dropped => TargetState::Dropped,
        },
        asker: asker(request.partial_response_strategy, tenant),
    }
}

/// Targets.
pub fn targets_to_wire(targets: &Targets) -> wire::TargetDiscovery {
    let active = |target: &ActiveTarget| wire::ActiveTarget {
        discovered_labels: Some(LabelSet::from(&target.discovered_labels)),
        labels: Some(LabelSet::from(&target.labels)),
        scrape_pool: target.scrape_pool.clone(),
        scrape_url: target.scrape_url.clone(),
        global_url: target.global_url.clone(),
        last_error: target.last_error.clone(),
        last_scrape: Some(when_to_wire(target.last_scrape)),
        last_scrape_duration: target.last_scrape_duration,
        health: match target.health {
            Health::Down => wire::TargetHealth::Down,
            Health::Up => wire::TargetHealth::Up,
            Health::Unknown => wire::TargetHealth::UnknownHealth,
        }
        .into(),
    };
    let dropped = |target: &DroppedTarget| wire::DroppedTarget {
        discovered_labels: Some(LabelSet::from(&target.discovered_labels)),
    };
    wire::TargetDiscovery {
        active_targets: targets.active_targets.iter().map(active).collect(),
        dropped_targets: targets.dropped_targets.iter().map(dropped).collect(),
    }
}

/// Adds targets to others.
///
/// # Errors
/// When their labels are not text.
pub fn add_targets_from_wire(
    targets: wire::TargetDiscovery,
    all: &mut Targets,
) -> Result<(), StoreError> {
    for target in targets.active_targets {
        all.active_targets.push(ActiveTarget {
            discovered_labels: labels(target.discovered_labels.as_ref())?,
            labels: labels(target.labels.as_ref())?,
            health: match target.health() {
                wire::TargetHealth::Down => Health::Down,
                wire::TargetHealth::Up => Health::Up,
                wire::TargetHealth::UnknownHealth => Health::Unknown,
            },
            scrape_pool: target.scrape_pool,
            scrape_url: target.scrape_url,
            global_url: target.global_url,
            last_error: target.last_error,
            last_scrape: when_from_wire(target.last_scrape),
            last_scrape_duration: target.last_scrape_duration,
            ..ActiveTarget::default()
        });
    }
    for target in targets.dropped_targets {
        all.dropped_targets.push(DroppedTarget {
            discovered_labels: labels(target.discovered_labels.as_ref())?,
            ..DroppedTarget::default()
        });
    }
    Ok(())
}

/// A question for metadata; -1 is no limit.
pub fn metadata_request_to_wire(request: &MetadataRequest) -> wire::MetricMetadataRequest {
    let limit = (request.limit).map_or(-1, |max| i32::try_from(max).unwrap_or(i32::MAX));
    wire::MetricMetadataRequest {
        metric: request.metric.clone(),
        limit,
        partial_response_strategy: strategy_to_wire(request.asker.partial_response),
    }
}

/// A question for metadata that came for `tenant`.
pub fn metadata_request_from_wire(
    request: wire::MetricMetadataRequest,
    tenant: String,
) -> MetadataRequest {
    MetadataRequest {
        metric: request.metric,
        limit: usize::try_from(request.limit).ok(),
        asker: asker(request.partial_response_strategy, tenant),
    }
}

/// Metadata.
pub fn metadata_to_wire(metadata: MetadataByMetric) -> wire::MetricMetadata {
    let meta = |metadata: MetricMetadata| wire::Meta {
        r#type: metadata.kind,
        help: metadata.help,
        unit: metadata.unit,
    };
    let entry = |(metric, variants): (String, Vec<MetricMetadata>)| {
        let metas = variants.into_iter().map(meta).collect();
        (metric, wire::MetricMetadataEntry { metas })
    };
    wire::MetricMetadata {
        metadata: metadata.into_iter().map(entry).collect(),
    }
}

/// Adds metadata to other.
pub fn add_metadata_from_wire(metadata: wire::MetricMetadata, all: &mut MetadataByMetric) {
    for (metric, entry) in metadata.metadata {
        for meta in entry.metas {
            let variant = MetricMetadata {
                kind: meta.r#type,
                help: meta.help,
                unit: meta.unit,
            };
            add_metadata(all, &metric, variant);
        }
    }
}

/// A question for exemplars.
pub fn exemplars_request_to_wire(request: &ExemplarsRequest) -> wire::ExemplarsRequest {
    let (start, end) = closed(request.range);
    wire::ExemplarsRequest {
        query: request.query.clone(),
        start,
        end,
        partial_response_strategy: strategy_to_wire(request.asker.partial_response),
    }
}

/// A question for exemplars that came for `tenant`.
pub fn exemplars_request_from_wire(
    request: wire::ExemplarsRequest,
    tenant: String,
) -> ExemplarsRequest {
    ExemplarsRequest {
        query: request.query,
        range: TimeRange::closed(request.start, request.end),
        asker: asker(request.partial_response_strategy, tenant),
    }
}

/// Exemplars of a series.
pub fn exemplars_to_wire(series: &SeriesExemplars) -> wire::ExemplarData {
    let exemplar = |exemplar: &Exemplar| wire::Exemplar {
        labels: Some(LabelSet::from(&exemplar.labels)),
        value: exemplar.value,
        ts: exemplar.t,
    };
    wire::ExemplarData {
        series_labels: Some(LabelSet::from(&series.series_labels)),
        exemplars: series.exemplars.iter().map(exemplar).collect(),
    }
}

/// Exemplars of a series.
///
/// # Errors
/// When labels are not text.
pub fn exemplars_from_wire(data: &wire::ExemplarData) -> Result<SeriesExemplars, StoreError> {
    let exemplar = |exemplar: &wire::Exemplar| {
        Ok(Exemplar {
            labels: labels(exemplar.labels.as_ref())?,
            t: exemplar.ts,
            value: exemplar.value,
        })
    };
    Ok(SeriesExemplars {
        series_labels: labels(data.series_labels.as_ref())?,
        exemplars: (data.exemplars.iter().map(exemplar)).collect::<Result<_, StoreError>>()?,
    })
}
