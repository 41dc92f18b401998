//! Every parameter of Thanos does something on every endpoint that takes it, in the URL and in a form.

use super::*;

const INSTANT: &str = "query?query=up&time=507";
const RANGE: &str = "query_range?query=up&start=307&end=507&step=30&nocache=1";
const SERIES: &str = "series?match[]=up";

/// Endpoints, what is added to the question, and what it must come to.
type Case = (
    &'static [&'static str],
    &'static str,
    fn(&Value, &Value) -> bool,
);

fn differs(plain: &Value, other: &Value) -> bool {
    plain["data"] != other["data"] && other["status"] == "success"
}

fn is_refused(_: &Value, other: &Value) -> bool {
    other["errorType"] == "bad_data"
}

const CASES: &[Case] = &[
    (&[INSTANT, RANGE, SERIES], "dedup=false", differs),
    (&[INSTANT, RANGE, SERIES], "replicaLabels[]=job", differs),
    (&[INSTANT, RANGE, SERIES], "replicaLabels=job", differs),
    (&[INSTANT, RANGE, SERIES], "dedup=x", is_refused),
    (&[INSTANT, RANGE], "lookback_delta=1ms", differs),
    (&[INSTANT, RANGE], "analyze=true", |_, other| {
        other["data"]["analysis"]["name"].is_string()
    }),
    (&[INSTANT, RANGE], "stats=1", |_, other| {
        other["data"]["stats"]["samples"].is_object()
    }),
    (&[INSTANT, RANGE], "max_source_resolution=-1", is_refused),
    (
        &[INSTANT, RANGE],
        "dedup=false&max_source_resolution=auto",
        differs,
    ),
    (&[INSTANT, RANGE], "engine=x", is_refused),
    (&[INSTANT, RANGE, SERIES], "shard_info=x", is_refused),
    (
        &[
            "query_explain?query=up",
            "query_range_explain?query=up&start=0&end=60&step=15",
        ],
        "engine=prometheus",
        is_refused,
    ),
    (
        &[INSTANT, RANGE, SERIES, "labels", "label/job/values"],
        "partial_response=false",
        |_, other| other["errorType"] == "unavailable",
    ),
    (
        &[INSTANT, RANGE, SERIES, "labels", "label/job/values"],
        "storeMatch[]={cluster=\"eu\"}",
        |plain, other| plain["warnings"].is_array() && other["warnings"] == plain["warnings"],
    ),
    (
        &[INSTANT, RANGE, SERIES, "labels", "label/job/values"],
        "storeMatch[]={__address__=\"nowhere\"}",
        |_, other| other["data"] != Value::Null && other["warnings"] == Value::Null,
    ),
    (
        &[INSTANT, RANGE, SERIES, "labels", "label/job/values"],
        "storeMatch[]={",
        is_refused,
    ),
];

async fn ask(service: &Service, target: &str, more: &str, method: Method) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let all = match query {
        "" => more.to_owned(),
        query => format!("{query}&{more}"),
    };
    let (query, body) = match method {
        Method::POST => (String::new(), all.into_bytes()),
        _ => (all, Vec::new()),
    };
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert("content-type", form);
    let request = Request {
        method,
        path: format!("/api/v1/{path}"),
        query,
        headers,
        body: body.into(),
        peer: None,
        waited: std::time::Duration::ZERO,
        abandonment: Abandonment::default(),
    };
    let handler = service.http();
    let answer = runtime::process::blocking(move || handler.handle(request).into_bytes().unwrap());
    serde_json::from_slice(&answer.await).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_do_something_by_either_method() {
    let dir = tempfile::tempdir().unwrap();
    write_block(dir.path());
    let served = serve(&over_block(dir.path())).await;
    // One that answers, and one that does not.
    let endpoints = [served.address.as_str(), "127.0.0.1:1"];
    let endpoints = endpoints.map(|address| EndpointConfig::new(address, true, false).unwrap());
    let (querier, _set) = over(endpoints.into()).await;
    for (targets, more, comes_to) in CASES {
        for target in *targets {
            let takes_post = !target.starts_with("label/");
            let plain = ask(&querier, target, "", Method::GET).await;
            assert_eq!(plain["status"], "success", "{target}: {plain}");
            let methods = [Some(Method::GET), takes_post.then_some(Method::POST)];
            for method in methods.into_iter().flatten() {
                let other = ask(&querier, target, more, method.clone()).await;
                assert!(
                    comes_to(&plain, &other),
                    "{method} {target} with {more}: {plain} {other}"
                );
            }
        }
    }
    let whom = format!("storeMatch[]={{__address__=\"{}\"}}", served.address);
    for target in [INSTANT, RANGE, SERIES, "labels", "label/job/values"] {
        let answer = ask(&querier, target, &whom, Method::GET).await;
        assert_eq!(answer["warnings"], Value::Null, "{target}: {answer}");
        assert_ne!(answer["data"], json!([]), "{target}");
    }
}
