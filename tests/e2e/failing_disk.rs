//! A disk that fails: flushes and writes of the log return errors. Nothing is acknowledged that may be
//! lost, and what was acknowledged is there when the process is started again.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use promontory_tests::{free_port, peer};

use crate::all_in_one::AllInOne;
use crate::component::wait_until;
use crate::crash::Oracle;
use crate::scarcity::{check_all, while_writing, writers};

/// Has calls of a running process fail, until it is dropped.
struct Injection(Child);

impl Injection {
    /// `None` after saying so where no process may be traced.
    fn into(process: u32, path: Option<&Path>, calls: &str) -> anyhow::Result<Option<Self>> {
        let Some(strace) = peer("strace") else {
            return Ok(None);
        };
        let mut command = Command::new(strace);
        command
            .args(["--follow-forks", "--attach", &process.to_string()])
            .args(["--output", "/dev/null"])
            .arg(format!("--trace={calls}"))
            .arg(format!("--inject={calls}:error=EIO"));
        if let Some(path) = path {
            command.arg("--trace-path").arg(path);
        }
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let said = child.stderr.take().context("it is piped")?;
        let mut said = BufReader::new(said);
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(said.read_line(&mut line)? > 0, "strace ended");
            if line.contains("attached") {
                break;
            }
            if line.contains("Operation not permitted") {
                println!("skipped: no process may be traced here ({line})");
                child.wait()?;
                return Ok(None);
            }
        }
        // It says a line of each thread, and must not wait for somebody to read them.
        thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Ok(Some(Self(child)))
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // Asked to, it lets go of the process; killed, it would leave it stopped.
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let _ = self.0.wait();
    }
}

fn acknowledged(oracles: &[Oracle]) -> usize {
    oracles.iter().map(Oracle::acknowledged).sum()
}

fn write_for(oracles: &mut [Oracle], ms: u64) -> anyhow::Result<usize> {
    while_writing(oracles, || {
        thread::sleep(Duration::from_millis(ms));
        Ok(())
    })?;
    Ok(acknowledged(oracles))
}

#[test]
fn nothing_is_acknowledged_that_the_disk_did_not_take() -> anyhow::Result<()> {
    const FAILED: &str = "prometheus_tsdb_wal_writes_failed_total";
    let dir = tempfile::tempdir()?;
    let port = free_port();
    let mut oracles = writers(port);
    for calls in ["fdatasync,fsync", "write,pwrite64"] {
        let mut ours = AllInOne::start(dir.path(), port)?;
        let before = acknowledged(&oracles);
        ensure!(
            write_for(&mut oracles, 300)? > before,
            "{calls}: all is well"
        );
        let wal = dir.path().join("promontory-data/tsdb/wal");
        let segments = std::fs::read_dir(&wal)?.map(|entry| entry.map(|e| e.path()));
        let mut segments = segments.collect::<Result<Vec<_>, _>>()?;
        segments.retain(|path| path.is_file());
        let last = segments.iter().max().context("there is a log")?;
        let path = calls.starts_with("write").then_some(&**last);
        let Some(injection) = Injection::into(ours.server.id(), path, calls)? else {
            return Ok(());
        };
        while_writing(&mut oracles, || {
            wait_until("a failure", || Ok(ours.figure(FAILED)? == Some(1.0)))
        })?;
        let so_far = acknowledged(&oracles);
        ensure!(
            write_for(&mut oracles, 300)? == so_far,
            "{calls}: acknowledged"
        );
        drop(injection);
        // Nobody knows what the disk has, so nothing is taken when it works again.
        ensure!(
            write_for(&mut oracles, 300)? == so_far,
            "{calls}: acknowledged"
        );
        ensure!(!ours.server.has_ended()?, "{calls}: {}", ours.server.log());
        drop(ours);
        let ours = AllInOne::start(dir.path(), port)?;
        check_all(&oracles, port).with_context(|| format!("after {calls}"))?;
        ensure!(
            write_for(&mut oracles, 300)? > so_far,
            "{calls}: it goes on"
        );
        check_all(&oracles, port)?;
        drop(ours);
    }
    Ok(())
}
