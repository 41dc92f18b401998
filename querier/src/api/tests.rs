//! Endpoint by endpoint over a small block: 2 series of 10 samples, and one that ended.

mod lookout;

use std::path::Path;

use model::{Labels, TimeRange};
use runtime::http::{Abandonment, HeaderMap};
use runtime::{ManualClock, Reloads};
use serde_json::{Value, json};
use tempfile::TempDir;
use tsdb::block::{BlockWriter, Meta};
use tsdb::chunk::SeriesEncoder;
use tsdb::db::DataDir;
use ulid::Ulid;

use super::*;
use crate::catalog::AllCatalogs;
use crate::figures::{Bounds, Figures};
use crate::lanes::Lanes;
use crate::pool::Pool;
use crate::query_log::{LogFile, Slow};
use crate::stores::{FixedStore, FixedStores};

fn write_block(dir: &Path) {
    let ulid = Ulid::from_parts(1, 1);
    let mut writer = BlockWriter::create(dir, ulid).unwrap();
    for symbol in ["__name__", "a.b", "job", "up", "x", "y", "z"] {
        writer.add_symbol(symbol).unwrap();
    }
    for (labels, count) in [
        (Labels::from_pairs([("__name__", "up"), ("a.b", "z")]), 1),
        (Labels::from_pairs([("__name__", "up"), ("job", "x")]), 10),
        (Labels::from_pairs([("__name__", "up"), ("job", "y")]), 10),
    ] {
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        for i in 0..count {
            chunks.extend(encoder.push_float(i * 60_000, i as f64).unwrap());
        }
        chunks.extend(encoder.finish());
        writer.add_series(&labels, &chunks).unwrap();
    }
    let meta = Meta::new(ulid, TimeRange::new(0, 600_000));
    writer.finish(meta).unwrap().unwrap();
}

struct Fixture {
    api: Api,
    _runtime: tokio::runtime::Runtime,
    _dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::of(Settings::default())
    }

    fn of(settings: Settings) -> Self {
        Self::logging(settings, QueryLog::new(Slow::Never, LogFile::default))
    }

    fn logging(settings: Settings, log: QueryLog) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_block(dir.path());
        let about = About {
            version: "1.2.3",
            started_ms: 0,
            flags: [("data-dir".to_owned(), "x".to_owned())].into(),
            memory: runtime::Memory::default(),
            reloads: Reloads::new(2000),
        };
        let local = LocalStore::new(DataDir::open(dir.path(), 0).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let stores = Arc::new(FixedStores::new(vec![FixedStore {
            component: "debug",
            name: "here".to_owned(),
            store: Arc::new(local.clone()),
            catalog: None,
        }]));
        let evaluator = Evaluator {
            stores: Arc::<FixedStores>::clone(&stores),
            pool: Arc::new(Pool::start(2).unwrap()),
            runtime: runtime.handle().clone(),
            lanes: Lanes::new(2),
            settings,
            active: None,
        };
        Self {
            api: Api::new(Parts {
                figures: Arc::new(Figures::new(
                    Arc::<FixedStores>::clone(&stores),
                    20,
                    Bounds::default(),
                )),
                evaluator: Arc::new(evaluator),
                store: Arc::new(local.clone()),
                catalog: Arc::new(AllCatalogs::new(stores, Vec::new(), Duration::ZERO)),
                local: Some(local),
                clock: Arc::new(ManualClock::new(540_000)),
                log: Arc::new(log),
                about,
            }),
            _runtime: runtime,
            _dir: dir,
        }
    }

    fn request(&self, method: Method, target: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: Default::default(),
            peer: None,
            waited: Duration::ZERO,
            abandonment: Abandonment::default(),
        }
    }

    fn answer(&self, method: Method, target: &str) -> Response {
        self.api.handle(self.request(method, target))
    }

    fn send(&self, method: Method, target: &str) -> (u16, String) {
        let response = self.answer(method, target);
        let status = response.status().as_u16();
        let body = response.into_bytes().unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn get(&self, target: &str) -> (u16, Value) {
        let (status, body) = self.send(Method::GET, &format!("{PREFIX}{target}"));
        (status, serde_json::from_str(&body).unwrap())
    }

    /// The lines that are logged of what is asked.
    fn logged(targets: &[&str]) -> Vec<Value> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("q.log");
        let log = QueryLog::with_file(Slow::Never, Some(file.clone())).unwrap();
        let fixture = Self::logging(Settings::default(), log);
        for target in targets {
            fixture.get(target);
        }
        let text = std::fs::read_to_string(file).unwrap();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }

    /// The data of an answer that is a success.
    fn data(&self, target: &str) -> Value {
        let (status, mut answer) = self.get(target);
        assert_eq!((status, &answer["status"]), (200, &json!("success")));
        answer["data"].take()
    }

    /// Status, type and text of an error.
    fn error(&self, target: &str) -> (u16, String, String) {
        let (status, answer) = self.get(target);
        assert_eq!(answer["status"], "error", "{answer}");
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        (status, text("errorType"), text("error"))
    }
}

