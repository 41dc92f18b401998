//! Faults that only whole processes meet: damage in a log, a log that takes long to be read, two
//! processes in one directory, a bucket that refuses.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use promontory_tests::process::Server;
use promontory_tests::remote_write::{self, Series};
use promontory_tests::{free_port, http};
use serde_json::Value;

use crate::all_in_one::AllInOne;
use crate::block_data::START_MS;
use crate::component::{PATIENCE, wait_until};
use crate::served_block::ServedBlock;

/// Requests that are sent, each with the next sample of a series, a second apart.
const SENT: i64 = 300;

fn send(port: u16, numbers: std::ops::Range<i64>) -> anyhow::Result<()> {
    for number in numbers {
        let labels = vec![("__name__".to_owned(), "numbered".to_owned())];
        let samples = vec![(START_MS + number * 1000, number as f64)];
        let series = [Series { labels, samples }];
        let answer = remote_write::send(port, "/api/v1/write", &series)?;
        ensure!(
            answer.status / 100 == 2,
            "{} {}",
            answer.status,
            answer.body
        );
    }
    Ok(())
}

/// The numbers that are there; fails where one is not at its time.
fn numbers(port: u16) -> anyhow::Result<Vec<i64>> {
    let time = START_MS / 1000 + 3000;
    let expr = http::encode("numbered[1h]");
    let answer = http::get(port, &format!("/api/v1/query?query={expr}&time={time}"))?;
    let body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
    let values = body["data"]["result"][0]["values"].as_array();
    let number = |point: &Value| {
        let t_ms = (point[0].as_f64().context("no time")? * 1e3).round() as i64;
        let number: i64 = point[1].as_str().context("no value")?.parse()?;
        ensure!(t_ms == START_MS + number * 1000, "{number} at {t_ms}");
        Ok(number)
    };
    values.into_iter().flatten().map(number).collect()
}

/// The files of a log.
fn segments(wal: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files = std::fs::read_dir(wal)?.map(|entry| Ok(entry?.path()));
    let files: Vec<PathBuf> = files.collect::<std::io::Result<_>>()?;
    Ok(files.into_iter().filter(|path| path.is_file()).collect())
}

#[test]
fn a_bit_that_flips_in_the_log_costs_what_is_behind_it_and_shows() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let port = free_port();
    let corruptions = "prometheus_tsdb_wal_corruptions_total";
    let is_clean = "prometheus_tsdb_clean_start";
    let ours = AllInOne::start(dir.path(), port)?;
    ensure!(ours.figure(is_clean)? == Some(1.0));
    send(port, 0..SENT)?;
    ensure!(numbers(port)?.len() as i64 == SENT);
    // Killed.
    drop(ours);
    let wal = dir.path().join("promontory-data/tsdb/wal");
    let mut files = segments(&wal)?;
    files.sort_by_key(|path| std::fs::metadata(path).map_or(0, |data| data.len()));
    let damaged = files.last().context("no log")?;
    let mut bytes = std::fs::read(damaged)?;
    // What was preallocated is zero.
    let end = bytes.iter().rposition(|byte| *byte != 0).context("empty")?;
    bytes[end / 2] ^= 0x10;
    std::fs::write(damaged, &bytes)?;

    let ours = AllInOne::start(dir.path(), port)?;
    ensure!(ours.figure(corruptions)?.is_some_and(|count| count >= 1.0));
    ensure!(ours.figure(is_clean)? == Some(0.0));
    let kept = numbers(port)?;
    let count = kept.len() as i64;
    ensure!(count > 0 && count < SENT, "{count} of {SENT} are left");
    ensure!(kept == (0..count).collect::<Vec<_>>(), "{kept:?}");
    let aside = segments(&wal.join("quarantine"))?;
    let is_whole = |path: &PathBuf| std::fs::read(path).is_ok_and(|held| held == bytes);
    ensure!(aside.iter().any(is_whole), "{aside:?}");
    // Who sends again what was lost, as Prometheus does, has it taken.
    send(port, count..SENT)?;
    drop(ours);
    let mut ours = AllInOne::start(dir.path(), port)?;
    ensure!(numbers(port)?.len() as i64 == SENT);
    ensure!(ours.figure(corruptions)? == Some(0.0));
    ours.server.signal("TERM")?;
    wait_until("the end of the process", || Ok(ours.server.has_ended()?))?;
    let ours = AllInOne::start(dir.path(), port)?;
    ensure!(ours.figure(is_clean)? == Some(1.0));
    ensure!(numbers(port)?.len() as i64 == SENT);
    Ok(())
}

