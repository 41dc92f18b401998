//! The gateway's rules one by one: names, tags, times, addresses, who may push, and the answers.

use std::net::IpAddr;

use model::ErrorKind;
use runtime::http::{
    Abandonment, Handler as _, HeaderMap, HeaderName, HeaderValue, Method, Request,
};

use super::super::access::{Access, parse_tokens};
use super::{CLIENT, RECORD, STORED, T, gateway, refused, report, said, stored};
use crate::protocols::lookout::{Options, Profile};
use crate::protocols::sink::Limits;
use crate::protocols::testing::{Bench, send};

const PUSH: &str = "/prom/metrics/job/j/app/a/step/10";
const PUT: &str = "/opentsdb/api/put";
const POINT: &str = r#"{"metric":"m","timestamp":1795226437,"value":1,"tags":{}}"#;

#[test]
fn names_and_values_have_only_characters_that_lookout_has() {
    let body = r#"{"tags":{"v":"a\n\r\t \"\\=,b\n\nc=","empty":""},"_x":{"y":1},"é":{"ö z":2},":x":{"/":3},"threadpool.stats":{"active.count":4,"idle":5},"time":1795226430000}"#;
    let expected = [
        ("m__x.y", 1),
        ("m__.__z", 2),
        ("m_:x._", 3),
        ("threadpool.stats.active.count", 4),
        ("threadpool.stats.idle", 5),
    ];
    let expected = expected.map(|(name, v)| {
        format!(r#"|{{__name__="{name}", ip="10.0.0.9", v="a_b_c_"}} {v} @ 1795226430000"#)
    });
    assert_eq!(stored(body), expected);
}

#[test]
fn tags_that_are_reserved_are_no_labels() {
    for kind in ["c", "t", "g", "d", "m", "x", ""] {
        let body = format!(
            r#"{{"time":{T},"tags":{{"_type_":"{kind}","priority":"HIGH","app":"o"}},"m":{{"count":1}}}}"#
        );
        let expected = r#"|{__name__="m.count", app="o", ip="10.0.0.9"} 1 @ 1795226430000"#;
        assert_eq!(stored(&body), [expected], "{kind}");
    }
}

#[test]
fn times_have_an_offset_or_are_milliseconds() {
    let record = |time: &str| format!(r#"{{"time":{time},"tags":{{}},"m":1}}"#);
    for time in [
        r#""2026-11-21T02:00:30+00:00""#,
        r#""2026-11-20T18:00:30-08:00""#,
        r#""2026-11-21T07:30:30+05:30""#,
        r#""2026-11-21T02:00:30Z""#,
        r#""1795226430000""#,
        "1795226430000",
    ] {
        let expected = r#"|{__name__="m", ip="10.0.0.9"} 1 @ 1795226430000"#;
        assert_eq!(stored(&record(time)), [expected], "{time}");
    }
    for (time, reason) in [
        // Seconds are taken for milliseconds.
        ("1795226430", "expired"),
        (r#""2026-11-21T02:00:99+00:00""#, "invalid_timestamp"),
        (r#""0000000000001795226430000""#, "invalid_timestamp"),
        ("1795226430000.5", "invalid_timestamp"),
        ("{}", "invalid_timestamp"),
        ("null", "invalid_timestamp"),
        (r#""""#, "invalid_timestamp"),
    ] {
        assert_eq!(
            refused(Options::default(), &record(time)),
            [(reason, 1)],
            "{time}"
        );
    }
}

#[test]
fn a_tag_without_a_value_is_a_tag_and_no_label() {
    // It keeps the sender's address out, and counts among the 20.
    assert_eq!(
        stored(r#"{"time":1795226430000,"tags":{"ip":""},"m":1}"#),
        [r#"|{__name__="m"} 1 @ 1795226430000"#]
    );
    let of = |count: usize| {
        let tags: Vec<_> = (0..count).map(|i| format!(r#""t{i}":"""#)).collect();
        format!(r#"{{"time":{T},"tags":{{{}}},"m":1}}"#, tags.join(","))
    };
    assert_eq!(refused(Options::default(), &of(19)), []);
    assert_eq!(
        refused(Options::default(), &of(20)),
        [("too_many_labels", 1)]
    );
    // Of an exposition a label without a value is none.
    let bench = Bench::new(Limits::default());
    let gateway = gateway(&bench, Options::default());
    let answer = send(&gateway, Method::POST, PUSH, &[], "m{job=\"\"} 1\n");
    assert_eq!(said(answer), (202, None, String::new()));
    assert_eq!(
        bench.recorder.take(),
        [r#"|{__name__="m", app="a", job="j"} 1 @ 1795226430000"#]
    );
    // The application that a client says in its header is no tag.
    let answer = send(&gateway, Method::POST, "/datas", &[("app", "a")], of(0));
    assert_eq!(said(answer), (200, None, String::new()));
    assert_eq!(bench.status.figures()["test"].refused["no_labels"], 1);
    assert_eq!(bench.recorder.take(), Vec::<String>::new());
}

#[test]
fn pieces_without_a_record_are_nothing() {
    let body = format!("\t\t{RECORD}\t\t");
    assert_eq!(stored(&body), [STORED]);
    for body in ["\t", "\t \t\n"] {
        let answer = report(Options::default(), &[], body.as_bytes());
        assert_eq!(answer, (200, vec![]), "{body:?}");
    }
}

/// Bytes as one literal of a snappy block: their length, the tag of a literal whose length follows in one
/// byte, and what is there.
fn literal(bytes: &[u8]) -> Vec<u8> {
    let len = u8::try_from(bytes.len() - 1).unwrap();
    let varint = [len.wrapping_add(1) | 0x80, 1];
    assert!((128..=255).contains(&bytes.len()));
    [&varint, &[60 << 2, len][..], bytes].concat()
}

#[test]
fn what_another_gateway_passes_on_is_stored() {
    let records = [
        r#"{"time":1795226430000,"tags":{"ip":"10.1.1.1"},"jvm":{"gc.time":5}}"#,
        r#"{"time":1795226430001,"tags":{"ip":"10.1.1.1","_type_":"i"},"instance":{"info":"a b"}}"#,
        "",
    ];
    let body = literal(records.join("\t").as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "snappy"),
        ("client-ip", "10.0.0.2"),
        ("app", "lookoutgateway"),
        ("x-lookout-gateway", "1"),
    ];
    let bench = Bench::new(Limits::default());
    let gateway = gateway(&bench, Options::default());
    let answer = send(&gateway, Method::POST, "/datas", &headers, body);
    assert_eq!(said(answer), (200, None, String::new()));
    assert_eq!(
        bench.recorder.take(),
        [
            r#"|{__name__="jvm.gc.time", ip="10.1.1.1"} 5 @ 1795226430000"#,
            r#"|{__name__="instance.info", info="a_b", ip="10.1.1.1"} 1 @ 1795226430001"#,
        ]
    );
}

#[test]
fn snappy_is_a_block_of_clients_and_a_stream_of_pushes() {
    use std::io::Write as _;
    let framed = |text: &str| {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.into_inner().unwrap()
    };
    let snappy = [("content-encoding", "snappy")];
    assert_eq!(
        report(Options::default(), &snappy, &framed(RECORD)),
        (400, vec![])
    );
    let bench = Bench::new(Limits::default());
    let gateway = gateway(&bench, Options::default());
    let answer = send(&gateway, Method::POST, PUSH, &snappy, framed("m 1\n"));
    assert_eq!(said(answer), (202, None, String::new()));
    assert_eq!(bench.recorder.take().len(), 1);
}

/// What is stored of a push from 10.0.0.9.
fn from_a_peer(
    options: Options,
    path: &str,
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> Vec<String> {
    let bench = Bench::new(Limits::default());
    let headers: HeaderMap = (headers.iter())
        .map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        })
        .collect();
    let answer = gateway(&bench, options).handle(Request {
        method: Method::POST,
        path: path.to_owned(),
        query: String::new(),
        headers,
        body: body.as_bytes().to_vec().into(),
        peer: Some(IpAddr::from([10, 0, 0, 9])),
        waited: std::time::Duration::ZERO,
        abandonment: Abandonment::default(),
    });
    assert!(answer.status().is_success(), "{path}");
    bench.recorder.take()
}

#[test]
fn the_address_is_what_the_client_says_or_that_of_its_connection() {
    let push = |path: &str, headers: &[(&'static str, &'static str)], body: &str| {
        from_a_peer(Options::default(), path, headers, body)
    };
    let said = ("client-ip", "10.0.0.7");
    let claimed = STORED.replace("10.0.0.9", "10.0.0.7");
    assert_eq!(push("/datas", &[("app", "a")], RECORD), [STORED]);
    assert_eq!(push("/datas", &[("app", "a"), said], RECORD), [claimed]);
    let of_push = |ip: &str| format!(r#"|{{__name__="m", app="a", ip="{ip}"}} 1 @ 1795226430000"#);
    let pushed = of_push("10.0.0.9").replace(r#"", ip="10.0.0.9""#, r#"", ip="10.0.0.9", job="j""#);
    // Of others the header says nothing.
    assert_eq!(push(PUSH, &[said], "m 1"), [pushed]);
    let headers = [("app", "a"), ("step", "10"), ("ip", "10.0.0.5")];
    assert_eq!(push(PUT, &headers[..2], POINT), [of_push("10.0.0.9")]);
    let record = r#"{"time":1795226430000,"tags":{},"m":1}"#;
    let tagged = "/lookout/metrics/app/a/step/10/ip/10.0.0.6";
    // The address is there before the tags of a request, which replace nothing.
    assert_eq!(push(PUT, &headers, POINT), [of_push("10.0.0.9")]);
    assert_eq!(push(tagged, &[], record), [of_push("10.0.0.9")]);
    assert_eq!(push(tagged, &[said], record), [of_push("10.0.0.7")]);
    let own = r#"{"time":1795226430000,"tags":{"ip":"10.0.0.4"},"m":1}"#;
    assert_eq!(push(tagged, &[said], own), [of_push("10.0.0.4")]);

    let general = |path: &str, headers: &[(&'static str, &'static str)], body: &str| {
        let profile = Profile::General;
        let options = Options {
            profile,
            ..Options::default()
        };
        from_a_peer(options, path, headers, body)
    };
    assert_eq!(general(PUT, &headers, POINT), [of_push("10.0.0.5")]);
    assert_eq!(general(tagged, &[], record), [of_push("10.0.0.6")]);
    assert_eq!(general(tagged, &[said], record), [of_push("10.0.0.7")]);
}

#[test]
fn series_beyond_the_limit_are_counted_and_the_others_kept() {
    let bench = Bench::with_series_max("lookout", 1);
    let gateway = gateway(&bench, Options::default());
    let record = |app: &str| format!(r#"{{"time":1795226430000,"tags":{{"app":"{app}"}},"m":1}}"#);
    let point = |app: &str| POINT.replace("{}", &format!(r#"{{"app":"{app}"}}"#));
    let put = [("app", "a"), ("step", "10")];
    for (target, headers, body, status) in [
        (
            "/datas",
            &CLIENT[2..3],
            [record("a"), record("b")].join("\t"),
            200,
        ),
        (
            "/lookout/metrics/app/a/step/10",
            &[],
            [record("a"), record("b")].join("\t"),
            200,
        ),
        (PUT, &put, format!("[{},{}]", point("a"), point("b")), 202),
    ] {
        let answer = said(send(&gateway, Method::POST, target, headers, body));
        assert_eq!(answer, (status, None, String::new()), "{target}");
        let kept = r#"|{__name__="m", app="a"} 1 @ 1795226430000"#;
        assert_eq!(bench.recorder.take(), [kept], "{target}");
    }
    // Its job makes the same of an exposition another series.
    let text = "m{job=\"\",x=\"a\"} 1\nm{job=\"\",x=\"b\"} 1\n";
    assert_eq!(said(send(&gateway, Method::POST, PUSH, &[], text)).0, 202);
    assert_eq!(bench.recorder.take(), Vec::<String>::new());
    let figures = &bench.status.figures()["lookout"];
    assert_eq!((figures.points, figures.refused["series_limit"]), (3, 5));
    let last = &bench.status.recent()[0];
    assert_eq!(
        (last.reason, &*last.error),
        ("series_limit", "series limit reached")
    );
    let last_point = r#"{__name__="m", app="a", job="j", x="a"} 1 @ 1795226430000"#;
    assert!(
        bench
            .status
            .recent()
            .iter()
            .any(|refused| refused.point == last_point)
    );
}

#[test]
fn whole_numbers_beyond_what_a_float_holds_are_the_float_next_to_them() {
    for (number, stored_as) in [
        ("9007199254740993", 9_007_199_254_740_992_f64),
        ("9223372036854775807", 9_223_372_036_854_775_807_f64),
        ("-9007199254740995", -9_007_199_254_740_996_f64),
    ] {
        let body = format!(r#"{{"time":{T},"tags":{{}},"m":{{"v":{number}}},"w":{number}}}"#);
        let of = |name| format!(r#"|{{__name__="{name}", ip="10.0.0.9"}} {stored_as} @ {T}"#);
        assert_eq!(stored(&body), [of("m.v"), of("w")], "{number}");
    }
}

#[test]
fn a_token_says_whose_rate_it_is() {
    let access = Access {
        require_token: false,
        tokens: parse_tokens("t1 orders").unwrap(),
        rates: "orders=1|all=-1".parse().unwrap(),
    };
    let options = Options {
        access,
        ..Options::default()
    };
    let bench = Bench::new(Limits::default());
    let gateway = gateway(&bench, options);
    let bad = |reason: &str| (400, Some(reason.to_owned()), reason.to_owned());
    let push = |target: &str, headers: &[(&'static str, &str)], body: &str| {
        said(send(&gateway, Method::POST, target, headers, body))
    };
    assert_eq!(push(PUSH, &[], "m 1\n"), bad("token is empty"));
    let put = [("app", "a"), ("step", "10")];
    assert_eq!(push(PUT, &put, POINT), bad("token is empty"));
    let unknown = [("x-lookout-token", "t2")];
    assert_eq!(push(PUSH, &unknown, "m 1\n"), bad("TOKEN_IS_INVALID"));
    // lookout:t1; another application in the path makes no difference.
    let known = [("authorization", "Basic bG9va291dDp0MQ==")];
    assert_eq!(push(PUSH, &known, "m 1\n"), (202, None, String::new()));
    let other = PUSH.replace("/app/a/", "/app/b/");
    assert_eq!(push(&other, &known, "m 1\n"), bad("RATE_LIMITED"));
    // Lookout's own records and the look at targets need none.
    let tagged = "/lookout/metrics/app/orders/step/10";
    for _ in 0..3 {
        assert_eq!(push(tagged, &[], RECORD), (200, None, String::new()));
    }
    let targets = send(&gateway, Method::GET, "/prom/targets", &[], "");
    assert_eq!(said(targets), (200, None, "{}".to_owned()));
}

#[test]
fn only_clients_of_lookout_are_told_how_long_to_wait() {
    let bench = Bench::new(Limits::default());
    let gateway = gateway(&bench, Options::default());
    *bench.recorder.failure.lock() = Some(ErrorKind::Unavailable);
    let put = [("app", "a"), ("step", "10")];
    for (target, headers, body, waits) in [
        ("/datas", &CLIENT[..], RECORD, true),
        ("/lookout/metrics/app/a/step/10", &CLIENT, RECORD, true),
        (PUSH, &[], "m 1\n", false),
        (PUT, &put, POINT, false),
    ] {
        let answer = send(&gateway, Method::POST, target, headers, body);
        assert_eq!(answer.headers().contains_key("wait-minutes"), waits);
        let (status, err, body) = said(answer);
        assert_eq!((status, err), (503, Some(body)), "{target}");
    }
}

#[test]
fn methods_that_a_path_does_not_know_are_refused() {
    let bench = Bench::new(Limits::default());
    let gateway = gateway(&bench, Options::default());
    for (method, target) in [
        (Method::PUT, "/datas"),
        (Method::DELETE, PUSH),
        (Method::GET, PUSH),
        (Method::GET, PUT),
        (Method::GET, "/opentsdb/api/put/"),
        (Method::PUT, "/lookout/metrics/app/a/step/10"),
    ] {
        let answer = said(send(&gateway, method.clone(), target, &CLIENT, RECORD));
        assert_eq!(answer.0, 405, "{method} {target}");
    }
    // An id by which to look for a request in the log changes nothing about it.
    let put = [("app", "a"), ("step", "10"), ("x-debug-id", "d1")];
    let answer = send(&gateway, Method::POST, "/opentsdb/api/put/", &put, POINT);
    assert_eq!(said(answer), (202, None, String::new()));
    let debugged = [("x-debug-id", "d1")];
    let answer = report(Options::default(), &debugged, RECORD.as_bytes());
    assert_eq!(answer, (200, vec![STORED.to_owned()]));
}
