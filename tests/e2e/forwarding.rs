//! What is written here goes on to another system behind a queue on disk: all of it, once, whichever of
//! both is down for a while.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use promontory_tests::remote_write::{self, Series};
use promontory_tests::{free_port, http, now_ms, peer};
use serde_json::Value;

use crate::all_in_one::AllInOne;
use crate::component::wait_until;
use crate::prometheus::Prometheus;

/// Series of a write.
pub(crate) const SERIES: i64 = 25;
/// Between the samples of a series.
const STEP_MS: i64 = 1000;

/// Writes a sample to each series: as acknowledged ones must be, in order.
pub(crate) struct Writer {
    port: u16,
    start_ms: i64,
    writes: i64,
}

impl Writer {
    pub(crate) fn new(port: u16) -> Self {
        Self {
            port,
            start_ms: now_ms() / 1000 * 1000 - 3_600_000,
            writes: 0,
        }
    }

    /// True before the first write.
    pub(crate) fn is_new(&self) -> bool {
        self.writes == 0
    }

    pub(crate) fn write(&mut self, count: i64) -> anyhow::Result<()> {
        for number in self.writes..self.writes + count {
            let one = |series| Series {
                labels: vec![
                    ("__name__".to_owned(), "forwarded".to_owned()),
                    ("series".to_owned(), format!("{series}")),
                ],
                samples: vec![(self.start_ms + number * STEP_MS, value(series, number))],
            };
            let series: Vec<_> = (0..SERIES).map(one).collect();
            let answer = remote_write::send(self.port, "/api/v1/write", &series)?;
            ensure!(answer.status / 100 == 2, "{answer:?}");
        }
        self.writes += count;
        Ok(())
    }

    /// What every system must have in the end: by series, its values by time.
    pub(crate) fn written(&self) -> BTreeMap<i64, Vec<(i64, f64)>> {
        let samples = |series| {
            let sample = |number| (self.start_ms + number * STEP_MS, value(series, number));
            (0..self.writes).map(sample).collect()
        };
        (0..SERIES)
            .map(|series| (series, samples(series)))
            .collect()
    }
}

fn value(series: i64, number: i64) -> f64 {
    (number * 1000 + series) as f64 + 0.25
}

/// What a Prometheus answers of the series, with the labels that all of them must have.
fn found(port: u16, labels: &[(&str, &str)]) -> anyhow::Result<BTreeMap<i64, Vec<(i64, f64)>>> {
    let query = http::encode("forwarded[2h]");
    let at = now_ms() / 1000 + 60;
    let answer = http::get(port, &format!("/api/v1/query?query={query}&time={at}"))?;
    let body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
    let mut found = BTreeMap::new();
    for series in body["data"]["result"].as_array().context("no result")? {
        let metric = series["metric"].as_object().context("no labels")?;
        ensure!(metric.len() == 2 + labels.len(), "{metric:?}");
        for (name, value) in labels {
            ensure!(metric[*name] == *value, "{metric:?}");
        }
        let number: i64 = metric["series"].as_str().unwrap_or_default().parse()?;
        let values = series["values"].as_array().context("no values")?;
        let sample = |point: &Value| {
            let t_ms = (point[0].as_f64().context("no time")? * 1e3).round() as i64;
            Ok((t_ms, point[1].as_str().unwrap_or_default().parse::<f64>()?))
        };
        let samples: anyhow::Result<Vec<_>> = values.iter().map(sample).collect();
        ensure!(found.insert(number, samples?).is_none(), "{number} twice");
    }
    Ok(found)
}

/// Where it forwards to.
fn config(dir: &Path, port: u16) -> anyhow::Result<String> {
    let file = dir.join("forward.yml");
    let text = format!(
        "global: {{external_labels: {{region: eu}}}}\n\
         remote_write:\n\
         - name: peer\n\
         \x20 url: http://127.0.0.1:{port}/api/v1/write\n\
         \x20 queue_config: {{max_samples_per_send: 200, max_shards: 4, max_backoff: 200ms}}\n"
    );
    std::fs::write(&file, text)?;
    Ok(format!("--config.file={}", file.display()))
}

pub(crate) fn wait_forwarded(ours: &AllInOne) -> anyhow::Result<()> {
    ours.wait_zero(
        "an empty queue",
        &[
            "promontory_export_queue_samples",
            "promontory_export_lag_seconds",
        ],
    )
}

#[test]
fn a_prometheus_gets_all_that_was_written_whoever_was_down() -> anyhow::Result<()> {
    if peer("prometheus").is_none() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let theirs_dir = dir.path().join("theirs");
    std::fs::create_dir_all(theirs_dir.join("data"))?;
    let theirs_port = free_port();
    let start_theirs = || {
        let yaml = "global: {scrape_interval: 15s}\n";
        let data = theirs_dir.join("data");
        let started = Prometheus::start_as(&data, &theirs_dir, theirs_port, yaml, &[])?;
        started.context("there was a Prometheus")
    };
    let flags = [config(dir.path(), theirs_port)?];
    let port = free_port();
    let mut writer = Writer::new(port);
    let region = [("region", "eu")];

    // Nobody is there yet.
    let ours = AllInOne::start_with(dir.path(), port, &flags)?;
    writer.write(20)?;
    let waiting = ours.figure("promontory_export_queue_samples")?;
    ensure!(waiting == Some((20 * SERIES) as f64), "{waiting:?}");
    let lags = || Ok(ours.figure("promontory_export_lag_seconds")? > Some(1.0));
    wait_until("a lag of a second", lags)?;
    let retries = ours.figure("promontory_export_retries_total")?;
    ensure!(retries > Some(0.0), "{retries:?}");

    // Killed with all of that in its queue.
    drop(ours);
    let ours = AllInOne::start_with(dir.path(), port, &flags)?;
    let waiting = ours.figure("promontory_export_queue_samples")?;
    ensure!(waiting == Some((20 * SERIES) as f64), "{waiting:?}");
    let theirs = start_theirs()?;
    wait_forwarded(&ours)?;
    ensure!(found(theirs.port(), &region)? == writer.written());

    // They are gone for a while.
    drop(theirs);
    writer.write(20)?;
    let theirs = start_theirs()?;
    wait_forwarded(&ours)?;
    ensure!(found(theirs.port(), &region)? == writer.written());

    // We are killed in the middle of it, again and again.
    drop(ours);
    for _ in 0..12 {
        let ours = AllInOne::start_with(dir.path(), port, &flags)?;
        writer.write(30)?;
        drop(ours);
    }
    let ours = AllInOne::start_with(dir.path(), port, &flags)?;
    writer.write(1)?;
    wait_forwarded(&ours)?;
    let refused = ours.figure("promontory_export_refused_samples_total")?;
    let has_all = found(theirs.port(), &region)? == writer.written();
    ensure!(has_all, "{refused:?} were refused: {}", ours.server.log());
    ensure!(found(port, &region)? == writer.written());
    // What they had already they may have refused.
    for lost in ["dropped", "filtered"] {
        let name = format!("promontory_export_{lost}_samples_total");
        ensure!(ours.figure(&name)?.unwrap_or(0.0) == 0.0, "{name}");
    }
    let ingest = ours.ingest()?;
    let exporter = &ingest["exporters"][0];
    ensure!(
        exporter["name"] == "peer" && exporter["lag_ms"] == 0,
        "{ingest}"
    );
    Ok(())
}
