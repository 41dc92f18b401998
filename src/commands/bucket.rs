//! Tools for buckets: what is in them, and whether it is sound. Only `mark` and `cleanup` write.

mod cleanup;
mod inspect;
mod ls;
mod mark;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use bucket::{Bucket, Fetcher, Patience, View};
use runtime::process::{self, Shutdown};
use runtime::{BucketFlags, Clock as _, SystemClock};

use super::output::Output;

/// Threads for files and checks.
const THREADS: usize = 16;

/// Tools for buckets.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the blocks of a bucket.
    Ls(ls::Args),
    /// Show where the blocks of a bucket come from and what they hold.
    Inspect(inspect::Args),
    /// Check the blocks of a bucket; exit code 1 when something is wrong.
    Verify(verify::Args),
    /// Mark blocks for deletion, or as not to be compacted or downsampled.
    Mark(mark::Args),
    /// Delete blocks that were marked long enough ago, and uploads that were given up.
    Cleanup(cleanup::Args),
}

/// The bucket, and how its blocks are shown.
#[derive(Debug, clap::Args)]
struct Target {
    #[command(flatten)]
    bucket: BucketFlags,
    #[command(flatten)]
    output: Output,
}

impl Target {
    fn open(&self) -> anyhow::Result<Bucket> {
        open(&self.bucket, Patience::Interactive)
    }
}

fn open(flags: &BucketFlags, patience: Patience) -> anyhow::Result<Bucket> {
    let text = flags.require()?.read()?.unwrap_or_default();
    Ok(Bucket::open(&text, patience)?)
}

/// Runs the tool.
pub(crate) fn run(command: Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match command {
        Command::Ls(args) => ls::run(&args, out),
        Command::Inspect(args) => inspect::run(&args, out),
        Command::Verify(args) => verify::run(&args, out),
        Command::Mark(args) => mark::run(&args, out),
        Command::Cleanup(args) => cleanup::run(&args, out),
    }
}

/// Runs `work` where the bucket can be reached.
fn on_runtime<T>(work: impl AsyncFnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    process::run(THREADS, async |_: Shutdown| Ok(work().await))?
}

/// All blocks of the bucket.
async fn look(bucket: &Bucket) -> anyhow::Result<View> {
    let fetcher = Fetcher::new(bucket.clone(), None, Vec::new());
    let view = fetcher.sync(SystemClock.now_ms()).await;
    view.context("look at the bucket")
}
