//! A process that is short of something: disk space, speed of the disk, memory, file handles. What it
//! acknowledged stays, it says what is wrong, and it goes on by itself.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use promontory_tests::process::Server;
use promontory_tests::{free_port, http};

use crate::all_in_one::AllInOne;
use crate::component::wait_until;
use crate::crash::{Oracle, oracles};
use crate::faults::SmallDisk;
use crate::loop_disk::LoopDisk;

/// Oracles that write to the process itself by remote write.
pub(crate) fn writers(port: u16) -> Vec<Oracle> {
    let (all, _) = oracles(port);
    all.into_iter()
        .filter(|o| o.protocol.address_flag.is_none())
        .collect()
}

/// Has the oracles write until `during` returns.
pub(crate) fn while_writing<T>(
    oracles: &mut [Oracle],
    during: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for oracle in oracles {
            let stop = &stop;
            scope.spawn(move || oracle.write_on(stop));
        }
        let result = during();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

pub(crate) fn check_all(oracles: &[Oracle], port: u16) -> anyhow::Result<()> {
    oracles.iter().try_for_each(|oracle| oracle.check(port))
}

/// Writes a file until there is no room for a byte.
fn fill(file: &Path) -> anyhow::Result<()> {
    let mut file = std::fs::File::create(file)?;
    let bytes = vec![1; 1 << 20];
    loop {
        if let Err(error) = file.write_all(&bytes) {
            ensure!(error.kind() == ErrorKind::StorageFull, "{error}");
            return Ok(());
        }
    }
}

/// Somebody else takes all the space between two looks at it: a record is cut in the middle.
#[test]
fn a_disk_that_is_full_at_once_costs_nothing_and_needs_nobody() -> anyhow::Result<()> {
    const READ_ONLY: &str = "promontory_tsdb_read_only";
    let dir = tempfile::tempdir()?;
    let Some(_disk) = SmallDisk::mount(&dir.path().join("promontory-data"), "400m")? else {
        println!("skipped: no file system can be mounted");
        return Ok(());
    };
    let port = free_port();
    let ours = AllInOne::start(dir.path(), port)?;
    let mut oracles = writers(port);
    let ballast = dir.path().join("promontory-data/ballast");
    for round in 0..2 {
        while_writing(&mut oracles, || {
            thread::sleep(Duration::from_millis(300));
            fill(&ballast)?;
            let refuses = || Ok(ours.figure(READ_ONLY)? == Some(1.0));
            wait_until("a refusal", refuses)?;
            wait_until("a remark", || {
                let ready = http::get(port, "/-/ready")?;
                Ok(ready.status == 200 && ready.body.contains("The disk is nearly full"))
            })
        })?;
        check_all(&oracles, port).with_context(|| format!("full, round {round}"))?;
        std::fs::remove_file(&ballast)?;
        wait_until("room", || Ok(ours.figure(READ_ONLY)? == Some(0.0)))?;
        let before: usize = oracles.iter().map(Oracle::acknowledged).sum();
        while_writing(&mut oracles, || {
            thread::sleep(Duration::from_millis(500));
            Ok(())
        })?;
        let after: usize = oracles.iter().map(Oracle::acknowledged).sum();
        ensure!(
            after > before,
            "nothing is written again: {}",
            ours.server.log()
        );
        check_all(&oracles, port).with_context(|| format!("again, round {round}"))?;
    }
    // Killed: the logs have everything, and no damage.
    drop(ours);
    let ours = AllInOne::start(dir.path(), port)?;
    check_all(&oracles, port)?;
    let corruptions = ours.figure("prometheus_tsdb_wal_corruptions_total")?;
    ensure!(
        corruptions == Some(0.0),
        "{corruptions:?}: {}",
        ours.server.log()
    );
    Ok(())
}

/// A control group of the first version, until it is dropped. Processes in it have ended by then.
struct Group(PathBuf);

impl Group {
    /// `None` after saying that there is none: newer systems have the second version only.
    fn make(controller: &str) -> anyhow::Result<Option<Self>> {
        let parent = Path::new("/sys/fs/cgroup").join(controller);
        let path = parent.join(format!("promontory-test-{}", free_port()));
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Some(Self(path))),
            Err(error) => {
                println!("skipped: no control group for {controller} ({error})");
                Ok(None)
            }
        }
    }

    fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let file = self.0.join(name);
        std::fs::write(&file, value).with_context(|| format!("{value} to {}", file.display()))
    }

    fn get(&self, name: &str) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.0.join(name))?
            .trim()
            .to_owned())
    }

    fn take(&self, process: u32) -> anyhow::Result<()> {
        self.set("cgroup.procs", &process.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It goes once the last process in it is gone.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_there_is_no_memory() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(group) = Group::make("memory")? else {
        return Ok(());
    };
    let port = free_port();
    let mut oracles = writers(port);
    for _ in 0..3 {
        let mut ours = AllInOne::start(dir.path(), port)?;
        group.set("memory.limit_in_bytes", "1G")?;
        group.take(ours.server.id())?;
        while_writing(&mut oracles, || {
            thread::sleep(Duration::from_millis(300));
            let begin = Instant::now();
            while !ours.server.has_ended()? && begin.elapsed() < Duration::from_secs(20) {
                // No more than it has by now; the system refuses where it cannot make it so.
                let used = group.get("memory.usage_in_bytes")?;
                let _ = group.set("memory.limit_in_bytes", &used);
                let _ = http::get(port, "/metrics");
            }
            Ok(())
        })?;
        ensure!(ours.server.has_ended()?, "it lives on what it has");
        ensure!(ours.server.exit_code()?.is_none(), "the system ended it");
    }
    let ours = AllInOne::start(dir.path(), port)?;
    ensure!(oracles.iter().all(|oracle| oracle.acknowledged() > 0));
    check_all(&oracles, ours.port)
}

/// Seconds of processor time that a process took.
fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<_> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    // Fields 14 and 15 of proc(5), at a hundred ticks a second.
    let (user, system) = (ticks(11).context("no time")?, ticks(12).context("no time")?);
    Ok((user + system) / 100.0)
}

