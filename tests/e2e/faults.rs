//! Faults that only a whole process meets: a disk that fills up, a bucket that is not there yet, the
//! order to stop, clients that are slow, many or large.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use promontory_tests::process::Server;
use promontory_tests::remote_write::{self, Series};
use promontory_tests::{free_port, http};
use serde_json::Value;

use crate::all_in_one::AllInOne;
use crate::block_data::{self, END_MS, START_MS};
use crate::component::{PATIENCE, wait_until};
use crate::s3::S3;

fn write(port: u16, t: i64, v: f64) -> anyhow::Result<http::Answer> {
    let labels = vec![("__name__".to_owned(), "written".to_owned())];
    let samples = vec![(t, v)];
    let answer = remote_write::send(port, "/api/v1/write", &[Series { labels, samples }])?;
    Ok(answer)
}

fn query(port: u16, expr: &str, at_ms: i64) -> anyhow::Result<Value> {
    let (expr, at) = (http::encode(expr), at_ms / 1000);
    let answer = http::get(port, &format!("/api/v1/query?query={expr}&time={at}"))?;
    let mut body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
    Ok(body["data"]["result"][0]["value"][1].take())
}

/// A file system in memory, until it is dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where none can be mounted, as in most containers.
    pub(crate) fn mount(at: &Path, size: &str) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(at)?;
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at)
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        Ok(is_mounted.then(|| Self(at.to_owned())))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that was killed may still be on its way out.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_stops_writes_in_time_and_for_a_time() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(_disk) = SmallDisk::mount(&dir.path().join("promontory-data"), "450m")? else {
        println!("skipped: no file system can be mounted");
        return Ok(());
    };
    let ours = AllInOne::start(dir.path(), free_port())?;
    ensure!(write(ours.port, START_MS, 1.0)?.status / 100 == 2);
    // 256 MB must stay free, and a quarter more before writes go on.
    let ballast = dir.path().join("promontory-data/ballast");
    std::fs::write(&ballast, vec![1; 230 << 20])?;
    let refused = || Ok(write(ours.port, START_MS + 1000, 2.0)?.status == 503);
    wait_until("a refusal", refused)?;
    let answer = query(ours.port, "written", START_MS + 1000)?;
    ensure!(!answer.is_null(), "what is there can still be read");
    std::fs::remove_file(&ballast)?;
    let taken = || Ok(write(ours.port, START_MS + 2000, 3.0)?.status / 100 == 2);
    wait_until("writes again", taken)?;
    ensure!(query(ours.port, "written", START_MS + 2000)? == "3");
    ensure!(!ours.server.log().contains("panicked"));
    Ok(())
}

#[test]
fn a_gateway_waits_for_a_bucket_that_is_not_there_yet() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(mut s3) = S3::start(dir.path())? else {
        return Ok(());
    };
    s3.kill();
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command
        .arg("store")
        .arg(format!("--objstore.config={}", s3.yaml()))
        .arg(format!("--data-dir={}", dir.path().join("store").display()))
        .arg(format!("--http-address=127.0.0.1:{port}"))
        .arg("--grpc-address=127.0.0.1:0");
    let log = dir.path().join("store.log");
    let mut server = Server::start(&mut command, &log)?;
    server.wait_ready(port, "/-/healthy", PATIENCE);
    std::thread::sleep(Duration::from_secs(1));
    ensure!(http::get(port, "/-/ready")?.status == 503);
    s3.restart()?;
    s3.make_bucket()?;
    server.wait_ready(port, "/-/ready", PATIENCE);
    Ok(())
}

/// Finished blocks in a directory.
fn blocks(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let is_block = |path: PathBuf| path.join("meta.json").exists();
    entries.filter(|entry| is_block(entry.path())).count()
}

