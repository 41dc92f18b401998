//! Each answer of the protocol, byte for byte: headers, bounds of times and values, envelopes of
//! errors, and the replies of the commands that store nothing.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use runtime::http::Response;

use super::*;

/// An answer: its status, the headers `names`, and its body.
fn whole(response: Response, names: &[&str]) -> (u16, Vec<String>, String) {
    let headers = response.headers();
    let found = names.iter().map(|name| {
        let value = headers.get(*name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    });
    let found = found.collect();
    let (status, body) = parts(response);
    (status, found, body)
}

/// What a point with this time and value comes to: what is stored, or why it is refused.
fn point(time: &str, value: &str) -> String {
    let bench = Bench::new(Limits::default());
    let body = format!(r#"{{"metric":"m","timestamp":{time},"value":{value},"tags":{{"a":"b"}}}}"#);
    let (status, answer) = put(&bench, STRICT, "/api/put?details", &body);
    let stored = bench.recorder.take();
    if status == 200 {
        assert_eq!(answer, r#"{"success":1,"failed":0,"errors":[]}"#);
        let [stored] = &stored[..] else {
            panic!("{stored:?}")
        };
        let series = r#"|{__name__="m", a="b"} "#;
        return stored.strip_prefix(series).unwrap().to_owned();
    }
    assert_eq!((status, stored.len()), (400, 0));
    let error = answer.split(r#""error":""#).nth(1).unwrap();
    error.strip_suffix(r#""}]}"#).unwrap().to_owned()
}

#[test]
fn times_are_seconds_as_long_as_they_fit_32_bits() {
    for (time, expected) in [
        ("1", "1 @ 1000"),
        ("4294967295", "1 @ 4294967295000"),
        ("4294967296", "1 @ 4294967296"),
        ("9999999999999", "1 @ 9999999999999"),
        (r#""4294967295""#, "1 @ 4294967295000"),
        (r#""4294967296""#, "1 @ 4294967296"),
        ("0", "Invalid timestamp"),
        ("-1", "Invalid timestamp"),
        ("10000000000000", "Invalid timestamp"),
        ("99999999999999999999", "Invalid timestamp"),
        ("1.5", "Invalid timestamp"),
        ("true", "Invalid timestamp"),
        ("null", "Invalid timestamp"),
        (r#""""#, "Invalid timestamp"),
        (r#""soon""#, "Invalid timestamp"),
    ] {
        assert_eq!(point(time, "1"), expected, "{time}");
    }
}

#[test]
fn values_are_numbers_or_words_for_them() {
    for (value, expected) in [
        ("0", "0 @ 1000"),
        ("-42", "-42 @ 1000"),
        ("9007199254740991", "9007199254740991 @ 1000"),
        // A sample is a float: the one next to it, an even one if two are, which shows fewer digits.
        ("9007199254740993", "9007199254740992 @ 1000"),
        ("-9007199254740995", "-9007199254740996 @ 1000"),
        ("9223372036854775807", "9223372036854776000 @ 1000"),
        ("18446744073709551615", "18446744073709552000 @ 1000"),
        (r#""9007199254740993""#, "9007199254740992 @ 1000"),
        ("1.5e3", "1500 @ 1000"),
        (r#""-42""#, "-42 @ 1000"),
        (r#""1.5E-1""#, "0.15 @ 1000"),
        (r#""""#, "Empty value"),
        ("null", "Empty value"),
        (r#""Infinity""#, "Unable to parse value to a number"),
        (r#""-Infinity""#, "Unable to parse value to a number"),
        (r#""nan""#, "Unable to parse value to a number"),
        (r#""1 2""#, "Unable to parse value to a number"),
        (r#""junk""#, "Unable to parse value to a number"),
        ("true", "Unable to parse value to a number"),
        ("1e999", "Unable to parse value to a number"),
        ("[1]", "Unable to parse value to a number"),
    ] {
        assert_eq!(point("1", value), expected, "{value}");
    }
}

#[test]
fn strict_takes_eight_tags_of_letters_of_any_script() {
    let bench = Bench::new(Limits::default());
    let tags: Vec<_> = (0..8).map(|i| format!(r#""k{i}":"é/-_.{i}""#)).collect();
    let tags = tags.join(",");
    let body = format!(r#"{{"metric":"ü.1","timestamp":1,"value":1,"tags":{{{tags}}}}}"#);
    assert_eq!(put(&bench, STRICT, "/api/put", &body), (204, String::new()));
    let labels: Vec<_> = (0..8).map(|i| format!(r#"k{i}="é/-_.{i}""#)).collect();
    let stored = format!(r#"|{{__name__="ü.1", {}}} 1 @ 1000"#, labels.join(", "));
    assert_eq!(bench.recorder.take(), [stored]);
    let (answer, _) = lines(STRICT, "put m 1 1 a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9\n");
    assert_eq!(answer, "put: illegal argument: too many labels\n");
}

#[test]
fn flags_count_by_being_there() {
    let bench = Bench::new(Limits::default());
    let bad = r#"{"metric":"m","timestamp":0,"value":1,"tags":{"a":"b"}}"#;
    let shown = r#"{"metric":"m","timestamp":0,"value":"1","tags":{"a":"b"}}"#;
    let details = format!(
        r#"{{"success":0,"failed":1,"errors":[{{"datapoint":{shown},"error":"Invalid timestamp"}}]}}"#
    );
    let details = details.as_str();
    let none = r#"{"success":0,"failed":0}"#;
    for (target, body, expected) in [
        (
            "/api/put?summary=false",
            POINT,
            (200, r#"{"success":1,"failed":0}"#),
        ),
        (
            "/api/put?summary",
            bad,
            (400, r#"{"success":0,"failed":1}"#),
        ),
        ("/api/put?details", bad, (400, details)),
        ("/api/put?summary&details=false", bad, (400, details)),
        ("/api/v1/put/?details", bad, (400, details)),
        ("/api/put?sync&sync_timeout=0", bad, (400, HAD_ERRORS)),
        ("/api/put", "[]", (204, "")),
        ("/api/put?summary", "[]", (200, none)),
        (
            "/api/put?details",
            " [ ] ",
            (200, r#"{"success":0,"failed":0,"errors":[]}"#),
        ),
    ] {
        let (status, answer) = put(&bench, Options::default(), target, body);
        assert_eq!((status, answer.as_str()), expected, "{target} {body}");
    }
}

#[test]
fn deflate_is_taken_with_and_without_its_envelope() {
    let bench = Bench::new(Limits::default());
    let endpoint = Endpoint::new(bench.sink.clone(), Options::default());
    let level = Compression::fast();
    let mut zlib = ZlibEncoder::new(Vec::new(), level);
    let mut bare = DeflateEncoder::new(Vec::new(), level);
    zlib.write_all(POINT.as_bytes()).unwrap();
    bare.write_all(POINT.as_bytes()).unwrap();
    for body in [zlib.finish().unwrap(), bare.finish().unwrap()] {
        let headers = [("content-encoding", "deflate"), ("content-type", "x/y")];
        let answer = parts(send(&endpoint, Method::POST, "/api/put", &headers, body));
        assert_eq!(answer, (204, String::new()));
        assert_eq!(bench.recorder.take(), [POINT_STORED]);
    }
}

const JSON: &str = "application/json; charset=UTF-8";

/// An answer with what errors say in headers.
fn failed(bench: &Bench, method: Method, target: &str, body: &str) -> (u16, Vec<String>, String) {
    let endpoint = Endpoint::new(bench.sink.clone(), Options::default());
    let response = send(&endpoint, method, target, &[], body);
    whole(response, &["content-type", "allow", "retry-after"])
}

/// An error as it is to be answered, with its headers beside the content type.
fn envelope(
    status: u16,
    [allow, retry]: [&str; 2],
    message: &str,
    details: &str,
) -> (u16, Vec<String>, String) {
    let headers = [JSON, allow, retry].map(str::to_owned).to_vec();
    let error = match details {
        "" => format!(r#""message":"{message}""#),
        details => format!(r#""message":"{message}","details":"{details}""#),
    };
    let body = format!(r#"{{"error":{{"code":{status},{error}}}}}"#);
    (status, headers, body)
}

#[test]
fn wrong_requests_are_answered_in_the_envelope() {
    let bench = Bench::new(Limits {
        decompressed_bytes_max: 200,
        ..Limits::default()
    });
    let details = "The HTTP method is not permitted for this endpoint; use POST";
    let wrong_method = envelope(405, ["POST", ""], "Method not allowed", details);
    for (method, target) in [
        (Method::GET, "/api/put"),
        (Method::PUT, "/api/put"),
        (Method::DELETE, "/api/v1/put"),
        (Method::POST, "/api/put?method_override=delete"),
    ] {
        assert_eq!(failed(&bench, method, target, POINT), wrong_method);
    }
    let nothing = envelope(404, ["", ""], "Endpoint not found", "");
    for target in ["/", "/api", "/api/v2/put", "/put", "/api/suggest", "/q"] {
        assert_eq!(failed(&bench, Method::POST, target, POINT), nothing);
    }
    let blanks = " ".repeat(201);
    for (target, body, status, message, details) in [
        ("/api/put?a=%zz", POINT, 400, "Invalid query string", ""),
        (
            "/api/put",
            "nonsense",
            400,
            "Unable to parse the given JSON",
            "a data point was expected at byte 0",
        ),
        (
            "/api/put",
            &blanks,
            413,
            "Request is too large",
            "decompressed body exceeds the limit of 200 bytes",
        ),
    ] {
        let expected = envelope(status, ["", ""], message, details);
        assert_eq!(failed(&bench, Method::POST, target, body), expected);
    }
}

#[test]
fn failures_of_the_storage_say_when_to_come_again() {
    let bench = Bench::new(Limits {
        points_per_second_max: 1,
        ..Limits::default()
    });
    let post = || failed(&bench, Method::POST, "/api/put", POINT);
    for (kind, status, retry, message) in [
        (ErrorKind::Unavailable, 503, "5", "Storage is not available"),
        (ErrorKind::Internal, 500, "", "Storage exception"),
    ] {
        *bench.recorder.failure.lock() = Some(kind);
        let (of, headers, body) = post();
        let said = [JSON, "", retry].map(str::to_owned).to_vec();
        assert_eq!((of, headers), (status, said));
        let start = format!(r#"{{"error":{{"code":{status},"message":"{message}","details":""#);
        assert!(body.starts_with(&start), "{body}");
    }
    *bench.recorder.failure.lock() = None;
    let throttled = (0..20).map(|_| post()).find(|answer| answer.0 != 204);
    let details = "more than 1 points a second (--test.points-per-second-max)";
    let expected = envelope(503, ["", "5"], "Please throttle", details);
    assert_eq!(throttled, Some(expected));
}

#[test]
fn series_beyond_the_limit_are_throttled_and_the_others_kept() {
    let point = |host: &str| {
        format!(
            r#"{{"metric":"sys.cpu","timestamp":1795226430,"value":1.5,"tags":{{"host":"{host}"}}}}"#
        )
    };
    let body = format!("[{},{}]", point("a"), point("b"));
    let shown =
        r#"{"metric":"sys.cpu","timestamp":1795226430000,"value":"1.5","tags":{"host":"b"}}"#;
    let details = format!(
        r#"{{"success":1,"failed":1,"errors":[{{"datapoint":{shown},"error":"Please throttle"}}]}}"#
    );
    let bench = Bench::with_series_max("opentsdb", 1);
    let options = Options::default();
    for (target, answer) in [("/api/put?details", &*details), ("/api/put", HAD_ERRORS)] {
        let answer = (400, answer.to_owned());
        assert_eq!(put(&bench, options, target, &body), answer, "{target}");
        assert_eq!(bench.recorder.take(), [POINT_STORED]);
    }
    let telnet = Telnet::new(bench.sink.clone(), options);
    let mut lines =
        telnet.lines(b"put sys.cpu 1795226430 1.5 host=b\nput sys.cpu 1795226430 1.5 host=a\n");
    telnet.try_store(&mut lines).unwrap();
    assert_eq!(
        lines.reply.text,
        "put: Please throttle writes: series limit reached: {__name__=\"sys.cpu\", host=\"b\"} 1.5 @ 1795226430000\n"
    );
    assert_eq!(bench.recorder.take(), [POINT_STORED]);
    let figures = &bench.status.figures()["opentsdb"];
    assert_eq!((figures.points, figures.refused["series_limit"]), (3, 3));
    assert_eq!(figures.failed, 0);
}

#[test]
fn what_clients_look_at_first_is_there() {
    let bench = Bench::new(Limits::default());
    let endpoint = Endpoint::new(bench.sink.clone(), Options::default());
    let version = concat!(
        r#"{"branch":"","full_revision":"","host":"localhost","repo":"","repo_status":"MINT","#,
        r#""short_revision":"","timestamp":"0","user":"promontory","version":"2.4.0"}"#,
    );
    let aggregators = concat!(
        r#"["avg","count","dev","first","last","max","mimmax","mimmin","min","none","p99","#,
        r#""sum","zimsum"]"#,
    );
    for (path, expected) in [
        ("version", version),
        ("version/", version),
        ("v1/version", version),
        ("aggregators", aggregators),
        ("config", "{}"),
        ("config/filters", "{}"),
        ("stats", "[]"),
    ] {
        let response = send(&endpoint, Method::GET, &format!("/api/{path}"), &[], "");
        let expected = (200, vec![JSON.to_owned()], expected.to_owned());
        assert_eq!(whole(response, &["content-type"]), expected, "{path}");
    }
}

#[test]
fn commands_that_store_nothing_are_answered() {
    for (line, answer) in [
        (
            "version\n",
            "promontory with the interface of OpenTSDB 2.4.0\nBuilt without a revision\n",
        ),
        (
            "stats\r\n",
            "tsd.connectionmgr.connections 1795226430 1 type=total\n",
        ),
        (
            "help\n",
            "available commands: exit help put stats version\n",
        ),
        ("\n  \n\r\n", ""),
        (
            "put\n",
            "put: illegal argument: not enough arguments (need least 4, got 0)\n",
        ),
        ("put m 1 1 =v\n", "put: illegal argument: invalid tag: =v\n"),
        ("put m 1 1 k=\n", "put: illegal argument: invalid tag: k=\n"),
        (
            "put m 0 1 a=b\n",
            "put: illegal argument: invalid timestamp: 0\n",
        ),
        (
            "put m 10000000000000 1 a=b\n",
            "put: illegal argument: invalid timestamp: 10000000000000\n",
        ),
        ("put m 1 inf a=b\n", "put: invalid value: inf\n"),
        ("PUT m 1 1 a=b\n", "unknown command: PUT.  Try `help'.\n"),
    ] {
        let text = format!("{line}put sys.cpu 1795226430 1.5 host=a\n");
        let expected = (answer.to_owned(), vec![POINT_STORED.to_owned()]);
        assert_eq!(lines(Options::default(), &text), expected, "{line}");
    }
    let lines_of = [
        (
            "put m 4294967295 1 a=b\n",
            r#"|{__name__="m", a="b"} 1 @ 4294967295000"#,
        ),
        (
            "put m 4294967296 1 a=b\n",
            r#"|{__name__="m", a="b"} 1 @ 4294967296"#,
        ),
        (
            "put m 9999999999999 1 a=b\n",
            r#"|{__name__="m", a="b"} 1 @ 9999999999999"#,
        ),
    ];
    for (line, stored) in lines_of {
        assert_eq!(
            lines(STRICT, line),
            (String::new(), vec![stored.to_owned()])
        );
    }
}
