//! `bucket cleanup`: deletes what was marked long enough ago, and uploads that were given up.

use std::io::Write;
use std::process::ExitCode;

use bucket::Patience;
use bucket::delete::{delete_block, due_for_deletion};
use model::time::DurationMs;
use runtime::{BucketFlags, Clock as _, Environment, SystemClock};
use ulid::Ulid;

use super::progress::{Progress, Work};
use super::{look, on_runtime, open};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bucket: BucketFlags,
    /// How long a block stays after it was marked; less than the delay of store gateways takes
    /// blocks away under queries.
    #[arg(long = "delete-delay", value_name = "DURATION", default_value = "48h")]
    delete_delay: DurationMs,
    /// Only say what would be deleted.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let bucket = open(&args.bucket, environment, Patience::Background)?;
    on_runtime(async || {
        let view = look(&bucket).await?;
        let due = due_for_deletion(&view, args.delete_delay.0, SystemClock.now_ms());
        let marked = due.marked.iter().map(|id| (*id, "marked block"));
        let given_up = due.given_up.iter().map(|id| (*id, "unfinished upload"));
        let doomed: Vec<(Ulid, &str)> = marked.chain(given_up).collect();
        let all = doomed.len();
        let mut progress = Progress::new(Work {
            blocks: all,
            bytes: 0,
        });
        let mut failed = 0;
        for (id, what) in doomed {
            if args.dry_run {
                writeln!(out, "{what} {id} would be deleted")?;
                continue;
            }
            match delete_block(&bucket, id).await {
                Ok(objects) => {
                    let progress = progress.block(0);
                    writeln!(out, "deleted {what} {id}: {objects} objects; {progress}")?;
                }
                Err(error) => {
                    failed += 1;
                    writeln!(out, "{what} {id} is not deleted: {}", error.chain())?;
                }
            }
            out.flush()?;
        }
        let marked_only = view.deletion_marks.len() - due.marked.len();
        writeln!(
            out,
            "{all} due, {failed} failed; {marked_only} marked blocks are not due yet"
        )?;
        Ok(match failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    })
}
