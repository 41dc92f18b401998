//! An S3 server that fails, stops or cuts its answers: what is read is right or an error, after a few
//! tries and in little time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bucket::{Bucket, Patience};
use model::figure::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const BODY: &str = "0123456789";

/// What the server does with one request.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Answers with the object.
    Right,
    /// Answers with a status and S3's code for an error.
    Refuses(&'static str, &'static str),
    /// Closes the connection after some bytes of the object.
    Cuts(usize),
    /// Says nothing any more after some bytes of the object.
    Stalls(usize),
}

/// A server that does these things in turn, the last one for ever.
struct Server {
    port: u16,
    requests: Arc<AtomicUsize>,
}

impl Server {
    async fn start(script: &'static [Does]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    if read_request(&mut stream).await.is_err() {
                        return;
                    }
                    let n = counted.fetch_add(1, Ordering::SeqCst);
                    let does = script[n.min(script.len() - 1)];
                    let _ = stream.write_all(answer(does).as_bytes()).await;
                    if matches!(does, Does::Stalls(_)) {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { port, requests }
    }

    fn bucket(&self) -> Bucket {
        let yaml = format!(
            "{{type: S3, config: {{bucket: b, endpoint: '127.0.0.1:{}', insecure: true, access_key: a, \
             secret_key: s, region: us-east-1, http_config: {{response_header_timeout: 500ms}}}}}}",
            self.port
        );
        Bucket::open(&yaml, Patience::Interactive).unwrap()
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads up to the end of the headers; there is no body.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    Ok(())
}

fn answer(does: Does) -> String {
    match does {
        Does::Refuses(status, code) => {
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
            let length = body.len();
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n{body}"
            )
        }
        Does::Right => object(BODY.len()),
        Does::Cuts(bytes) | Does::Stalls(bytes) => object(bytes),
    }
}

/// The begin of the object, with the length of all of it.
fn object(bytes: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"1\"\r\n\
         Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\nConnection: close\r\n\r\n{}",
        BODY.len(),
        &BODY[..bytes]
    )
}

async fn read(script: &'static [Does]) -> (Result<String, String>, usize) {
    let server = Server::start(script).await;
    let begin = Instant::now();
    let read = server.bucket().get("k", 100).await;
    assert!(begin.elapsed() < Duration::from_secs(30), "{script:?}");
    let text = read.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    (text.map_err(|error| error.chain()), server.requests())
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    const BUSY: Does = Does::Refuses("503 Slow Down", "SlowDown");
    const BROKEN: Does = Does::Refuses("500 Internal Server Error", "InternalError");
    let (text, requests) = read(&[BUSY, BROKEN, Does::Right]).await;
    assert_eq!((text.as_deref(), requests), (Ok(BODY), 3));
    // Nobody waits for ever.
    let (text, requests) = read(&[BUSY]).await;
    assert!(text.unwrap_err().contains("503"));
    assert!((2..10).contains(&requests), "{requests}");
}

#[tokio::test]
async fn refusals_are_not_tried_again_and_say_why() {
    let (text, requests) = read(&[Does::Refuses("403 Forbidden", "AccessDenied")]).await;
    let error = text.unwrap_err();
    assert!(error.contains("AccessDenied"), "{error}");
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn half_an_object_is_never_taken_for_a_whole() {
    for script in [
        &[Does::Cuts(0), Does::Right][..],
        &[Does::Cuts(4), Does::Right],
        &[Does::Stalls(0), Does::Right],
        &[Does::Stalls(4), Does::Right],
        &[Does::Cuts(4)],
        &[Does::Stalls(4)],
    ] {
        let (text, _) = read(script).await;
        // Tried again or given up, but nothing in between.
        assert!(
            text.is_err() || text.as_deref() == Ok(BODY),
            "{script:?}: {text:?}"
        );
        let is_hopeless = script.len() == 1;
        assert!(!is_hopeless || text.is_err(), "{script:?}");
    }
}

/// A server that takes two requests at a time and refuses all others, and asks the first to stay away
/// for a second.
struct Busy {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicUsize,
    refused: AtomicUsize,
    at_once: AtomicUsize,
    /// Most requests at once, since it was set to 0.
    peak: AtomicUsize,
    /// Requests that are held back until there are as many.
    held: AtomicUsize,
}

impl Busy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counts = Arc::clone(&shared);
                tokio::spawn(async move {
                    if read_request(&mut stream).await.is_err() {
                        return;
                    }
                    counts.requests.fetch_add(1, Ordering::SeqCst);
                    let at_once = counts.at_once.fetch_add(1, Ordering::SeqCst) + 1;
                    counts.peak.fetch_max(at_once, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    while counts.requests.load(Ordering::SeqCst)
                        < counts.held.load(Ordering::SeqCst)
                    {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    let text = match at_once > 2 {
                        true => {
                            let first = counts.refused.fetch_add(1, Ordering::SeqCst) == 0;
                            let refusal = answer(Does::Refuses("503 Slow Down", "SlowDown"));
                            let after = if first {
                                "\r\nRetry-After: 1\r\n"
                            } else {
                                "\r\n"
                            };
                            refusal.replacen("\r\n", after, 1)
                        }
                        false => answer(Does::Right),
                    };
                    let _ = stream.write_all(text.as_bytes()).await;
                    counts.at_once.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, counts }
    }
}

fn figure(bucket: &Bucket, name: &str) -> f64 {
    let mut found = None;
    bucket.metrics().visit("b", &mut |figure| {
        if let Value::Counter(value) | Value::Gauge(value) = figure.value
            && figure.name == name
        {
            found = Some(value);
        }
    });
    found.unwrap()
}

#[tokio::test]
async fn a_store_that_is_overloaded_is_asked_less() {
    const THROTTLED: &str = "promontory_objstore_bucket_throttled_total";
    const AT_ONCE: &str = "promontory_objstore_bucket_requests_max";
    let busy = Busy::start().await;
    let counts = Arc::clone(&busy.counts);
    counts.held.store(60, Ordering::SeqCst);
    let bucket = Server {
        port: busy.port,
        requests: Arc::default(),
    }
    .bucket();
    assert_eq!(
        (figure(&bucket, THROTTLED), figure(&bucket, AT_ONCE)),
        (0.0, 0.0)
    );
    let begin = Instant::now();
    let read_all = || futures::future::join_all((0..60).map(|_| bucket.get("k", 100)));
    let reads = read_all().await;
    assert!(reads.iter().all(Result::is_ok), "{reads:?}");
    assert!(
        begin.elapsed() >= Duration::from_secs(1),
        "Retry-After counts"
    );
    assert_eq!(counts.peak.swap(0, Ordering::SeqCst), 60);
    let refused = counts.refused.load(Ordering::SeqCst);
    assert_eq!(figure(&bucket, THROTTLED), refused as f64);
    assert!(figure(&bucket, AT_ONCE) < 30.0);
    // From now on it keeps to what is taken, and tries only now and then whether it is more.
    for _ in 0..3 {
        counts.refused.store(0, Ordering::SeqCst);
        counts.peak.store(0, Ordering::SeqCst);
        let reads = read_all().await;
        assert!(reads.iter().all(Result::is_ok), "{reads:?}");
    }
    let (peak, refused) = (&counts.peak, &counts.refused);
    assert!(peak.load(Ordering::SeqCst) < 20, "{peak:?}");
    assert!(refused.load(Ordering::SeqCst) < 40, "{refused:?}");
}