#[test]
fn a_log_that_takes_long_to_be_read_keeps_it_healthy_and_not_ready() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let wal = dir.path().join("promontory-data/tsdb/wal");
    std::fs::create_dir_all(&wal)?;
    // A log that goes on for as long as we like.
    let segment = wal.join("00000000");
    let made = Command::new("mkfifo").arg(&segment).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: there is no mkfifo");
        return Ok(());
    }
    let port = free_port();
    let mut ours = AllInOne::begin(dir.path(), port, &[])?;
    ours.server.wait_ready(port, "/-/healthy", PATIENCE);
    let replay = || -> anyhow::Result<Value> {
        let answer = http::get(port, "/api/v1/status/walreplay")?;
        let mut body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
        Ok(body["data"]["state"].take())
    };
    wait_until("a replay", || Ok(replay()? == "in progress"))?;
    for _ in 0..5 {
        let ready = http::get(port, "/-/ready")?;
        ensure!(ready.status == 503 && ready.body.contains("reads its data"));
        ensure!(http::get(port, "/-/healthy")?.status == 200);
        ensure!(http::get(port, "/api/v1/query?query=up")?.status == 503);
    }
    std::fs::OpenOptions::new()
        .write(true)
        .open(&segment)?
        .flush()?;
    ours.wait_ready();
    send(port, 0..1)?;
    ensure!(numbers(port)? == [0]);
    Ok(())
}

#[test]
fn a_second_process_is_refused_the_data_and_told_who_has_it() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let first = AllInOne::start(dir.path(), free_port())?;
    send(first.port, 0..1)?;
    let (port, log) = (free_port(), dir.path().join("second.log"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command
        .arg(format!(
            "--data-dir={}",
            dir.path().join("promontory-data").display()
        ))
        .arg(format!("--http-address=127.0.0.1:{port}"))
        .arg("--grpc-address=127.0.0.1:0");
    let mut second = Server::start(&mut command, &log)?;
    wait_until("the end of the second", || Ok(second.has_ended()?))?;
    ensure!(second.exit_code()?.is_some_and(|code| code != 0));
    let named = format!("process {}", first.server.id());
    ensure!(second.log().contains(&named), "{}", second.log());
    send(first.port, 1..2)?;
    ensure!(numbers(first.port)? == [0, 1]);
    Ok(())
}

/// The sum of a metric of a component.
pub(crate) fn figure(port: u16, name: &str) -> anyhow::Result<f64> {
    let answer = http::get(port, "/metrics")?;
    let is_metric = |line: &&str| line.split(['{', ' ']).next() == Some(name);
    let lines = answer.body.lines().filter(is_metric);
    let values = lines.map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<f64>());
    Ok(values.sum::<Result<f64, _>>()?)
}

#[test]
fn a_bucket_that_refuses_takes_nothing_from_what_is_served() -> anyhow::Result<()> {
    const SYNCS: &str = "thanos_blocks_meta_syncs_total";
    const FAILURES: &str = "thanos_blocks_meta_sync_failures_total";
    let Some(scene) = ServedBlock::start()? else {
        return Ok(());
    };
    let (store, proxy, dir) = (&scene.store, &scene.proxy, &scene.dir);
    let serves = || scene.is_served();
    for refusal in [
        (403, "ExpiredToken", "The provided token has expired."),
        (403, "RequestTimeTooSkewed", "The difference is too large."),
        (403, "InvalidAccessKeyId", "The key does not exist."),
    ] {
        let before = figure(store.http, FAILURES)?;
        proxy.refuse(Some(refusal));
        let fails = || Ok(figure(store.http, FAILURES)? > before);
        wait_until("a failure", fails)?;
        ensure!(serves()?, "a listing that fails is not one without blocks");
        ensure!(http::get(store.http, "/-/ready")?.status == 200);
        ensure!(store.log().contains(refusal.1), "{}", store.log());
        proxy.refuse(None);
        let works = || {
            let now = (figure(store.http, SYNCS)?, figure(store.http, FAILURES)?);
            std::thread::sleep(std::time::Duration::from_secs(2));
            let later = (figure(store.http, SYNCS)?, figure(store.http, FAILURES)?);
            Ok(later.0 > now.0 && later.1 == now.1)
        };
        wait_until("a look that succeeds", works)?;
        ensure!(serves()?);
    }
    // Who never could look is not ready, and says why.
    proxy.refuse(Some((403, "AccessDenied", "Access Denied.")));
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command
        .arg("store")
        .arg(&scene.bucket_flag)
        .arg(format!("--data-dir={}", dir.path().join("other").display()))
        .arg(format!("--http-address=127.0.0.1:{port}"))
        .arg("--grpc-address=127.0.0.1:0");
    let mut other = Server::start(&mut command, &dir.path().join("other.log"))?;
    other.wait_ready(port, "/-/healthy", PATIENCE);
    wait_until("the reason", || Ok(other.log().contains("AccessDenied")))?;
    ensure!(http::get(port, "/-/ready")?.status == 503);
    proxy.refuse(None);
    other.wait_ready(port, "/-/ready", PATIENCE);
    Ok(())
}
