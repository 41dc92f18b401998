//! A machine that loses power while clients write: what was acknowledged is there afterwards, names
//! of files and directories included.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use promontory_tests::free_port;

use crate::all_in_one::AllInOne;
use crate::component::wait_until;
use crate::crash::{Oracle, oracles};
use crate::loop_disk::LoopDisk;
use crate::rng::Rng;

/// How often the power is cut.
const ROUNDS: u64 = 8;

/// Writes with all of `oracles` for some time, then cuts the power and lets the process end.
fn write_until_cut(
    disk: &LoopDisk,
    server: AllInOne,
    oracles: &mut [Oracle],
    time: Duration,
) -> anyhow::Result<()> {
    let stop = AtomicBool::new(false);
    let cut = thread::scope(|scope| {
        for oracle in oracles {
            let stop = &stop;
            scope.spawn(move || oracle.write(stop));
        }
        thread::sleep(time);
        // Requests are on their way, and some wait for the disk.
        let cut = freeze(&server).and_then(|()| disk.cut_power());
        stop.store(true, Ordering::Relaxed);
        drop(server);
        cut
    });
    cut?;
    disk.restore_power()
}

/// Stops a process where it is. A flush that is under way while the file system is shut down may say
/// that it succeeded when it did not (Linux 6.18), which a disk without power cannot.
fn freeze(server: &AllInOne) -> anyhow::Result<()> {
    server.server.signal("STOP")?;
    let tasks = format!("/proc/{}/task", server.server.id());
    wait_until("the end of all that runs", || {
        for task in std::fs::read_dir(&tasks)? {
            let stat = std::fs::read_to_string(task?.path().join("stat"))?;
            let state = stat.rsplit(") ").next().unwrap_or_default();
            // Stopped, or waiting for the disk and stopped then.
            if !state.starts_with(['T', 't', 'D']) {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

fn survives(kind: &str) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(disk) = LoopDisk::make(dir.path(), kind)? else {
        return Ok(());
    };
    let port = free_port();
    let (mut oracles, flags) = oracles(port);
    let mut rng = Rng::new(20_261_121);
    for round in 0..ROUNDS {
        let server = AllInOne::start_with(&disk.at, port, &flags)?;
        for oracle in &oracles {
            let (name, n) = (oracle.protocol.name, oracle.acknowledged());
            let checked = oracle.check(port);
            checked.with_context(|| format!("{name}, {n} requests, before round {round}"))?;
        }
        // The first cut comes when hardly anything was made, names of directories neither.
        let time = Duration::from_millis(30 + rng.below(200) * round.min(3));
        write_until_cut(&disk, server, &mut oracles, time)?;
    }
    let _server = AllInOne::start_with(&disk.at, port, &flags)?;
    for oracle in &oracles {
        let (name, n) = (oracle.protocol.name, oracle.acknowledged());
        oracle
            .check(port)
            .with_context(|| format!("{name} at the end"))?;
        ensure!(n >= 5, "only {n} requests of {name} were acknowledged");
    }
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_is_cut_on_ext4() -> anyhow::Result<()> {
    survives("ext4")
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_is_cut_on_xfs() -> anyhow::Result<()> {
    survives("xfs")
}

/// Without flushes what is lost is the end, and no more than was written since the system wrote its
/// pages.
#[test]
fn without_flushes_a_power_cut_leaves_what_was_first() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(disk) = LoopDisk::make(dir.path(), "ext4")? else {
        return Ok(());
    };
    let port = free_port();
    let (all, mut flags) = oracles(port);
    flags.push("--wal.sync=none".to_owned());
    let mut oracles: Vec<Oracle> = all.into_iter().filter(|o| o.port == port).collect();
    for _ in 0..3 {
        let server = AllInOne::start_with(&disk.at, port, &flags)?;
        let time = Duration::from_millis(100);
        for oracle in &mut oracles {
            oracle.write_all(10)?;
        }
        sync(&disk.at)?;
        let kept: Vec<i64> = oracles.iter().map(Oracle::last_sent).collect();
        write_until_cut(&disk, server, &mut oracles, time)?;
        let server = AllInOne::start_with(&disk.at, port, &flags)?;
        for (oracle, kept) in oracles.iter_mut().zip(kept) {
            oracle.lose_the_end(server.port, kept)?;
        }
    }
    Ok(())
}

/// Has the system write everything of a file system that it holds in memory.
fn sync(at: &Path) -> anyhow::Result<()> {
    let status = Command::new("sync").arg("-f").arg(at).status()?;
    ensure!(status.success(), "cannot sync {}", at.display());
    Ok(())
}