#[test]
fn who_is_told_to_stop_ships_everything_first() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let ours = AllInOne::start(dir.path(), free_port())?;
    block_data::send(ours.port, 5, 0)?;
    let at = END_MS - 30_000;
    let before = query(ours.port, "sum(count_over_time(bytes_total[3h]))", at)?;
    ensure!(!before.is_null());
    let id = ours.server.id();
    ours.server.signal("TERM")?;
    let gone = || Ok(http::get(ours.port, "/-/healthy").is_err());
    wait_until("the end of the server", gone)?;
    let data = dir.path().join("promontory-data");
    let shipped =
        || Ok(blocks(&data.join("bucket")) > 0 && !Path::new(&format!("/proc/{id}/exe")).exists());
    wait_until("blocks in the bucket and the end of the process", shipped)?;
    ensure!(blocks(&data.join("bucket")) == blocks(&data.join("tsdb")));
    drop(ours);

    // From the bucket alone.
    for entry in std::fs::read_dir(data.join("tsdb"))?.flatten() {
        if entry.path().join("meta.json").exists() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    let ours = AllInOne::start(dir.path(), free_port())?;
    let same = || Ok(query(ours.port, "sum(count_over_time(bytes_total[3h]))", at)? == before);
    wait_until("the same answer", same)
}

/// What a server says to these bytes within some seconds, and nothing when it only closes.
fn exchange(port: u16, bytes: &[u8]) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // The server may close before it has all.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn clients_that_are_slow_many_or_large_harm_nobody() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let ours = AllInOne::start(dir.path(), free_port())?;
    let port = ours.port;
    // Headers that come drop by drop, on as many connections as a browser farm has.
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /api/v1/query?query=up HTTP/1.1\r\nHost: x\r\nX-Slow: ")?;
        slow.push(stream);
    }
    let begin = Instant::now();
    ensure!(http::get(port, "/-/ready")?.status == 200);
    // Before the others are given up, which is after ten seconds.
    ensure!(begin.elapsed() < Duration::from_secs(9));
    let large = "x".repeat(1 << 20);
    let many: String = (0..2000).map(|i| format!("X-{i}: 1\r\n")).collect();
    for (what, request, statuses) in [
        (
            "a huge header",
            format!("GET / HTTP/1.1\r\nHost: x\r\nX: {large}\r\n\r\n"),
            ["431", "400"],
        ),
        (
            "many headers",
            format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
            ["431", "400"],
        ),
        (
            "a huge path",
            format!("GET /{large} HTTP/1.1\r\nHost: x\r\n\r\n"),
            ["414", "431"],
        ),
        (
            "a body that is declared huge",
            format!(
                "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                1u64 << 40
            ),
            ["413", "400"],
        ),
        (
            "no HTTP",
            "\u{16}\u{3}\u{1}garbage\r\n\r\n".to_owned(),
            ["400", "400"],
        ),
    ] {
        let answer = exchange(port, request.as_bytes()).context(what)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        ensure!(
            answer.is_empty() || statuses.contains(&status),
            "{what}: {}",
            &answer[..answer.len().min(200)]
        );
        ensure!(http::get(port, "/-/ready")?.status == 200, "{what}");
    }
    drop(slow);
    ensure!(
        !ours.server.log().contains("panicked"),
        "{}",
        ours.server.log()
    );
    Ok(())
}

/// Few file handles: connections wait for others to end, and none is lost for good.
#[test]
fn without_file_handles_a_server_waits() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let port = free_port();
    let mut command = Command::new("prlimit");
    command
        .arg("--nofile=128")
        .arg(env!("CARGO_BIN_EXE_promontory"))
        .arg(format!("--data-dir={}", dir.path().join("data").display()))
        .arg(format!("--http-address=127.0.0.1:{port}"))
        .arg("--grpc-address=127.0.0.1:0");
    let Ok(mut server) = Server::start(&mut command, &dir.path().join("log")) else {
        println!("skipped: there is no prlimit");
        return Ok(());
    };
    server.wait_ready(port, "/-/ready", PATIENCE);
    let idle: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(("127.0.0.1", port)))
        .collect::<Result<_, _>>()?;
    std::thread::sleep(Duration::from_millis(500));
    drop(idle);
    let answers = || Ok(http::get(port, "/-/ready").is_ok_and(|answer| answer.status == 200));
    wait_until("an answer", answers)?;
    wait_until("a write", || {
        Ok(write(port, START_MS, 1.0).is_ok_and(|answer| answer.status / 100 == 2))
    })?;
    ensure!(query(port, "written", START_MS)? == "1");
    ensure!(!server.log().contains("panicked"), "{}", server.log());
    Ok(())
}