/// As in Thanos, for whose users `.*` is what a variable of a dashboard is when it says nothing.
#[test]
fn selectors_of_all_series_are_for_those_who_may() {
    let target = "label/__name__/values?match[]={nolabel=~'.*'}";
    let closed = Fixture::new();
    assert_eq!(closed.get(target).0, 400);
    let open = Fixture::of(Settings {
        open_selectors: true,
        ..Settings::default()
    });
    assert_eq!(open.data(target), closed.data("label/__name__/values"));
}

#[test]
fn queries_are_logged_once_with_what_came_of_them() {
    let lines = Fixture::logged(&[
        "query?query=sum(up)&time=300",
        "query_range?query=up&start=60&end=301&step=60",
        // Kept results, too, are asked for.
        "query_range?query=up&start=60&end=301&step=60",
        "query?query=up&timeout=0s",
        "labels",
        // As in Prometheus what cannot be parsed is not logged.
        "query?query=sum(",
    ]);
    let shown: Vec<_> = lines
        .iter()
        .map(|line| {
            let params = &line["params"];
            let error = line["error"].as_str().map(|error| &error[..15]);
            let path = line["httpRequest"]["path"].as_str().unwrap();
            json!([path, params["query"], params["end"], params["step"], error])
        })
        .collect();
    let range = json!([
        "/api/v1/query_range",
        "up",
        "1970-01-01T00:05:01.000Z",
        60,
        null
    ]);
    let timed_out = json!([
        "/api/v1/query",
        "up",
        "1970-01-01T00:09:00.000Z",
        0,
        "query timed out"
    ]);
    let instant = json!([
        "/api/v1/query",
        "sum(up)",
        "1970-01-01T00:05:00.000Z",
        0,
        null
    ]);
    assert_eq!(shown, [instant, range.clone(), range, timed_out]);
    let samples = &lines[1]["stats"]["samples"]["totalQueryableSamples"];
    assert!(samples.as_u64().is_some_and(|n| n > 0), "{samples}");
}

#[test]
fn query() {
    let f = Fixture::new();
    assert_eq!(
        f.data("query?query=up{job='x'}%2b1"),
        json!({"resultType": "vector", "result": [{"metric": {"job": "x"}, "value": [540, "10"]}]})
    );
    assert_eq!(
        f.data("query?query=1&time=1970-01-01T00:00:01.5Z"),
        json!({"resultType": "scalar", "result": [1.5, "1"]})
    );
    // The one sample of the series is older than 5 minutes, but not than 10.
    let ended = "query?query=count(up)";
    assert_eq!(f.data(ended)["result"][0]["value"][1], "2");
    let longer = format!("{ended}&lookback_delta=10m");
    assert_eq!(f.data(&longer)["result"][0]["value"][1], "3");
}

#[test]
fn query_shows_what_was_left_out_and_what_it_took() {
    let f = Fixture::new();
    let (_, answer) = f.get("query?query=up&limit=1&stats=all");
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(
        answer["warnings"],
        json!(["results truncated due to limit"])
    );
    let samples = &answer["data"]["stats"]["samples"];
    assert_eq!(samples["totalQueryableSamples"], 2);
    assert_eq!(samples["totalQueryableSamplesPerStep"], json!([[540, 2]]));
    assert!(answer["data"]["stats"]["timings"]["evalTotalTime"].is_number());
    let (_, answer) = f.get("query?query=rate(up[5m])&stats=1");
    assert!(
        answer["infos"][0]
            .as_str()
            .unwrap()
            .contains("metric might not be a counter")
    );
    let samples = &answer["data"]["stats"]["samples"];
    assert!(samples.get("totalQueryableSamplesPerStep").is_none());
}

