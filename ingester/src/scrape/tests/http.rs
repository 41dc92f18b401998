//! Targets that answer over HTTP, well and badly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::*;

/// An HTTP server that gives every request the answer that `answer` makes of its path and head; a body is
/// the last line.
pub(super) struct Fake {
    pub(super) address: String,
}

impl Fake {
    pub(super) fn start(
        answer: impl Fn(&str, &[String]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::closing(move |path, head| Some(answer(path, head)))
    }

    /// As [`Fake::start`], but no answer closes the connection.
    fn closing(
        answer: impl Fn(&str, &[String]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let answer = Arc::clone(&answer);
                thread::spawn(move || serve(&stream, &*answer));
            }
        });
        Self { address }
    }
}

/// Makes an answer of a path and a head; none closes the connection.
type Script = dyn Fn(&str, &[String]) -> Option<Vec<u8>>;

fn serve(stream: &TcpStream, answer: &Script) {
    let mut input = BufReader::new(stream);
    loop {
        let lines = input.by_ref().lines().map_while(Result::ok);
        let mut head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let length = head.iter().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        if let Some(length) = length {
            let mut body = Vec::new();
            let read = input.by_ref().take(length).read_to_end(&mut body);
            head.push(String::from_utf8_lossy(&body).into_owned());
            assert_eq!(read.ok().map(|read| read as u64), Some(length));
        }
        let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else {
            return;
        };
        let mut out = stream;
        let Some(answer) = answer(path, &head) else {
            return;
        };
        if out.write_all(&answer).is_err() {
            return;
        }
    }
}

/// An answer with these further header lines.
pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(super) const TEXT: &str = "Content-Type: text/plain; version=0.0.4\r\n";

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn scrape(lines: &str, fake: &Fake) -> (Vec<String>, String) {
    let Hand {
        recorder, scraped, ..
    } = Hand::at(lines, &fake.address);
    let scraped = Arc::new(scraped);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(Arc::clone(&scraped).scrape(1000));
    let error = scraped.status.lock().last_error.clone();
    let instance = format!("instance=\"{}\"", fake.address);
    let lines = recorder.lines().into_iter();
    let lines = lines
        .map(|line| line.replace(&instance, "instance=\"i\""))
        .collect();
    (short(lines), error)
}

/// A server with an answer of each kind.
fn clumsy() -> Fake {
    Fake::start(|path, _| match path {
        "/metrics" => answer("200 OK", TEXT, b"a 1\n"),
        "/gzip" => {
            let headers = format!("{TEXT}Content-Encoding: gzip\r\n");
            answer("200 OK", &headers, &gzip(b"a 1\n"))
        }
        "/empty-gzip" => {
            let headers = format!("{TEXT}Content-Encoding: gzip\r\n");
            answer("200 OK", &headers, b"")
        }
        "/bomb" => {
            let headers = format!("{TEXT}Content-Encoding: gzip\r\n");
            answer("200 OK", &headers, &gzip(&vec![b'#'; 10 << 20]))
        }
        "/html" => answer("200 OK", "Content-Type: text/html\r\n", b"a 1\n"),
        "/untyped" => answer("200 OK", "", b"a 1\n"),
        "/error" => answer("500 Internal Server Error", TEXT, b"a 1\n"),
        "/moved" => answer("302 Found", "Location: /metrics\r\n", b""),
        "/slow" => {
            thread::sleep(Duration::from_secs(5));
            Vec::new()
        }
        _ => answer("404 Not Found", "", b""),
    })
}

#[test]
fn targets_without_answers_are_taken_down() {
    let fake = clumsy();
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("failures.log");
    let with_log = |lines: &str| {
        let lines = format!("scrape_failure_log_file: {}\n{lines}", log.display());
        scrape(&lines, &fake);
        std::fs::read_to_string(&log).expect("a log")
    };
    // What is answered and cannot be parsed is no failure of the target.
    assert_eq!(with_log("metrics_path: /metrics"), "");
    assert_eq!(with_log("label_limit: 1"), "");
    let line = |path: &str, error: &str| {
        format!(
            "{{\"time\":\"1970-01-01T00:00:00Z\",\"level\":\"ERROR\",\"msg\":\"{error}\",\"job_name\":\"j\",\
             \"target\":\"http://{}{path}\"}}\n",
            fake.address
        )
    };
    let first = line(
        "/error",
        "server returned HTTP status 500 Internal Server Error",
    );
    assert_eq!(with_log("metrics_path: /error"), first);
    let second = line("/metrics", "body size limit exceeded");
    assert_eq!(with_log("body_size_limit: 3B"), first + &second);
}

