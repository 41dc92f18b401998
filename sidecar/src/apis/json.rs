//! Prometheus' answers, and the messages that they become.

use std::collections::BTreeMap;

use model::Labels;
use model::time::parse_timestamp;
use prost_types::Timestamp;
use proto::thanos::{
    self as wire, ActiveTarget, AlertInstance, AlertState, DroppedTarget, ExemplarData, LabelSet,
    Meta, MetricMetadata, MetricMetadataEntry, RecordingRule, RuleGroup, TargetDiscovery,
    TargetHealth, rule,
};
use serde::Deserialize;
use storeapi::external_labels::with_external;

/// Labels in any order.
type Pairs = BTreeMap<String, String>;

fn plain(pairs: Pairs) -> Option<LabelSet> {
    Some(LabelSet::from(&Labels::from_pairs(pairs)))
}

fn shown(pairs: Pairs, external: &Labels) -> Option<LabelSet> {
    let labels = with_external(&Labels::from_pairs(pairs), external);
    Some(LabelSet::from(&labels))
}

/// A time in RFC 3339; nothing when it is none.
fn time(text: &str) -> Option<Timestamp> {
    let ms = parse_timestamp(text).ok()?;
    let nanos = i32::try_from(ms.rem_euclid(1_000) * 1_000_000).ok()?;
    Some(Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos,
    })
}

/// Groups of rules.
#[derive(Deserialize)]
pub(super) struct Groups {
    pub(super) groups: Vec<Group>,
}

