//! Endpoint by endpoint over a store in memory.

use model::{Labels, TimeRange};
use parking_lot::Mutex;
use runtime::http::{Abandonment, HeaderMap};
use runtime::{ManualClock, Reloads};
use serde_json::{Value, json};
use storeapi::catalog::statistics::HeadStatistics;
use storeapi::catalog::{ActiveTarget, DroppedTarget, MetricMetadata};
use storeapi::memory::{MemoryStore, float_chunk};

use super::*;

/// Says what a test expects to see; refuses every reload but the first.
#[derive(Default)]
struct Fixed {
    reloads: Mutex<usize>,
}

impl Control for Fixed {
    fn config_yaml(&self) -> String {
        "global: {}\n".to_owned()
    }

    fn reload(&self) -> Result<(), String> {
        let mut reloads = self.reloads.lock();
        *reloads += 1;
        if *reloads == 1 {
            return Ok(());
        }
        Err("line 1: it is wrong".to_owned())
    }

    fn ingest(&self) -> Value {
        json!({ "receivers": {}, "refused": [] })
    }

    fn targets(&self, pool: Option<&str>) -> Targets {
        Targets {
            active_targets: vec![ActiveTarget {
                scrape_pool: pool.unwrap_or_default().to_owned(),
                ..ActiveTarget::default()
            }],
            dropped_targets: vec![DroppedTarget::default()],
            ..Targets::default()
        }
    }

    fn targets_metadata(
        &self,
        matching: &dyn Fn(&Labels) -> bool,
        metric: Option<&str>,
        _: Option<usize>,
    ) -> Vec<TargetMetadata> {
        let target = Labels::from_pairs([("job", "x")]);
        let one = TargetMetadata {
            metric: metric.unwrap_or("up").to_owned(),
            metadata: MetricMetadata::default(),
            target: target.clone(),
        };
        matching(&target).then_some(one).into_iter().collect()
    }

    fn scrape_pools(&self) -> Vec<String> {
        vec!["a".to_owned()]
    }

    fn relabel_steps(&self, pool: &str, labels: &Labels) -> Option<Vec<Value>> {
        (pool == "a").then(|| vec![json!({ "output": labels.get("x") })])
    }

    fn metadata(&self, _: Option<&str>) -> MetadataByMetric {
        let metadata = MetricMetadata {
            kind: "gauge".to_owned(),
            unit: String::new(),
            help: "It is up.".to_owned(),
        };
        [
            ("up".to_owned(), vec![metadata.clone()]),
            ("vp".to_owned(), vec![metadata]),
        ]
        .into()
    }

    fn heads(&self) -> StatisticsByTenant {
        [("a", Some((5, 10))), ("b", None), ("c", Some((1, 8)))]
            .map(|(tenant, range)| {
                let head = HeadStatistics {
                    series: 2,
                    time_range: range.map(|(min, max)| TimeRange::new(min, max)),
                    series_by_metric: vec![("up".to_owned(), 2), ("vp".to_owned(), 1)],
                    ..HeadStatistics::default()
                };
                (tenant.to_owned(), head)
            })
            .into()
    }
}

struct Fixture {
    api: Api,
    reloads: Reloads,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    fn new() -> Self {
        let mut store = MemoryStore::new(Labels::from_pairs([("replica", "a")]));
        for job in ["x", "y"] {
            let labels = Labels::from_pairs([("__name__", "up"), ("job", job)]);
            store.insert(labels, [float_chunk(&[(1000, 1.0)])]);
        }
        let reloads = Reloads::new(2000);
        let about = About {
            version: "1.2.3",
            started_ms: 0,
            flags: [("tsdb.path".to_owned(), "./data".to_owned())].into(),
            memory: runtime::Memory::default(),
            reloads: reloads.clone(),
        };
        let clock = Arc::new(ManualClock::new(2000));
        Self {
            api: Api::new(Arc::new(store), Arc::new(Fixed::default()), clock, about),
            reloads,
            runtime: tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap(),
        }
    }

    fn request(&self, method: Method, target: &str) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            peer: None,
            waited: std::time::Duration::ZERO,
            abandonment: Abandonment::default(),
        };
        let _entered = self.runtime.enter();
        let response = self.api.handle(request);
        let status = response.status().as_u16();
        let body = response.into_bytes().unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn data(&self, target: &str) -> Value {
        let (status, body) = self.request(Method::GET, &format!("/api/v1/{target}"));
        assert_eq!(status, 200, "{target}: {body}");
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["data"].take()
    }
}