#[test]
fn answers_become_samples_or_say_why_not() {
    let fake = clumsy();
    let check = |lines: &str, expected: Result<(), &str>| {
        let (found, error) = scrape(lines, &fake);
        match expected {
            Ok(()) => assert_eq!((&*found[0], &*error), ("a 1 @1000", ""), "{lines}"),
            Err(expected) => {
                assert_eq!(error, expected.replace("ADDRESS", &fake.address), "{lines}");
                assert_eq!(found, report(0, 0, 0, 0, 1000), "{lines}");
            }
        }
    };
    check("", Ok(()));
    check("metrics_path: /gzip", Ok(()));
    check("metrics_path: /moved", Ok(()));
    check(
        "metrics_path: /html\nfallback_scrape_protocol: PrometheusText0.0.4",
        Ok(()),
    );
    check(
        "metrics_path: /bomb\nbody_size_limit: 1MB",
        Err("body size limit exceeded"),
    );
    check("body_size_limit: 3B", Err("body size limit exceeded"));
    check("body_size_limit: 4B", Err("body size limit exceeded"));
    check("body_size_limit: 5B", Ok(()));
    check("metrics_path: /gzip\nenable_compression: false", Ok(()));
    check("metrics_path: /gzip\nbody_size_limit: 5B", Ok(()));
    check(
        "metrics_path: /empty-gzip",
        Err("gzip: unexpected end of file"),
    );
    check(
        "scheme: ftp",
        Err("Get \"ftp://ADDRESS/metrics\": unsupported protocol scheme \"ftp\""),
    );
    check(
        "metrics_path: /moved\nfollow_redirects: false",
        Err("server returned HTTP status 302 Found"),
    );
    check(
        "metrics_path: /error",
        Err("server returned HTTP status 500 Internal Server Error"),
    );
    check(
        "metrics_path: /html",
        Err(
            "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target",
        ),
    );
    check(
        "metrics_path: /untyped",
        Err(
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
        ),
    );
    check(
        "metrics_path: /slow\nscrape_timeout: 100ms",
        Err("Get \"http://ADDRESS/slow\": context deadline exceeded"),
    );
}

#[test]
fn targets_that_do_not_listen_say_so() {
    let closed = Fake {
        address: "127.0.0.1:1".to_owned(),
    };
    let (_, error) = scrape("", &closed);
    assert!(
        error.starts_with("Get \"http://127.0.0.1:1/metrics\": "),
        "{error}"
    );
    assert!(
        error.ends_with("(os error 111)") && error.contains("refused"),
        "{error}"
    );
}

#[test]
fn a_connection_that_ends_before_the_answer_is_opened_again() {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let fake = Fake::closing(move |_, _| match count.fetch_add(1, Ordering::Relaxed) {
        0 => None,
        _ => Some(answer("200 OK", TEXT, b"a 1\n")),
    });
    assert_eq!(scrape("", &fake).0[0], "a 1 @1000");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let silent = Fake::closing(|_, _| None);
    let (_, error) = scrape("", &silent);
    assert!(error.contains("connection closed"), "{error}");
}

/// What Lookout's client shows on port 9494: no word about types, values of tags as JSON has them, and the tag
/// that says which kind of metric it is.
const REGISTRY: &str = concat!(
    "jvm_threads_active{app=\"order-center\",_type_=\"g\",path=\"C:\\\\a \\\"b\\\"\"} 12\n",
    "rpc_stats_count{_type_=\"c\",} 3.0 1795226437123\n",
    "rpc_stats_rate{_type_=\"c\"} NaN\n",
);

#[test]
fn a_registry_of_lookout_is_pulled_at_whole_intervals() {
    let fake = Fake::start(|_, _| {
        answer(
            "200 OK",
            "Content-Type: text/plain\r\n",
            REGISTRY.as_bytes(),
        )
    });
    let Hand {
        recorder, scraped, ..
    } = Hand::at(
        "lookout_compatible: true\nscrape_interval: 15s",
        &fake.address,
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(Arc::new(scraped).scrape(1_795_226_437_123));
    let lines = recorder.lines().into_iter();
    let lines: Vec<_> = lines
        .map(|line| line.replace(&fake.address, "i"))
        .filter(|line| !line.contains("\"scrape_"))
        .collect();
    let of = |name: &str, labels: &str, app: &str, value: &str| {
        format!(
            r#"{{__name__="{name}", {labels}app="{app}", instance="i", ip="i", job="j"}} {value} @1795226430000"#
        )
    };
    let threads = concat!(
        r#"{__name__="jvm_threads_active", _type_="g", app="order-center", instance="i", ip="i", job="j", "#,
        r#"path="C:\\a \"b\""} 12 @1795226430000"#,
    );
    assert_eq!(
        lines,
        [
            threads.to_owned(),
            of("rpc_stats_count", r#"_type_="c", "#, "j", "3"),
            of("rpc_stats_rate", r#"_type_="c", "#, "j", "NaN"),
            of("up", "", "j", "1"),
        ]
    );
}

#[test]
fn requests_are_prometheus() {
    let dir = tempfile::tempdir().expect("a directory");
    let password = dir.path().join("password");
    std::fs::write(&password, "secret\n").expect("it is writable");
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let fake = Fake::start(move |_, head| {
        seen.lock().push(head.join("\n"));
        answer("200 OK", TEXT, b"a 1\n")
    });
    let lines = format!(
        "scrape_timeout: 1500ms\nparams: {{m: [x y]}}\nbasic_auth: {{username: u, password_file: {}}}\nhttp_headers: {{X-Scope: {{values: [one]}}}}",
        password.display()
    );
    let (found, error) = scrape(&lines, &fake);
    assert_eq!((&*found[0], &*error), ("a 1 @1000", ""));
    let head = heads.lock().remove(0).to_lowercase();
    for expected in [
        "get /metrics?m=x+y http/1.1",
        "x-prometheus-scrape-timeout-seconds: 1.5",
        "authorization: basic dtpzzwnyzxq=",
        "accept-encoding: gzip",
        "x-scope: one",
        "user-agent: promontory/",
        "*/*;q=0.3",
    ] {
        assert!(head.contains(expected), "{expected}: {head}");
    }
}
