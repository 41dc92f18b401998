//! What others than Lookout's clients send to its gateway, its administration, and what it says itself.

use runtime::http::Method;

use super::super::access::Access;
use super::super::admin::Admin;
use super::super::gateway::{Gateway, Switch};
use super::{CLIENT, RECORD, gateway, report, said};
use crate::protocols::lookout::Options;
use crate::protocols::sink::Limits;
use crate::protocols::testing::{Bench, NOW_MS, send};

/// Sends a body to a path of the gateway; what it said, and what was stored.
fn push(
    options: Options,
    target: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> ((u16, Option<String>, String), Vec<String>) {
    let bench = Bench::new(Limits::default());
    let answer = send(
        &gateway(&bench, options),
        Method::POST,
        target,
        headers,
        body,
    );
    (said(answer), bench.recorder.take())
}

fn bad(reason: &str) -> (u16, Option<String>, String) {
    (400, Some(reason.to_owned()), reason.to_owned())
}

#[test]
fn others_report_records_with_tags_in_the_path() {
    let body = r#"{"time":1795226437123,"tags":{"zone":"own"},"m":{"v":1}}"#;
    let push = |target: &str| {
        push(
            Options::default(),
            target,
            &[("client-ip", "10.0.0.9")],
            body,
        )
    };
    let (answer, stored) = push("/lookout/metrics/app/x/step/10/zone/hz/a-b/1%202");
    assert_eq!(answer, (200, None, String::new()));
    assert_eq!(
        stored,
        [r#"|{__name__="m.v", a_b="1_2", app="x", ip="10.0.0.9", zone="own"} 1 @ 1795226437123"#]
    );
    assert_eq!(
        push("/lookout/metrics").0,
        bad("app tag in url is required")
    );
    assert_eq!(
        push("/lookout/metrics/step/10").0,
        bad("app tag in url is required")
    );
    assert_eq!(
        push("/lookout/metrics/app/x").0,
        bad("step tag in url is required")
    );
    assert_eq!(
        push("/lookout/metrics/app/x/step/ten").0,
        bad("step tag in url is invalid")
    );
    assert_eq!(
        push("/lookout/metrics/app/x/step").0,
        bad("odd number of tag segments in url")
    );
    let bench = Bench::new(Limits::default());
    let gateway = gateway(&bench, Options::default());
    let get = |target| said(send(&gateway, Method::GET, target, &[], ""));
    assert_eq!(get("/lookout/metrics"), bad("app tag in url is required"));
    assert_eq!(get("/lookout/metrics/app/x/step/10").0, 405);
    assert_eq!(get("/prom/targets"), (200, None, "{}".to_owned()));
    assert_eq!(get("/lookout/metricsx").0, 404);
    assert_eq!(get("/nothing").0, 404);
}

/// A push of an exposition, which says nothing when it is taken.
fn pushed(options: Options, target: &str, body: &str) -> Vec<String> {
    let (answer, stored) = push(options, target, &[], body);
    assert_eq!(answer, (202, None, String::new()), "{target}");
    stored
}

#[test]
fn expositions_are_pushed() {
    let target = "/prom/metrics/job/some_job/app/demo/step/10";
    let body = "# TYPE a counter\na{x=\"1 2\",job=\"own\"} 1\n{\"b.c\"} 2 1795226435000\nwrong line here\n\nc 3";
    let a = r#"|{__name__="a", app="demo", job="own", x="1_2"} 1 @ 1795226430000"#;
    let c = r#"|{__name__="c", app="demo", job="some_job"} 3 @ 1795226430000"#;
    let b = r#"|{__name__="b.c", app="demo", job="some_job"} 2 @ 1795226430000"#;
    assert_eq!(pushed(Options::default(), target, body), [a, b, c]);
    let options = Options {
        align: false,
        ..Options::default()
    };
    let stored = pushed(options, target, "a 1\nb 2 1795226435000\n");
    assert!(stored[0].ends_with(" 1 @ 1795226430123") && stored[1].ends_with(" 2 @ 1795226435000"));
    let options = Options {
        honor_timestamps: false,
        ..Options::default()
    };
    assert!(pushed(options, target, "b 2 1795226435000\n")[0].ends_with(" @ 1795226430000"));
    // As PyPI's prometheus-client sends it; a step beyond an hour is in milliseconds.
    let target = "/prom/metrics/job@base64/ai8x/app/demo/step/60000";
    assert_eq!(
        pushed(Options::default(), target, "up 1\n"),
        [r#"|{__name__="up", app="demo", job="j/1"} 1 @ 1795226400000"#]
    );
    let openmetrics = [(
        "content-type",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    let body = "# TYPE a counter\na_total 1 1795226435.5\n# EOF\n";
    let (answer, stored) = push(Options::default(), target, &openmetrics, body);
    assert_eq!(answer.0, 202);
    assert_eq!(
        stored,
        [r#"|{__name__="a_total", app="demo", job="j/1"} 1 @ 1795226400000"#]
    );
}

#[test]
fn pushes_are_refused_in_the_gateways_words() {
    let push = |target: &str, body: &str| push(Options::default(), target, &[], body);
    let app = "/prom/metrics/job/j/app/a/step/10";
    assert_eq!(
        push("/prom/metrics/job/j/step/10", "a 1\n").0,
        bad("app tag in url is required")
    );
    assert_eq!(
        push("/prom/metrics/job/j/app/a", "a 1\n").0,
        bad("step tag in url is required")
    );
    assert_eq!(
        push("/prom/metrics/job/j/app/a/step", "a 1\n").0,
        bad("odd number of tag segments in url")
    );
    assert_eq!(push("/prom/metrics/instance/j", "a 1\n").0.0, 404);
    let ((status, err, body), stored) = push(app, "wrong line here\nanother one there\n");
    assert_eq!((status, err.as_deref()), (400, Some(body.as_str())));
    assert!(body.starts_with("text format parsing error in line 1: ") && stored.is_empty());
    // An empty push says nothing, and is no error.
    assert_eq!(push(app, "").0.0, 202);
    let protobuf = [(
        "content-type",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    )];
    let (answer, _) = self::push(Options::default(), app, &protobuf, "\u{5}");
    assert_eq!(answer.0, 400);
}

#[test]
fn families_are_pushed_as_messages() {
    // MetricFamily{name "up", type GAUGE, metric{label{a, b c}, gauge{value 2}}}, its length before.
    let family =
        b"\x1f\x0a\x02up\x18\x01\x22\x17\x0a\x08\x0a\x01a\x12\x03b c\x12\x09\x09\0\0\0\0\0\0\0\x40";
    let mut message = family.to_vec();
    message[0] = (message.len() - 1) as u8;
    let at = message.iter().position(|b| *b == 0x22).unwrap();
    message[at + 1] = (message.len() - at - 2) as u8;
    let bench = Bench::new(Limits::default());
    let headers = [(
        "content-type",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    )];
    let target = "/prom/metrics/job/j/app/a/step/10";
    let answer = send(
        &gateway(&bench, Options::default()),
        Method::PUT,
        target,
        &headers,
        message,
    );
    assert_eq!(said(answer), (202, None, String::new()));
    let expected = r#"|{__name__="up", a="b_c", app="a", job="j"} 2 @ 1795226430000"#;
    assert_eq!(bench.recorder.take(), [expected]);
}

#[test]
fn opentsdb_is_pushed_with_the_gateways_rules() {
    let target = "/opentsdb/api/put";
    let headers = [("app", "a"), ("step", "10000"), ("ip", "10.0.0.5")];
    // The gateway takes milliseconds for seconds; here they are what they are.
    let body = r#"[{"metric":"sys.cpu-0","timestamp":1795226437,"value":1.5,"tags":{"host":"x y"}},
        {"metric":"m","timestamp":1795226437123,"value":"7"},
        {"metric":"m","timestamp":1,"value":"bad"}]"#;
    let (answer, stored) = push(Options::default(), target, &headers, body);
    assert_eq!(answer, (202, None, String::new()));
    assert_eq!(
        stored,
        [
            r#"|{__name__="sys.cpu_0", app="a", host="x_y", ip="10.0.0.5"} 1.5 @ 1795226430000"#,
            r#"|{__name__="m", app="a", ip="10.0.0.5"} 7 @ 1795226430000"#,
        ]
    );
    let put = |headers: &[(&'static str, &str)], body: &str| {
        push(Options::default(), target, headers, body).0
    };
    assert_eq!(put(&headers[1..], body), bad("app tag in url is required"));
    assert_eq!(put(&headers[..1], body), bad("step tag in url is required"));
    assert_eq!(
        put(&[("app", "a"), ("step", "x")], body),
        bad("step tag in url is invalid")
    );
    assert_eq!(put(&headers, "[{").0, 400);
}

#[test]
fn tokens_and_rates_hold_for_pushes_only() {
    let access = Access {
        require_token: true,
        rates: "a=2|all=-1".parse().unwrap(),
        ..Access::default()
    };
    let options = Options {
        access,
        ..Options::default()
    };
    let target = "/prom/metrics/job/j/app/a/step/10";
    assert_eq!(
        push(options.clone(), target, &[], "a 1\n").0,
        bad("token is empty")
    );
    assert_eq!(report(options.clone(), &[], RECORD.as_bytes()).0, 200);
    let bench = Bench::new(Limits::default());
    let gateway = gateway(&bench, options);
    let push = || {
        send(
            &gateway,
            Method::POST,
            target,
            &[("x-lookout-token", "t")],
            "a 1\n",
        )
    };
    assert_eq!([said(push()).0, said(push()).0], [202, 202]);
    assert_eq!(said(push()), bad("RATE_LIMITED"));
    bench.clock.advance(1000);
    assert_eq!(said(push()).0, 202);
}

#[test]
fn the_administration_makes_it_refuse() {
    let bench = Bench::new(Limits::default());
    let switch = Switch::default();
    let gateway = Gateway::new(
        bench.sink.clone(),
        Options::default(),
        Default::default(),
        switch.clone(),
        Default::default(),
    );
    let admin = Admin::new(switch);
    let ask = |path| said(send(&admin, Method::GET, path, &[], ""));
    let ok = |body: &str| (200, None, body.to_owned());
    assert_eq!(ask("/ok"), ok("online"));
    assert_eq!(ask("/cmd/down"), ok("ok"));
    assert_eq!(ask("/ok"), ok("online"));
    let refusing = bad("lookout gateway is in refuse requests mode");
    for (method, target) in [
        (Method::GET, "/datas"),
        (Method::POST, "/datas"),
        (Method::GET, "/lookout/metrics"),
        (Method::GET, "/prom/targets"),
        (Method::GET, "/beat"),
        (Method::POST, "/lookout/metrics/app/x/step/10"),
        (Method::PUT, "/prom/metrics/job/j/app/x/step/10"),
        (Method::POST, "/opentsdb/api/put"),
    ] {
        assert_eq!(
            said(send(&gateway, method, target, &CLIENT, RECORD)),
            refusing,
            "{target}"
        );
    }
    assert_eq!(ask("/cmd/up"), ok("ok"));
    assert_eq!(
        said(send(&gateway, Method::POST, "/datas", &CLIENT, RECORD)).0,
        200
    );
    assert_eq!(ask("/cmd/left").0, 404);
    assert_eq!(
        said(send(
            &admin,
            Method::GET,
            "/cmd/down",
            &[("sec-fetch-site", "cross-site")],
            ""
        ))
        .0,
        403,
        "an image in a page of another site"
    );
    assert_eq!(
        said(send(&admin, Method::POST, "/cmd/down", &[], "")).0,
        405
    );
}

#[test]
fn metricbeat_finds_an_elasticsearch_below_its_path() {
    let access = Access {
        require_token: true,
        ..Access::default()
    };
    let options = Options {
        access,
        ..Options::default()
    };
    let bench = Bench::new(Limits::default());
    let gateway = gateway(&bench, options);
    let token = [("authorization", "Basic bG9va291dDp0MQ==")];
    let ask = |method, target, headers: &[(&'static str, &str)], body: &str| {
        said(send(&gateway, method, target, headers, body))
    };
    assert_eq!(ask(Method::GET, "/beat", &[], ""), bad("token is empty"));
    let (status, _, root) = ask(Method::GET, "/beat", &token, "");
    assert_eq!(status, 200);
    assert!(root.contains(r#""number":"6.8.23""#), "{root}");
    let template = "/beat/_template/metricbeat-6.8.23";
    assert_eq!(ask(Method::HEAD, template, &token, "").0, 200);
    assert_eq!(ask(Method::GET, "/beats", &token, "").0, 404);
    let event = r#"{"@timestamp":"2026-11-21T02:00:30.000Z","system":{"load":{"1":2.5}}}"#;
    let action = r#"{"index":{"_index":"m","_type":"doc"}}"#;
    let body = format!("{action}\n{event}\n");
    let (status, _, answer) = ask(Method::POST, "/beat/_bulk", &token, &body);
    assert_eq!(status, 200);
    assert!(answer.contains(r#""status":201"#), "{answer}");
    assert_eq!(bench.recorder.take().len(), 1);
}

#[test]
fn the_gateway_says_what_it_did() {
    let bench = Bench::new(Limits::default());
    let gateway = gateway(&bench, Options::default());
    gateway.tell();
    assert!(bench.recorder.take_appended().is_empty());
    let answer = send(&gateway, Method::POST, "/datas", &CLIENT, RECORD);
    assert_eq!(said(answer).0, 200);
    bench.recorder.take();
    gateway.tell();
    let told = bench.recorder.take_appended();
    for expected in [
        r#"|{__name__="importer.stats.count.count", app="gateway", importer="standard", type="metric"} 1"#,
        r#"|{__name__="metrics.upload.stats.count", app="gateway", client_app="order-center", source_type="standard"} 1"#,
        r#"|{__name__="exporter.stats.count.count", app="gateway", exporter="tsdb", type="metric"} 1"#,
        r#"|{__name__="queue.size.value", app="gateway", name="queue"} 0"#,
    ] {
        let expected = format!("{expected} @ {NOW_MS}");
        assert!(told.contains(&expected), "{expected}: {told:#?}");
    }
}
