//! `promontory` without a subcommand, as somebody meets it who has just installed it; and beside a
//! Prometheus that got the same samples by remote write.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use promontory_tests::process::Server;
use promontory_tests::{free_port, http, remote_write};
use serde_json::Value;

use crate::block_data;
use crate::component::{PATIENCE, wait_until};
use crate::prometheus::Prometheus;
use crate::promql_differential::peer::ask;
use crate::promql_differential::{generate, is_hidden_by_plan, is_newer_refusal, when};
use crate::rng::Rng;

/// A promontory of one process.
pub(crate) struct AllInOne {
    pub(crate) port: u16,
    pub(crate) server: Server,
}

impl AllInOne {
    /// Starts one with its data in `dir`, listening on `port`.
    pub(crate) fn start(dir: &Path, port: u16) -> anyhow::Result<Self> {
        Self::start_with(dir, port, &[])
    }

    /// The same with further flags.
    pub(crate) fn start_with(dir: &Path, port: u16, flags: &[String]) -> anyhow::Result<Self> {
        let mut ours = Self::begin(dir, port, flags)?;
        ours.wait_ready();
        Ok(ours)
    }

    /// Starts one as [`AllInOne::start_with`], which may not be ready for long.
    pub(crate) fn begin(dir: &Path, port: u16, flags: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
        command
            .arg(format!(
                "--data-dir={}",
                dir.join("promontory-data").display()
            ))
            .arg(format!("--http-address=127.0.0.1:{port}"))
            .arg("--grpc-address=127.0.0.1:0")
            .args(flags);
        let server = Server::start(&mut command, &dir.join("promontory.log"))?;
        Ok(Self { port, server })
    }

    /// Waits until it answers.
    pub(crate) fn wait_ready(&mut self) {
        self.server.wait_ready(self.port, "/-/ready", PATIENCE);
    }

    /// The sum of a metric of its `/metrics` over all labels; nothing where it has none.
    pub(crate) fn figure(&self, name: &str) -> anyhow::Result<Option<f64>> {
        let answer = http::get(self.port, "/metrics")?;
        let is_metric = |line: &&str| line.split(['{', ' ']).next() == Some(name);
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        let found: Vec<_> = answer.body.lines().filter(is_metric).collect();
        Ok((!found.is_empty()).then(|| found.into_iter().filter_map(value).sum()))
    }

