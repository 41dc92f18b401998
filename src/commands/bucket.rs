//! Tools for buckets: what is in them, whether it is sound, and changing it.

mod block_files;
mod cleanup;
mod inspect;
mod ls;
mod mark;
mod progress;
mod replicate;
mod retention;
mod rewrite;
mod select;
mod template;
mod upload_blocks;
mod verify;
mod web;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use bucket::{Bucket, Fetcher, Filter, Patience, View};
use runtime::process::{self, Shutdown};
use runtime::{BucketFlags, Clock as _, Environment, SystemClock};

use super::output::Output;
use select::Selection;

/// Threads for files and checks.
const THREADS: usize = 16;

/// Tools for buckets.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the blocks of a bucket.
    Ls(ls::Args),
    /// Show where the blocks of a bucket come from and what they hold.
    Inspect(inspect::Args),
    /// Check the blocks of a bucket, and mend what can be; exit code 1 when something is wrong.
    Verify(verify::Args),
    /// Mark blocks for deletion, or as not to be compacted or downsampled.
    Mark(mark::Args),
    /// Delete blocks that were marked long enough ago, and uploads that were given up.
    Cleanup(cleanup::Args),
    /// Mark blocks for deletion that are older than they are kept.
    Retention(retention::Args),
    /// Copy blocks to another bucket.
    Replicate(replicate::Args),
    /// Write blocks anew without some series or times, or with other labels.
    Rewrite(rewrite::Args),
    /// Upload blocks of a local directory.
    UploadBlocks(upload_blocks::Args),
    /// Serve a page with the blocks of a bucket, and Thanos' API of blocks.
    Web(web::Args),
}

/// The bucket, and how its blocks are shown.
#[derive(Debug, clap::Args)]
struct Target {
    #[command(flatten)]
    bucket: BucketFlags,
    #[command(flatten)]
    output: Output,
}

/// The bucket that is looked at or changed.
fn open(
    flags: &BucketFlags,
    environment: &Environment,
    patience: Patience,
) -> anyhow::Result<Bucket> {
    let config = flags.require(environment)?;
    Ok(Bucket::open_existing(
        config.text().unwrap_or_default(),
        patience,
    )?)
}

/// The bucket that blocks are put into; it may be new.
fn open_to_fill(
    flags: &BucketFlags,
    environment: &Environment,
    patience: Patience,
) -> anyhow::Result<Bucket> {
    let config = flags.require(environment)?;
    Ok(Bucket::open(config.text().unwrap_or_default(), patience)?)
}

/// Runs the tool.
pub(crate) fn run(
    command: Command,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Ls(args) => ls::run(&args, environment, out),
        Command::Inspect(args) => inspect::run(&args, environment, out),
        Command::Verify(args) => verify::run(&args, environment, out),
        Command::Mark(args) => mark::run(&args, environment, out),
        Command::Cleanup(args) => cleanup::run(&args, environment, out),
        Command::Retention(args) => retention::run(&args, environment, out),
        Command::Replicate(args) => replicate::run(&args, environment, out),
        Command::Rewrite(args) => rewrite::run(&args, environment, out),
        Command::UploadBlocks(args) => upload_blocks::run(&args, environment, out),
        Command::Web(args) => web::run(&args, environment, out),
    }
}

/// Runs `work` where the bucket can be reached, until it is done or somebody interrupts it.
fn on_runtime<T>(work: impl AsyncFnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    process::run(THREADS, async |mut shutdown: Shutdown| {
        tokio::select! {
            done = work() => Ok(done),
            () = shutdown.requested() => Ok(Err(anyhow::anyhow!("interrupted; what was done stays"))),
        }
    })?
}

/// All blocks of the bucket.
async fn look(bucket: &Bucket) -> anyhow::Result<View> {
    look_at(bucket, Vec::new()).await
}

/// The blocks of the bucket that pass `filters`.
async fn look_at(bucket: &Bucket, filters: Vec<Filter>) -> anyhow::Result<View> {
    let fetcher = Fetcher::new(bucket.clone(), None, filters);
    let view = fetcher.sync(SystemClock.now_ms()).await;
    view.context("look at the bucket")
}

/// The selected blocks, for who asks and waits.
fn seen(
    flags: &BucketFlags,
    selection: &Selection,
    environment: &Environment,
) -> anyhow::Result<View> {
    let filters = selection.filters(environment)?;
    let bucket = open(flags, environment, Patience::Interactive)?;
    on_runtime(async || look_at(&bucket, filters).await)
}

/// A duration as Go shows it: `1h59m45.001s`.
fn go_duration(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    let (h, m) = (ms / 3_600_000, ms / 60_000 % 60);
    let seconds = match (ms / 1000 % 60, ms % 1000) {
        (s, 0) => s.to_string(),
        (s, ms) => format!("{s}.{ms:03}").trim_end_matches('0').to_owned(),
    };
    match (h, m) {
        (0, 0) if (1..1000).contains(&ms) => format!("{sign}{ms}ms"),
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (ms, shown) in [
            (0, "0s"),
            (5, "5ms"),
            (1_500, "1.5s"),
            (60_000, "1m0s"),
            (7_185_001, "1h59m45.001s"),
            (-7_200_000, "-2h0m0s"),
        ] {
            assert_eq!(go_duration(ms), shown);
        }
    }
}
