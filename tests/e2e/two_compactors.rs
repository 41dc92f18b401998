//! Two compactors that work on one bucket, though each should be alone: one is frozen in the middle
//! of an upload, or is slow and the clock of the other is minutes ahead. What they leave is whole and
//! there once, and neither stops for good.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use bucket::{Bucket, View};
use futures::TryStreamExt as _;
use promontory_tests::{free_port, http, peer, process::Server};
use ulid::Ulid;

use crate::compactor::{download, dump, fill, look, promtool_blocks, text};
use crate::component::wait_until;
use crate::s3::S3;
use crate::s3_proxy::S3Proxy;

/// Blocks of 2 h, and of 8 h that come of the first eight of them.
const SOURCES: usize = 13;
const MERGED: usize = 2;

/// What the bucket has: blocks that are seen, and all that have a `meta.json`.
async fn blocks(bucket: &Bucket) -> anyhow::Result<(View, BTreeSet<Ulid>)> {
    let objects: Vec<_> = bucket.list("").try_collect().await?;
    let of_meta = |key: &str| Ulid::from_string(key.strip_suffix("/meta.json")?).ok();
    let visible = objects.iter().filter_map(|object| of_meta(&object.key));
    Ok((look(bucket).await, visible.collect()))
}

/// A compactor that goes on for ever.
fn start(dir: &Path, yaml: &str, port: u16) -> anyhow::Result<Server> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command
        .args(["compactor", "--wait", "--wait-interval=1s"])
        .arg("--consistency-delay=0s")
        .arg(format!("--objstore.config={yaml}"))
        .arg(format!("--data-dir={}", dir.join("slow").display()))
        .arg(format!("--http-address=127.0.0.1:{port}"))
        .arg("--grpc-address=127.0.0.1:0");
    Ok(Server::start(&mut command, &dir.join("slow.log"))?)
}

/// Does everything there is to do in the bucket, as a machine whose clock is five minutes ahead. By
/// that clock every lease has run out.
fn overtake(faketime: &Path, dir: &Path, yaml: &str) -> anyhow::Result<()> {
    let mut command = Command::new(faketime);
    command
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .args(["-f", "+5m"])
        .arg(env!("CARGO_BIN_EXE_promontory"))
        .args(["compactor", "--consistency-delay=0s"])
        .arg(format!("--objstore.config={yaml}"))
        .arg(format!("--data-dir={}", dir.join("fast").display()))
        .args(["--http-address=127.0.0.1:0", "--grpc-address=127.0.0.1:0"]);
    text(&command.output()?);
    Ok(())
}

/// The passes that a compactor has finished, and whether it has stopped working.
fn passes(port: u16) -> anyhow::Result<(f64, bool)> {
    let metrics = http::get(port, "/metrics")?.body;
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<f64>().ok())
    };
    let passes = value("thanos_compact_iterations_total ").context("no passes")?;
    Ok((passes, value("thanos_compact_halted ") == Some(1.0)))
}

/// One compactor gets as far as the write of an object whose name ends with `name`; another takes its
/// place then and does all the work, and the first goes on.
async fn overtaken_at(name: &'static str, is_frozen: bool) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    let (Some(mut s3), Some(faketime)) = (S3::start(dir)?, peer("faketime")) else {
        return Ok(());
    };
    let Some(local) = promtool_blocks(dir) else {
        return Ok(());
    };
    let proxy = S3Proxy::start(s3.port())?;
    let bucket = fill(&s3.yaml(), &local).await;
    proxy.hold(Some(name));
    let port = free_port();
    let slow = start(dir, &s3.yaml_through(proxy.port), port)?;
    wait_until("an upload", || Ok(proxy.is_holding()))?;
    if is_frozen {
        slow.signal("STOP")?;
    }
    overtake(&faketime, dir, &s3.yaml())?;
    let (view, visible) = blocks(&bucket).await?;
    ensure!(view.blocks.len() == SOURCES - 8 + MERGED);
    ensure!(visible.len() == SOURCES + MERGED);
    if is_frozen {
        slow.signal("CONT")?;
    }
    proxy.hold(None);
    // It finds out, and works again: the other is done and gone.
    wait_until("the loss of the lease", || {
        Ok(slow.log().contains("is held by process"))
    })?;
    wait_until("another pass", || {
        let (passes, is_halted) = passes(port)?;
        ensure!(!is_halted, "{}", slow.log());
        Ok(passes >= 1.0)
    })?;
    let (view, visible) = blocks(&bucket).await?;
    // What became visible all the same is marked, or its twin is.
    let is_late = name == "/meta.json";
    ensure!(
        visible.len() == SOURCES + MERGED + usize::from(is_late),
        "{visible:?}"
    );
    ensure!(view.deletion_marks.len() == 8 + usize::from(is_late));
    let kept = |id: &&Ulid| !view.deletion_marks.contains_key(*id);
    ensure!(visible.iter().filter(kept).count() == view.blocks.len());
    let merged = dir.join("merged");
    download(&bucket, &view, &merged).await;
    ensure!(dump(&merged) == dump(&local));
    s3.kill();
    Ok(())
}

#[tokio::test]
async fn who_is_frozen_in_an_upload_shows_nothing_of_it_when_thawed() -> anyhow::Result<()> {
    overtaken_at("/index", true).await
}

#[tokio::test]
async fn of_what_two_made_of_the_same_blocks_one_is_kept() -> anyhow::Result<()> {
    overtaken_at("/meta.json", false).await
}
