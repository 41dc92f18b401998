//! Requests and lines as clients send them, byte for byte, and what must not harm.

mod answers;

use std::sync::Arc;
use std::time::Duration;

use model::ErrorKind;
use proptest::prelude::*;
use runtime::flags::ListenAddress;
use runtime::http::{HttpLimits, Method, Server, Service};
use runtime::process::Shutdown;
use runtime::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tsdb::batch::SeriesRef;

use super::decode::{Decoded, decode, decode_named};
use super::handler::Endpoint;
use super::line::{Command, NamedLines};
use super::telnet::Telnet;
use super::*;
use crate::pipeline::Pipeline;
use crate::protocols::named::Named;
use crate::protocols::points::{Points, Refusals};
use crate::protocols::sink::Limits;
use crate::protocols::testing::{Bench, NOW_MS, gzip, parts, send};

const STRICT: Options = Options {
    wait_max: Duration::ZERO,
    strict: true,
    names: Names::Keep,
    labels: LabelLimits {
        count_max: 64,
        name_bytes_max: 1024,
        value_bytes_max: 4096,
    },
};

fn put(bench: &Bench, options: Options, target: &str, body: &str) -> (u16, String) {
    let endpoint = Endpoint::new(bench.sink.clone(), options);
    parts(send(&endpoint, Method::POST, target, &[], body))
}

const POINT: &str =
    r#"{"metric":"sys.cpu","timestamp":1795226430,"value":1.5,"tags":{"host":"a"}}"#;
const POINT_STORED: &str = r#"|{__name__="sys.cpu", host="a"} 1.5 @ 1795226430000"#;
const HAD_ERRORS: &str = r#"{"error":{"code":400,"message":"One or more data points had errors","details":"Please see the TSD logs or append \"details\" to the put request"}}"#;

