//! `tsdb close`: leaves a data directory as an orderly stop does.
//!
//! After a crash the newest samples are in the log alone, in records that Prometheus skips (see
//! docs/format/wal.md). Here they move into head chunk files, which it reads.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;
use tsdb::db::{Db, DbOptions};

use super::target::Target;
use crate::commands::output::{Format, Output};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
}

/// Replays the logs, as a start does, with progress to `notes`, and moves what they hold into head
/// chunk files.
pub(super) fn run(
    args: &Args,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let dir = args.target.dir();
    if args.target.is_block() || !dir.join("wal").is_dir() {
        bail!(
            "{} has no log; give the data directory of one tenant of an ingester",
            dir.display()
        );
    }
    let db = Db::open(dir, DbOptions::default(), &mut |progress| {
        // Who does not look at it misses nothing.
        let _ = writeln!(notes, "segment {} of {}", progress.done + 1, progress.total);
    });
    let db = db.with_context(|| format!("open {}", dir.display()))?;
    let repaired = db.report().head.repairs.len();
    db.head().close();
    let series = db.head().series_count();
    match args.output.format {
        Format::Json => {
            let report = json!({ "series": series, "repaired": repaired });
            writeln!(out, "{report:#}")?;
        }
        Format::Table => {
            writeln!(out, "closed {}: {series} series", dir.display())?;
            if repaired > 0 {
                writeln!(out, "repaired {repaired} damaged files of the log")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