#[test]
fn labels_and_series_come_with_external_labels() {
    let api = Fixture::new();
    assert_eq!(api.data("labels"), json!(["__name__", "job", "replica"]));
    assert_eq!(api.data("label/job/values"), json!(["x", "y"]));
    assert_eq!(
        api.data("label/job/values?match[]=up{job='y'}"),
        json!(["y"])
    );
    assert_eq!(
        api.data("series?match[]=up{job='x'}&match[]=up{job!='y'}"),
        json!([{ "__name__": "up", "job": "x", "replica": "a" }])
    );
    assert_eq!(
        api.data("series?match[]=up&start=2")
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let (_, body) = api.request(Method::GET, "/api/v1/series?match[]=up&limit=1");
    assert!(body.contains("truncated due to limit"), "{body}");
}

#[test]
fn what_is_wrong_is_said() {
    let api = Fixture::new();
    for (target, status) in [
        ("/api/v1/series", 400),
        ("/api/v1/series?match[]={", 400),
        ("/api/v1/series?match[]={job=''}", 400),
        ("/api/v1/labels?start=x", 400),
        ("/api/v1/labels?limit=-1", 400),
        ("/api/v1/status/tsdb?limit=0", 400),
        ("/api/v1/targets/metadata?limit=-1", 200),
        ("/api/v1/targets/metadata?limit=x", 400),
        ("/api/v1/targets/relabel_steps", 400),
        ("/api/v1/targets/relabel_steps?scrapePool=a", 400),
        ("/api/v1/targets/relabel_steps?scrapePool=a&labels=[]", 400),
        ("/api/v1/targets/relabel_steps?scrapePool=b&labels={}", 400),
        ("/api/v1/targets/relabel_steps?scrapePool=a&labels={}", 200),
        ("/api/v1/status/tsdb?limit=10001", 400),
        ("/api/v1/nothing", 404),
        ("/nothing", 404),
    ] {
        assert_eq!(api.request(Method::GET, target).0, status, "{target}");
    }
    assert_eq!(api.request(Method::POST, "/api/v1/metadata").0, 405);
    assert_eq!(api.request(Method::DELETE, "/api/v1/labels").0, 405);
}

#[test]
fn the_process_says_what_it_is() {
    let api = Fixture::new();
    assert_eq!(api.data("status/config"), json!({ "yaml": "global: {}\n" }));
    assert_eq!(api.data("status/buildinfo")["application"], "Promontory");
    assert_eq!(api.data("status/flags")["tsdb.path"], "./data");
    assert_eq!(
        api.data("status/runtimeinfo")["startTime"],
        "1970-01-01T00:00:00Z"
    );
    assert_eq!(api.data("status/runtimeinfo")["reloadConfigSuccess"], true);
    api.reloads.note(false, 9000);
    let info = api.data("status/runtimeinfo");
    assert_eq!(info["reloadConfigSuccess"], false);
    assert_eq!(info["lastConfigTime"], "1970-01-01T00:00:02Z");
    let head = &api.data("status/tsdb")["headStats"];
    assert_eq!(
        (&head["numSeries"], &head["minTime"], &head["maxTime"]),
        (&json!(6), &json!(1), &json!(9))
    );
    let ranking = &api.data("status/tsdb?limit=1")["seriesCountByMetricName"];
    assert_eq!(ranking, &json!([{ "name": "up", "value": 6 }]));
    let tenants = api.data("status/tsdb?all_tenants=true");
    assert_eq!(tenants[1]["tenant"], "b");
    let targets = api.data("targets?scrapePool=p&state=active");
    assert_eq!(targets["activeTargets"][0]["scrapePool"], "p");
    assert_eq!(targets["droppedTargets"], json!([]));
    let of_target = |query: &str| api.data(&format!("targets/metadata?{query}"));
    assert_eq!(of_target("match_target={job='x'}")[0]["metric"], "up");
    assert_eq!(of_target("match_target={job='y'}"), json!([]));
    let metadata = api.data("metadata?limit=1");
    assert_eq!(
        metadata,
        json!({ "up": [{ "type": "gauge", "help": "It is up.", "unit": "" }] })
    );
}

#[test]
fn reload_is_asked_by_post() {
    let api = Fixture::new();
    assert_eq!(api.request(Method::GET, "/-/reload").0, 405);
    assert_eq!(api.request(Method::POST, "/-/reload").0, 200);
    let (status, body) = api.request(Method::PUT, "/-/reload");
    assert_eq!(
        (status, body.as_str()),
        (500, "failed to reload config: line 1: it is wrong\n")
    );
}
