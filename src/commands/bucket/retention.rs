//! `bucket retention`: marks what is older than it is kept.

use std::io::Write;
use std::process::ExitCode;

use bucket::Patience;
use bucket::delete::mark_for_deletion;
use compactor::rules::{RETENTION_DETAILS, Retention};
use model::time::{DurationMs, Rfc3339};
use runtime::{BucketFlags, Clock as _, Environment, SystemClock};

use super::select::Selection;
use super::{look_at, on_runtime, open};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bucket: BucketFlags,
    #[command(flatten)]
    selection: Selection,
    /// How long raw samples are kept; 0d is for ever.
    #[arg(
        long = "retention.resolution-raw",
        value_name = "DURATION",
        default_value = "0d"
    )]
    raw: DurationMs,
    /// How long samples of 5 minutes are kept; 0d is for ever.
    #[arg(
        long = "retention.resolution-5m",
        value_name = "DURATION",
        default_value = "0d"
    )]
    five_minutes: DurationMs,
    /// How long samples of 1 hour are kept; 0d is for ever.
    #[arg(
        long = "retention.resolution-1h",
        value_name = "DURATION",
        default_value = "0d"
    )]
    hour: DurationMs,
    /// Only say what would be marked.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let retention = Retention {
        raw_ms: args.raw.0,
        five_minutes_ms: args.five_minutes.0,
        hour_ms: args.hour.0,
    };
    anyhow::ensure!(
        retention != Retention::default(),
        "everything is kept for ever; say by --retention.resolution-raw, -5m or -1h how long"
    );
    let filters = args.selection.filters(environment)?;
    let bucket = open(&args.bucket, environment, Patience::Background)?;
    on_runtime(async || {
        let view = look_at(&bucket, filters).await?;
        let now_ms = SystemClock.now_ms();
        let expired = retention.expired(&view, now_ms);
        for id in &expired {
            let until = view.blocks.get(id).map_or(0, |block| block.meta.max_time);
            if !args.dry_run {
                mark_for_deletion(&bucket, *id, RETENTION_DETAILS, now_ms).await?;
            }
            let what = if args.dry_run {
                "would be marked"
            } else {
                "is marked"
            };
            writeln!(out, "{id}, until {}: {what} for deletion", Rfc3339(until))?;
            out.flush()?;
        }
        let (n, all) = (expired.len(), view.blocks.len());
        writeln!(out, "{n} of {all} blocks are older than they are kept")?;
        Ok(ExitCode::SUCCESS)
    })
}
