//! `bucket inspect`: origin and content of each block.

use std::io::Write;
use std::process::ExitCode;

use bucket::BlockInfo;
use model::time::{DurationMs, Rfc3339};
use runtime::Environment;
use serde_json::json;

use super::{Target, look, on_runtime};
use crate::commands::output::Format;
use crate::commands::table::{Align, Table, bytes};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let bucket = args.target.open(environment)?;
    let view = on_runtime(async || look(&bucket).await)?;
    let mut blocks: Vec<&BlockInfo> = view.blocks.values().collect();
    blocks.sort_by_key(|b| (b.labels().clone(), b.resolution(), b.meta.min_time));
    match args.target.output.format {
        Format::Json => {
            let all: Vec<_> = blocks.iter().map(|b| as_json(b)).collect();
            writeln!(out, "{:#}", json!({"blocks": all}))?;
        }
        Format::Table => print(&blocks, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print(blocks: &[&BlockInfo], out: &mut dyn Write) -> anyhow::Result<()> {
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new(&[
        ("ULID", left),
        ("FROM", left),
        ("UNTIL", left),
        ("RANGE", right),
        ("#SERIES", right),
        ("#SAMPLES", right),
        ("#CHUNKS", right),
        ("SIZE", right),
        ("LEVEL", right),
        ("LABELS", left),
        ("RESOLUTION", right),
        ("SOURCE", left),
        ("MARKS", left),
    ]);
    for block in blocks {
        let meta = &block.meta;
        let source = meta.thanos.as_ref().map(|t| t.source.clone());
        table.row([
            meta.ulid.to_string(),
            Rfc3339(meta.min_time).to_string(),
            Rfc3339(meta.max_time).to_string(),
            DurationMs(meta.max_time.saturating_sub(meta.min_time)).to_string(),
            meta.stats.num_series.to_string(),
            meta.stats.num_samples.to_string(),
            meta.stats.num_chunks.to_string(),
            bytes(block.files.bytes),
            meta.compaction.level.to_string(),
            labels(block),
            DurationMs(block.resolution()).to_string(),
            source.unwrap_or_default(),
            marks(block).join(","),
        ]);
    }
    Ok(table.print(out)?)
}

fn labels(block: &BlockInfo) -> String {
    let pairs = block.labels().iter().map(|(n, v)| format!("{n}={v}"));
    pairs.collect::<Vec<_>>().join(",")
}

fn marks(block: &BlockInfo) -> Vec<&'static str> {
    [
        (block.deletion_mark.is_some(), "deletion"),
        (block.no_compact.is_some(), "no-compact"),
        (block.no_downsample.is_some(), "no-downsample"),
    ]
    .into_iter()
    .filter_map(|(there, name)| there.then_some(name))
    .collect()
}

fn as_json(block: &BlockInfo) -> serde_json::Value {
    let meta = &block.meta;
    json!({
        "ulid": meta.ulid.to_string(),
        "min_time": meta.min_time,
        "max_time": meta.max_time,
        "series": meta.stats.num_series,
        "samples": meta.stats.num_samples,
        "chunks": meta.stats.num_chunks,
        "size_bytes": block.files.bytes,
        "level": meta.compaction.level,
        "labels": block.labels(),
        "resolution_ms": block.resolution(),
        "source": meta.thanos.as_ref().map(|t| &t.source),
        "marks": marks(block),
    })
}