    /// Waits until all of these metrics are there and 0.
    pub(crate) fn wait_zero(&self, what: &str, names: &[&str]) -> anyhow::Result<()> {
        let is_zero = || {
            for name in names {
                if self.figure(name)? != Some(0.0) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        wait_until(what, is_zero)
    }

    /// What its status page says of what it takes and sends on.
    pub(crate) fn ingest(&self) -> anyhow::Result<Value> {
        let answer = http::get(self.port, "/api/v1/status/ingest")?;
        let mut body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
        Ok(body["data"].take())
    }
}

fn result_of(port: u16, query: &str) -> anyhow::Result<Value> {
    let path = format!("/api/v1/query?query={}", http::encode(query));
    let answer = http::get(port, &path)?;
    let body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
    Ok(body["data"]["result"].clone())
}

#[test]
fn it_answers_about_itself_within_seconds() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let started = Instant::now();
    let ours = AllInOne::start(dir.path(), free_port())?;
    loop {
        let up = result_of(ours.port, "up{job=\"promontory\"}")?;
        if up[0]["value"][1] == "1" {
            break;
        }
        // Alone on a machine it takes less than 15 s.
        ensure!(started.elapsed() < PATIENCE, "no answer in time: {up}");
        std::thread::sleep(Duration::from_millis(200));
    }
    // What it scrapes of itself is in a head of its own, which counts.
    let answer = http::get(ours.port, "/api/v1/status/tsdb")?;
    let answer: Value = serde_json::from_str(&answer.body).context(answer.body)?;
    let series = answer["data"]["headStats"]["numSeries"].as_u64();
    ensure!(
        series > Some(10),
        "what is scraped is not in a head: {answer}"
    );
    let answer = http::get(ours.port, "/api/v1/status/flags")?;
    let answer: Value = serde_json::from_str(&answer.body).context(answer.body)?;
    for (flag, value) in [
        ("wal.sync", "always"),
        ("query.timeout", "2m"),
        ("log.level", "info"),
    ] {
        ensure!(
            answer["data"][flag] == value,
            "--{flag} is not shown: {answer}"
        );
    }
    let answer = http::get(ours.port, "/api/v1/status/runtimeinfo")?;
    ensure!(
        answer.body.contains(r#""storageRetention":"2d""#),
        "{}",
        answer.body
    );
    let log = ours.server.log();
    for said in ["promontory-data", "http://127.0.0.1:", "remote_write:"] {
        ensure!(
            log.contains(said),
            "{said:?} is not in what it prints:\n{log}"
        );
    }
    let page = http::get(ours.port, "/")?;
    ensure!(
        page.status == 200 && page.body.contains("<title>Promontory"),
        "the page is there"
    );
    Ok(())
}

#[test]
fn answers_equal_those_of_a_prometheus_with_the_same_samples() -> anyhow::Result<()> {
    const EXPRESSIONS: usize = 500;
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("theirs");
    std::fs::create_dir(&data)?;
    let Some(theirs) = Prometheus::start(&data, dir.path())? else {
        return Ok(());
    };
    let ours = AllInOne::start(dir.path(), free_port())?;
    for port in [theirs.port(), ours.port] {
        block_data::send(port, 7, 0)?;
    }

    let mut rng = Rng::new(11);
    let mut accepted = 0;
    let mut failures = Vec::new();
    for _ in 0..EXPRESSIONS {
        let (expr, when) = (generate::expression(&mut rng), when(&mut rng));
        let expected = ask(theirs.port(), &expr, when).with_context(|| expr.clone())?;
        match (expected, ask(ours.port, &expr, when)?) {
            (Err(_), Err(_)) => {}
            (Err(e), Ok(_)) if is_hidden_by_plan(&e) => {}
            (Ok(_), Err(e)) if is_newer_refusal(&expr, &e) => {}
            (Ok(a), Ok(b)) if crate::promql_differential::difference(&a, &b).is_none() => {
                accepted += 1;
            }
            (a, b) => failures.push(format!("{expr} {when:?}\n  theirs {a:?}\n  ours   {b:?}")),
        }
    }
    ensure!(
        failures.is_empty(),
        "{} differ, among them:\n{}",
        failures.len(),
        failures[..failures.len().min(5)].join("\n")
    );
    ensure!(
        accepted >= 300,
        "only {accepted} expressions were accepted by both"
    );
    for path in ["labels", "label/job/values", "series?match[]=temperature"] {
        let range = format!(
            "start={}&end={}",
            block_data::START_MS / 1000,
            block_data::END_MS / 1000
        );
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("/api/v1/{path}{separator}{range}");
        let (a, b) = (
            http::get(theirs.port(), &path)?,
            http::get(ours.port, &path)?,
        );
        ensure!(a.body == b.body, "{path}: {} and {}", a.body, b.body);
    }
    Ok(())
}

#[test]
fn a_node_exporter_is_found_whether_it_starts_before_or_after() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let answer = |listener: TcpListener| {
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.and_then(|stream| expose(stream, "node_boot_time_seconds 7\n"));
            }
        });
    };
    for is_early in [true, false] {
        let listener = TcpListener::bind(("127.0.0.1", free_port()))?;
        let address = listener.local_addr()?;
        if is_early {
            answer(listener);
        } else {
            drop(listener);
        }
        let data = dir.path().join(address.port().to_string());
        std::fs::create_dir(&data)?;
        let flag = format!("--node-exporter.address={address}");
        let ours = AllInOne::start_with(&data, free_port(), &[flag])?;
        if !is_early {
            let up = result_of(ours.port, "up{job=\"node\"}")?;
            ensure!(up == serde_json::json!([]), "it is scraped already: {up}");
            answer(TcpListener::bind(address)?);
        }
        wait_until("a sample of the node exporter", || {
            let found = result_of(ours.port, "node_boot_time_seconds{job=\"node\"}")?;
            Ok(found[0]["value"][1] == "7")
        })?;
    }
    Ok(())
}

#[test]
fn history_is_not_doubled_when_labels_change() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let port = free_port();
    let labels = vec![("__name__".to_owned(), "kept".to_owned())];
    let samples: Vec<_> = (0..100)
        .map(|i| (block_data::START_MS + i * 15_000, 1.0))
        .collect();
    let end = samples[99].0;
    for (i, dc) in ["one", "two"].into_iter().enumerate() {
        let flag = format!("--label=dc=\"{dc}\"");
        let mut ours = AllInOne::start_with(dir.path(), port, &[flag])?;
        if i == 0 {
            let series = remote_write::Series {
                labels: labels.clone(),
                samples: samples.clone(),
            };
            let answer = remote_write::send(port, "/api/v1/write", &[series])?;
            ensure!(answer.status / 100 == 2, "{answer:?}");
        } else {
            wait_until("blocks of the bucket", || {
                Ok(ours.figure("thanos_bucket_store_blocks_loaded")? > Some(0.0))
            })?;
            let log = ours.server.log();
            ensure!(log.contains("not those of the last start"), "{log}");
        }
        let expr = "sum(count_over_time(kept[1h]))";
        let found = ask(port, expr, crate::promql_differential::When::Instant(end))?;
        let found = found.map_err(anyhow::Error::msg)?;
        let count = found.values().next().and_then(|points| points.first());
        ensure!(count == Some(&(end, 100.0)), "with dc={dc}: {found:?}");
        ours.server.signal("TERM")?;
        wait_until("the end", || Ok(ours.server.has_ended()?))?;
    }
    let identity = dir.path().join("promontory-data/identity.json");
    let identity: Value = serde_json::from_slice(&std::fs::read(identity)?)?;
    ensure!(identity["external_labels"]["dc"] == "two", "{identity}");
    Ok(())
}

/// Answers a scrape, whatever it asks.
fn expose(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    let mut asked = [0; 4096];
    let _ = stream.read(&mut asked)?;
    let len = text.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{text}"
    )
}