/// Who waits for a file handle does not ask for it all the time.
#[test]
fn a_server_without_file_handles_sleeps() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let port = free_port();
    let mut ours = AllInOne::start(dir.path(), port)?;
    let id = ours.server.id().to_string();
    let open = std::fs::read_dir(format!("/proc/{id}/fd"))?.count();
    let limit = format!("--nofile={0}:{0}", open + 8);
    let limited = Command::new("prlimit")
        .args(["--pid", &id, &limit])
        .status();
    if !limited.is_ok_and(|status| status.success()) {
        println!("skipped: there is no prlimit");
        return Ok(());
    }
    let idle: Vec<_> = (0..64)
        .map(|_| TcpStream::connect(("127.0.0.1", port)))
        .collect::<Result<_, _>>()?;
    thread::sleep(Duration::from_millis(500));
    let before = cpu_seconds(ours.server.id())?;
    thread::sleep(Duration::from_secs(3));
    let spent = cpu_seconds(ours.server.id())? - before;
    ensure!(spent < 1.0, "{spent} s of processor time in 3 s of waiting");
    drop(idle);
    let answers = || Ok(http::get(port, "/-/ready").is_ok_and(|answer| answer.status == 200));
    wait_until("an answer", answers)?;
    ensure!(!ours.server.has_ended()?);
    ensure!(!ours.server.log().contains("panicked"));
    Ok(())
}

/// A disk that takes a second for each flush: writers wait their turn, in a queue that is bounded,
/// and nobody else does.
#[test]
fn a_slow_disk_slows_only_who_writes() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (Some(disk), Some(group)) = (LoopDisk::make(dir.path(), "ext4")?, Group::make("blkio")?)
    else {
        return Ok(());
    };
    let port = free_port();
    let ours = AllInOne::start(&disk.at, port)?;
    let mut oracles = writers(port);
    for oracle in &mut oracles {
        oracle.write_all(5)?;
    }
    let memory = |server: &Server| -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        Ok(line
            .context("no memory")?
            .trim()
            .trim_end_matches(" kB")
            .parse::<u64>()?
            >> 10)
    };
    let before = memory(&ours.server)?;
    let device = disk.device()?;
    group.take(ours.server.id())?;
    group.set("blkio.throttle.write_iops_device", &format!("{device} 2"))?;
    let begin = Instant::now();
    while_writing(&mut oracles, || {
        while begin.elapsed() < Duration::from_secs(6) {
            for path in [
                "/-/ready",
                "/-/healthy",
                "/metrics",
                "/api/v1/query?query=up",
            ] {
                ensure!(http::get(port, path)?.status == 200, "{path}");
            }
            thread::sleep(Duration::from_millis(100));
        }
        group.set("blkio.throttle.write_iops_device", &format!("{device} 0"))
    })?;
    let after = memory(&ours.server)?;
    ensure!(after < before + 100, "{before} MB became {after} MB");
    // The time of flushes is shown, and was long.
    let metrics = http::get(port, "/metrics")?.body;
    let p99 = metrics.lines().find_map(|line| {
        let is_p99 = line.starts_with("prometheus_tsdb_wal_fsync_duration_seconds{")
            && line.contains("quantile=\"0.99\"");
        line.rsplit(' ')
            .next()
            .filter(|_| is_p99)?
            .parse::<f64>()
            .ok()
    });
    ensure!(
        p99.is_some_and(|seconds| seconds > 0.2),
        "p99 of flushes: {p99:?}"
    );
    check_all(&oracles, port)
}
