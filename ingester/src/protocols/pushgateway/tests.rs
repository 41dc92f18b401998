//! Pushes as clients send them, byte for byte, and what must not harm.

use std::io::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;
use proto::client;
use runtime::http::Method;

use super::decode::decode;
use super::gateway::Gateway;
use super::handler::Endpoint;
use super::path::GroupKey;
use super::*;
use crate::protocols::sink::Limits;
use crate::protocols::testing::{Bench, NOW_MS, REFUSED_MS, gzip, parts, send};

const BODY: &str =
    "# HELP jobs_done How many.\n# TYPE jobs_done counter\njobs_done{kind=\"a\"} 3\n";

struct Bed {
    bench: Bench,
    gateway: Arc<Gateway>,
    endpoint: Endpoint,
}

impl Bed {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let bench = Bench::new(Limits {
            decompressed_bytes_max: 100_000,
            ..Limits::default()
        });
        let gateway = Arc::new(Gateway::open(bench.sink.clone(), options).unwrap());
        let endpoint = Endpoint::new(Arc::clone(&gateway));
        Self {
            bench,
            gateway,
            endpoint,
        }
    }

    fn send(&self, method: Method, path: &str, body: &str) -> (u16, String) {
        parts(send(&self.endpoint, method, path, &[], body))
    }

    fn metrics(&self) -> String {
        self.send(Method::GET, "/metrics", "").1
    }
}

#[test]
fn paths_name_groups() {
    let key = |labels: &[(&str, &str)]| {
        let owned = labels.iter().map(|(n, v)| (n.to_string(), v.to_string()));
        Ok(GroupKey::from_labels(owned.collect()))
    };
    let check = |path: &str, expected: Result<GroupKey, &str>| {
        let parsed = GroupKey::parse(path).map_err(|error| error.to_string());
        assert_eq!(parsed, expected.map_err(str::to_owned), "{path}");
    };
    check("job/j", key(&[("job", "j")]));
    check("job/a%20b/x/1", key(&[("job", "a b"), ("x", "1")]));
    // What prometheus-client for Python sends for job j/1.
    check(
        "job@base64/ai8x/app/demo/step/10",
        key(&[("job", "j/1"), ("app", "demo"), ("step", "10")]),
    );
    check(
        "job/j/p@base64/L3Zhci90bXA=",
        key(&[("job", "j"), ("p", "/var/tmp")]),
    );
    check(
        "job/j/p@base64/L3Zhci90bXA",
        key(&[("job", "j"), ("p", "/var/tmp")]),
    );
    check("job/j/p@base64/=", key(&[("job", "j"), ("p", "")]));
    check("job", Err("job name is required"));
    check("job/", Err("job name is required"));
    check("job@base64/=", Err("job name is required"));
    check("jobs/x", Err("job name is required"));
    check(
        "job/j/x",
        Err("odd number of components in label string \"/x\""),
    );
    check("job/j/__x/1", Err("improper label name \"__x\""));
    check("job/j/a-b/1", Err("improper label name \"a-b\""));
    check(
        "job/j/a@base64/!",
        Err("invalid base64 encoding for label a=\"!\": illegal base64 data at input byte 0"),
    );
    check(
        "job@base64/AAA!",
        Err("invalid base64 encoding in job name \"AAA!\": illegal base64 data at input byte 3"),
    );
    check(
        "job/j/a@base64/_w",
        Err("invalid value \"_w\" of label \"a\""),
    );
    check("job/j/x/", key(&[("job", "j"), ("x", "")]));
    check("job/j/a/%zz", Err("invalid value \"%zz\" of label \"a\""));
}

