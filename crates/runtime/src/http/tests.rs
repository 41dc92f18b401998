//! The server against clients that behave and clients that do not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;

use super::*;
use crate::flags::ListenAddress;
use crate::process::Shutdown;
use crate::web_config::WebConfig;

/// Answers by path.
struct Echo {
    abandoned: Mutex<Option<mpsc::Sender<()>>>,
}

impl Handler for Echo {
    fn cost(&self, path: &str) -> Cost {
        if path.starts_with("/large") {
            Cost::Large
        } else {
            Cost::Small
        }
    }

    fn only_reads(&self, path: &str) -> bool {
        path == "/read"
    }

    fn handle(&self, request: Request) -> Response {
        let ok = StatusCode::OK;
        match request.path.as_str() {
            "/form" => match request.form() {
                Ok(form) => Response::text(ok, &form.all("a").collect::<Vec<_>>().join(",")),
                Err(e) => Response::text(StatusCode::BAD_REQUEST, &e.to_string()),
            },
            "/long" => Response::written(ok, "text/plain", |out| {
                (0..100_000).try_for_each(|i| writeln!(out, "line {i}"))
            }),
            "/broken" => Response::written(ok, "text/plain", |out| {
                out.write_all(&[b'x'; 200_000])?;
                Err(std::io::Error::other("the data is damaged"))
            }),
            "/endless" => {
                let pieces = futures::stream::iter(["event\n".into()]);
                let pieces = futures::StreamExt::chain(pieces, futures::stream::pending());
                Response::streamed(ok, "text/plain", pieces)
            }
            "/panic" => panic!("a bug"),
            "/large/abandoned" => {
                let (stop, stopped) = mpsc::channel::<()>();
                let abandoned = self.abandoned.lock().unwrap().take();
                request.abandonment.on_abandon(move || drop(stop));
                let _ = stopped.recv();
                drop(abandoned);
                Response::text(ok, "late")
            }
            "/large/slow" => {
                std::thread::sleep(Duration::from_secs(4));
                Response::text(ok, "slow")
            }
            path => Response::text(StatusCode::NOT_FOUND, path),
        }
    }
}

/// Runs `client` against a server with these limits.
fn with_server(limits: HttpLimits, client: impl FnOnce(SocketAddr, mpsc::Receiver<()>) + Send) {
    with_configured(limits, &WebConfig::default(), |address, abandoned| {
        assert!(ask(address, "GET /-/ready HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200 "));
        client(address, abandoned);
    });
}

/// The same for a server that obeys a web configuration.
fn with_configured(
    limits: HttpLimits,
    web: &WebConfig,
    client: impl FnOnce(SocketAddr, mpsc::Receiver<()>) + Send,
) {
    let configure = |server: Server| server.with_web(web).unwrap();
    with_bound(limits, web.users.is_empty(), configure, client);
}

/// The same for a server that is configured when it is bound; one that is open lets everybody in.
fn with_bound(
    limits: HttpLimits,
    is_open: bool,
    configure: impl FnOnce(Server) -> Server,
    client: impl FnOnce(SocketAddr, mpsc::Receiver<()>) + Send,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let address = ListenAddress {
        host: "127.0.0.1".to_owned(),
        port: 0,
    };
    let server = runtime.block_on(Server::bind(&address, limits)).unwrap();
    let server = configure(server);
    let address = server.local_addr().unwrap();
    let (trigger, shutdown) = Shutdown::new();
    let (abandoned, on_abandoned) = mpsc::channel();
    let service = Service::default();
    std::thread::scope(|scope| {
        let starting = service.clone();
        let serving = scope.spawn(|| runtime.block_on(server.serve(service, shutdown)));
        if is_open {
            assert!(ask(address, "GET /-/ready HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 503 "));
            let healthy = ask(address, "GET /-/healthy HTTP/1.0\r\n\r\n");
            assert!(healthy.starts_with("HTTP/1.0 200 "));
        }
        starting.ready(Arc::new(Echo {
            abandoned: Mutex::new(Some(abandoned)),
        }));
        client(address, on_abandoned);
        trigger.request();
        serving.join().unwrap();
    });
    assert!(TcpStream::connect(address).is_err(), "it still listens");
}