/// A group of rules.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct Group {
    name: String,
    file: String,
    rules: Vec<Rule>,
    interval: f64,
    limit: i64,
    evaluation_time: f64,
    last_evaluation: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Rule {
    Alerting(Alerting),
    Recording(Recording),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Alerting {
    state: String,
    name: String,
    query: String,
    duration: f64,
    keep_firing_for: f64,
    labels: Pairs,
    annotations: Pairs,
    alerts: Vec<Alert>,
    health: String,
    last_error: String,
    evaluation_time: f64,
    last_evaluation: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Alert {
    labels: Pairs,
    annotations: Pairs,
    state: String,
    active_at: String,
    value: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Recording {
    name: String,
    query: String,
    labels: Pairs,
    health: String,
    last_error: String,
    evaluation_time: f64,
    last_evaluation: String,
}

fn state(text: &str) -> i32 {
    match text {
        "firing" => AlertState::Firing,
        "pending" => AlertState::Pending,
        "inactive" => AlertState::Inactive,
        _ => AlertState::Unknown,
    }
    .into()
}

impl Group {
    pub(super) fn into_wire(self, external: &Labels) -> RuleGroup {
        let rules = self.rules.into_iter().map(|rule| rule.into_wire(external));
        RuleGroup {
            name: self.name,
            file: self.file,
            rules: rules.collect(),
            interval: self.interval,
            evaluation_duration_seconds: self.evaluation_time,
            last_evaluation: time(&self.last_evaluation),
            limit: self.limit,
            ..RuleGroup::default()
        }
    }
}

impl Rule {
    fn into_wire(self, external: &Labels) -> wire::Rule {
        let result = match self {
            Self::Alerting(alerting) => rule::Result::Alert(alerting.into_wire(external)),
            Self::Recording(rule) => rule::Result::Recording(RecordingRule {
                name: rule.name,
                query: rule.query,
                labels: shown(rule.labels, external),
                health: rule.health,
                last_error: rule.last_error,
                evaluation_duration_seconds: rule.evaluation_time,
                last_evaluation: time(&rule.last_evaluation),
            }),
        };
        wire::Rule {
            result: Some(result),
        }
    }
}

impl Alerting {
    fn into_wire(self, external: &Labels) -> wire::Alert {
        let alert = |alert: Alert| AlertInstance {
            labels: shown(alert.labels, external),
            annotations: plain(alert.annotations),
            state: state(&alert.state),
            active_at: time(&alert.active_at),
            value: alert.value,
            ..AlertInstance::default()
        };
        wire::Alert {
            state: state(&self.state),
            name: self.name,
            query: self.query,
            duration_seconds: self.duration,
            labels: shown(self.labels, external),
            annotations: plain(self.annotations),
            alerts: self.alerts.into_iter().map(alert).collect(),
            health: self.health,
            last_error: self.last_error,
            evaluation_duration_seconds: self.evaluation_time,
            last_evaluation: time(&self.last_evaluation),
            keep_firing_for_seconds: self.keep_firing_for,
        }
    }
}

/// Scrape targets.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Targets {
    active_targets: Vec<Active>,
    dropped_targets: Vec<Dropped>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Active {
    discovered_labels: Pairs,
    labels: Pairs,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Dropped {
    discovered_labels: Pairs,
}

impl Targets {
    pub(super) fn into_wire(self, external: &Labels) -> TargetDiscovery {
        let active = |target: Active| ActiveTarget {
            discovered_labels: shown(target.discovered_labels, external),
            labels: shown(target.labels, external),
            scrape_pool: target.scrape_pool,
            scrape_url: target.scrape_url,
            global_url: target.global_url,
            last_error: target.last_error,
            last_scrape: time(&target.last_scrape),
            last_scrape_duration: target.last_scrape_duration,
            health: match target.health.as_str() {
                "up" => TargetHealth::Up,
                "down" => TargetHealth::Down,
                _ => TargetHealth::UnknownHealth,
            }
            .into(),
        };
        let dropped = |target: Dropped| DroppedTarget {
            discovered_labels: shown(target.discovered_labels, external),
        };
        TargetDiscovery {
            active_targets: self.active_targets.into_iter().map(active).collect(),
            dropped_targets: self.dropped_targets.into_iter().map(dropped).collect(),
        }
    }
}

/// What is known of metrics, by name.
pub(super) type Metadata = BTreeMap<String, Vec<MetricMeta>>;

/// Type, help and unit of a metric.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct MetricMeta {
    r#type: String,
    help: String,
    unit: String,
}

pub(super) fn metadata_into_wire(metadata: Metadata) -> MetricMetadata {
    let meta = |meta: MetricMeta| Meta {
        r#type: meta.r#type,
        help: meta.help,
        unit: meta.unit,
    };
    let entry = |(name, metas): (String, Vec<MetricMeta>)| {
        let metas = metas.into_iter().map(meta).collect();
        (name, MetricMetadataEntry { metas })
    };
    MetricMetadata {
        metadata: metadata.into_iter().map(entry).collect(),
    }
}

/// Exemplars of a series.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SeriesExemplars {
    series_labels: Pairs,
    exemplars: Vec<Exemplar>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Exemplar {
    labels: Pairs,
    value: String,
    /// Seconds.
    timestamp: f64,
}

impl SeriesExemplars {
    /// The message, or the value that is no number.
    pub(super) fn into_wire(self, external: &Labels) -> Result<ExemplarData, String> {
        let exemplar = |exemplar: Exemplar| {
            let value = exemplar.value.parse().map_err(|_| exemplar.value)?;
            Ok(wire::Exemplar {
                labels: plain(exemplar.labels),
                value,
                ts: (exemplar.timestamp * 1e3).round() as i64,
            })
        };
        let exemplars = self.exemplars.into_iter().map(exemplar);
        Ok(ExemplarData {
            series_labels: shown(self.series_labels, external),
            exemplars: exemplars.collect::<Result<_, String>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"{"groups": [{
        "name": "g", "file": "f.yml", "interval": 15, "limit": 0,
        "evaluationTime": 0.5, "lastEvaluation": "2020-01-01T00:00:01.250Z",
        "rules": [
            {"type": "alerting", "state": "firing", "name": "Down", "query": "up == 0",
             "duration": 60, "labels": {"severity": "page"}, "annotations": {"text": "gone"},
             "alerts": [{"labels": {"job": "a"}, "annotations": {}, "state": "firing",
                         "activeAt": "2020-01-01T00:00:00Z", "value": "0e+00"}],
             "health": "ok", "evaluationTime": 0.1, "lastEvaluation": "2020-01-01T00:00:00Z"},
            {"type": "recording", "name": "r", "query": "up", "health": "ok",
             "evaluationTime": 0.2, "lastEvaluation": "2020-01-01T00:00:00Z"}
        ]}]}"#;

    fn pairs(set: &Option<LabelSet>) -> String {
        Labels::try_from(set.as_ref().unwrap()).unwrap().to_string()
    }

    #[test]
    fn rules_keep_what_they_say() {
        let external = Labels::from_pairs([("cluster", "eu")]);
        let groups: Groups = serde_json::from_str(RULES).unwrap();
        let group = groups
            .groups
            .into_iter()
            .next()
            .unwrap()
            .into_wire(&external);
        assert_eq!((group.name.as_str(), group.interval), ("g", 15.0));
        let last = group.last_evaluation.unwrap();
        assert_eq!((last.seconds, last.nanos), (1_577_836_801, 250_000_000));
        let mut results = group.rules.into_iter().map(|rule| rule.result);
        let Some(Some(rule::Result::Alert(alert))) = results.next() else {
            panic!("an alerting rule");
        };
        let Some(Some(rule::Result::Recording(recording))) = results.next() else {
            panic!("a recording rule");
        };
        assert_eq!(alert.state(), AlertState::Firing);
        assert_eq!(alert.duration_seconds, 60.0);
        assert_eq!(pairs(&alert.labels), r#"{cluster="eu", severity="page"}"#);
        assert_eq!(pairs(&alert.annotations), r#"{text="gone"}"#);
        assert_eq!(pairs(&alert.alerts[0].labels), r#"{cluster="eu", job="a"}"#);
        assert_eq!(alert.alerts[0].value, "0e+00");
        assert_eq!(recording.name, "r");
        assert_eq!(pairs(&recording.labels), r#"{cluster="eu"}"#);
    }

    #[test]
    fn targets_keep_what_they_say() {
        let json = r#"{"activeTargets": [{"discoveredLabels": {"__address__": "a:1"},
            "labels": {"job": "x"}, "scrapePool": "x", "scrapeUrl": "http://a:1/metrics",
            "globalUrl": "http://a:1/metrics", "lastError": "", "health": "up",
            "lastScrape": "2020-01-01T00:00:00.5Z", "lastScrapeDuration": 0.25}],
            "droppedTargets": [{"discoveredLabels": {"__address__": "b:1"}}]}"#;
        let targets: Targets = serde_json::from_str(json).unwrap();
        let targets = targets.into_wire(&Labels::from_pairs([("cluster", "eu")]));
        let active = &targets.active_targets[0];
        assert_eq!(active.health(), TargetHealth::Up);
        assert_eq!(active.last_scrape_duration, 0.25);
        assert_eq!(pairs(&active.labels), r#"{cluster="eu", job="x"}"#);
        let dropped = &targets.dropped_targets[0].discovered_labels;
        assert_eq!(pairs(dropped), r#"{__address__="b:1", cluster="eu"}"#);
    }

    #[test]
    fn exemplars_keep_what_they_say() {
        let json = r#"[{"seriesLabels": {"__name__": "x"}, "exemplars": [
            {"labels": {"trace_id": "1"}, "value": "+Inf", "timestamp": 1600096945.479}]}]"#;
        let mut all: Vec<SeriesExemplars> = serde_json::from_str(json).unwrap();
        let data = all
            .remove(0)
            .into_wire(&Labels::from_pairs([("cluster", "eu")]));
        let data = data.unwrap();
        assert_eq!(
            pairs(&data.series_labels),
            r#"{__name__="x", cluster="eu"}"#
        );
        let exemplar = &data.exemplars[0];
        assert_eq!(
            (exemplar.value, exemplar.ts),
            (f64::INFINITY, 1_600_096_945_479)
        );
        assert_eq!(pairs(&exemplar.labels), r#"{trace_id="1"}"#);
    }
}
