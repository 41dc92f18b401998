//! Requests as clients send them, byte for byte, and what must not harm.

mod others;
mod rules;

use model::ErrorKind;
use proptest::prelude::*;
use runtime::http::{Method, Response};

use super::gateway::{Gateway, Switch};
use super::intake::{Intake, Origin, Step};
use super::native;
use super::push::{self, Form};
use super::refresh::Refresh;
use super::{Information, Options, Profile};
use crate::exposition::Format;
use crate::pipeline::Pipeline;
use crate::protocols::names::Names;
use crate::protocols::sink::Limits;
use crate::protocols::testing::{Bench, NOW_MS, gzip, parts, send};

/// What Lookout's client says with each report.
const CLIENT: [(&str, &str); 4] = [
    ("user-agent", "LOOKOUT-CLIENT-V1"),
    ("client-ip", "10.0.0.9"),
    ("app", "order-center"),
    ("pri", "NORMAL"),
];
/// The time of [`RECORD`].
const T: i64 = 1_795_226_430_000;
const RECORD: &str = r#"{"time":"2026-11-21T02:00:30Z","tags":{"app":"a b","1st":"x=y","_type_":"g","priority":"high"},"jvm.gc-old":{"time":5}}"#;
const STORED: &str =
    r#"|{__name__="jvm.gc_old.time", app="a_b", ip="10.0.0.9", m_1st="x_y"} 5 @ 1795226430000"#;

fn gateway(bench: &Bench, options: Options) -> Gateway {
    Gateway::new(
        bench.sink.clone(),
        options,
        Default::default(),
        Switch::default(),
        Default::default(),
    )
}

/// Status, reason and body of an answer.
fn said(response: Response) -> (u16, Option<String>, String) {
    let err = response.headers().get("err");
    let err = err.map(|value| value.to_str().unwrap().to_owned());
    let (status, body) = parts(response);
    (status, err, body)
}

