use std::fs;
use std::sync::Arc;

use runtime::http::{Abandonment, HeaderMap, HeaderValue, Method};
use serde_json::Value;

use super::*;

fn request(headers: &[(&'static str, &'static str)]) -> Request {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.insert(*name, HeaderValue::from_static(value));
    }
    Request {
        method: Method::POST,
        path: "/api/v1/query_range".to_owned(),
        query: String::new(),
        headers: all,
        body: Default::default(),
        peer: Some([10, 0, 0, 7].into()),
        waited: Duration::ZERO,
        abandonment: Abandonment::default(),
    }
}

fn noted<'a>(request: &'a Request, stats: &'a QueryStats) -> Noted<'a> {
    Noted {
        caller: request.into(),
        tenant: "",
        text: "sum(up)+1",
        steps: Steps::range(1_000, 100_000, 10_000),
        is_instant: false,
        end_ms: 100_000,
        error: None,
        stats,
        took: Duration::from_millis(1),
        now_ms: 1_500,
    }
}

#[test]
fn lines_are_those_of_prometheus() {
    let (request, stats) = (request(&[]), QueryStats::default());
    let line = noted(&request, &stats).line();
    // From a Prometheus 3.15, but for the time, the source, what it took, and a figure that we lack.
    let expected = concat!(
        r#"{"time":"1970-01-01T00:00:01.500Z","level":"INFO","source":"querier","#,
        r#""msg":"promql query logged","params":{"end":"1970-01-01T00:01:40.000Z","#,
        r#""query":"sum(up)+1","start":"1970-01-01T00:00:01.000Z","step":10},"#,
        r#""stats":{"timings":{"evalTotalTime":0.0,"resultSortTime":0.0,"#,
        r#""queryPreparationTime":0.0,"innerEvalTime":0.0,"execQueueTime":0.0,"#,
        r#""execTotalTime":0.001},"samples":{"totalQueryableSamples":0,"peakSamples":0}},"#,
        r#""spanID":"0000000000000000","traceID":"00000000000000000000000000000000","#,
        r#""httpRequest":{"clientIP":"10.0.0.7","method":"POST","path":"/api/v1/query_range"}}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}

#[test]
fn headers_say_who_asked() {
    let request = request(&[
        (DASHBOARD, "abc"),
        (PANEL, "7"),
        (
            TRACE,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ]);
    let stats = QueryStats::default();
    let line = Noted {
        tenant: "acme",
        error: Some("it failed"),
        is_instant: true,
        ..noted(&request, &stats)
    }
    .line();
    let line: Value = serde_json::from_slice(&line).unwrap();
    for (pointer, expected) in [
        ("/grafana/dashboardUID", "abc"),
        ("/grafana/panelID", "7"),
        ("/traceID", "0af7651916cd43dd8448eb211c80319c"),
        ("/spanID", "b7ad6b7169203331"),
        ("/tenant", "acme"),
        ("/error", "it failed"),
    ] {
        let found = line.pointer(pointer);
        assert_eq!(found, Some(&Value::from(expected)), "{pointer}");
    }
    assert_eq!(line["params"]["step"], 0);
}

#[test]
fn the_file_is_opened_anew_when_it_is_said_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let lines = |name: &str| fs::read_to_string(file(name)).map_or(0, |text| text.lines().count());
    let said = Arc::new(Mutex::new(LogFile::default()));
    let to = Arc::clone(&said);
    let log = QueryLog::new(Slow::Never, move || to.lock().clone());
    let (request, stats) = (request(&[]), QueryStats::default());
    let note = || log.note(&noted(&request, &stats));
    let say = |path: Option<PathBuf>| {
        let mut said = said.lock();
        said.path = path;
        said.generation += 1;
    };
    note();
    say(Some(file("a")));
    note();
    note();
    assert_eq!(lines("a"), 2);
    // Moved away, it is written on until the configuration is read again.
    fs::rename(file("a"), file("old")).unwrap();
    note();
    assert_eq!((lines("a"), lines("old")), (0, 3));
    say(Some(file("a")));
    note();
    assert_eq!((lines("a"), lines("old")), (1, 3));
    say(None);
    note();
    assert_eq!(lines("a"), 1);
    // A file that cannot be written keeps no query from its answer.
    say(Some(file("none").join("x")));
    note();
    say(Some(file("b")));
    note();
    assert_eq!(lines("b"), 1);
}

#[test]
fn a_file_that_cannot_be_opened_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("none").join("x");
    assert!(QueryLog::with_file(Slow::Never, Some(file)).is_err());
    assert!(QueryLog::with_file(Slow::Never, Some(dir.path().join("x"))).is_ok());
}

#[test]
fn slow_is_what_takes_longer() {
    let second = Duration::from_secs(1);
    assert!(!Slow::Never.is(second));
    assert!(Slow::Always.is(Duration::ZERO));
    assert!(!Slow::After(second).is(second));
    assert!(Slow::After(second).is(second + Duration::from_millis(1)));
}