fn connect(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// All that is answered until the server closes the connection.
fn ask_bytes(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut stream = connect(address, request);
    // A connection that is reset ends the answer too.
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn ask(address: SocketAddr, request: &str) -> String {
    String::from_utf8_lossy(&ask_bytes(address, request)).into_owned()
}

#[test]
fn forms_come_from_body_and_query() {
    with_server(HttpLimits::default(), |address, _| {
        let answer = ask(
            address,
            "POST /form?a=3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 7\r\n\
             Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\r\na=1&a=2",
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\n1,2,3\n"), "{answer}");
        assert!(!answer.contains("access-control"), "{answer}");
        let answer = ask(address, "GET /form?a=%f HTTP/1.0\r\nOrigin: y\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
        assert!(
            answer.contains("access-control-allow-origin: *"),
            "{answer}"
        );
        let answer = ask(address, "OPTIONS /form HTTP/1.0\r\nOrigin: y\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.0 204 "), "{answer}");
    });
}

#[test]
fn long_answers_are_streamed_and_compressed() {
    with_server(HttpLimits::default(), |address, _| {
        let plain = ask(address, "GET /long HTTP/1.0\r\n\r\n");
        let (_, plain) = plain.split_once("\r\n\r\n").unwrap();
        assert_eq!(plain.lines().count(), 100_000);
        let answer = ask_bytes(
            address,
            "GET /long HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n",
        );
        let at = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let mut text = String::new();
        GzDecoder::new(&answer[at + 4..])
            .read_to_string(&mut text)
            .unwrap();
        assert!(text == plain, "the decompressed body differs");
        assert!(answer.len() < plain.len() / 2);
    });
}

#[test]
fn failing_handlers_fail_alone() {
    with_server(HttpLimits::default(), |address, _| {
        let answer = ask(address, "GET /panic HTTP/1.0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.0 500 "), "{answer}");
        // A body that breaks off must not look complete.
        let head = "GET /broken HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = ask(address, head);
        assert!(answer.starts_with("HTTP/1.1 200 "));
        assert!(!answer.ends_with("0\r\n\r\n"));
        assert!(ask(address, "GET /x HTTP/1.0\r\n\r\n").ends_with("\r\n\r\n/x\n"));
    });
}

#[test]
fn a_client_that_goes_away_stops_its_request() {
    with_server(HttpLimits::default(), |address, abandoned| {
        let stream = connect(address, "GET /large/abandoned HTTP/1.1\r\nHost: x\r\n\r\n");
        let early = abandoned.recv_timeout(Duration::from_millis(200));
        assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout));
        drop(stream);
        let gone = abandoned.recv_timeout(Duration::from_secs(10));
        assert_eq!(gone, Err(mpsc::RecvTimeoutError::Disconnected));
    });
}

