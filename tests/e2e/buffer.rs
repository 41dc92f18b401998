//! Pushes that come while the TSDB takes none: each is acknowledged, waits on disk, survives the kill of
//! the process, and is stored in its turn, once.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use promontory_tests::remote_write::{self, Series};
use promontory_tests::{free_port, http};

use crate::all_in_one::AllInOne;
use crate::component::wait_until;
use crate::crash::{Oracle, oracles};
use crate::faults::SmallDisk;

/// Samples of a request of an oracle.
const SAMPLES: f64 = 20.0;
/// Requests of a writer at a time.
const REQUESTS: usize = 10;

/// Writers of every protocol whose pushes are held; the flags that say where they connect to.
fn pushers() -> (Vec<Oracle>, Vec<String>) {
    let (mut oracles, flags) = oracles(0);
    // Senders of remote write hold themselves what was not taken.
    oracles.retain(|oracle| oracle.protocol.address_flag.is_some());
    (oracles, flags)
}

/// Has every writer send, and returns how many samples that are.
fn push(oracles: &mut [Oracle]) -> anyhow::Result<f64> {
    for oracle in &mut *oracles {
        let name = oracle.protocol.name;
        oracle.write_all(REQUESTS).context(name)?;
    }
    Ok((oracles.len() * REQUESTS) as f64 * SAMPLES)
}

/// Fails unless the querier has exactly what was pushed.
fn check(oracles: &[Oracle], port: u16) -> anyhow::Result<()> {
    for oracle in oracles {
        ensure!(oracle.acknowledged() % REQUESTS == 0);
        oracle.check(port).context(oracle.protocol.name)?;
    }
    Ok(())
}

fn wait_drained(ours: &AllInOne) -> anyhow::Result<()> {
    ours.wait_zero(
        "an empty buffer",
        &[
            "promontory_buffer_samples",
            "promontory_buffer_lag_seconds",
            "promontory_buffer_holding_tenants",
        ],
    )
}

/// A configuration that a process waits for: it is read from a pipe, when the data is opened. Receivers take pushes before that, as while logs are replayed.
struct LateConfig(PathBuf);

impl LateConfig {
    fn make(at: PathBuf) -> anyhow::Result<Self> {
        let made = Command::new("mkfifo").arg(&at).status()?;
        ensure!(made.success(), "mkfifo {}", at.display());
        Ok(Self(at))
    }

    /// Begins a process, and waits until its receivers listen.
    fn begin(&self, dir: &Path, oracles: &[Oracle], flags: &[String]) -> anyhow::Result<AllInOne> {
        let mut flags = flags.to_vec();
        flags.push(format!("--config.file={}", self.0.display()));
        let ours = AllInOne::begin(dir, free_port(), &flags)?;
        for oracle in oracles {
            let listens = || Ok(TcpStream::connect(("127.0.0.1", oracle.port)).is_ok());
            wait_until("a receiver", listens)?;
        }
        Ok(ours)
    }

    /// Lets the process go on.
    fn give(&self) -> anyhow::Result<()> {
        let mut pipe = OpenOptions::new().write(true).open(&self.0)?;
        pipe.write_all(b"scrape_configs: []\n")?;
        Ok(())
    }
}

#[test]
fn pushes_to_a_process_that_starts_outlive_it_and_are_stored_once() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut oracles, flags) = pushers();
    let config = LateConfig::make(dir.path().join("prometheus.yml"))?;
    let mut pushed = 0.0;
    // Killed while it holds pushes, and while it holds some from before.
    for _ in 0..3 {
        let ours = config.begin(dir.path(), &oracles, &flags)?;
        pushed += push(&mut oracles)?;
        ensure!(http::get(ours.port, "/-/ready")?.status == 503);
        drop(ours);
    }
    let mut ours = config.begin(dir.path(), &oracles, &flags)?;
    config.give()?;
    ours.wait_ready();
    // These find what was held in front of them, or stored already.
    push(&mut oracles)?;
    wait_drained(&ours)?;
    let drained = ours.figure("promontory_buffer_drained_samples_total")?;
    ensure!(drained >= Some(pushed), "{drained:?} of {pushed}");
    check(&oracles, ours.port)?;
    ensure!(
        !ours.server.log().contains("ERROR"),
        "{}",
        ours.server.log()
    );
    drop(ours);

    let mut ours = config.begin(dir.path(), &oracles, &flags)?;
    config.give()?;
    ours.wait_ready();
    check(&oracles, ours.port)
}

#[test]
fn pushes_to_a_full_disk_outlive_the_process_and_are_stored_once() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("promontory-data");
    let Some(_disk) = SmallDisk::mount(&data, "600m")? else {
        println!("skipped: no file system can be mounted");
        return Ok(());
    };
    let port = free_port();
    let (mut oracles, flags) = pushers();
    let ours = AllInOne::start_with(dir.path(), port, &flags)?;
    push(&mut oracles)?;
    check(&oracles, port)?;
    ensure!(ours.figure("promontory_buffer_held_samples_total")? == Some(0.0));

    // Below the 256 MB that the TSDB leaves free, and above the 128 MB that the buffer does.
    let ballast = data.join("ballast");
    std::fs::write(&ballast, vec![1; 360 << 20])?;
    let refuses = || {
        let sent = remote_write::send(port, "/api/v1/write", &[probe()])?;
        Ok(sent.status == 503)
    };
    wait_until("a TSDB that takes nothing", refuses)?;
    let mut pushed = push(&mut oracles)?;
    // A Pushgateway adds the times of pushes.
    let held = ours.figure("promontory_buffer_held_samples_total")?;
    ensure!(held >= Some(pushed), "{held:?} of {pushed}");
    ensure!(ours.figure("promontory_buffer_samples")? == held);
    let ingest = ours.ingest()?;
    ensure!(ingest["buffer"]["samples"].as_f64() == held, "{ingest}");
    drop(ours);

    let ours = AllInOne::start_with(dir.path(), port, &flags)?;
    ensure!(ours.figure("promontory_buffer_samples")? == held);
    pushed += push(&mut oracles)?;
    let held = ours.figure("promontory_buffer_samples")?;
    ensure!(held >= Some(pushed), "{held:?} of {pushed}");
    let lag = ours.figure("promontory_buffer_lag_seconds")?;
    ensure!(lag > Some(0.0), "{lag:?}");

    std::fs::remove_file(&ballast)?;
    wait_drained(&ours)?;
    let drained = ours.figure("promontory_buffer_drained_samples_total")?;
    ensure!(drained == held, "{drained:?} of {held:?}");
    push(&mut oracles)?;
    check(&oracles, port)?;
    ensure!(!ours.server.log().contains("panicked"));
    Ok(())
}

/// A sample that is not of an oracle.
fn probe() -> Series {
    Series {
        labels: vec![("__name__".to_owned(), "probe".to_owned())],
        samples: vec![(promontory_tests::now_ms(), 1.0)],
    }
}
