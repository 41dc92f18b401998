//! `tsdb list`: the blocks of a data directory.

use std::io::Write;
use std::process::ExitCode;

use model::time::{DurationMs, Rfc3339};
use serde_json::json;
use tsdb::block::Block;

use super::target::Target;
use crate::commands::output::{Format, Output};
use crate::commands::table::{Align, Table, bytes};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print times, durations and sizes for people.
    #[arg(short = 'r', long)]
    human_readable: bool,
    #[command(flatten)]
    output: Output,
}

/// Prints a line for each block; the exit code is 1 when one cannot be opened.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let blocks = args.target.blocks()?;
    match args.output.format {
        Format::Json => {
            let all: Vec<_> = blocks.readable.iter().map(as_json).collect();
            let unreadable: Vec<_> = blocks
                .unreadable
                .iter()
                .map(|(dir, e)| json!({"dir": dir, "error": e.to_string()}))
                .collect();
            let list = json!({"blocks": all, "unreadable": unreadable});
            writeln!(out, "{list:#}")?;
        }
        Format::Table => {
            print_table(&blocks.readable, args.human_readable, out)?;
            for (dir, e) in &blocks.unreadable {
                writeln!(out, "cannot open {}: {e}", dir.display())?;
            }
        }
    }
    Ok(if blocks.unreadable.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints a row for each block.
pub(super) fn print_table(
    blocks: &[Block],
    human: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("BLOCK ULID", Align::Left),
        ("MIN TIME", Align::Left),
        ("MAX TIME", Align::Left),
        ("DURATION", right),
        ("NUM SAMPLES", right),
        ("NUM CHUNKS", right),
        ("NUM SERIES", right),
        ("LEVEL", right),
        ("SIZE", right),
    ]);
    let time = |t: i64| {
        if human {
            Rfc3339(t).to_string()
        } else {
            t.to_string()
        }
    };
    for block in blocks {
        let meta = block.meta();
        let size = block.size_bytes();
        table.row([
            meta.ulid.to_string(),
            time(meta.min_time),
            time(meta.max_time),
            DurationMs(meta.max_time.saturating_sub(meta.min_time)).to_string(),
            meta.stats.num_samples.to_string(),
            meta.stats.num_chunks.to_string(),
            meta.stats.num_series.to_string(),
            meta.compaction.level.to_string(),
            if human { bytes(size) } else { size.to_string() },
        ]);
    }
    Ok(table.print(out)?)
}

/// The block for programs.
pub(super) fn as_json(block: &Block) -> serde_json::Value {
    let meta = block.meta();
    json!({
        "ulid": meta.ulid.to_string(),
        "min_time": meta.min_time,
        "max_time": meta.max_time,
        "samples": meta.stats.num_samples,
        "chunks": meta.stats.num_chunks,
        "series": meta.stats.num_series,
        "tombstones": meta.stats.num_tombstones,
        "level": meta.compaction.level,
        "sources": meta.compaction.sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "size_bytes": block.size_bytes(),
    })
}
