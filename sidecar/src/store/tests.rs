//! The store against a real Prometheus.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures::TryStreamExt as _;
use model::labels::quote_into;
use promontory_tests::process::Server;
use promontory_tests::{free_port, peer, remote_write};
use runtime::SystemClock;
use storeapi::acceptance::{DataSet, check};
use storeapi::remote_read::{ReadRequest, ResponseType};

use super::*;
use crate::client::{Client, ClientConfig};
use crate::flags::MinTime;

/// A Prometheus on a directory of its own.
struct Prometheus {
    port: u16,
    _server: Server,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one whose data directory `fill` has filled; `None` when there is none to start.
    fn start(external: &Labels, fill: impl FnOnce(&Path)) -> Option<Self> {
        let program = peer("prometheus")?;
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        fill(&data);
        let mut config = "global:\n  external_labels:\n".to_owned();
        for (name, value) in external {
            writeln!(config, "    {name}: \"{value}\"").unwrap();
        }
        let config_file = dir.path().join("prometheus.yml");
        std::fs::write(&config_file, config).unwrap();
        let port = free_port();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg("--web.enable-remote-write-receiver")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut server = Server::start(&mut command, &dir.path().join("log")).unwrap();
        server.wait_ready(port, "/-/ready", Duration::from_secs(60));
        Some(Self {
            port,
            _server: server,
            _dir: dir,
        })
    }

    async fn store(&self) -> PrometheusStore {
        let url = format!("http://127.0.0.1:{}", self.port);
        let client = Client::new(&url, &ClientConfig::default()).unwrap();
        let min_time = MinTime::At(i64::MIN);
        let source = Arc::new(Source::new(client, min_time, Arc::new(SystemClock)));
        source.refresh(Duration::from_secs(30)).await.unwrap();
        PrometheusStore::new(source)
    }
}

