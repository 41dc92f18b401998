//! `tsdb analyze`: what a block is made of.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use model::time::DurationMs;
use serde_json::{Value, json};
use tsdb::block::Block;
use tsdb::block::analyze::{Analysis, ChunkAnalysis, ChunkTotals, Ranked, SAMPLES_PER_BIN};
use ulid::Ulid;

use super::target::Target;
use crate::commands::output::{Format, Output};
use crate::commands::table::{Align, Table, bytes};

/// Names of the encodings, in the order of [`ChunkAnalysis::by_encoding`].
const ENCODINGS: [&str; 4] = ["float", "histogram", "float histogram", "aggregate"];

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The block to look at; without it, the last one.
    #[arg(value_name = "ULID")]
    block: Option<Ulid>,
    /// Look only at series that this selector selects.
    #[arg(long = "match", value_name = "SELECTOR")]
    selector: Option<String>,
    /// Lines in each list.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Read every chunk, too: bytes per sample, and how full chunks are.
    #[arg(long)]
    extended: bool,
    #[command(flatten)]
    output: Output,
}

/// Prints the analysis of one block.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut blocks = args.target.blocks()?.readable;
    let block = match args.block {
        Some(ulid) => blocks.into_iter().find(|b| b.meta().ulid == ulid),
        None => blocks.pop(),
    };
    let dir = args.target.dir().display();
    let block = block.with_context(|| match args.block {
        Some(ulid) => format!("{dir} has no readable block {ulid}; `tsdb list` shows those it has"),
        None => format!("{dir} has no readable block"),
    })?;
    let matchers = match &args.selector {
        Some(text) => promql::parse::parse_selector(text, promql::parse::Options::default())?,
        None => Vec::new(),
    };
    let analysis = block.analyze(&matchers, args.limit)?;
    let chunks = args.extended.then(|| block.analyze_chunks()).transpose()?;
    match args.output.format {
        Format::Json => writeln!(out, "{:#}", as_json(&block, &analysis, chunks.as_ref()))?,
        Format::Table => print(&block, &analysis, chunks.as_ref(), out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The lists of an analysis with what a person and a program call them.
fn lists(analysis: &Analysis) -> [(&'static str, &'static str, &[Ranked]); 6] {
    [
        (
            "Label pairs most involved in churn",
            "churn_by_pair",
            &analysis.churn_by_pair,
        ),
        (
            "Label names most involved in churn",
            "churn_by_label",
            &analysis.churn_by_label,
        ),
        (
            "Most common label pairs",
            "series_by_pair",
            &analysis.series_by_pair,
        ),
        (
            "Label names with the longest values in all (bytes)",
            "value_bytes_by_label",
            &analysis.value_bytes_by_label,
        ),
        (
            "Label names with most values",
            "values_by_label",
            &analysis.values_by_label,
        ),
        (
            "Metric names with most series",
            "series_by_metric",
            &analysis.series_by_metric,
        ),
    ]
}

/// Bytes of the block's files for each of its samples.
fn bytes_per_sample(block: &Block) -> Option<f64> {
    let samples = block.meta().stats.num_samples;
    (samples > 0).then(|| block.size_bytes() as f64 / samples as f64)
}

fn print(
    block: &Block,
    analysis: &Analysis,
    chunks: Option<&ChunkAnalysis>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let meta = block.meta();
    writeln!(out, "Block ID: {}", meta.ulid)?;
    writeln!(
        out,
        "Duration: {}",
        DurationMs(meta.max_time.saturating_sub(meta.min_time))
    )?;
    writeln!(out, "Total Series: {}", analysis.series)?;
    writeln!(out, "Label names: {}", analysis.label_names)?;
    writeln!(
        out,
        "Postings (unique label pairs): {}",
        analysis.label_pairs
    )?;
    writeln!(
        out,
        "Postings entries (total label pairs): {}",
        analysis.postings_entries
    )?;
    writeln!(out, "Samples: {}", meta.stats.num_samples)?;
    writeln!(out, "Size: {}", bytes(block.size_bytes()))?;
    if let Some(per_sample) = bytes_per_sample(block) {
        writeln!(out, "Bytes per sample: {per_sample:.3}")?;
    }
    for (title, _, list) in lists(analysis) {
        writeln!(out, "\n{title}:")?;
        for line in list {
            writeln!(out, "{} {}", line.number, line.what.replace('\n', "\\n"))?;
        }
    }
    if let Some(chunks) = chunks {
        print_chunks(chunks, out)?;
    }
    Ok(())
}

fn print_chunks(chunks: &ChunkAnalysis, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\nChunks:")?;
    let right = Align::Right;
    let mut table = Table::new(&[
        ("ENCODING", Align::Left),
        ("CHUNKS", right),
        ("SAMPLES", right),
        ("BYTES", right),
        ("BYTES/SAMPLE", right),
        ("SAMPLES/CHUNK", right),
    ]);
    let present = ENCODINGS
        .iter()
        .zip(&chunks.by_encoding)
        .filter(|(_, t)| t.chunks > 0);
    for (name, totals) in present {
        let ChunkTotals {
            chunks,
            samples,
            bytes,
        } = *totals;
        table.row([
            (*name).to_owned(),
            chunks.to_string(),
            samples.to_string(),
            bytes.to_string(),
            format!("{:.3}", bytes as f64 / samples.max(1) as f64),
            format!("{:.1}", samples as f64 / chunks as f64),
        ]);
    }
    table.print(out)?;
    writeln!(out, "\nChunks by samples:")?;
    let all: u64 = chunks.by_samples.iter().sum();
    let mut table = Table::new(&[("SAMPLES", right), ("CHUNKS", right), ("SHARE", right)]);
    for (i, n) in chunks
        .by_samples
        .iter()
        .enumerate()
        .filter(|(_, n)| **n > 0)
    {
        let first = i as u64 * SAMPLES_PER_BIN + 1;
        let span = if i + 1 == chunks.by_samples.len() {
            format!("{first} or more")
        } else {
            format!("{first} to {}", first + SAMPLES_PER_BIN - 1)
        };
        table.row([
            span,
            n.to_string(),
            format!("{:.1} %", *n as f64 * 100.0 / all as f64),
        ]);
    }
    Ok(table.print(out)?)
}

fn as_json(block: &Block, analysis: &Analysis, chunks: Option<&ChunkAnalysis>) -> Value {
    let meta = block.meta();
    let mut all = json!({
        "block": meta.ulid.to_string(),
        "min_time": meta.min_time,
        "max_time": meta.max_time,
        "series": analysis.series,
        "label_names": analysis.label_names,
        "label_pairs": analysis.label_pairs,
        "postings_entries": analysis.postings_entries,
        "samples": meta.stats.num_samples,
        "size_bytes": block.size_bytes(),
        "bytes_per_sample": bytes_per_sample(block),
    });
    for (_, key, list) in lists(analysis) {
        let lines = list
            .iter()
            .map(|l| json!({"what": l.what, "number": l.number}));
        all[key] = lines.collect();
    }
    if let Some(chunks) = chunks {
        let totals =
            |t: &ChunkTotals| json!({"chunks": t.chunks, "samples": t.samples, "bytes": t.bytes});
        let by_encoding: serde_json::Map<_, _> = ENCODINGS
            .iter()
            .zip(&chunks.by_encoding)
            .map(|(name, t)| (name.replace(' ', "_"), totals(t)))
            .collect();
        all["chunks_by_encoding"] = by_encoding.into();
        all["chunks_by_samples"] =
            json!({"samples_per_bin": SAMPLES_PER_BIN, "bins": chunks.by_samples});
    }
    all
}
