//! `bucket ls`: the blocks of a bucket, one a line.

use std::io::Write;
use std::process::ExitCode;

use runtime::Environment;
use serde_json::json;

use super::{Target, look, on_runtime};
use crate::commands::output::Format;

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Leave out blocks that are marked for deletion.
    #[arg(long)]
    exclude_delete: bool,
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let bucket = args.target.open(environment)?;
    let view = on_runtime(async || look(&bucket).await)?;
    let is_shown = |marked: bool| !(marked && args.exclude_delete);
    let blocks = view
        .blocks
        .iter()
        .filter(|(_, b)| is_shown(b.deletion_mark.is_some()));
    match args.target.output.format {
        Format::Table => {
            for (id, _) in blocks {
                writeln!(out, "{id}")?;
            }
        }
        Format::Json => {
            let metas: Result<Vec<_>, _> = blocks
                .map(|(_, b)| serde_json::to_value(&*b.meta))
                .collect();
            let partial: Vec<_> = view.partial.keys().map(ToString::to_string).collect();
            let list = json!({"blocks": metas?, "partial": partial});
            writeln!(out, "{list:#}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
