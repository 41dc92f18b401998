//! A real Prometheus writes to an ingester, and another one reads it back; and takes its data over.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use promontory_tests::process::Server;
use promontory_tests::remote_write::{Series, send};
use promontory_tests::{free_port, http, now_ms, peer};
use serde_json::{Value, json};

use crate::component::PATIENCE;
use crate::prometheus::Prometheus;

struct Ingester {
    http: u16,
    write: u16,
    _server: Server,
}

fn start_ingester(dir: &Path) -> anyhow::Result<Ingester> {
    let (http, grpc, write) = (free_port(), free_port(), free_port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command
        .arg("ingester")
        .arg(format!("--tsdb.path={}", dir.join("ingester").display()))
        .arg("--tsdb.layout=single")
        .arg(format!("--http-address=127.0.0.1:{http}"))
        .arg(format!("--grpc-address=127.0.0.1:{grpc}"))
        .arg(format!("--remote-write.address=127.0.0.1:{write}"));
    let mut server = Server::start(&mut command, &dir.join("ingester.log"))?;
    server.wait_ready(http, "/-/ready", PATIENCE);
    Ok(Ingester {
        http,
        write,
        _server: server,
    })
}

fn start_prometheus(
    program: &Path,
    dir: &Path,
    name: &str,
    config: impl FnOnce(u16) -> String,
) -> anyhow::Result<(u16, Server)> {
    let port = free_port();
    let file = dir.join(format!("{name}.yml"));
    std::fs::write(&file, config(port))?;
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join(name).display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut server = Server::start(&mut command, &dir.join(format!("{name}.log")))?;
    server.wait_ready(port, "/-/ready", PATIENCE);
    Ok((port, server))
}

/// The `data` of an answer, once there is one.
fn data(port: u16, path: &str) -> Option<Value> {
    let answer = http::get(port, path)
        .ok()
        .filter(|answer| answer.status == 200)?;
    let mut body: Value = serde_json::from_str(&answer.body).ok()?;
    Some(body["data"].take())
}

/// Asks until `answer` is there.
fn wait_for<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(answer) = answer() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("{what} did not come within {PATIENCE:?}");
}

#[test]
fn prometheus_reads_back_what_prometheus_wrote() -> anyhow::Result<()> {
    let Some(program) = peer("prometheus") else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let ingester = start_ingester(dir.path())?;
    let (writer, _writing) = start_prometheus(&program, dir.path(), "writer", |port| {
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n- {{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n\
             remote_write:\n- url: http://127.0.0.1:{}/api/v1/write\n\
             \x20 queue_config: {{batch_send_deadline: 500ms}}\n\
             \x20 metadata_config: {{send_interval: 1s}}\n",
            ingester.write
        )
    })?;
    let (reader, _reading) = start_prometheus(&program, dir.path(), "reader", |_| {
        format!(
            "remote_read:\n- {{url: 'http://127.0.0.1:{}/api/v1/read', read_recent: true}}\n",
            ingester.http
        )
    })?;

    // Ten scrapes are enough to compare; the last of them must have been sent.
    let end = wait_for("ten scrapes", || {
        let count = data(writer, "/api/v1/query?query=count_over_time(up%5B1m%5D)")?;
        let count: f64 = count["result"][0]["value"][1].as_str()?.parse().ok()?;
        let last = data(writer, "/api/v1/query?query=timestamp(up)")?;
        let last: f64 = last["result"][0]["value"][1].as_str()?.parse().ok()?;
        (count >= 10.0).then_some(last)
    });
    for query in [
        "up",
        "timestamp(scrape_samples_scraped)",
        "prometheus_tsdb_head_series",
        "sum by (handler) (rate(prometheus_http_requests_total[8s]))",
        "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[8s])))",
        "count by (__name__) ({job=\"self\"})",
    ] {
        let path = format!(
            "/api/v1/query_range?query={}&start={}&end={end}&step=1",
            http::encode(query),
            end - 8.0
        );
        let expected = data(writer, &path).expect("the writer answers");
        assert!(
            !expected["result"].as_array().expect("a matrix").is_empty(),
            "{query}"
        );
        wait_for(&format!("the same answer to {query}"), || {
            (data(reader, &path)? == expected).then_some(())
        });
    }
    let metadata = wait_for("metadata", || {
        let path = "/api/v1/metadata?metric=prometheus_build_info";
        let found = data(ingester.http, path)?["prometheus_build_info"].take();
        (!found.is_null()).then_some(found)
    });
    assert_eq!(metadata[0]["type"], "gauge");
    let jobs = data(ingester.http, "/api/v1/label/job/values").expect("it answers");
    assert_eq!(jobs, serde_json::json!(["self"]));
    Ok(())
}

#[test]
fn prometheus_takes_over_after_a_crash_once_the_directory_is_closed() -> anyhow::Result<()> {
    if peer("prometheus").is_none() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("ingester");
    let ours = start_ingester(dir.path())?;
    // More samples than one chunk has, so that some are in head chunk files and some in the log.
    let end = now_ms();
    let samples: Vec<_> = (0..300)
        .map(|i| (end - (300 - i) * 1000, i as f64 / 4.0))
        .collect();
    let labels = [("__name__", "kept"), ("job", "j")];
    let labels = labels
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let answer = send(ours.write, "/api/v1/write", &[Series { labels, samples }])?;
    ensure!(answer.status == 204, "{answer:?}");
    // Dropping it is kill -9.
    drop(ours);

    let close = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
        command
            .args(["tsdb", "close", "-o", "json"])
            .arg(&path)
            .output()
    };
    for _ in 0..2 {
        let closed = close()?;
        ensure!(closed.status.success(), "{closed:?}");
        let report: Value = serde_json::from_slice(&closed.stdout)?;
        ensure!(report == json!({ "series": 1, "repaired": 0 }), "{report}");
    }
    let Some(prometheus) = Prometheus::start(&path, dir.path())? else {
        return Ok(());
    };
    let query = format!("/api/v1/query?query=kept[1h]&time={}", end / 1000);
    let found = data(prometheus.port(), &query).context("an answer")?;
    let values = found["result"][0]["values"].as_array().context("values")?;
    ensure!(values.len() == 300, "{found}");
    let is_same = |(i, value): (usize, &Value)| value[1] == *format!("{}", i as f64 / 4.0);
    ensure!(values.iter().enumerate().all(is_same), "{found}");
    Ok(())
}