/// Fills a data directory with a block.
fn write_block(data: &DataSet, dir: &Path) {
    let mut text = String::new();
    let mut series: Vec<_> = data.series.iter().collect();
    series.sort_by_key(|series| series.labels.metric_name().to_owned());
    for series in series {
        for (t, v) in &series.samples {
            text.push_str(series.labels.metric_name());
            let labels = series.labels.iter().filter(|(n, _)| *n != "__name__");
            for (i, (name, value)) in labels.enumerate() {
                text.push(if i == 0 { '{' } else { ',' });
                write!(text, "{name}=").unwrap();
                quote_into(&mut text, value);
            }
            writeln!(text, "}} {v} {}.{:03}", t / 1_000, t % 1_000).unwrap();
        }
    }
    text.push_str("# EOF\n");
    let input = dir.join("../input.om");
    std::fs::write(&input, text).unwrap();
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&input, &dir.to_owned()])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// Sends samples in order of time, as they would have come.
fn write_head(data: &DataSet, port: u16) {
    let mut times: Vec<_> = data
        .series
        .iter()
        .flat_map(|s| &s.samples)
        .map(|s| s.0)
        .collect();
    times.sort_unstable();
    times.dedup();
    for times in times.chunks(50) {
        let (first, last) = (times[0], times[times.len() - 1]);
        let series: Vec<_> = data
            .series
            .iter()
            .map(|series| remote_write::Series {
                labels: series
                    .labels
                    .iter()
                    .map(|(n, v)| (n.to_owned(), v.to_owned()))
                    .collect(),
                samples: series
                    .samples
                    .iter()
                    .filter(|(t, _)| (first..=last).contains(t))
                    .copied()
                    .collect(),
            })
            .filter(|series| !series.samples.is_empty())
            .collect();
        let answer = remote_write::send(port, "/api/v1/write", &series).unwrap();
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acceptance_on_a_block() {
    let data = DataSet::standard();
    let Some(prometheus) = Prometheus::start(&data.external, |dir| write_block(&data, dir)) else {
        return;
    };
    let store = prometheus.store().await;
    assert!(store.source.has_hidden_labels(), "series e has a region");
    assert_eq!(store.info().min_time, data.time_bounds().0);
    check(&store, &data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acceptance_on_a_head_without_hidden_labels() {
    let mut data = DataSet::standard();
    let Some(prometheus) = Prometheus::start(&data.external, |_| {}) else {
        return;
    };
    let store = prometheus.store().await;
    // What external labels hide is sent by no suite, but the cases want the series.
    for series in &mut data.series {
        let own = series.labels.without(&["region"]);
        series.labels = own;
    }
    write_head(&data, prometheus.port);
    check(&store, &data).await;
    assert!(!store.source.has_hidden_labels());
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_labels_that_come_later_are_told_and_then_known() {
    let data = DataSet::standard();
    let external = Labels::from_pairs([("job", "one")]);
    let Some(prometheus) = Prometheus::start(&external, |_| {}) else {
        return;
    };
    let store = prometheus.store().await;
    write_head(&data, prometheus.port);
    let request = || SeriesRequest {
        matchers: vec![Matcher::equal("__name__", "up")],
        ..SeriesRequest::default()
    };
    let answer: Result<Vec<_>, _> = store.series(request()).try_collect().await;
    let error = answer.unwrap_err();
    assert!(error.message.contains("ask again"), "{error}");
    let frames: Vec<Frame> = store.series(request()).try_collect().await.unwrap();
    let count: usize = frames
        .iter()
        .map(|frame| match frame {
            Frame::Series(series) => series.len(),
            Frame::Warning(_) => 0,
        })
        .sum();
    assert_eq!(count, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_is_not_there_is_an_error() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let client = Client::new(&url, &ClientConfig::default()).unwrap();
    let source = Source::new(client, MinTime::At(0), Arc::new(SystemClock));
    let error = source.refresh(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.kind, model::ErrorKind::Unavailable);
    assert!(error.message.contains("refused"), "{error}");
}

/// Answers all that a sidecar asks for, each list with one item more than there is place for.
fn scripted_prometheus() -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = |path: &str| match path {
        "/api/v1/status/config" => {
            r#"{"status":"success","data":{"yaml":"global: {external_labels: {replica: a}}"}}"#
        }
        _ => {
            r#"{"status":"success","data":["x"],"warnings":["results truncated due to limit","slow"]}"#
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut asked = Vec::new();
                let mut byte = [0];
                while !asked.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    asked.push(byte[0]);
                }
                let asked = String::from_utf8_lossy(&asked);
                let path = asked.split([' ', '?']).nth(1).unwrap_or_default();
                let body = answer(path);
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length:";
                write!(stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
            });
        }
    });
    port
}

/// To know whether there is any series, one is asked for; that there are more is no news.
#[tokio::test(flavor = "multi_thread")]
async fn values_of_external_labels_come_without_word_of_a_limit() {
    let url = format!("http://127.0.0.1:{}", scripted_prometheus());
    let client = Client::new(&url, &ClientConfig::default()).unwrap();
    let min_time = MinTime::At(i64::MIN);
    let source = Arc::new(Source::new(client, min_time, Arc::new(SystemClock)));
    source.refresh(Duration::from_secs(30)).await.unwrap();
    let store = PrometheusStore::new(source);
    let values = async |name: &str| {
        let request = LabelsRequest::default();
        let found = store.label_values(name.to_owned(), request).await.unwrap();
        (found.values, found.warnings)
    };
    assert_eq!(
        values("replica").await,
        (vec!["a".to_owned()], vec!["slow".to_owned()])
    );
    let (_, warnings) = values("job").await;
    assert_eq!(warnings, ["results truncated due to limit", "slow"]);
}

/// A stream with one chunk of the encoding 4, and the samples of the same series.
const STRANGE: &[u8] =
    b"\x1e\x07q\xccw\x0a\x1c\x0a\x0d\x0a\x08__name__\x12\x01m\x12\x0b\x08\x01\x10\x02\x18\x04\x22\x03\x00\x01\x00";
const SAMPLES: &[u8] =
    b" |\x0a\x1e\x0a\x1c\x0a\x0d\x0a\x08__name__\x12\x01m\x12\x0b\x09\x00\x00\x00\x00\x00\x00\xf8?\x10\x01";

/// Answers remote reads with a stream where that is asked for, and keeps what was asked.
fn strange_prometheus(asked: Arc<std::sync::Mutex<Vec<bool>>>) -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            let question = ReadRequest::decode(&body, 1 << 20).unwrap();
            let is_stream = question.response_type == ResponseType::StreamedXorChunks;
            asked.lock().unwrap().push(is_stream);
            let (kind, body) = match is_stream {
                true => ("application/x-streamed-protobuf", STRANGE),
                false => ("application/x-protobuf", SAMPLES),
            };
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type:";
            write!(
                stream,
                "{head} {kind}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            )
            .unwrap();
            stream.write_all(body).unwrap();
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_not_read_come_as_samples() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let url = format!(
        "http://127.0.0.1:{}",
        strange_prometheus(Arc::clone(&asked))
    );
    let client = Client::new(&url, &ClientConfig::default()).unwrap();
    let min_time = MinTime::At(i64::MIN);
    let source = Arc::new(Source::new(client, min_time, Arc::new(SystemClock)));
    let store = PrometheusStore::new(source);
    for asked_before in [0, 2] {
        assert_eq!(asked.lock().unwrap().len(), asked_before);
        let request = SeriesRequest {
            range: TimeRange::closed(0, 10),
            matchers: vec![Matcher::equal("__name__", "m")],
            ..SeriesRequest::default()
        };
        let frames: Vec<_> = store.series(request).try_collect().await.unwrap();
        let [Frame::Series(series)] = &frames[..] else {
            panic!("{frames:?}");
        };
        assert_eq!(series[0].labels.metric_name(), "m");
        assert_eq!((series[0].chunks[0].min_time, series.len()), (1, 1));
    }
    assert_eq!(*asked.lock().unwrap(), [true, false, false]);
}