#[test]
fn query_range() {
    let f = Fixture::new();
    assert_eq!(
        f.data("query_range?query=up{job='y'}&start=0&end=120.0&step=1m"),
        json!({"resultType": "matrix", "result": [
            {"metric": {"__name__": "up", "job": "y"}, "values": [[0, "0"], [60, "1"], [120, "2"]]}
        ]})
    );
    // 11,000 intervals are allowed, which are 11,001 points.
    let data = f.data("query_range?query=1&start=0&end=11000&step=1");
    assert_eq!(
        data["result"][0]["values"].as_array().unwrap().len(),
        11_001
    );
}

/// Target of a request; status, type and text of the error that it gets.
type Refusal = (&'static str, u16, &'static str, &'static str);

const REFUSALS: &[Refusal] = &[
    (
        "query?query=",
        400,
        "bad_data",
        r#"invalid parameter "query": unknown position: parse error: no expression found in input"#,
    ),
    (
        "query?query=1&time=x",
        400,
        "bad_data",
        r#"invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp"#,
    ),
    (
        "query?query=1&timeout=x",
        400,
        "bad_data",
        r#"invalid parameter "timeout": cannot parse "x" to a valid duration"#,
    ),
    (
        "query?query=1&limit=-1",
        400,
        "bad_data",
        r#"invalid parameter "limit": limit must be non-negative"#,
    ),
    (
        "query?query=%zz",
        400,
        "bad_data",
        r#"error parsing form values: invalid URL escape "%zz""#,
    ),
    (
        "query?query=up&timeout=0s",
        503,
        "timeout",
        "query timed out in query execution: it was not done within 0ns (--query.timeout, or the parameter timeout)",
    ),
    (
        "query_range?query=up",
        400,
        "bad_data",
        r#"invalid parameter "start": cannot parse "" to a valid timestamp"#,
    ),
    // Of several that are wrong Prometheus names the one that it reads first, and the query last.
    (
        "query_range?query=(&start=1&end=x&step=z",
        400,
        "bad_data",
        r#"invalid parameter "end": cannot parse "x" to a valid timestamp"#,
    ),
    (
        "query_range?query=(&start=1&end=2&step=z",
        400,
        "bad_data",
        r#"invalid parameter "step": cannot parse "z" to a valid duration"#,
    ),
    (
        "query_range?query=(&start=1&end=2&step=1&timeout=x",
        400,
        "bad_data",
        r#"invalid parameter "timeout": cannot parse "x" to a valid duration"#,
    ),
    (
        "query?query=(&time=x",
        400,
        "bad_data",
        r#"invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp"#,
    ),
    (
        "query_range?query=up&start=1&end=0&step=1",
        400,
        "bad_data",
        r#"invalid parameter "end": end timestamp must not be before start time"#,
    ),
    (
        "query_range?query=up&start=0&end=1&step=0",
        400,
        "bad_data",
        r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
    ),
    (
        "query_range?query=up&start=0&end=11001&step=1",
        400,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
    ),
    (
        "query_range?query=up[1m]&start=0&end=1&step=1",
        400,
        "bad_data",
        r#"invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or instant Vector"#,
    ),
    (
        "query_exemplars?query=(",
        400,
        "bad_data",
        r#"1:2: parse error: unclosed left parenthesis"#,
    ),
    ("series", 400, "bad_data", "no match[] parameter provided"),
    (
        "rules?match[]={}",
        400,
        "bad_data",
        "match[] must contain at least one non-empty matcher",
    ),
    (
        "rules?group_limit=0",
        400,
        "bad_data",
        r#"invalid parameter "group_limit": group_limit needs to be greater than 0"#,
    ),
    (
        "rules?group_limit=1&group_next_token=a",
        400,
        "bad_data",
        r#"invalid parameter "group_next_token": invalid group_next_token 'a'. were rule groups changed?"#,
    ),
    (
        "series?match[]={}",
        400,
        "bad_data",
        r#"invalid parameter "match[]": match[] must contain at least one non-empty matcher"#,
    ),
    (
        "label//values",
        400,
        "bad_data",
        r#"invalid label name: """#,
    ),
    (
        "status/tsdb?limit=0",
        400,
        "bad_data",
        "limit must be a positive number",
    ),
];

#[test]
fn requests_are_refused_with_prometheus_words() {
    let f = Fixture::new();
    for (target, status, kind, error) in REFUSALS {
        let expected = (*status, (*kind).to_owned(), (*error).to_owned());
        assert_eq!(f.error(target), expected, "{target}");
    }
}

#[test]
fn a_query_that_is_abandoned_stops() {
    let f = Fixture::new();
    let abandonment = Abandonment::default();
    abandonment.abandon();
    let response = f.api.handle(Request {
        method: Method::GET,
        path: format!("{PREFIX}query"),
        query: "query=up".to_owned(),
        headers: HeaderMap::new(),
        body: Default::default(),
        peer: None,
        waited: Duration::ZERO,
        abandonment,
    });
    assert_eq!(response.status().as_u16(), 499);
}

#[test]
fn labels_and_series() {
    let f = Fixture::new();
    assert_eq!(f.data("labels"), json!(["__name__", "a.b", "job"]));
    assert_eq!(
        f.data("labels?match[]=up{job='x'}"),
        json!(["__name__", "job"])
    );
    assert_eq!(f.data("labels?start=700"), json!([]));
    assert_eq!(f.data("label/job/values"), json!(["x", "y"]));
    assert_eq!(f.data("label/U__a_2e_b/values"), json!(["z"]));
    assert_eq!(f.data("label/a.b/values"), json!(["z"]));
    assert_eq!(f.data("label/none/values"), json!([]));
    let (_, answer) = f.get("label/job/values?limit=1");
    assert_eq!(answer["data"], json!(["x"]));
    assert_eq!(answer["warnings"][0], "results truncated due to limit");
    assert_eq!(
        f.data("series?match[]=up{job='y'}&match[]={job=~'x|y'}"),
        json!([{"__name__": "up", "job": "x"}, {"__name__": "up", "job": "y"}])
    );
    // The series that ended has no chunk there.
    let late = f.data("series?match[]=up&start=300");
    assert_eq!(late.as_array().unwrap().len(), 2);
}

#[test]
fn expressions_are_formatted_and_parsed() {
    let f = Fixture::new();
    assert_eq!(
        f.data("format_query?query=sum(up)by(job)"),
        "sum by (job) (up)"
    );
    assert_eq!(f.data("parse_query?query=-x")["type"], "unaryExpr");
}

#[test]
fn status() {
    let f = Fixture::new();
    let build = f.data("status/buildinfo");
    assert!(build["version"].as_str().unwrap().starts_with("3."));
    assert!(build.get("features").is_none());
    assert_eq!(f.data("status/flags"), json!({"data-dir": "x"}));
    assert!(f.data("status/config")["yaml"].is_string());
    assert_eq!(
        f.data("status/runtimeinfo")["startTime"],
        "1970-01-01T00:00:00Z"
    );
    let info = f.data("status/runtimeinfo");
    assert_eq!(info["reloadConfigSuccess"], true);
    assert_eq!(info["lastConfigTime"], "1970-01-01T00:00:02Z");
    assert_eq!(f.data("status/tsdb")["headStats"]["numSeries"], 0);
    let blocks = f.data("status/tsdb/blocks");
    assert_eq!(blocks["blocks"][0]["stats"]["numSeries"], 3);
}

#[test]
fn what_is_not_there_is_empty() {
    let f = Fixture::new();
    assert_eq!(f.data("metadata?limit=3"), json!({}));
    assert_eq!(f.data("rules?type=alert"), json!({"groups": []}));
    assert_eq!(f.data("alerts"), json!({"alerts": []}));
    for targets in [
        "targets",
        "targets?state=unknown",
        "targets?state=any&scrapePool=x",
    ] {
        assert_eq!(f.data(targets)["activeTargets"], json!([]));
    }
    assert_eq!(f.data("alertmanagers")["activeAlertmanagers"], json!([]));
    assert_eq!(f.data("query_exemplars?query=up&start=0&end=1"), json!([]));
}

#[test]
fn paths_and_methods() {
    let f = Fixture::new();
    let (status, page) = f.send(Method::GET, "/");
    assert!(status == 200 && page.starts_with("<!doctype html>"));
    for (page, location) in [
        (
            "/graph?g0.expr=up%7B%7D&g0.tab=1",
            "/?g0.expr=up%7B%7D&g0.tab=1",
        ),
        ("/targets", "/"),
    ] {
        let answer = f.answer(Method::GET, page);
        assert_eq!(answer.status(), 302);
        assert_eq!(answer.headers()["location"], location);
    }
    assert_eq!(f.send(Method::GET, "/api/v1/nothing").0, 404);
    assert_eq!(f.send(Method::GET, "/api/v2/query").0, 404);
    assert_eq!(f.send(Method::PUT, "/api/v1/query").0, 405);
    assert_eq!(f.send(Method::POST, "/api/v1/rules").0, 405);
    assert_eq!(f.send(Method::POST, "/api/v1/query?query=1").0, 200);
    assert_eq!(f.api.cost("/api/v1/query"), Cost::Large);
    assert_eq!(f.api.cost("/api/v1/status/buildinfo"), Cost::Small);
}

#[test]
fn work_is_shown_by_operator() {
    let api = Fixture::new();
    let data = api.data("query?query=sum(up)&analyze=true");
    let analysis = &data["analysis"];
    assert!(analysis["executionTime"].is_string(), "{analysis}");
    let below = &analysis["children"][0];
    assert!(below["totalSamples"].as_u64() > Some(0), "{analysis}");
    assert!(api.data("query?query=sum(up)")["analysis"].is_null());
    let range = "query_range?query=sum(up)&start=0&end=300&step=60";
    let data = api.data(&format!("{range}&analyze=1"));
    assert!(data["analysis"]["name"].is_string());
}

#[test]
fn shards_are_the_whole_together() {
    let api = Fixture::new();
    let count = |index: usize| {
        let shard = format!(
            "%7B%22shard_index%22:{index},%22total_shards%22:2,%22by%22:true,%22labels%22:[%22job%22]%7D"
        );
        let data = api.data(&format!("query?query=up&time=0&shard_info={shard}"));
        data["result"].as_array().unwrap().len()
    };
    let all = api.data("query?query=up&time=0")["result"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!((count(0) + count(1), all), (3, 3));
    let (status, _, text) = api.error("query?query=up&shard_info=x");
    assert_eq!(status, 400);
    assert!(
        text.starts_with("invalid parameter \"shard_info\""),
        "{text}"
    );
}

#[test]
fn plans_are_explained() {
    let api = Fixture::new();
    let plan = api.data("query_explain?query=sum(up)");
    assert!(
        plan["children"][0]["name"].as_str().unwrap().contains("up"),
        "{plan}"
    );
    let range = "query_range_explain?query=rate(up[1m])&start=0&end=300&step=60";
    assert!(api.data(&format!("{range}&engine=thanos"))["name"].is_string());
    assert_eq!(api.error(&format!("{range}&engine=prometheus")).0, 400);
    assert_eq!(api.error("query?query=up&engine=other").0, 400);
    assert_eq!(api.get("query?query=up&engine=prometheus").0, 200);
}

#[test]
fn what_nobody_has_is_empty() {
    let api = Fixture::new();
    for (target, expected) in [
        ("scrape_pools", json!({"scrapePools": []})),
        ("rules", json!({"groups": []})),
        (
            "rules?type=alert&exclude_alerts=true",
            json!({"groups": []}),
        ),
        ("alerts", json!({"alerts": []})),
        ("metadata?limit=0", json!({})),
        ("query_exemplars?query=up", json!([])),
        ("query_exemplars?query=1", json!([])),
    ] {
        assert_eq!(api.data(target), expected, "{target}");
    }
    assert_eq!(api.data("status/walreplay")["state"], "done");
    let features = api.data("features");
    for (category, name, is_on) in [
        ("api", "query_stats", true),
        ("promql", "anchored", false),
        ("promql", "duration_expr", true),
        ("promql_functions", "rate", true),
        ("promql_functions", "info", false),
        ("promql_operators", "=~", true),
        ("promql_operators", "topk", true),
        ("promql_operators", "limitk", false),
        ("promql_operators", "</", true),
    ] {
        assert_eq!(features[category][name], is_on, "{category}.{name}");
    }
    for (target, text) in [
        (
            "rules?type=x",
            "invalid parameter \"type\": not supported value \"x\"",
        ),
        ("metadata?limit=x", "limit must be a number"),
        (
            "query_exemplars?query=up%7B",
            "1:4: parse error: unexpected end of input inside braces",
        ),
        (
            "query_exemplars?query=up&start=2&end=1",
            "end timestamp must not be before start timestamp",
        ),
    ] {
        let (status, kind, message) = api.error(target);
        assert_eq!((status, &*kind, &*message), (400, "bad_data", text));
    }
}

#[test]
fn what_is_described_is_there() {
    let fixture = Fixture::new();
    for route in routes::ROUTES {
        let path = format!("{PREFIX}{}", route.name.replace("{name}", "job"));
        let (status, body) = fixture.send(Method::GET, &path);
        assert!(matches!(status, 200 | 400), "{path}: {status} {body}");
        let (status, _) = fixture.send(Method::POST, &path);
        assert_eq!(status != 405, route.takes_post, "{path}");
    }
    let (status, body) = fixture.send(Method::GET, "/api/v1/openapi.yaml?openapi_version=3.2");
    assert_eq!(status, 200);
    assert!(body.starts_with("openapi: \"3.2.0\"\n"), "{body}");
    assert_eq!(fixture.send(Method::POST, openapi::PATH).0, 405);
    for path in status::LIFECYCLE {
        let disabled = "Lifecycle API is not enabled.\n".to_owned();
        assert_eq!(fixture.send(Method::POST, path), (403, disabled));
        assert_eq!(fixture.send(Method::GET, path).0, 405);
    }
    assert_eq!(fixture.send(Method::GET, "/api/v1/search/other").0, 404);
}

#[test]
fn federation_speaks_the_form_that_is_wanted() {
    let fixture = Fixture::new();
    let of = |accept: &'static str| {
        let mut request = fixture.request(Method::GET, "/federate?match[]=up");
        let accept = HeaderValue::from_static(accept);
        request.headers.insert(header::ACCEPT, accept);
        let response = fixture.api.handle(request);
        let content_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
        let content_type = content_type.to_owned();
        (content_type, response.into_bytes().unwrap())
    };
    const MESSAGES: &str = "application/vnd.google.protobuf;\
        proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let (content_type, body) = of(MESSAGES);
    assert!(content_type.ends_with("encoding=delimited; escaping=underscores"));
    assert_eq!(&body[1..5], b"\x0a\x02up");
    assert_eq!(body.len(), usize::from(body[0]) + 1);
    for text in [
        "text/plain",
        "*/*",
        "application/openmetrics-text",
        "text/plain;q=0.5,application/vnd.google.protobuf;\
        proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.1",
    ] {
        assert!(of(text).0.starts_with("text/plain"), "{text}");
    }
}

#[test]
fn federation_shows_the_newest_sample_of_each_living_series() {
    let fixture = Fixture::new();
    let federate = |query: &str| fixture.send(Method::GET, &format!("/federate?{query}"));
    assert_eq!(federate(""), (200, String::new()));
    // The series that ended eight minutes ago is older than the lookback.
    let expected = "# TYPE up untyped\n\
                    up{job=\"x\",instance=\"\"} 9 540000\n\
                    up{job=\"y\",instance=\"\"} 9 540000\n";
    for query in [
        "match[]=up",
        "match[]=up&match[]=up{job=%22x%22}",
        "match[]=up%23c",
    ] {
        assert_eq!(federate(query), (200, expected.to_owned()), "{query}");
    }
    let (status, body) = federate("match[]={");
    assert_eq!(status, 400, "{body}");
    assert_eq!(federate("match[]={a=~%22.*%22}").0, 400);
    assert_eq!(fixture.send(Method::POST, "/federate").0, 405);
}

#[test]
fn what_is_not_to_be_had_says_so() {
    let fixture = Fixture::new();
    let delete = "/api/v1/admin/tsdb/delete_series?match[]=up";
    let (status, body) = fixture.send(Method::POST, delete);
    assert_eq!(status, 500);
    assert!(body.contains("\"errorType\":\"unavailable\""), "{body}");
    assert_eq!(fixture.send(Method::GET, delete).0, 405);
    let search = "/api/v1/search/metric_names?search=u";
    for method in [Method::GET, Method::POST] {
        let (status, body) = fixture.send(method, search);
        assert_eq!(status, 500);
        assert!(
            body.ends_with(r#""unavailable","error":"search API disabled"}"#),
            "{body}"
        );
    }
    assert_eq!(fixture.send(Method::PUT, search).0, 405);
    for path in ["/api/v1/series", "/api/v1/labels"] {
        assert_eq!(fixture.send(Method::DELETE, path).0, 405);
    }
    let (status, body) = fixture.send(Method::GET, "/version");
    assert_eq!(status, 200);
    assert!(
        body.starts_with("{\"application\":\"Promontory\""),
        "{body}"
    );
    for path in ["/", "/version"] {
        assert_eq!(fixture.send(Method::POST, path).0, 405, "{path}");
    }
}
