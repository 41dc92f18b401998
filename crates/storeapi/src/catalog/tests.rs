//! From Prometheus' JSON through the wire and back.

use std::sync::Arc;

use model::{Exemplar, Labels};
use serde_json::{Value, json};

use super::statistics::HeadStatistics;
use super::*;
use crate::wire::catalog as wire;

fn groups() -> Value {
    json!({"groups": [{
    "name": "g", "file": "f.yml", "interval": 15.0, "limit": 0,
    "evaluationTime": 0.5, "lastEvaluation": "2020-01-01T00:00:01.25Z",
    "partialResponseStrategy": "ABORT",
    "rules": [
        {"type": "alerting", "state": "firing", "name": "Down", "query": "up == 0",
         "duration": 60.0, "keepFiringFor": 0.0,
         "labels": {"severity": "page"}, "annotations": {"text": "gone"},
         "alerts": [{"labels": {"job": "a"}, "annotations": {}, "state": "firing",
                     "activeAt": "2020-01-01T00:00:00Z", "value": "0e+00",
                     "partialResponseStrategy": "WARN"}],
         "health": "ok", "evaluationTime": 0.1, "lastEvaluation": "0001-01-01T00:00:00Z"},
        {"type": "recording", "name": "r", "query": "up", "health": "err",
         "lastError": "no", "evaluationTime": 0.2,
         "lastEvaluation": "2020-01-01T00:00:00Z"}
    ]}]})
}

#[test]
fn rules_keep_what_they_say() {
    let mut read: RuleGroups = serde_json::from_value(groups()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), groups());
    for group in &read.groups {
        let there_and_back = wire::group_from_wire(wire::group_to_wire(group)).unwrap();
        assert_eq!(&there_and_back, group);
    }
    let group = &mut read.groups[0];
    group.add_external(&Labels::from_pairs([("cluster", "eu")]));
    let Rule::Alerting(rule) = &group.rules[0] else {
        panic!("an alerting rule");
    };
    let (labels, alert) = (rule.labels.to_string(), rule.alerts[0].labels.to_string());
    assert_eq!(labels, r#"{cluster="eu", severity="page"}"#);
    // As in Thanos, whose page would else show each alert of two replicas twice.
    assert_eq!(alert, r#"{job="a"}"#);
    group.remove_labels(&["cluster".to_owned()]);
    assert_eq!(serde_json::to_value(&read).unwrap(), groups());
}

#[test]
fn targets_may_be_null() {
    // What a Prometheus of version 3 says of active targets only.
    let text = r#"{"activeTargets": [{"labels": null, "scrapePool": "a"}], "droppedTargets": null,
        "droppedTargetCounts": null}"#;
    let targets: Targets = serde_json::from_str(text).unwrap();
    assert_eq!(targets.active_targets[0].scrape_pool, "a");
    assert!(targets.dropped_targets.is_empty() && targets.dropped_target_counts.is_empty());
}

#[test]
fn targets_keep_what_they_say() {
    let text = json!({"activeTargets": [{"discoveredLabels": {"__address__": "a:1"},
        "labels": {"job": "x"}, "scrapePool": "x", "scrapeUrl": "http://a:1/metrics",
        "globalUrl": "http://a:1/metrics", "lastError": "", "health": "up",
        "lastScrape": "2020-01-01T00:00:00.5Z", "lastScrapeDuration": 0.25}],
        "droppedTargets": [{"discoveredLabels": {"__address__": "b:1"}}],
        "droppedTargetCounts": {}});
    let mut read: Targets = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), text);
    let mut back = Targets::default();
    wire::add_targets_from_wire(wire::targets_to_wire(&read), &mut back).unwrap();
    assert_eq!(back, read);
    read.add_external(&Labels::from_pairs([("cluster", "eu")]));
    let dropped = read.dropped_targets[0].discovered_labels.to_string();
    assert_eq!(dropped, r#"{__address__="b:1", cluster="eu"}"#);
    read.keep(TargetState::Dropped);
    assert_eq!(
        (read.active_targets.len(), read.dropped_targets.len()),
        (0, 1)
    );
    let unknown: ActiveTarget = serde_json::from_value(json!({"health": "odd"})).unwrap();
    assert_eq!(unknown.health, Health::Unknown);
}

#[test]
fn exemplars_keep_what_they_say() {
    let text = json!([{"seriesLabels": {"__name__": "x"}, "exemplars": [
        {"labels": {"trace_id": "1"}, "value": "+Inf", "timestamp": 1_600_096_945.479},
        {"labels": {}, "value": "1e-07", "timestamp": 5}]}]);
    let read: Vec<SeriesExemplars> = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), text);
    assert_eq!(read[0].exemplars[0].t, 1_600_096_945_479);
    let back = wire::exemplars_from_wire(&wire::exemplars_to_wire(&read[0])).unwrap();
    assert_eq!(back, read[0]);
    let bad = json!([{"exemplars": [{"value": "one", "timestamp": 5}]}]);
    assert!(serde_json::from_value::<Vec<SeriesExemplars>>(bad).is_err());
}