/// Reports a body; the status, and what was stored.
fn report(options: Options, headers: &[(&'static str, &str)], body: &[u8]) -> (u16, Vec<String>) {
    let bench = Bench::new(Limits::default());
    let headers = [&CLIENT[..], headers].concat();
    let response = send(
        &gateway(&bench, options),
        Method::POST,
        "/datas",
        &headers,
        body,
    );
    let (status, _, text) = said(response);
    assert!(status != 200 || text.is_empty());
    (status, bench.recorder.take())
}

fn stored(body: &str) -> Vec<String> {
    report(Options::default(), &[], body.as_bytes()).1
}

#[test]
fn a_client_checks_before_it_reports() {
    let bench = Bench::new(Limits::default());
    let plain = gateway(&bench, Options::default());
    let check = |gateway: &Gateway, headers: &[(&'static str, &str)]| {
        send(gateway, Method::GET, "/datas", headers, "")
    };
    assert_eq!(said(check(&plain, &CLIENT)), (200, None, "OK".to_owned()));
    for method in [Method::GET, Method::POST] {
        for headers in [&CLIENT[..2], &[("app", "")]] {
            let response = send(&plain, method.clone(), "/datas", headers, RECORD);
            assert_eq!(response.headers()["wait-minutes"], "5");
            let expected = (403, Some("APP_NAME_NULL".to_owned()), String::new());
            assert_eq!(said(response), expected);
        }
    }
    assert!(bench.recorder.take().is_empty());

    let response = check(&plain, &[("app", "a"), ("conf-id", "c7")]);
    assert!(response.headers().contains_key("conf-refresh"));
    assert_eq!(said(response), (200, None, String::new()));
    let told = gateway(
        &bench,
        Options {
            refresh: Refresh {
                name_prefixes: vec!["jvm.".to_owned()],
                tags: vec![],
            },
            cell: Some("hz1".to_owned()),
            ..Options::default()
        },
    );
    let response = check(&told, &[("app", "a"), ("conf-id", ""), ("cell", "hz1")]);
    assert!(response.headers().contains_key("conf-refresh"));
    assert!(
        said(response)
            .2
            .ends_with(r#","config":{"name_pre_wl":"jvm.","tag_wl":""}}"#)
    );
    assert_eq!(said(check(&told, &[("app", "a"), ("cell", "sh2")])).0, 412);
    assert_eq!(said(check(&told, &[("app", "a"), ("cell", "")])).0, 200);
}

#[test]
fn the_clients_report_is_stored() {
    let plain = [("content-type", "text/plain")];
    assert_eq!(
        report(Options::default(), &plain, RECORD.as_bytes()),
        (200, vec![STORED.to_owned()])
    );
    let block = snap::raw::Encoder::new()
        .compress_vec(RECORD.as_bytes())
        .unwrap();
    let packed = [
        ("content-type", "application/octet-stream"),
        ("content-encoding", "snappy"),
    ];
    assert_eq!(
        report(Options::default(), &packed, &block),
        (200, vec![STORED.to_owned()])
    );
    // Beyond what the client says: what others may.
    let zipped = [("content-encoding", "gzip")];
    assert_eq!(
        report(Options::default(), &zipped, &gzip(RECORD.as_bytes())).1,
        [STORED]
    );
    for encoding in ["SNAPPY", "utf-8", "identity"] {
        let headers = [("content-encoding", encoding)];
        assert_eq!(
            report(Options::default(), &headers, RECORD.as_bytes()).1,
            [STORED]
        );
    }
    assert_eq!(report(Options::default(), &[], b""), (200, vec![]));
}

#[test]
fn records_are_kept_apart() {
    let record =
        |time: &str, v: u32| format!(r#"{{"time":{time},"tags":{{"app":"o"}},"m":{{"v":{v}}}}}"#);
    let series = r#"|{__name__="m.v", app="o", ip="10.0.0.9"}"#;
    // Three records, one damaged; three spellings of a time.
    let body = [
        record("\"2026-11-21T10:00:30+08:00\"", 1),
        r#"{"time":1,"tags":{"app""#.to_owned(),
        record("1795226430001", 2),
        record("\"1795226430002\"", 3),
        record("\"2026-11-21T02:00:30Z\"", 4),
        record("\"2026-11-21T02:00:30.005Z\"", 5),
    ]
    .join("\t");
    let expected: Vec<_> = [(1, 0), (2, 1), (3, 2), (4, 0), (5, 5)]
        .map(|(v, ms)| format!("{series} {v} @ {}", T + ms))
        .into();
    assert_eq!(stored(&body), expected);
    // A gateway that passes on ends each with a TAB, and says the time in milliseconds.
    let relayed =
        r#"{"time":1795226430000,"tags":{"app":"o","ip":"10.1.1.1"},"jvm":{"gc.old.time":5}}"#
            .to_owned()
            + "\t"
            + r#"{"time":1795226430000,"tags":{"app":"o","ip":"10.1.1.1"},"up":1}"#
            + "\t";
    assert_eq!(
        stored(&relayed),
        [
            r#"|{__name__="jvm.gc.old.time", app="o", ip="10.1.1.1"} 5 @ 1795226430000"#,
            r#"|{__name__="up", app="o", ip="10.1.1.1"} 1 @ 1795226430000"#,
        ]
    );
}

#[test]
fn every_kind_of_metric_is_flattened() {
    let body = r#"{"time":1795226430000,"tags":{"app":"o","_type_":"t","method":"pay, now"},"rpc.provider.stats":{"elapPerExec":0.012,"totalTime":3.6E-1,"max":NaN}}"#.to_owned()
        + "\t"
        + r#"{"time":1795226430000,"tags":{"app":"o","_bucket":"0-5"},"rpc":{"buckets":3},"1up":-Infinity,"Zeit ":1}"#
        + "\t"
        + r#"{"time":1795226430000,"tags":{"app":"o","_x_":"","a-b":1,"a.b":true},"n":{"s":"7","t":"x","l":[1],"z":null,"e":""}}"#;
    assert_eq!(
        stored(&body),
        [
            r#"|{__name__="rpc.provider.stats.elapPerExec", app="o", ip="10.0.0.9", method="pay_now"} 0.012 @ 1795226430000"#,
            r#"|{__name__="rpc.provider.stats.totalTime", app="o", ip="10.0.0.9", method="pay_now"} 0.36 @ 1795226430000"#,
            r#"|{__name__="rpc.provider.stats.max", app="o", ip="10.0.0.9", method="pay_now"} NaN @ 1795226430000"#,
            r#"|{__name__="rpc.buckets", _bucket="0-5", app="o", ip="10.0.0.9"} 3 @ 1795226430000"#,
            r#"|{__name__="1up", _bucket="0-5", app="o", ip="10.0.0.9"} -inf @ 1795226430000"#,
            r#"|{__name__="Zeit ", _bucket="0-5", app="o", ip="10.0.0.9"} 1 @ 1795226430000"#,
            r#"|{__name__="n.s", a_b="true", app="o", ip="10.0.0.9"} 7 @ 1795226430000"#,
        ]
    );
    // An upper-case tag sorts before the name of the metric; what is not UTF-8 is replaced.
    let body = b"{\"time\":1795226430000,\"tags\":{\"Z\":\"\xff\"},\"m\":1}";
    assert_eq!(
        report(Options::default(), &[], body).1,
        ["|{Z=\"\u{fffd}\", __name__=\"m\", ip=\"10.0.0.9\"} 1 @ 1795226430000"]
    );
    let underscores = Options {
        names: Names::Underscore,
        ..Options::default()
    };
    assert!(report(underscores, &[], RECORD.as_bytes()).1[0].contains("jvm_gc_old_time"));
}

#[test]
fn information_is_kept_or_dropped() {
    let body = r#"{"time":1795226430000,"tags":{"app":"o","_type_":"i"},"instance":{"info":"{\"a\":1}","more":[1,2]}}"#;
    assert_eq!(
        stored(body),
        [
            r#"|{__name__="instance.info", app="o", info="{_a_:1}", ip="10.0.0.9"} 1 @ 1795226430000"#,
            r#"|{__name__="instance.more", app="o", info="[1_2]", ip="10.0.0.9"} 1 @ 1795226430000"#,
        ]
    );
    let drop = Options {
        information: Information::Drop,
        ..Options::default()
    };
    assert_eq!(report(drop, &[], body.as_bytes()), (200, vec![]));
}

/// What was refused of a body, by reason.
fn refused(options: Options, body: &str) -> Vec<(&'static str, u64)> {
    let bench = Bench::new(Limits::default());
    let response = send(
        &gateway(&bench, options),
        Method::POST,
        "/datas",
        &CLIENT,
        body,
    );
    assert_eq!(said(response).0, 200);
    bench.status.figures()["test"]
        .refused
        .clone()
        .into_iter()
        .collect()
}

#[test]
fn what_the_gateway_drops_is_counted() {
    let record = |t: i64, tags: usize, name: &str, key: &str| {
        let tags: String = (0..tags).map(|i| format!(r#","t{i}":"v""#)).collect();
        format!(r#"{{"time":{t},"tags":{{"{key}":"v"{tags}}},"{name}":{{"v":1}}}}"#)
    };
    let two_days = 2 * 24 * 3600 * 1000;
    let long = "n".repeat(199);
    for (body, reason) in [
        (record(T, 18, "m", "k"), None),
        (record(T, 19, "m", "k"), Some("too_many_labels")),
        (record(NOW_MS - two_days, 0, "m", "k"), None),
        (record(NOW_MS - two_days - 1, 0, "m", "k"), Some("expired")),
        (record(NOW_MS * 2, 0, "m", "k"), None),
        (record(T, 0, &long[1..], "k"), None),
        (record(T, 0, &long, "k"), Some("metric_name_too_long")),
        (
            record(T, 0, &long.repeat(10), "k"),
            Some("metric_name_too_long"),
        ),
        (record(T, 0, "m", &long[..100]), None),
        (record(T, 0, "m", &long[..101]), Some("label_name_too_long")),
        (record(T, 0, "m", ""), Some("empty_label_name")),
        (r#"{"tags":{},"m":1}"#.to_owned(), Some("invalid_timestamp")),
        (
            r#"{"time":"soon","tags":{},"m":1}"#.to_owned(),
            Some("invalid_timestamp"),
        ),
        (
            r#"{"time":1795226430000,"m":{"v":true}}"#.to_owned(),
            Some("invalid_value"),
        ),
    ] {
        let expected: Vec<_> = reason.map(|reason| (reason, 1)).into_iter().collect();
        assert_eq!(refused(Options::default(), &body), expected, "{body}");
    }
    let general = Options {
        profile: Profile::General,
        ..Options::default()
    };
    for body in [
        record(T, 19, "m", "k"),
        record(0, 0, &long, "k"),
        record(T, 0, "m", &long),
    ] {
        assert_eq!(refused(general.clone(), &body), []);
    }
    // A value is cut, not refused.
    let body = format!(
        r#"{{"time":{T},"tags":{{"k":"{}"}},"m":1}}"#,
        long.repeat(2)
    );
    assert!(stored(&body)[0].contains(&format!("k=\"{}\"", "n".repeat(200))));
}

#[test]
fn a_request_that_is_nothing_is_refused_whole() {
    for body in ["nonsense", "{\"a\":1}x\t[]", "\u{1}\u{2}"] {
        assert_eq!(
            report(Options::default(), &[], body.as_bytes()).0,
            400,
            "{body}"
        );
    }
    let snappy = [("content-encoding", "snappy")];
    assert_eq!(
        report(Options::default(), &snappy, b"\xff\xff\xff\xff\x0f").0,
        400
    );
    let bench = Bench::new(Limits {
        decompressed_bytes_max: 1000,
        ..Limits::default()
    });
    let bomb = snap::raw::Encoder::new()
        .compress_vec(&[b' '; 100_000])
        .unwrap();
    let headers = [&CLIENT[..], &snappy].concat();
    let (status, err, body) = said(send(
        &gateway(&bench, Options::default()),
        Method::POST,
        "/datas",
        &headers,
        bomb,
    ));
    assert_eq!((status, err), (400, Some(body)));
    assert_eq!(bench.status.figures()["test"].failed, 1);
}

#[test]
fn tags_that_hold_for_very_many_values_are_bounded() {
    let values: Vec<_> = (0..60_000).map(|i| format!("\"{i}\":1")).collect();
    let long = "v".repeat(4000);
    let tags: Vec<_> = (0..20).map(|i| format!(r#""t{i}":"{long}""#)).collect();
    let record = format!(
        r#"{{"time":{T},"tags":{{{}}},"m":{{{}}}}}"#,
        tags.join(","),
        values.join(",")
    );
    let general = Options {
        profile: Profile::General,
        ..Options::default()
    };
    let refused = refused(general, &record);
    assert!(
        refused[0].0 == "request_expanded" && refused[0].1 > 50_000,
        "{refused:?}"
    );
}

#[test]
fn back_pressure_is_said_as_the_client_knows_it() {
    let limits = Limits {
        points_per_second_max: 1,
        ..Limits::default()
    };
    let bench = Bench::new(limits);
    let gateway = gateway(&bench, Options::default());
    let post = || send(&gateway, Method::POST, "/datas", &CLIENT, RECORD);
    *bench.recorder.failure.lock() = Some(ErrorKind::Unavailable);
    let response = post();
    assert_eq!(response.headers()["wait-minutes"], "1");
    assert_eq!(said(response).0, 503);
    *bench.recorder.failure.lock() = None;
    let codes: Vec<_> = (0..10).map(|_| said(post()).0).collect();
    assert_eq!(codes, [[200; 9].as_slice(), &[555]].concat());
    let limited = Some("RATE_LIMITED".to_owned());
    assert_eq!(said(post()), (555, limited, "RATE_LIMITED".to_owned()));
    let put = [("app", "a"), ("step", "10")];
    let point = r#"{"metric":"m","timestamp":1795226430,"value":1,"tags":{}}"#;
    assert_eq!(
        said(send(
            &gateway,
            Method::POST,
            "/opentsdb/api/put",
            &put,
            point
        ))
        .0,
        400
    );
}

/// What a decoder made of bytes, which may be any: every point is kept or refused, and the labels
/// of what is kept are in order.
fn check(intake: &Intake<'_>) {
    let points = &intake.points;
    assert_eq!(points.batch().len() + points.refusals().len(), points.len());
    for series in points.batch().iter() {
        let names: Vec<_> = model::Labels::iter_encoded(series.labels)
            .map(|(name, _)| name)
            .collect();
        assert!(names.is_sorted_by(|a, b| a < b));
    }
}

fn decode_all(body: &[u8]) {
    let origin = Origin {
        ip: Some("10.0.0.9".to_owned()),
        tags: vec![("app".to_owned(), "a".to_owned())],
        step: Step::parse("10").unwrap(),
        now_ms: NOW_MS,
    };
    let options = Options::default();
    let decoders: [&dyn Fn(&mut Intake<'_>); 5] = [
        &|intake| _ = native::decode(body, Information::Keep, intake),
        &|intake| _ = push::exposition(body, Form::Text(Format::Text), true, intake),
        &|intake| _ = push::exposition(body, Form::Text(Format::OpenMetrics), true, intake),
        &|intake| _ = push::exposition(body, Form::Protobuf, true, intake),
        &|intake| _ = push::opentsdb(body, options.labels, intake),
    ];
    for decode in decoders {
        let mut intake = Intake::new(&options, options.names, &origin);
        decode(&mut intake);
        check(&intake);
    }
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
        decode_all(&bytes);
        decode_all(text.as_bytes());
    }

    #[test]
    fn nothing_panics_on_damaged_records(at in 0..RECORD.len(), byte in any::<u8>(), cut in 0..RECORD.len()) {
        let mut record = RECORD.as_bytes().to_vec();
        record[at] = byte;
        decode_all(&record);
        decode_all(&record[..cut]);
    }

    #[test]
    fn what_a_client_prints_comes_back(
        name in "[a-z][a-z0-9._]{0,20}",
        member in "[a-z][a-zA-Z]{0,8}",
        value in proptest::num::f64::NORMAL,
        t in NOW_MS - 1000..NOW_MS + 1000,
        tags in proptest::collection::btree_map("[a-z][a-z0-9]{0,8}", "[a-z0-9._/-]{1,8}", 0..8),
    ) {
        let record = serde_json::json!({"time": t, "tags": tags, "n": {"v": 1}});
        let record = record.to_string().replace(r#""n":{"v":1}"#, &format!(r#""{name}":{{"{member}":{value:e}}}"#));
        let mut labels: Vec<_> = tags.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        labels.push(("__name__".to_owned(), format!("{name}.{member}")));
        if !tags.contains_key("ip") {
            labels.push(("ip".to_owned(), "10.0.0.9".to_owned()));
        }
        labels.sort();
        let options = Options::default();
        let origin = Origin { ip: Some("10.0.0.9".to_owned()), tags: vec![], step: Step::NONE, now_ms: NOW_MS };
        let mut intake = Intake::new(&options, options.names, &origin);
        native::decode(record.as_bytes(), Information::Keep, &mut intake).unwrap();
        let series = intake.points.batch().get(0);
        let found: Vec<_> = model::Labels::iter_encoded(series.labels).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(found, labels);
        prop_assert_eq!((series.floats[0].t, series.floats[0].v), (t, value));
    }
}

#[test]
fn a_body_that_is_not_compressed_is_bounded_for_its_tenant() {
    let pipeline = Pipeline::of_text(
        "receivers:\n  lookout:\n    tenants: {small: {decompressed_bytes: 10B}}\n",
    );
    let bench = Bench::of("lookout", Limits::default(), pipeline);
    let gateway = gateway(&bench, Options::default());
    // What is said in the second is nothing that the gateway knows, so it is not compressed.
    for coding in ["identity", "br"] {
        for (tenant, is_taken) in [("small", false), ("large", true)] {
            let said_too = [("thanos-tenant", tenant), ("content-encoding", coding)];
            let headers = [&CLIENT[..], &said_too].concat();
            let answer = said(send(&gateway, Method::POST, "/datas", &headers, RECORD));
            assert_eq!(answer.0 == 200, is_taken, "{coding} {tenant}: {answer:?}");
        }
    }
    assert_eq!(
        bench.status.figures()["lookout"].failures["body_too_large"],
        2
    );
}