#[test]
fn points_are_stored_and_answered_as_asked() {
    let bench = Bench::new(Limits::default());
    let options = Options::default();
    for (target, expected) in [
        ("/api/put", (204, "")),
        ("/api/put/", (204, "")),
        ("/api/v1/put", (204, "")),
        ("/api/put?summary", (200, r#"{"success":1,"failed":0}"#)),
        ("/api/put?sync", (204, "")),
        (
            "/api/put?details=true",
            (200, r#"{"success":1,"failed":0,"errors":[]}"#),
        ),
        (
            "/api/put/?summary&details",
            (200, r#"{"success":1,"failed":0,"errors":[]}"#),
        ),
        (
            "/api/put?sync&sync_timeout=5000&summary",
            (200, r#"{"success":1,"failed":0,"timeouts":0}"#),
        ),
    ] {
        let (status, body) = put(&bench, options, target, POINT);
        assert_eq!((status, body.as_str()), expected, "{target}");
        assert_eq!(bench.recorder.take(), [POINT_STORED], "{target}");
    }
    // netdata sends this when it has nothing to say.
    assert_eq!(
        put(&bench, options, "/api/put", "[\n\n]"),
        (204, String::new())
    );
}

#[test]
fn half_valid_requests_keep_the_good_and_name_the_bad() {
    let bench = Bench::new(Limits::default());
    let body = format!(
        r#"[{POINT},
        {{"metric":"","timestamp":1,"value":1,"tags":{{"a":"b"}}}},
        {{"metric":"m","timestamp":0,"value":1,"tags":{{"a":"b"}}}},
        {{"metric":"m","timestamp":1365465600,"value":"NaN","tags":{{"host":"web01"}}}},
        {{"metric":"m","timestamp":1,"value":"","tags":{{}}}},
        {{"metric":"late","timestamp":1000013,"value":2,"tags":{{"a":"b"}}}},
        {{"metric":"late","timestamp":1000013000,"value":2,"tags":{{"a":"b"}}}},
        {{"metric":"ms","timestamp":"1795226430123","value":"7","tags":{{"a.b":"c d"}}}}]"#
    );
    let stored = [
        POINT_STORED,
        r#"|{__name__="late", a="b"} 2 @ 1000013000000"#,
        r#"|{__name__="ms", a_b="c d"} 7 @ 1795226430123"#,
    ];
    let (status, answer) = put(&bench, Options::default(), "/api/put?details", &body);
    assert_eq!(status, 400);
    assert_eq!(
        answer,
        concat!(
            r#"{"success":3,"failed":5,"errors":["#,
            r#"{"datapoint":{"metric":"","timestamp":1,"value":"1","tags":{"a":"b"}},"error":"Metric name was empty"},"#,
            r#"{"datapoint":{"metric":"m","timestamp":0,"value":"1","tags":{"a":"b"}},"error":"Invalid timestamp"},"#,
            r#"{"datapoint":{"metric":"m","timestamp":1365465600,"value":"NaN","tags":{"host":"web01"}},"error":"Unable to parse value to a number"},"#,
            r#"{"datapoint":{"metric":"m","timestamp":1,"value":"","tags":{}},"error":"Empty value"},"#,
            r#"{"datapoint":{"metric":"late","timestamp":1000013000,"value":"2","tags":{"a":"b"}},"error":"Storage exception: out of order sample"}]}"#
        )
    );
    assert_eq!(bench.recorder.take(), stored);
    assert_eq!(
        put(&bench, Options::default(), "/api/put", &body),
        (400, HAD_ERRORS.to_owned())
    );
    let figures = &bench.status.figures()["test"];
    assert_eq!((figures.points, figures.refused["out_of_order"]), (6, 2));
    assert_eq!(bench.status.recent()[0].reason, "out_of_order");
}

#[test]
fn rules_before_see_names_as_they_were_sent() {
    let pipeline = Pipeline::of_text(
        "receivers:\n  opentsdb:\n    before: [{action: drop, source_labels: [__name__], regex: 'a[.]b'}]\n\
         \x20   after: [{action: drop, source_labels: [__name__], regex: 'c_d'}]\n\
         \x20   tenants: {small: {decompressed_bytes: 10B}}\n",
    );
    let bench = Bench::of("opentsdb", Limits::default(), pipeline);
    let options = Options {
        names: Names::Underscore,
        ..Options::default()
    };
    let names = ["a.b", "c.d", "a_b", "e.f"];
    for _ in 0..2 {
        let points = names.map(|name| format!(r#"{{"metric":"{name}","timestamp":1,"value":1}}"#));
        let body = format!("[{}]", points.join(","));
        assert_eq!(put(&bench, options, "/api/put", &body).0, 204);
        let stored = ["a_b", "e_f"].map(|name| format!(r#"|{{__name__="{name}"}} 1 @ 1000"#));
        assert_eq!(bench.recorder.take(), stored);
        let lines = names.map(|name| format!("put {name} 1 1\n")).concat();
        let telnet = Telnet::new(bench.sink.clone(), options);
        let mut lines = telnet.lines(lines.as_bytes());
        telnet.try_store(&mut lines).unwrap();
        let reply = lines.reply;
        assert_eq!(
            (reply.text.as_str(), bench.recorder.take()),
            ("", stored.to_vec())
        );
    }
    let dropped = &bench.status.figures()["opentsdb"].dropped;
    assert_eq!((dropped["before"], dropped["after"]), (4, 4));

    let endpoint = Endpoint::new(bench.sink.clone(), options);
    let headers = [("thanos-tenant", "small")];
    let answer = parts(send(&endpoint, Method::POST, "/api/put", &headers, POINT));
    assert_eq!(answer.0, 413);
    assert_eq!(put(&bench, options, "/api/put", "{").0, 400);
    let recent = bench.status.recent();
    let shown: Vec<_> = recent
        .iter()
        .map(|r| (r.reason, &*r.tenant, &*r.error))
        .collect();
    let expected = [
        ("malformed", "", "a string was expected at byte 1"),
        (
            "body_too_large",
            "small",
            "decompressed body exceeds the limit of 10 bytes",
        ),
    ];
    assert_eq!(shown, expected);
    let failures = &bench.status.figures()["opentsdb"].failures;
    assert_eq!((failures["malformed"], failures["body_too_large"]), (1, 1));
}

#[test]
fn strict_takes_what_opentsdb_takes() {
    let bench = Bench::new(Limits::default());
    let nine: Vec<_> = (0..9).map(|i| format!(r#""k{i}":"v""#)).collect();
    let nine = nine.join(",");
    for (point, error) in [
        (
            r#"{"metric":"m","timestamp":1,"value":1}"#.to_owned(),
            "Missing tags",
        ),
        (
            r#"{"metric":"m","value":1,"tags":{"a":"b"}}"#.to_owned(),
            "Invalid timestamp",
        ),
        (
            format!(r#"{{"metric":"m","timestamp":1,"value":1,"tags":{{{nine}}}}}"#),
            "too many labels",
        ),
        (
            r#"{"metric":"m!","timestamp":1,"value":1,"tags":{"a":"b"}}"#.to_owned(),
            "character that is not allowed in a name or label",
        ),
    ] {
        let (status, answer) = put(&bench, STRICT, "/api/put?details", &point);
        assert_eq!(status, 400, "{point}");
        assert!(
            answer.contains(&format!(r#""error":"{error}""#)),
            "{answer}"
        );
        assert_eq!(bench.recorder.take(), Vec::<String>::new());
        let (status, _) = put(&bench, Options::default(), "/api/put", &point);
        assert_eq!(status, 204, "{point}");
        bench.recorder.take();
    }
    let (status, _) = put(
        &bench,
        Options::default(),
        "/api/put",
        r#"{"metric":"m","value":1}"#,
    );
    assert_eq!(status, 204);
    assert_eq!(
        bench.recorder.take(),
        [format!(r#"|{{__name__="m"}} 1 @ {NOW_MS}"#)]
    );
}

#[test]
fn what_is_damaged_stores_nothing() {
    let bench = Bench::new(Limits::default());
    let deep = "[".repeat(100_000);
    for body in [
        "",
        "nonsense",
        "[1]",
        "\"x\"",
        r#"[{"metric":"m","value":1},"#,
        r#"{"metric":"m","value":1} x"#,
        r#"{"metric":"m","value":1,"tags":[]}"#,
        r#"{"metric":"m","value":1,"tags":{"a":{}}}"#,
        &deep,
    ] {
        let (status, answer) = put(&bench, Options::default(), "/api/put?summary", body);
        assert_eq!(status, 400, "{answer}");
        let start =
            r#"{"error":{"code":400,"message":"Unable to parse the given JSON","details":""#;
        assert!(answer.starts_with(start), "{answer}");
    }
    assert_eq!(bench.recorder.take(), Vec::<String>::new());
    assert_eq!(bench.status.figures()["test"].failed, 9);
}

#[test]
fn bodies_are_decompressed_within_the_limit() {
    let limits = Limits {
        decompressed_bytes_max: 1000,
        ..Limits::default()
    };
    let bench = Bench::new(limits);
    let endpoint = Endpoint::new(bench.sink.clone(), Options::default());
    let gz = [("content-encoding", "gzip")];
    let send =
        |headers, body: Vec<u8>| parts(send(&endpoint, Method::POST, "/api/put", headers, body));
    assert_eq!(send(&gz, gzip(POINT.as_bytes())).0, 204);
    assert_eq!(bench.recorder.take(), [POINT_STORED]);
    let bomb = gzip(&vec![b' '; 10_000_000]);
    let (status, answer) = send(&gz, bomb);
    assert_eq!(status, 413, "{answer}");
    assert_eq!(send(&gz, POINT.into()).0, 400);
    assert_eq!(send(&[("content-encoding", "br")], POINT.into()).0, 400);
    assert_eq!(send(&[("thanos-tenant", "..")], POINT.into()).0, 400);
    assert_eq!(send(&[("thanos-tenant", "a")], POINT.into()).0, 204);
    assert_eq!(bench.recorder.take(), [format!("a{POINT_STORED}")]);
}

#[test]
fn other_methods_and_paths_are_answered_in_kind() {
    let bench = Bench::new(Limits::default());
    let endpoint = Endpoint::new(bench.sink.clone(), Options::default());
    let get = |target| parts(send(&endpoint, Method::GET, target, &[], POINT));
    assert_eq!(get("/api/put").0, 405);
    assert_eq!(get("/api/put?method_override=post").0, 204);
    assert!(get("/api/version").1.starts_with('{'));
    assert!(get("/api/aggregators").1.contains("\"zimsum\""));
    assert_eq!(
        get("/api/nothing"),
        (
            404,
            r#"{"error":{"code":404,"message":"Endpoint not found"}}"#.to_owned()
        )
    );
}

#[test]
fn a_store_that_takes_nothing_is_said_so() {
    let limits = Limits {
        points_per_second_max: 1,
        ..Limits::default()
    };
    let bench = Bench::new(limits);
    *bench.recorder.failure.lock() = Some(ErrorKind::Unavailable);
    assert_eq!(put(&bench, Options::default(), "/api/put", POINT).0, 503);
    *bench.recorder.failure.lock() = None;
    let codes: Vec<_> = (0..10)
        .map(|_| put(&bench, Options::default(), "/api/put", POINT).0)
        .collect();
    assert_eq!(codes, [[204; 9].as_slice(), &[503]].concat());
    bench.clock.advance(1000);
    assert_eq!(put(&bench, Options::default(), "/api/put", POINT).0, 204);
}

/// What lines come to: the answer, and what is stored.
fn lines(options: Options, text: &str) -> (String, Vec<String>) {
    let bench = Bench::new(Limits::default());
    let telnet = Telnet::new(bench.sink.clone(), options);
    let mut lines = telnet.lines(text.as_bytes());
    telnet.try_store(&mut lines).unwrap();
    (lines.reply.text, bench.recorder.take())
}

#[test]
fn lines_are_stored_in_silence() {
    for (line, stored) in [
        ("put sys.cpu 1795226430 1.5 host=a\n", POINT_STORED),
        // Two spaces, as collectd sends them; the end of a line as Windows has it.
        (
            "put load.load.shortterm 1795225759 9.8 fqdn=h1  status=production\r\n",
            r#"|{__name__="load.load.shortterm", fqdn="h1", status="production"} 9.8 @ 1795225759000"#,
        ),
        // Open-Falcon's transfer ends lines with a space.
        (
            "put m 1364410924.250 -3.000 a=b \n",
            r#"|{__name__="m", a="b"} -3 @ 1364410924250"#,
        ),
        (
            "put m 1364410924.5 1e3 a=b a=b",
            r#"|{__name__="m", a="b"} 1000 @ 1364410924500"#,
        ),
        (
            "put glances.fs./.size 1364410924250 5 host.name=x=y\n",
            r#"|{__name__="glances.fs./.size", host_name="x=y"} 5 @ 1364410924250"#,
        ),
        ("put m 1 1\n", r#"|{__name__="m"} 1 @ 1000"#),
        // A sample is a float: the one next to it.
        (
            "put m 1 9007199254740993 a=b\n",
            r#"|{__name__="m", a="b"} 9007199254740992 @ 1000"#,
        ),
    ] {
        assert_eq!(
            lines(Options::default(), line),
            (String::new(), vec![stored.to_owned()])
        );
    }
}

#[test]
fn bad_lines_are_answered_and_the_others_kept() {
    for (line, answer) in [
        (
            "put foo\n",
            "put: illegal argument: not enough arguments (need least 4, got 1)\n",
        ),
        (
            "put m x 1 a=b\n",
            "put: illegal argument: invalid timestamp: x\n",
        ),
        (
            "put m -1 1 a=b\n",
            "put: illegal argument: invalid timestamp: -1\n",
        ),
        (
            "put m +1 1 a=b\n",
            "put: illegal argument: invalid timestamp: +1\n",
        ),
        (
            "put m 1.2345 1 a=b\n",
            "put: illegal argument: invalid timestamp: 1.2345\n",
        ),
        ("put m 1 nan a=b\n", "put: invalid value: nan\n"),
        ("put m 1 one a=b\n", "put: invalid value: one\n"),
        ("put m 1 1 x\n", "put: illegal argument: invalid tag: x\n"),
        (
            "put m 1 1 a=b a=c\n",
            "put: illegal argument: duplicate tag: a=c\n",
        ),
        (
            "put m 1000013 1 a=b\n",
            concat!(
                "put: storage exception: out of order sample: ",
                "{__name__=\"m\", a=\"b\"} 1 @ 1000013000\n",
            ),
        ),
        ("foo bar\n", "unknown command: foo.  Try `help'.\n"),
        ("diediedie\n", "unknown command: diediedie.  Try `help'.\n"),
        ("dropcaches\n", "Caches dropped\n"),
    ] {
        let text = format!("{line}put sys.cpu 1795226430 1.5 host=a\n");
        let expected = (answer.to_owned(), vec![POINT_STORED.to_owned()]);
        assert_eq!(lines(Options::default(), &text), expected, "{line}");
    }
    let (answer, stored) = lines(STRICT, "put m 1 1\nput m$ 1 1 a=b\n");
    assert!(
        answer.starts_with("put: illegal argument: not enough arguments (need least 4, got 3)\n")
    );
    assert!(stored.is_empty());
    assert!(
        lines(Options::default(), "exit\nput m 1 1 a=b\n")
            .1
            .is_empty()
    );
}

/// A server of both protocols on one port.
async fn serve(bench: &Bench) -> (std::net::SocketAddr, impl Sized) {
    serve_with(bench, Options::default()).await
}

async fn serve_with(bench: &Bench, options: Options) -> (std::net::SocketAddr, impl Sized) {
    serve_within(bench, options, HttpLimits::default()).await
}

async fn serve_within(
    bench: &Bench,
    options: Options,
    limits: HttpLimits,
) -> (std::net::SocketAddr, impl Sized) {
    let address = ListenAddress::parse("127.0.0.1:0").unwrap();
    let server = Server::bind(&address, limits).await.unwrap();
    let at = server.local_addr().unwrap();
    let server = server.with_raw(Arc::new(Telnet::new(bench.sink.clone(), options)));
    let service = Service::default();
    service.ready(Arc::new(Endpoint::new(bench.sink.clone(), options)));
    let (trigger, shutdown) = Shutdown::new();
    let tasks = Tasks::new();
    tasks.spawn("opentsdb", server.serve(service, shutdown));
    (at, (tasks, trigger))
}

/// What is answered to these pieces until the server closes, or the client where it `ends`.
async fn exchange(at: std::net::SocketAddr, pieces: &[&str], ends: bool) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    for piece in pieces {
        stream.write_all(piece.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
    if ends {
        stream.shutdown().await.unwrap();
    }
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .unwrap()
        .unwrap();
    answer
}

#[tokio::test]
async fn one_port_speaks_both() {
    let bench = Bench::new(Limits::default());
    let (at, _server) = serve(&bench).await;
    let head = "POST /api/put HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{POINT}\r\n0\r\n\r\n", POINT.len());
    let answer = exchange(at, &[head, &chunk], false).await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(bench.recorder.take(), [POINT_STORED]);

    let pieces = [
        "put sys.cpu 17952",
        "26430 1.5 host=a\nput bad\nput m 1 1 a=b",
    ];
    let answer = exchange(at, &pieces, true).await;
    assert_eq!(
        answer,
        "put: illegal argument: not enough arguments (need least 4, got 1)\n"
    );
    let stored = [POINT_STORED, r#"|{__name__="m", a="b"} 1 @ 1000"#];
    assert_eq!(bench.recorder.take(), stored);

    // A client that asks before it sends a body is told to go on.
    let mut stream = TcpStream::connect(at).await.unwrap();
    let length = POINT.len();
    let head = format!(
        "POST /api/put HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(POINT.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(bench.recorder.take(), [POINT_STORED]);

    // Exactly as much as is read before the line is given up, so that nothing is left unread.
    let long = "x".repeat((64 << 10) + 1);
    let answer = exchange(at, &[&long], false).await;
    assert_eq!(answer, "error: line longer than 65536 bytes\n");
}

/// True when the server closes a connection that says nothing, within a while.
async fn is_closed(silent: &mut TcpStream, within: Duration) -> bool {
    let reading = silent.read_u8();
    matches!(tokio::time::timeout(within, reading).await, Ok(Err(_)))
}

#[tokio::test]
async fn connections_that_say_nothing_give_way() {
    let bench = Bench::new(Limits::default());
    let limits = HttpLimits {
        connections_max: 3,
        first_byte_max: Duration::from_millis(50),
        ..HttpLimits::default()
    };
    let (at, _server) = serve_within(&bench, Options::default(), limits).await;
    let line = "put sys.cpu 1795226430 1.5 host=a\n";
    // One is no matter, as long as it likes.
    let mut first = TcpStream::connect(at).await.unwrap();
    assert!(!is_closed(&mut first, Duration::from_millis(400)).await);
    assert_eq!(exchange(at, &[line], true).await, "");
    first.write_all(line.as_bytes()).await.unwrap();
    first.shutdown().await.unwrap();
    assert!(is_closed(&mut first, Duration::from_secs(20)).await);
    assert_eq!(bench.recorder.take(), [POINT_STORED, POINT_STORED]);
    // So many that nobody else has a place have to go.
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    assert_eq!(exchange(at, &[line], true).await, "");
    assert_eq!(bench.recorder.take(), [POINT_STORED]);
    assert!(is_closed(&mut silent[0], Duration::from_secs(20)).await);
}

/// A point: its series, its time and its value as they are written.
type Written = (usize, String, String);

fn round() -> impl Strategy<Value = Vec<Written>> {
    let time = "[1-9][0-9]{0,12}|0|01|1795226430|1[.]5|-1|";
    let value = "-?[0-9]{1,4}([.][0-9]{1,3})?(e[0-9])?|-0|01|[+]1|1[.]|nan||-?[1-9][0-9]{14,21}([.][0-9]{1,20})?";
    proptest::collection::vec((0..6_usize, time, value), 0..12)
}

/// Bytes to be written over those of a body, and where.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(b"0123456789.-e{}[],:\"\\ \x01\x02".to_vec())
    ];
    proptest::collection::vec((any::<prop::sample::Index>(), byte), 0..3)
}

fn json_of((series, time, value): &Written) -> String {
    let is_json = |text: &str| serde_json::from_str::<f64>(text).is_ok();
    let [time, value] = [time, value].map(|text| match is_json(text) {
        true => text.clone(),
        false => format!("{text:?}"),
    });
    match series {
        0 => format!(r#"{{"metric":"a","timestamp":{time},"value":{value},"tags":{{"h":"x"}}}}"#),
        1 => format!(r#"{{"metric":"a","timestamp":{time},"value":{value},"tags":{{"h":"y"}}}}"#),
        2 => format!(
            r#"{{"value":{value}, "tags":{{"é.é":"ü"}},"timestamp":"1{time}","metric":"a"}}"#
        ),
        3 => format!(r#"{{"metric":"now","value":{value}}}"#),
        4 => format!(r#"{{"metric":"","timestamp":{time},"value":{value}}}"#),
        _ => {
            format!(r#"{{"value":1,"x":{value},"timestamp":{time},"metric":"a","value":{value}}}"#)
        }
    }
}

fn line_of((series, time, value): &Written) -> String {
    match series {
        0 => format!("put a {time} {value} h=x"),
        1 => format!("put a {time} {value} h=y\r"),
        2 => format!("put  a {time}  {value} é.é=ü "),
        3 => format!("put a {time} {value}"),
        4 => format!("put a {time} {value} h"),
        _ => format!("put \u{1} {time} {value} h=\u{2}"),
    }
}

/// What became of points.
fn seen(points: &Points) -> (Vec<String>, &Refusals) {
    let batch = points.batch();
    let stored = batch.iter().enumerate().map(|(i, series)| {
        let (labels, float) = (series.labels, series.floats[0]);
        format!(
            "{} {labels:?} {:x} @ {}",
            points.origin(i),
            float.v.to_bits(),
            float.t
        )
    });
    (stored.collect(), points.refusals())
}

/// Has points remembered as a head would that calls all series by a number of their labels.
fn teach(points: &Points, named: &mut Named) {
    let series = points.batch().iter().map(|series| {
        let hash = series
            .labels
            .bytes()
            .fold(7, |hash, b| hash * 31 % 1_000_003 + u64::from(b));
        Some(SeriesRef(hash))
    });
    points.teach(&series.collect::<Vec<_>>(), named);
}

/// Lines of `count` points, each of its own series.
fn many_lines(count: usize) -> String {
    let lines = (0..count).map(|i| format!("put sys.cpu 1795226430 {i} host={i:0400}\n"));
    lines.collect()
}

#[tokio::test]
async fn lines_wait_while_the_storage_takes_nothing() {
    let bench = Bench::new(Limits::default());
    let (at, _server) = serve(&bench).await;
    *bench.recorder.failure.lock() = Some(ErrorKind::Unavailable);
    let mut stream = TcpStream::connect(at).await.unwrap();
    // More than sockets hold: the client finds that nobody reads.
    let text = many_lines(60_000);
    let mut rest = text.as_bytes();
    while let Ok(written) =
        tokio::time::timeout(Duration::from_millis(300), stream.write(rest)).await
    {
        rest = &rest[written.unwrap()..];
    }
    assert!(!rest.is_empty());
    assert_eq!(bench.recorder.take(), Vec::<String>::new());
    *bench.recorder.failure.lock() = None;
    stream.write_all(rest).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, "");
    assert_eq!(bench.recorder.take().len(), 60_000);
    let figures = &bench.status.figures()["test"];
    assert_eq!((figures.failed, figures.points), (0, 60_000));
}

#[tokio::test]
async fn lines_beyond_a_rate_wait_and_are_refused_when_that_lasts() {
    let limits = Limits {
        points_per_second_max: 10,
        ..Limits::default()
    };
    let bench = Bench::new(limits);
    let wait_max = Duration::from_secs(3);
    let options = Options {
        wait_max,
        ..Options::default()
    };
    let (at, _server) = serve_with(&bench, options).await;
    // A burst may overdraw; who comes next waits, until the clock goes on.
    assert_eq!(exchange(at, &[&many_lines(101)], true).await, "");
    let clock = Arc::clone(&bench.clock);
    let later = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        clock.advance(1000);
    };
    let second = many_lines(9);
    let pieces = [second.as_str()];
    let (answer, ()) = tokio::join!(exchange(at, &pieces, true), later);
    assert_eq!(answer, "");
    assert_eq!(bench.recorder.take().len(), 110);
    let answer = exchange(at, &[&many_lines(3)], true).await;
    assert_eq!(
        answer,
        "put: Please throttle writes: more than 10 points a second (--test.points-per-second-max); 3 data points were not stored\n"
    );
    assert_eq!(bench.status.figures()["test"].refused["rate_limited"], 3);
}

proptest! {
    #[test]
    fn json_and_lines_say_the_same(
        metric in "[a-z][a-z0-9._/-]{0,20}",
        t in 1_i64..TIMESTAMP_MAX,
        value in proptest::num::f64::NORMAL,
        tags in proptest::collection::btree_map("[a-z][a-z0-9]{0,8}", "[a-z0-9._/-]{1,8}", 1..8),
    ) {
        let json = serde_json::json!([{"metric": metric, "timestamp": t, "value": value, "tags": tags}]);
        let mut decoded = Decoded::default();
        decode(json.to_string().as_bytes(), 0, &STRICT, &mut decoded).unwrap();
        let tags: Vec<_> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let mut points = Points::new();
        let line = format!("{metric} {t} {value} {}", tags.join(" "));
        line::decode(&line, &STRICT, &mut points).unwrap();
        let (a, b) = (decoded.points.batch().get(0), points.batch().get(0));
        prop_assert_eq!(a.labels, b.labels);
        prop_assert_eq!(a.floats, b.floats);
    }

    #[test]
    fn points_told_by_their_bytes_are_what_they_were(rounds in round().prop_flat_map(|one| {
        let more = proptest::collection::vec(round(), 1..4);
        (Just(one), more).prop_map(|(one, more)| [vec![one.clone(), one], more].concat())
    })) {
        let (mut of_json, mut of_lines) = (Named::default(), Named::default());
        for points in rounds {
            let json: Vec<_> = points.iter().map(json_of).collect();
            let json = format!("[{}]", json.join(" , "));
            let (mut slow, mut fast) = (Decoded::default(), Decoded::default());
            let read = decode(json.as_bytes(), 7, &Options::default(), &mut slow);
            let by_bytes = decode_named(json.as_bytes(), 7, &Options::default(), &of_json, &mut fast);
            prop_assert_eq!(&read, &by_bytes);
            if read.is_ok() {
                prop_assert_eq!(seen(&slow.points), seen(&fast.points));
                prop_assert_eq!(&slow.refused, &fast.refused);
                teach(&fast.points, &mut of_json);
            }

            let (mut slow, mut fast) = (Points::new(), Points::new());
            let mut named = NamedLines::new(&of_lines);
            for line in points.iter().map(line_of) {
                let Command::Put(arguments) = Command::of_line(&line) else { unreachable!() };
                let answer = line::decode(arguments, &Options::default(), &mut slow);
                if !named.expected(&line, &mut fast) {
                    let by_bytes = named.put(&line, arguments, &Options::default(), &mut fast);
                    prop_assert_eq!(answer, by_bytes);
                } else {
                    prop_assert_eq!(answer, Ok(()));
                }
            }
            prop_assert_eq!(seen(&slow), seen(&fast));
            teach(&fast, &mut of_lines);
        }
    }

    #[test]
    fn damaged_points_told_by_their_bytes_are_what_they_were(
        rounds in proptest::collection::vec((round(), damage()), 1..4),
    ) {
        for strict in [false, true] {
            let options = Options { strict, ..Options::default() };
            let mut named = Named::default();
            for (points, damage) in &rounds {
                let json: Vec<_> = points.iter().map(json_of).collect();
                let sound = format!("[{}]", json.join(",")).into_bytes();
                let mut body = sound.clone();
                for (at, byte) in damage {
                    let at = at.index(body.len());
                    body[at] = *byte;
                }
                // Sound, then damaged where it is known by now, and that again.
                for body in [&sound, &body, &body] {
                    let (mut slow, mut fast) = (Decoded::default(), Decoded::default());
                    let read = decode(body, 7, &options, &mut slow);
                    let by_bytes = decode_named(body, 7, &options, &named, &mut fast);
                    prop_assert_eq!(&read, &by_bytes);
                    if read.is_ok() {
                        prop_assert_eq!(seen(&slow.points), seen(&fast.points));
                        prop_assert_eq!(&slow.refused, &fast.refused);
                        teach(&fast.points, &mut named);
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
        let mut decoded = Decoded::default();
        let _ = decode(&bytes, 0, &Options::default(), &mut decoded);
        let _ = line::decode(&text, &Options::default(), &mut Points::new());
        let bench = Bench::new(Limits::default());
        let telnet = Telnet::new(bench.sink.clone(), STRICT);
        telnet.try_store(&mut telnet.lines(&bytes)).unwrap();
    }
}