/// Says a fixed thing to each question.
#[derive(Debug)]
struct Fixed;

fn told<T: Send + 'static>(data: T) -> Answering<T> {
    let warnings = vec!["half".to_owned()];
    Box::pin(std::future::ready(Ok(Answer { data, warnings })))
}

impl Catalog for Fixed {
    fn rules(&self, request: RulesRequest) -> Answering<Vec<RuleGroup>> {
        assert_eq!(request.kind, Some(RuleKind::Alerting));
        assert_eq!((&*request.names[0], &*request.files[0]), ("n", "f"));
        assert_eq!(request.asker.partial_response, PartialResponse::Abort);
        assert_eq!(request.asker.tenant, "t");
        let groups: RuleGroups = serde_json::from_value(groups()).unwrap();
        told(groups.groups)
    }

    fn targets(&self, request: TargetsRequest) -> Answering<Targets> {
        assert_eq!(request.state, TargetState::Dropped);
        told(Targets {
            dropped_targets: vec![DroppedTarget::default()],
            ..Targets::default()
        })
    }

    fn metadata(&self, request: MetadataRequest) -> Answering<MetadataByMetric> {
        assert_eq!((&*request.metric, request.limit), ("up", None));
        let mut all = MetadataByMetric::default();
        for help in ["a", "b", "a"] {
            let metadata = MetricMetadata {
                help: help.to_owned(),
                ..MetricMetadata::default()
            };
            add_metadata(&mut all, "up", metadata);
        }
        told(all)
    }

    fn exemplars(&self, request: ExemplarsRequest) -> Answering<Vec<SeriesExemplars>> {
        assert_eq!(request.range, TimeRange::new(1, 5));
        assert_eq!(request.query, "up");
        told(vec![SeriesExemplars {
            series_labels: Labels::from_pairs([("__name__", "up")]),
            exemplars: vec![Exemplar {
                labels: Labels::empty(),
                t: 3,
                value: 1.5,
            }],
        }])
    }

    fn statistics(&self, request: StatisticsRequest) -> Answering<StatisticsByTenant> {
        assert_eq!((request.limit, &*request.asker.tenant), (Some(1), "t"));
        let head = |series, range| HeadStatistics {
            series,
            label_pairs: 7,
            chunks: 9,
            time_range: range,
            series_by_metric: vec![("up".to_owned(), series)],
            values_by_label: vec![("job".to_owned(), 1)],
            bytes_by_label: vec![("job".to_owned(), 4)],
            series_by_pair: vec![("job=a".to_owned(), 1)],
        };
        told(StatisticsByTenant::from([
            ("a".to_owned(), head(3, Some(TimeRange::new(1, 5)))),
            ("b".to_owned(), HeadStatistics::default()),
        ]))
    }
}

#[tokio::test]
async fn a_catalog_behind_grpc_says_the_same() {
    let services = Services {
        rules: true,
        targets: true,
        metadata: true,
        exemplars: Some((0, 9)),
        statistics: true,
    };
    let (there, _server) = crate::grpc::tests::catalog(Arc::new(Fixed), services).await;
    let asker = Asker {
        partial_response: PartialResponse::Abort,
        tenant: "t".to_owned(),
    };
    let rules = RulesRequest {
        kind: Some(RuleKind::Alerting),
        names: vec!["n".to_owned()],
        files: vec!["f".to_owned()],
        asker: asker.clone(),
        ..RulesRequest::default()
    };
    let answer = there.rules(rules.clone()).await.unwrap();
    assert_eq!(answer, Fixed.rules(rules).await.unwrap());
    let targets = TargetsRequest {
        state: TargetState::Dropped,
        ..TargetsRequest::default()
    };
    let answer = there.targets(targets.clone()).await.unwrap();
    assert_eq!(answer, Fixed.targets(targets).await.unwrap());
    let metadata = MetadataRequest {
        metric: "up".to_owned(),
        ..MetadataRequest::default()
    };
    let answer = there.metadata(metadata.clone()).await.unwrap();
    assert_eq!(answer.data["up"].len(), 2);
    assert_eq!(answer, Fixed.metadata(metadata).await.unwrap());
    let exemplars = ExemplarsRequest {
        query: "up".to_owned(),
        range: TimeRange::new(1, 5),
        ..ExemplarsRequest::default()
    };
    let answer = there.exemplars(exemplars.clone()).await.unwrap();
    assert_eq!(answer, Fixed.exemplars(exemplars).await.unwrap());
    let statistics = StatisticsRequest {
        limit: Some(1),
        asker,
    };
    let answer = there.statistics(statistics.clone()).await.unwrap();
    assert_eq!(answer, Fixed.statistics(statistics).await.unwrap());
}
