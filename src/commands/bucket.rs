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
use runtime::{BucketFlags, Clock as _, Environment, SystemClock};

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
    fn open(&self, environment: &Environment) -> anyhow::Result<Bucket> {
        open(&self.bucket, environment, Patience::Interactive)
    }
}

fn open(
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
