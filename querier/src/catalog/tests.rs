//! Several endpoints that say nearly the same.

use model::Exemplar;
use serde_json::json;
use storeapi::catalog::{
    ActiveTarget, AlertState, AlertingRule, MetricMetadata, RecordingRule, Rule, RuleKind, When,
};
use storeapi::memory::MemoryStore;

use super::*;
use crate::stores::{FixedStore, FixedStores};

/// A replica of a Prometheus.
#[derive(Debug, Clone, Default)]
struct Replica {
    name: &'static str,
    groups: Vec<RuleGroup>,
    active: Vec<ActiveTarget>,
    help: &'static str,
    fails: bool,
}

fn told<T: Send + 'static>(data: T) -> Answering<T> {
    Box::pin(std::future::ready(Ok(data.into())))
}

impl Replica {
    fn external(&self) -> Labels {
        Labels::from_pairs([("cluster", "eu"), ("replica", self.name)])
    }
}

impl Catalog for Replica {
    fn rules(&self, _: RulesRequest) -> Answering<Vec<RuleGroup>> {
        if self.fails {
            let error = StoreError::new(ErrorKind::Unavailable, "down");
            return Box::pin(std::future::ready(Err(error)));
        }
        let mut groups = self.groups.clone();
        for group in &mut groups {
            group.add_external(&self.external());
        }
        told(groups)
    }

    fn targets(&self, _: TargetsRequest) -> Answering<Targets> {
        let mut targets = Targets {
            active_targets: self.active.clone(),
            ..Targets::default()
        };
        targets.add_external(&self.external());
        told(targets)
    }

    fn metadata(&self, _: MetadataRequest) -> Answering<MetadataByMetric> {
        let metadata = |help: &str| MetricMetadata {
            help: help.to_owned(),
            ..MetricMetadata::default()
        };
        told(MetadataByMetric::from([
            ("up".to_owned(), vec![metadata("same"), metadata(self.help)]),
            (format!("vp_{}", self.name), vec![metadata("")]),
        ]))
    }