#[test]
fn pushes_replace_merge_and_delete() {
    let gateway = Bed::new();
    let push = |method, body| gateway.send(method, "/metrics/job/j/instance/i", body);
    assert_eq!(push(Method::PUT, BODY), (200, String::new()));
    let stored = |name, value| {
        format!(r#"|{{__name__="{name}", instance="i", job="j"}} {value} @ {NOW_MS}"#)
    };
    let expected = [
        format!(r#"|{{__name__="jobs_done", instance="i", job="j", kind="a"}} 3 @ {NOW_MS}"#),
        stored("push_time_seconds", "1795226430.123"),
        stored("push_failure_time_seconds", "0"),
    ];
    assert_eq!(gateway.bench.recorder.take(), expected);
    assert_eq!(push(Method::POST, "other 1e6\n").0, 200);
    let times = "\
# HELP push_failure_time_seconds Last Unix time when changing this group in the Pushgateway failed.
# TYPE push_failure_time_seconds gauge
push_failure_time_seconds{instance=\"i\",job=\"j\"} 0
# HELP push_time_seconds Last Unix time when changing this group in the Pushgateway succeeded.
# TYPE push_time_seconds gauge
push_time_seconds{instance=\"i\",job=\"j\"} 1.79522643012LASTe+09
";
    // Each push is a millisecond later than the one before, since the clock stands still.
    let times = |last: &str| times.replace("LAST", last);
    let jobs = "\
# HELP jobs_done How many.
# TYPE jobs_done counter
jobs_done{instance=\"i\",job=\"j\",kind=\"a\"} 3
";
    let other = "# TYPE other untyped\nother{instance=\"i\",job=\"j\"} 1e+06\n";
    assert_eq!(gateway.metrics(), format!("{jobs}{other}{}", times("4")));
    assert_eq!(push(Method::PUT, "other 2\n").0, 200);
    assert_eq!(
        gateway.metrics(),
        format!("{}{}", other.replace("1e+06", "2"), times("5"))
    );
    // Nothing pushed: POST changes the time only, PUT empties the group.
    assert_eq!(push(Method::POST, "").0, 200);
    assert!(gateway.metrics().contains("other{"));
    assert_eq!(push(Method::PUT, "").0, 200);
    assert_eq!(gateway.metrics(), times("7"));
    assert_eq!(push(Method::DELETE, ""), (202, String::new()));
    assert_eq!(push(Method::DELETE, ""), (202, String::new()));
    assert_eq!(gateway.metrics(), "");
}

#[test]
fn labels_of_the_path_win_and_an_instance_is_always_said() {
    let gateway = Bed::new();
    let body = "m{job=\"mine\",x=\"a\\\"b\\n\"} 1\npush_time_seconds 5\n";
    assert_eq!(gateway.send(Method::POST, "/metrics/job/j", body).0, 200);
    let text = gateway.metrics();
    assert!(
        text.contains("m{instance=\"\",job=\"j\",x=\"a\\\"b\\n\"} 1\n"),
        "{text}"
    );
    assert!(!text.contains("} 5\n"), "{text}");
}

#[test]
fn what_is_wrong_is_said_and_noted() {
    let gateway = Bed::new();
    let inconsistent = |reason: &str| {
        format!("pushed metrics are invalid or inconsistent with existing metrics: {reason}\n")
    };
    assert_eq!(
        gateway
            .send(Method::PUT, "/metrics/job/first", "# TYPE m gauge\nm 1\n")
            .0,
        200
    );
    gateway.bench.recorder.take();
    for (body, answer) in [
        (
            "m 1",
            "text format parsing error in line 1: unexpected end of input stream\n".to_owned(),
        ),
        (
            "m 1 1000\n",
            inconsistent("pushed metrics must not have timestamps"),
        ),
        (
            "m 1\nm 2\n",
            inconsistent(
                "collected metric \"m\" {__name__=\"m\", job=\"j\"} was collected before with the same name and label values",
            ),
        ),
        (
            "# TYPE m counter\nm 1\n",
            inconsistent("collected metric \"m\" {__name__=\"m\", job=\"j\"} is not a GAUGE"),
        ),
    ] {
        assert_eq!(
            gateway.send(Method::PUT, "/metrics/job/j", body),
            (400, answer),
            "{body}"
        );
    }
    for body in ["m 1\r\n", "m{a=\"1\",a=\"2\"} 1\n", "m{ 1\n", "\u{0}\n"] {
        let (status, answer) = gateway.send(Method::PUT, "/metrics/job/j", body);
        assert_eq!(status, 400, "{body}");
        assert!(
            answer.starts_with("text format parsing error in line 1: "),
            "{answer}"
        );
    }
    let unreadable = gateway.send(Method::PUT, "/metrics/job/unread", "m 1");
    assert_eq!(unreadable.0, 400);
    assert!(!gateway.metrics().contains("unread"));
    let failed = "push_failure_time_seconds{instance=\"\",job=\"j\"} 1.795226430123e+09\n";
    assert!(gateway.metrics().contains(failed));
    assert!(
        gateway
            .metrics()
            .contains("push_time_seconds{instance=\"\",job=\"j\"} 0\n")
    );
    assert_eq!(gateway.bench.recorder.take(), Vec::<String>::new());

    let lenient = Bed::with(Options {
        check_consistency: false,
        ..Options::default()
    });
    assert_eq!(
        lenient
            .send(Method::PUT, "/metrics/job/j", "m 1 1000\nm 2\n")
            .0,
        202
    );
    assert_eq!(lenient.send(Method::GET, "/metrics/job/j", "").0, 405);
    assert_eq!(lenient.send(Method::GET, "/nothing", "").0, 404);
    assert_eq!(lenient.send(Method::PUT, "/-/quit", "").0, 403);
}

#[test]
fn a_push_that_cannot_be_stored_changes_nothing() {
    let gateway = Bed::new();
    *gateway.bench.recorder.failure.lock() = Some(model::ErrorKind::Unavailable);
    assert_eq!(gateway.send(Method::PUT, "/metrics/job/j", BODY).0, 503);
    assert_eq!(gateway.metrics(), "");
}

#[test]
fn groups_are_as_many_as_there_may_be() {
    let mut tenants = groups::Tenants::default();
    let tenant = |i: usize| if i.is_multiple_of(2) { "a" } else { "" };
    let key = |i: usize| GroupKey::parse(&format!("job/{i}")).unwrap();
    for i in 0..groups::GROUPS_MAX {
        assert!(!tenants.is_full_for(tenant(i), &key(i)));
        tenants.of(tenant(i)).fail(&key(i), 1);
    }
    assert!(tenants.is_full_for("", &key(groups::GROUPS_MAX)));
    assert!(tenants.is_full_for("", &key(0)));
    assert!(!tenants.is_full_for("a", &key(0)));
}

#[test]
fn bodies_come_in_all_encodings_within_the_limit() {
    let gateway = Bed::new();
    let mut framed = snap::write::FrameEncoder::new(Vec::new());
    framed.write_all(BODY.as_bytes()).unwrap();
    let framed = framed.into_inner().unwrap();
    let post = |headers: &[(&'static str, &str)], body: Vec<u8>| {
        parts(send(
            &gateway.endpoint,
            Method::POST,
            "/metrics/job/j",
            headers,
            body,
        ))
        .0
    };
    assert_eq!(framed[..10], *b"\xff\x06\x00\x00sNaPpY");
    assert_eq!(post(&[("content-encoding", "snappy")], framed), 200);
    assert_eq!(
        post(&[("content-encoding", "gzip")], gzip(BODY.as_bytes())),
        200
    );
    assert_eq!(
        post(
            &[("content-encoding", "gzip")],
            gzip(&vec![b'\n'; 10_000_000])
        ),
        413
    );
    let family = client::MetricFamily {
        name: "jobs_done".to_owned(),
        r#type: client::MetricType::Counter.into(),
        metric: vec![client::Metric {
            counter: Some(client::Counter {
                value: 4.0,
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let content_type = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let message = family.encode_length_delimited_to_vec();
    assert_eq!(
        post(&[("content-type", content_type)], message.clone()),
        200
    );
    assert!(
        gateway
            .metrics()
            .contains("jobs_done{instance=\"\",job=\"j\"} 4\n")
    );
    assert_eq!(
        post(&[("content-type", content_type)], message[..3].to_vec()),
        400
    );
}

#[test]
fn groups_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        file: Some(dir.path().join("groups.json")),
        ..Options::default()
    };
    let gateway = Bed::with(options.clone());
    let body = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum NaN\nh_count 1\ng -Inf\n";
    assert_eq!(gateway.send(Method::PUT, "/metrics/job/j/a/b", body).0, 200);
    assert_eq!(gateway.send(Method::PUT, "/metrics/job/k", "bad").0, 400);
    let text = gateway.metrics();
    assert_eq!(text.matches("# TYPE h histogram\n").count(), 1);
    assert_eq!(text.matches("# TYPE").count(), 4, "{text}");
    assert_eq!(Bed::with(options.clone()).metrics(), text);
    std::fs::write(options.file.as_ref().unwrap(), "{").unwrap();
    assert!(Gateway::open(gateway.bench.sink.clone(), options).is_err());
}

proptest! {
    #[test]
    fn nothing_panics(
        path in "(job(@base64)?/)?[a-zA-Z0-9@/%=_-]{0,40}",
        body in proptest::collection::vec(any::<u8>(), 0..100),
        is_protobuf in any::<bool>(),
    ) {
        let key = GroupKey::parse(&path).unwrap_or_default();
        let _ = decode(&body, is_protobuf, &key, true);
    }
}

#[test]
fn tenants_see_nothing_of_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        file: Some(dir.path().join("groups.json")),
        ..Options::default()
    };
    let gateway = Bed::with(options.clone());
    let as_tenant = |gateway: &Bed, tenant: &str, method, path: &str, body: &str| {
        let headers = [("thanos-tenant", tenant)];
        parts(send(&gateway.endpoint, method, path, &headers, body))
    };
    let of_b = "# TYPE jobs_done gauge\njobs_done 7\n";
    for (tenant, body) in [("a", BODY), ("b", of_b)] {
        let pushed = as_tenant(&gateway, tenant, Method::PUT, "/metrics/job/j", body);
        assert_eq!(pushed, (200, String::new()));
    }
    let shown = |gateway: &Bed, tenant| as_tenant(gateway, tenant, Method::GET, "/metrics", "").1;
    let line_of_a = "jobs_done{instance=\"\",job=\"j\",kind=\"a\"} 3\n";
    let line_of_b = "jobs_done{instance=\"\",job=\"j\"} 7\n";
    drop(gateway);
    let gateway = Bed::with(options);
    let (a, b) = (shown(&gateway, "a"), shown(&gateway, "b"));
    assert!(a.contains(line_of_a) && !a.contains(line_of_b), "{a}");
    assert!(b.contains(line_of_b) && !b.contains(line_of_a), "{b}");
    assert_eq!(gateway.metrics(), "");
    let deleted = as_tenant(&gateway, "a", Method::DELETE, "/metrics/job/j", "");
    assert_eq!(deleted, (202, String::new()));
    assert_eq!(
        (shown(&gateway, "a"), shown(&gateway, "b")),
        (String::new(), b)
    );
    assert_eq!(
        as_tenant(&gateway, "..", Method::GET, "/metrics", "").0,
        400
    );
}

#[test]
fn pushes_of_one_moment_are_apart_and_what_is_not_stored_is_said() {
    let gateway = Bed::new();
    let push = |body: &str| gateway.send(Method::PUT, "/metrics/job/j", body);
    assert_eq!((push("a 1\n").0, push("a 2\n").0), (200, 200));
    let at = |value, t| format!(r#"|{{__name__="a", job="j"}} {value} @ {t}"#);
    let stored = gateway.bench.recorder.take();
    let of_a: Vec<_> = stored
        .iter()
        .filter(|sample| sample.contains("\"a\""))
        .collect();
    assert_eq!(of_a, [&at(1, NOW_MS), &at(2, NOW_MS + 1)]);

    gateway.bench.clock.advance(REFUSED_MS - NOW_MS);
    let fresh = Gateway::open(gateway.bench.sink.clone(), Options::default()).unwrap();
    let gateway = Bed {
        endpoint: Endpoint::new(Arc::new(fresh)),
        ..gateway
    };
    let (status, answer) = gateway.send(Method::PUT, "/metrics/job/k", "a 1\nb 2\n");
    let expected = concat!(
        "4 samples were not stored; the first: out of order sample: ",
        "{__name__=\"a\", job=\"k\"} 1 @ 1000013000\n",
    );
    assert_eq!((status, answer.as_str()), (400, expected));
    assert!(!gateway.metrics().contains("job=\"k\""));
}

/// The names of the samples that mark an end.
fn ended(samples: &[String]) -> Vec<&str> {
    let marks = samples.iter().filter(|sample| sample.contains(" NaN @ "));
    marks
        .map(|sample| sample.split('"').nth(1).unwrap())
        .collect()
}

/// The time of a sample.
fn time(sample: &str) -> i64 {
    sample.rsplit_once(" @ ").unwrap().1.parse().unwrap()
}

#[test]
fn groups_are_stored_again_until_they_are_gone() {
    let bed = Bed::new();
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\ngone 4\n";
    assert_eq!(
        bed.send(Method::PUT, "/metrics/job/j/p@base64/=", body).0,
        200
    );
    bed.bench.recorder.take();
    bed.bench.clock.advance(15_000);
    bed.gateway.repeat();
    let at = |series: &str, value: &str, ms: i64| {
        let t = NOW_MS + ms;
        format!("|{{__name__=\"{series}, job=\"j\"}} {value} @ {t}").replace("LE", "le=")
    };
    let appended = bed.bench.recorder.take_appended();
    let series = [
        ("gone\"", "4"),
        ("h_bucket\"", "1"),
        ("h_bucket\"", "3"),
        ("h_sum\"", "2"),
        ("h_count\"", "3"),
        ("push_time_seconds\"", "1795226430.123"),
        ("push_failure_time_seconds\"", "0"),
    ];
    let expected: Vec<_> = series
        .iter()
        .map(|(name, value)| at(name, value, 15_000))
        .collect();
    let without_bounds: Vec<_> = (appended.iter())
        .map(|sample| {
            sample
                .replace(", le=\"1.0\"", "")
                .replace(", le=\"+Inf\"", "")
        })
        .collect();
    assert_eq!(without_bounds, expected);
    assert!(appended[1].contains("le=\"1.0\"") && appended[2].contains("le=\"+Inf\""));

    // What a push leaves out has ended, and so has everything when the group is deleted.
    let push = bed.send(
        Method::POST,
        "/metrics/job/j/p@base64/=",
        "# TYPE h gauge\nh 1\n",
    );
    assert_eq!(push.0, 200);
    let appended = bed.bench.recorder.take_appended();
    assert_eq!(
        ended(&appended),
        ["h_bucket", "h_bucket", "h_sum", "h_count"]
    );
    assert_eq!(
        bed.send(Method::DELETE, "/metrics/job/j/p@base64/=", "").0,
        202
    );
    let deleted = bed.bench.recorder.take_appended();
    // A mark at the time of the push would lose to its sample.
    assert!(
        deleted
            .iter()
            .all(|sample| time(sample) > time(&appended[0]))
    );
    assert_eq!(
        ended(&deleted),
        [
            "gone",
            "h",
            "push_time_seconds",
            "push_failure_time_seconds"
        ]
    );
    bed.gateway.repeat();
    assert_eq!(bed.bench.recorder.take_appended(), Vec::<String>::new());
}

#[test]
fn all_groups_of_a_tenant_are_wiped_where_that_is_allowed() {
    let forbidden = Bed::new();
    let wipe = |bed: &Bed| bed.send(Method::PUT, "/api/v1/admin/wipe", "").0;
    assert_eq!(wipe(&forbidden), 404);
    let bed = Bed::with(Options {
        admin_api: true,
        ..Options::default()
    });
    for job in ["a", "b"] {
        let path = format!("/metrics/job/{job}");
        assert_eq!(bed.send(Method::PUT, &path, "m 1\n").0, 200);
    }
    bed.bench.recorder.take();
    assert_eq!(wipe(&bed), 202);
    assert_eq!(bed.metrics(), "");
    assert_eq!(bed.bench.recorder.take_appended().len(), 6);
    assert_eq!(wipe(&bed), 202);
    assert_eq!(bed.send(Method::GET, "/api/v1/admin/wipe", "").0, 405);
}

/// The headers of an error.
const ERROR: &[(&str, &str)] = &[
    ("content-type", "text/plain; charset=utf-8"),
    ("x-content-type-options", "nosniff"),
];

#[test]
fn errors_are_lines_with_their_headers() {
    let bed = Bed::new();
    let not_found = (404, "404 page not found\n");
    let wrong_method = (405, "Method Not Allowed\n");
    let of_group = "DELETE, OPTIONS, POST, PUT";
    for (method, path, (status, line), allow) in [
        ("PUT", "/metrics/job/", (400, "job name is required\n"), ""),
        (
            "PUT",
            "/metrics/job@base64/=",
            (400, "job name is required\n"),
            "",
        ),
        (
            "POST",
            "/metrics/job/j/x",
            (400, "odd number of components in label string \"/x\"\n"),
            "",
        ),
        (
            "DELETE",
            "/metrics/job/j/__x/1",
            (400, "improper label name \"__x\"\n"),
            "",
        ),
        ("PUT", "/metrics/jobs/x", not_found, ""),
        ("PUT", "/metrics/", not_found, ""),
        ("PUT", "/api/v1/admin/wipe", not_found, ""),
        ("GET", "/metrics/job/j", wrong_method, of_group),
        ("PATCH", "/metrics/job@base64/ag", wrong_method, of_group),
        ("PUT", "/metrics", wrong_method, "GET, OPTIONS"),
        ("DELETE", "/api/v1/metrics", wrong_method, "GET, OPTIONS"),
        ("POST", "/api/v1/status", wrong_method, "GET, OPTIONS"),
        ("GET", "/-/quit", wrong_method, "OPTIONS, POST, PUT"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let response = send(&bed.endpoint, method, path, &[], "m 1\n");
        for (name, value) in ERROR {
            assert_eq!(response.headers()[*name], *value, "{path}");
        }
        let said = response.headers().get("allow");
        assert_eq!(
            said.map_or("", |value| value.to_str().unwrap()),
            allow,
            "{path}"
        );
        assert_eq!(parts(response), (status, line.to_owned()), "{path}");
    }
    let response = send(
        &bed.endpoint,
        Method::PUT,
        "//metrics///job/j",
        &[],
        "m 1\n",
    );
    assert_eq!(response.headers()["location"], "/metrics/job/j");
    assert_eq!(parts(response), (301, String::new()));
    let quit = bed.send(Method::PUT, "/-/quit", "");
    assert_eq!(quit, (403, "Lifecycle API is not enabled.".to_owned()));
    assert_eq!(bed.metrics(), "");
}

#[test]
fn pages_are_those_of_the_pushgateway() {
    let bed = Bed::new();
    let body = "# HELP m Help.\n# TYPE m gauge\nm{a=\"b\"} 1\n";
    assert_eq!(bed.send(Method::PUT, "/metrics/job/j", body).0, 200);
    let get = |path| send(&bed.endpoint, Method::GET, path, &[], "");
    let metrics = get("/metrics");
    let exposition = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(metrics.headers()["content-type"], exposition);
    for path in ["/api/v1/metrics", "/api/v1/status"] {
        let response = get(path);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(
            headers["cache-control"],
            "no-cache, no-store, must-revalidate"
        );
    }
    let of_gateway = |name: &str, outcome: &str, value: &str| {
        let help = format!("Last Unix time when changing this group in the Pushgateway {outcome}.");
        let metrics = format!(r#"[{{"labels":{{"instance":"","job":"j"}},"value":"{value}"}}]"#);
        let rest = r#""time_stamp":"2026-11-21T02:00:30.123Z","type":"GAUGE""#;
        format!(r#""{name}":{{"help":"{help}","metrics":{metrics},{rest}}}"#)
    };
    let list = [
        r#"{"data":[{"labels":{"job":"j"},"last_push_successful":true,"#,
        r#""m":{"help":"Help.","metrics":[{"labels":{"a":"b","instance":"","job":"j"},"value":"1"}],"#,
        r#""time_stamp":"2026-11-21T02:00:30.123Z","type":"GAUGE"},"#,
        &of_gateway("push_failure_time_seconds", "failed", "0"),
        ",",
        &of_gateway("push_time_seconds", "succeeded", "1.795226430123e+09"),
        r#"}],"status":"success"}"#,
    ];
    assert_eq!(parts(get("/api/v1/metrics")), (200, list.concat()));
    let status = concat!(
        r#"{"data":{"build_information":{"branch":"","buildDate":"","buildUser":"","goVersion":"","#,
        r#""revision":"","version":"1.5.1"},"flags":{"persistence.file":"","#,
        r#""push.disable-consistency-check":"false","web.enable-admin-api":"false","#,
        r#""web.enable-lifecycle":"false","web.telemetry-path":"/metrics"},"#,
        r#""start_time":"2026-11-21T02:00:30.123Z"},"status":"success"}"#,
    );
    assert_eq!(parts(get("/api/v1/status")), (200, status.to_owned()));
}

#[test]
fn a_body_is_text_unless_it_is_said_to_be_messages() {
    let bed = Bed::new();
    let put = |headers: &[(&'static str, &str)], body: &[u8]| {
        parts(send(
            &bed.endpoint,
            Method::PUT,
            "/metrics/job/j",
            headers,
            body,
        ))
    };
    for content_type in [
        "",
        "application/json",
        "application/x-www-form-urlencoded",
        "application/openmetrics-text; version=1.0.0",
        "application/vnd.google.protobuf",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text",
    ] {
        let said = [("content-type", content_type)];
        assert_eq!(
            put(&said, BODY.as_bytes()),
            (200, String::new()),
            "{content_type}"
        );
    }
    // Snappy without frames is what remote write has, and no client of this.
    let block = snap::raw::Encoder::new()
        .compress_vec(BODY.as_bytes())
        .unwrap();
    assert_eq!(put(&[("content-encoding", "snappy")], &block).0, 400);
    assert_eq!(put(&[("content-encoding", "gzip")], BODY.as_bytes()).0, 400);
    // What it does not know the Pushgateway takes for not compressed.
    for encoding in ["br", "GZIP", "gzip, gzip", "snappy", "identity", ""] {
        let said = [("content-encoding", encoding)];
        let answer = put(&said, BODY.as_bytes());
        assert_eq!(answer, (200, String::new()), "{encoding}");
        assert_eq!(put(&said, &gzip(BODY.as_bytes())).0, 400, "{encoding}");
    }
}

#[test]
fn series_beyond_the_limit_are_said_and_the_others_kept() {
    // Two for what is known of the group's pushes.
    let bench = Bench::with_series_max("pushgateway", 3);
    let gateway = Gateway::open(bench.sink.clone(), Options::default()).unwrap();
    let endpoint = Endpoint::new(Arc::new(gateway));
    let put = |body: &str| {
        let answer = send(&endpoint, Method::PUT, "/metrics/job/j", &[], body);
        (parts(answer), bench.recorder.take())
    };
    let of =
        |name: &str, value: &str| format!(r#"|{{__name__="{name}", job="j"}} {value} @ {NOW_MS}"#);
    let (answer, stored) = put("a 1\n");
    assert_eq!((answer, stored.len()), ((200, String::new()), 3));
    bench.clock.advance(1);
    let (answer, stored) = put("a 1\nb 2\n");
    let refused = of("b", "2").replace(&NOW_MS.to_string(), &(NOW_MS + 1).to_string());
    let said = format!(
        "1 samples were not stored; the first: series limit reached: {}\n",
        &refused[1..]
    );
    assert_eq!((answer, stored.len()), ((429, said), 3));
    let figures = &bench.status.figures()["pushgateway"];
    assert_eq!(figures.refused["series_limit"], 1);
}

#[test]
fn messages_of_all_types_are_the_text_of_them() {
    let bed = Bed::new();
    let number = |value| client::Metric {
        untyped: Some(client::Untyped { value }),
        ..Default::default()
    };
    let untyped = client::MetricFamily {
        name: "u".to_owned(),
        help: "H.".to_owned(),
        r#type: client::MetricType::Untyped.into(),
        metric: vec![number(-0.5)],
        ..Default::default()
    };
    let summary = client::MetricFamily {
        name: "s".to_owned(),
        r#type: client::MetricType::Summary.into(),
        metric: vec![client::Metric {
            summary: Some(client::Summary {
                sample_count: 2,
                sample_sum: 3.5,
                quantile: vec![client::Quantile {
                    quantile: 0.5,
                    value: 1.5,
                }],
                created_timestamp: None,
            }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let late = client::MetricFamily {
        metric: vec![client::Metric {
            timestamp_ms: 1000,
            ..number(1.0)
        }],
        ..untyped.clone()
    };
    let content_type = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let put = |families: &[&client::MetricFamily]| {
        let body: Vec<u8> = (families.iter())
            .flat_map(|family| family.encode_length_delimited_to_vec())
            .collect();
        let said = [("content-type", content_type)];
        parts(send(
            &bed.endpoint,
            Method::PUT,
            "/metrics/job/j",
            &said,
            body,
        ))
    };
    assert_eq!(put(&[&summary, &untyped]), (200, String::new()));
    let text = bed.metrics();
    for part in [
        "# TYPE s summary\ns{instance=\"\",job=\"j\",quantile=\"0.5\"} 1.5\ns_sum{instance=\"\",job=\"j\"} 3.5\ns_count{instance=\"\",job=\"j\"} 2\n",
        "# HELP u H.\n# TYPE u untyped\nu{instance=\"\",job=\"j\"} -0.5\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let reason = "pushed metrics must not have timestamps";
    let answer =
        format!("pushed metrics are invalid or inconsistent with existing metrics: {reason}\n");
    assert_eq!(put(&[&late]), (400, answer));
}

#[test]
fn helps_may_contradict_and_last_names_of_a_key_win() {
    let bed = Bed::new();
    let of = |help| format!("# HELP m {help}\n# TYPE m gauge\nm 1\n");
    assert_eq!(bed.send(Method::PUT, "/metrics/job/a", &of("One.")).0, 200);
    assert_eq!(
        bed.send(Method::PUT, "/metrics/job/b/c/1/c/2", &of("Two."))
            .0,
        200
    );
    let text = bed.metrics();
    assert_eq!(text.matches("# HELP m ").count(), 1, "{text}");
    assert!(text.contains("m{instance=\"\",job=\"a\"} 1\n"), "{text}");
    assert!(
        text.contains("m{c=\"2\",instance=\"\",job=\"b\"} 1\n"),
        "{text}"
    );
}