#[test]
fn bodies_heads_and_stillness_are_bounded() {
    let limits = HttpLimits {
        body_bytes_max: 10,
        body_flag: Some("x.body-bytes-max"),
        body_time_max: Duration::from_millis(300),
        header_time_max: Duration::from_millis(300),
        ..HttpLimits::default()
    };
    with_server(limits, |address, _| {
        let post = "POST /form HTTP/1.1\r\nHost: x\r\n";
        let large = ask(address, &format!("{post}Content-Length: 11\r\n\r\n"));
        assert!(large.starts_with("HTTP/1.1 413 "), "{large}");
        let said = "the body has 11 bytes or more, and the limit is 10 (--x.body-bytes-max)";
        assert!(large.contains(said), "{large}");
        let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n");
        assert!(ask(address, &chunked).starts_with("HTTP/1.1 413 "));
        let slow = ask(address, &format!("{post}Content-Length: 5\r\n\r\na="));
        assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");
        let begin = Instant::now();
        ask(address, "GET /x HTTP/1.1\r\nHost: x\r\nX-Never");
        // After its answer, too, a connection may not stay open for ever.
        ask(address, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(begin.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn small_requests_pass_large_ones() {
    let limits = HttpLimits {
        large_max: 1,
        large_flag: Some("x.max-concurrent"),
        queue_time_max: Duration::from_millis(100),
        ..HttpLimits::default()
    };
    with_server(limits, |address, _| {
        let mut first = connect(address, "GET /large/slow HTTP/1.0\r\n\r\n");
        std::thread::sleep(Duration::from_secs(1));
        let second = ask(address, "GET /large/slow HTTP/1.0\r\n\r\n");
        assert!(second.starts_with("HTTP/1.0 503 "), "{second}");
        assert!(second.contains("retry-after: 5"), "{second}");
        let said = "1 large requests are answered already, the limit (--x.max-concurrent), and no place \
                    became free within 100ms";
        assert!(second.contains(said), "{second}");
        assert!(ask(address, "GET /x HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 404 "));
        let mut answer = String::new();
        first.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("slow\n"), "{answer}");
    });
}

#[test]
fn only_users_with_their_passwords_are_let_in_whoever_they_are_now() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web.yml");
    let write = |text: &str| {
        std::fs::write(dir.path().join("new"), text).unwrap();
        std::fs::rename(dir.path().join("new"), &file).unwrap();
    };
    // bcrypt of "secret", and of "other".
    let secret = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    let other = "$2b$04$abcdefghijklmnopqrstuu0HtfOlPbTiymk5tcV.3TsFPDd3SYZqu";
    write(&format!(
        "basic_auth_users: {{alice: {secret}}}\nhttp_server_config: {{headers: {{x-frame-options: deny}}}}\n"
    ));
    let web = WebConfig::read(&file.display().to_string()).unwrap();
    assert!(!format!("{web:?}").contains(secret), "{web:?}");
    with_configured(HttpLimits::default(), &web, |address, _| {
        let status = |authorization: &str| {
            let answer = ask(
                address,
                &format!("GET /-/healthy HTTP/1.0\r\n{authorization}\r\n"),
            );
            let is_denied = answer.contains("www-authenticate: Basic\r\n");
            assert_eq!(is_denied, answer.starts_with("HTTP/1.0 401 "), "{answer}");
            assert!(answer.contains("x-frame-options: deny"), "{answer}");
            answer[9..12].to_owned()
        };
        let basic = |name: &str, password: &str| {
            let encoded = STANDARD.encode(format!("{name}:{password}"));
            format!("Authorization: Basic {encoded}\r\n")
        };
        assert_eq!(status(""), "401");
        assert_eq!(status("Authorization: Bearer x\r\n"), "401");
        assert_eq!(status("Authorization: Basic !\r\n"), "401");
        assert_eq!(status(&basic("alice", "other")), "401");
        assert_eq!(status(&basic("bob", "secret")), "401");
        // Remembered, and as right as before.
        assert_eq!(status(&basic("alice", "secret")), "200");
        assert_eq!(status(&basic("alice", "secret")), "200");
        let headers = "http_server_config: {headers: {x-frame-options: deny}}";
        write(&format!(
            "basic_auth_users: {{alice: {other}}}\n{headers}\n"
        ));
        assert_eq!(status(&basic("alice", "secret")), "401");
        assert_eq!(status(&basic("alice", "other")), "200");
        // What cannot be used lets nobody else in.
        write("basic_auth_users: {alice: none}\n");
        assert_eq!(status(&basic("alice", "other")), "200");
        assert_eq!(status(""), "401");
    });
}

#[test]
fn a_url_may_have_quotes_as_people_type_them() {
    with_server(HttpLimits::default(), |address, _| {
        let answer = ask(
            address,
            "GET /form?a={x=\"<y>\"} HTTP/1.1\r\nHost: \"x\"\r\nConnection: close\r\n\r\n",
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{x=\"<y>\"}\n"), "{answer}");
        // Only the line is touched, and one of any length.
        let long = "\"".repeat(5_000);
        let answer = ask(
            address,
            &format!(
                "POST /form?a={long} HTTP/1.0\r\nContent-Length: 5\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\na=\"<>"
            ),
        );
        assert!(
            answer.ends_with(&format!("\r\n\r\n\"<>,{long}\n")),
            "{answer}"
        );
        let refused = ask(address, "POST /-/healthy HTTP/1.0\r\n\r\n");
        assert!(refused.starts_with("HTTP/1.0 405 "), "{refused}");
    });
}

#[test]
fn an_answer_that_goes_on_occupies_nobody_and_ends_with_the_server() {
    let limits = HttpLimits {
        small_max: 1,
        large_max: 1,
        ..HttpLimits::default()
    };
    let mut ends = Vec::new();
    let begin = Instant::now();
    with_server(limits, |address, _| {
        for _ in 0..3 {
            let request = "GET /endless HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n";
            let mut stream = connect(address, request);
            let mut begun = String::new();
            while !begun.ends_with("6\r\nevent\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                begun.push(byte[0].into());
            }
            ends.push(stream);
        }
        let answer = ask(address, "GET /form?a=1 HTTP/1.0\r\n\r\n");
        assert!(answer.ends_with("\r\n\r\n1\n"), "{answer}");
    });
    for mut stream in ends {
        let mut end = String::new();
        stream.read_to_string(&mut end).unwrap();
        assert_eq!(end, "0\r\n\r\n");
    }
    assert!(begin.elapsed() < HttpLimits::default().grace);
}

#[test]
fn a_server_is_found_below_its_prefix() {
    let paths = WebPaths::default()
        .serving_below("/below")
        .seen_below("/seen")
        .read_by(Origins::Own);
    let configure = |server: Server| server.with_paths(paths);
    with_bound(HttpLimits::default(), true, configure, |address, _| {
        let get = |path: &str| {
            ask(
                address,
                &format!("GET {path} HTTP/1.0\r\nOrigin: http://a\r\n\r\n"),
            )
        };
        assert!(get("/below/long").ends_with("line 99999\n"));
        assert!(get("/long").starts_with("HTTP/1.0 404 "));
        for health in ["/-/healthy", "/below/-/healthy"] {
            let answer = get(health);
            assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
            assert!(!answer.contains("access-control"), "{answer}");
        }
        for (path, location) in [
            ("/", "/seen/"),
            ("/below?x=1", "/seen/?x=1"),
            ("/below//form/?a=1", "/seen/form/?a=1"),
        ] {
            let answer = get(path);
            assert!(answer.starts_with("HTTP/1.0 307 "), "{path}: {answer}");
            assert!(
                answer.contains(&format!("location: {location}\r\n")),
                "{path}: {answer}"
            );
        }
    });
}

#[test]
fn pages_of_other_sites_may_read_and_change_nothing() {
    with_server(HttpLimits::default(), |address, _| {
        let post = |path: &str, said: &str| {
            let request = format!("POST {path} HTTP/1.0\r\nHost: here:1\r\n{said}\r\n");
            ask(address, &request)
        };
        for said in ["", "Origin: http://here:1\r\n", "Sec-Fetch-Site: none\r\n"] {
            let answer = post("/form?a=1", said);
            assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
        }
        for said in [
            "Origin: http://there\r\n",
            "Origin: null\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
        ] {
            let answer = post("/form?a=1", said);
            assert!(answer.starts_with("HTTP/1.0 403 "), "{answer}");
            assert!(answer.contains("may not change anything here"), "{answer}");
            let answer = post("/read", said);
            assert!(answer.starts_with("HTTP/1.0 404 "), "{answer}");
            let get = format!("GET /form?a=1 HTTP/1.0\r\nHost: here:1\r\n{said}\r\n");
            let answer = ask(address, &get);
            assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
        }
    });
}

#[test]
fn parameters_may_come_in_parts() {
    with_server(HttpLimits::default(), |address, _| {
        let post = |kind: &str, body: &str| {
            let length = body.len();
            ask(
                address,
                &format!(
                    "POST /form?a=3 HTTP/1.0\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
                ),
            )
        };
        let part = |value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=a\r\n\r\n{value}\r\n")
        };
        let body = format!("{}{}--x--\r\n", part("1"), part("2"));
        let answer = post("Multipart/form-data; boundary=\"x\"", &body);
        assert!(answer.ends_with("1,2,3\n"), "{answer}");
        let answer = post("multipart/form-data", &body);
        assert!(
            answer.starts_with("HTTP/1.0 400 ") && answer.contains("boundary"),
            "{answer}"
        );
    });
}