    fn exemplars(&self, request: ExemplarsRequest) -> Answering<Vec<SeriesExemplars>> {
        // It does not know of external labels.
        assert_eq!(request.query, r#"{__name__="up"}"#);
        let exemplar = |t, value| Exemplar {
            labels: Labels::empty(),
            t,
            value,
        };
        let mut series = SeriesExemplars {
            series_labels: Labels::from_pairs([("__name__", "up")]),
            exemplars: vec![exemplar(7, self.name.len() as f64), exemplar(5, 1.0)],
        };
        series.add_external(&self.external());
        told(vec![series])
    }

    fn statistics(&self, _: StatisticsRequest) -> Answering<StatisticsByTenant> {
        let (series, pairs) = match self.name {
            "a" => (3, [("job=x", 3), ("job=y", 1)]),
            _ => (5, [("job=y", 4), ("job=z", 2)]),
        };
        let head = HeadStatistics {
            series,
            time_range: Some(TimeRange::new(1, 1 + series as i64)),
            series_by_pair: pairs.map(|(name, n)| (name.to_owned(), n)).to_vec(),
            ..HeadStatistics::default()
        };
        let own = (self.name.to_owned(), HeadStatistics::default());
        told([("default-tenant".to_owned(), head), own].into())
    }
}

fn all(replicas: &[Replica]) -> AllCatalogs {
    let store = |replica: &Replica| FixedStore {
        component: "sidecar",
        name: replica.name.to_owned(),
        store: Arc::new(MemoryStore::new(replica.external())),
        catalog: Some((SERVICES, Arc::new(replica.clone()))),
    };
    let stores = FixedStores::new(replicas.iter().map(store).collect());
    let labels = vec!["replica".to_owned()];
    AllCatalogs::new(Arc::new(stores), labels, Duration::ZERO)
}

fn alerting(state: AlertState, at: i64) -> Rule {
    Rule::Alerting(AlertingRule {
        name: "Down".to_owned(),
        state,
        labels: Labels::from_pairs([("severity", "page"), ("text", "{{ $value }}")]),
        last_evaluation: When::at(at),
        ..AlertingRule::default()
    })
}

fn group(name: &str, rules: Vec<Rule>) -> RuleGroup {
    RuleGroup {
        name: name.to_owned(),
        file: "f.yml".to_owned(),
        rules,
        ..RuleGroup::default()
    }
}

fn two_replicas() -> [Replica; 2] {
    let recording = |at| {
        Rule::Recording(RecordingRule {
            name: "r".to_owned(),
            last_evaluation: When::at(at),
            ..RecordingRule::default()
        })
    };
    let target = |at, health: &str| -> ActiveTarget {
        let mut target: ActiveTarget = serde_json::from_value(json!({
            "labels": {"job": "x"}, "health": health,
        }))
        .unwrap();
        target.last_scrape = When::at(at);
        target
    };
    [
        Replica {
            name: "a",
            groups: vec![
                group("h", vec![]),
                group("g", vec![recording(1), alerting(AlertState::Pending, 9)]),
            ],
            active: vec![target(1, "up")],
            help: "one",
            fails: false,
        },
        Replica {
            name: "bb",
            groups: vec![group(
                "g",
                vec![recording(2), alerting(AlertState::Firing, 3)],
            )],
            active: vec![target(2, "down")],
            help: "two",
            fails: false,
        },
    ]
}

#[tokio::test]
async fn replicas_say_it_once() {
    let all = all(&two_replicas());
    let groups = all.rules(RulesRequest::default()).await.unwrap().data;
    let names: Vec<_> = groups.iter().map(|group| &*group.name).collect();
    assert_eq!(names, ["g", "h"]);
    let [Rule::Alerting(alerting), Rule::Recording(recording)] = &groups[0].rules[..] else {
        panic!("one of each: {groups:?}");
    };
    assert_eq!(alerting.state, AlertState::Firing);
    assert_eq!(recording.last_evaluation, When::at(2));
    assert_eq!(recording.labels.to_string(), r#"{cluster="eu"}"#);

    let targets = all.targets(TargetsRequest::default()).await.unwrap().data;
    let health = serde_json::to_value(&targets.active_targets).unwrap();
    assert_eq!(
        (health.as_array().unwrap().len(), &health[0]["health"]),
        (1, &json!("down"))
    );

    let metadata = all.metadata(MetadataRequest::default()).await.unwrap().data;
    let helps: Vec<_> = metadata["up"].iter().map(|m| &*m.help).collect();
    assert_eq!(helps, ["same", "one", "two"]);
    let limited = MetadataRequest {
        limit: Some(2),
        ..MetadataRequest::default()
    };
    assert_eq!(all.metadata(limited).await.unwrap().data.len(), 2);
}

#[tokio::test]
async fn exemplars_are_asked_without_external_labels_and_merged() {
    let all = all(&two_replicas());
    let ask = async |query: &str| {
        let request = ExemplarsRequest {
            query: query.to_owned(),
            ..ExemplarsRequest::default()
        };
        all.exemplars(request).await.unwrap().data
    };
    let found = ask(r#"rate(up{cluster="eu"}[5m])"#).await;
    assert_eq!(found.len(), 1);
    let labels = found[0].series_labels.to_string();
    assert_eq!(labels, r#"{__name__="up", cluster="eu"}"#);
    let values: Vec<_> = found[0].exemplars.iter().map(|e| (e.t, e.value)).collect();
    assert_eq!(values, [(5, 1.0), (7, 1.0), (7, 2.0)]);
    assert_eq!(ask(r#"up{replica="bb"}"#).await[0].exemplars.len(), 2);
    assert!(ask(r#"up{cluster="us"}"#).await.is_empty());
}

#[tokio::test]
async fn only_rules_that_are_meant_are_shown() {
    let all = all(&two_replicas());
    let ask = async |request: RulesRequest| {
        let groups = all.rules(request).await.unwrap().data;
        let names = |group: RuleGroup| -> Vec<String> {
            let rules = group.rules.iter();
            rules
                .map(|rule| format!("{}/{}", group.name, rule.name()))
                .collect()
        };
        groups.into_iter().map(names).collect::<Vec<_>>()
    };
    let list = |text: &str| vec![text.to_owned()];
    let none = RulesRequest::default;
    let down = vec![list("g/Down")];
    let of_kind = RulesRequest {
        kind: Some(RuleKind::Alerting),
        ..none()
    };
    assert_eq!(ask(of_kind).await, down);
    for (matcher, is_found) in [
        (r#"{severity="page"}"#, true),
        (r#"{cluster="eu",severity!=""}"#, true),
        (r#"{text=~".+"}"#, false),
    ] {
        let request = RulesRequest {
            matchers: list(matcher),
            ..none()
        };
        let expected = if is_found { down.clone() } else { Vec::new() };
        assert_eq!(ask(request).await, expected, "{matcher}");
    }
    for (request, groups) in [
        (
            RulesRequest {
                groups: list("h"),
                ..none()
            },
            1,
        ),
        (
            RulesRequest {
                files: list("other"),
                ..none()
            },
            0,
        ),
        (
            RulesRequest {
                names: list("r"),
                ..none()
            },
            1,
        ),
    ] {
        assert_eq!(ask(request).await.len(), groups);
    }
    let broken = RulesRequest {
        matchers: list("{"),
        ..none()
    };
    assert_eq!(
        all.rules(broken).await.unwrap_err().kind,
        ErrorKind::Invalid
    );
}

#[tokio::test]
async fn one_that_fails_is_a_warning_or_an_error() {
    let [good, mut bad] = two_replicas();
    bad.fails = true;
    let all = all(&[good, bad]);
    let answer = all.rules(RulesRequest::default()).await.unwrap();
    assert_eq!(
        (answer.data.len(), answer.warnings),
        (2, vec!["bb: down".to_owned()])
    );
    let strict = RulesRequest {
        asker: Asker {
            partial_response: PartialResponse::Abort,
            ..Asker::default()
        },
        ..RulesRequest::default()
    };
    assert_eq!(all.rules(strict).await.unwrap_err().message, "bb: down");
}

#[tokio::test]
async fn heads_are_summed_by_tenant() {
    let replicas = ["a", "b"].map(|name| Replica {
        name,
        ..Replica::default()
    });
    let answer = all(&replicas).statistics(StatisticsRequest::default());
    let heads = answer.await.unwrap().data;
    let tenants: Vec<_> = heads.keys().map(String::as_str).collect();
    assert_eq!(tenants, ["a", "b", "default-tenant"]);
    let head = &heads["default-tenant"];
    assert_eq!(
        (head.series, head.time_range),
        (8, Some(TimeRange::new(1, 6)))
    );
    let pairs: Vec<_> = head
        .series_by_pair
        .iter()
        .map(|(n, c)| (n.as_str(), *c))
        .collect();
    assert_eq!(pairs, [("job=y", 5), ("job=x", 3), ("job=z", 2)]);
}
