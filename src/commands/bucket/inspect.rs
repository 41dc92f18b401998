//! `bucket inspect`: origin and content of each block.

use std::cmp::Ordering;
use std::io::Write;
use std::process::ExitCode;

use bucket::BlockInfo;
use model::time::Rfc3339;
use runtime::{BucketFlags, Environment};
use serde_json::json;

use super::select::{Selection, label};
use super::{go_duration, seen};
use crate::commands::table::{Align, Table, bytes};

/// How long raw blocks must be for those of 5 minutes to be made of them, in milliseconds.
const RAW_RANGE_MS: i64 = 40 * 3_600_000;
/// How long those of 5 minutes must be for those of an hour.
const FIVE_MINUTES_RANGE_MS: i64 = 10 * 24 * 3_600_000;

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bucket: BucketFlags,
    #[command(flatten)]
    selection: Selection,
    /// Only blocks with this external label. May be repeated; all must be there.
    #[arg(short = 'l', long = "selector", value_name = "NAME=\"VALUE\"", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Column that lines are sorted by. May be repeated: where the first is equal, the second decides.
    #[arg(long = "sort-by", value_name = "COLUMN", ignore_case = true)]
    sort_by: Vec<Column>,
    /// Form of the output.
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "table"
    )]
    form: Form,
}

/// How blocks are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A table for people.
    Table,
    /// Values between commas.
    Csv,
    /// Values between tabs.
    Tsv,
    /// JSON for programs.
    Json,
}

/// What is shown of a block, by Thanos' names where it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Column {
    #[value(name = "ULID")]
    Ulid,
    #[value(name = "FROM")]
    From,
    #[value(name = "UNTIL")]
    Until,
    #[value(name = "RANGE")]
    Range,
    #[value(name = "UNTIL-DOWN")]
    UntilDown,
    #[value(name = "#SERIES")]
    Series,
    #[value(name = "#SAMPLES")]
    Samples,
    #[value(name = "#CHUNKS")]
    Chunks,
    #[value(name = "SIZE")]
    Size,
    #[value(name = "COMP-LEVEL")]
    Level,
    #[value(name = "COMP-FAILED")]
    Failed,
    #[value(name = "LABELS")]
    Labels,
    #[value(name = "RESOLUTION")]
    Resolution,
    #[value(name = "SOURCE")]
    Source,
    #[value(name = "MARKS")]
    Marks,
}

/// All of them, in the order in which they are shown.
const COLUMNS: [(&str, Column, Align); 15] = [
    ("ULID", Column::Ulid, Align::Left),
    ("FROM", Column::From, Align::Left),
    ("UNTIL", Column::Until, Align::Left),
    ("RANGE", Column::Range, Align::Right),
    ("UNTIL-DOWN", Column::UntilDown, Align::Right),
    ("#SERIES", Column::Series, Align::Right),
    ("#SAMPLES", Column::Samples, Align::Right),
    ("#CHUNKS", Column::Chunks, Align::Right),
    ("SIZE", Column::Size, Align::Right),
    ("COMP-LEVEL", Column::Level, Align::Right),
    ("COMP-FAILED", Column::Failed, Align::Left),
    ("LABELS", Column::Labels, Align::Left),
    ("RESOLUTION", Column::Resolution, Align::Right),
    ("SOURCE", Column::Source, Align::Left),
    ("MARKS", Column::Marks, Align::Left),
];

/// What a column holds; times and numbers are sorted as such.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Time(i64),
    /// Milliseconds; nothing where there is no such thing.
    Duration(Option<i64>),
    Number(u64),
    Size(u64),
    Text(String),
}

impl Column {
    fn of(self, block: &BlockInfo) -> Cell {
        let (meta, stats) = (&block.meta, &block.meta.stats);
        let range_ms = meta.max_time.saturating_sub(meta.min_time);
        match self {
            Self::Ulid => Cell::Text(meta.ulid.to_string()),
            Self::From => Cell::Time(meta.min_time),
            Self::Until => Cell::Time(meta.max_time),
            Self::Range => Cell::Duration(Some(range_ms)),
            Self::UntilDown => Cell::Duration(match block.resolution() {
                0 => Some(RAW_RANGE_MS.saturating_sub(range_ms)),
                300_000 => Some(FIVE_MINUTES_RANGE_MS.saturating_sub(range_ms)),
                _ => None,
            }),
            Self::Series => Cell::Number(stats.num_series),
            Self::Samples => Cell::Number(stats.num_samples),
            Self::Chunks => Cell::Number(stats.num_chunks),
            Self::Size => Cell::Size(block.files.bytes),
            Self::Level => Cell::Number(meta.compaction.level.into()),
            Self::Failed => Cell::Text(meta.compaction.failed.to_string()),
            Self::Labels => Cell::Text(labels(block)),
            Self::Resolution => Cell::Duration(Some(block.resolution())),
            Self::Source => {
                let source = meta.thanos.as_ref().map(|t| t.source.clone());
                Cell::Text(source.unwrap_or_default())
            }
            Self::Marks => Cell::Text(marks(block).join(",")),
        }
    }
}

impl Cell {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Duration(a), Self::Duration(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) | (Self::Size(a), Self::Size(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }

    fn shown(&self, is_for_people: bool) -> String {
        match self {
            Self::Time(ms) => Rfc3339(ms.div_euclid(1000) * 1000).to_string(),
            Self::Duration(ms) => ms.map_or("-".to_owned(), go_duration),
            Self::Size(n) if is_for_people => bytes(*n),
            Self::Number(n) | Self::Size(n) => n.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let view = seen(&args.bucket, &args.selection, environment)?;
    let mut blocks: Vec<&BlockInfo> = view.blocks.values().collect();
    let has = |block: &BlockInfo| {
        let mut wanted = args.labels.iter();
        wanted.all(|(name, value)| block.labels().get(name) == Some(value))
    };
    blocks.retain(|block| has(block));
    blocks.sort_by_key(|b| (b.labels().clone(), b.resolution(), b.meta.min_time));
    blocks.sort_by(|a, b| {
        let columns = args.sort_by.iter();
        let compared = columns.map(|column| column.of(a).compare(&column.of(b)));
        compared.fold(Ordering::Equal, Ordering::then)
    });
    match args.form {
        Form::Json => {
            let all: Vec<_> = blocks.iter().map(|b| as_json(b)).collect();
            writeln!(out, "{:#}", json!({"blocks": all}))?;
        }
        Form::Table => {
            let columns = COLUMNS.map(|(name, _, align)| (name, align));
            let mut table = Table::new(&columns);
            for block in blocks {
                table.row(COLUMNS.map(|(_, column, _)| column.of(block).shown(true)));
            }
            table.print(out)?;
        }
        Form::Csv => separated(&blocks, ',', out)?,
        Form::Tsv => separated(&blocks, '\t', out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Values between separators; those that hold one are quoted.
fn separated(blocks: &[&BlockInfo], separator: char, out: &mut dyn Write) -> anyhow::Result<()> {
    let quoted = |value: String| match value.contains([separator, '"', '\n']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value,
    };
    let separator = separator.to_string();
    let names = COLUMNS.map(|(name, ..)| name.to_owned());
    writeln!(out, "{}", names.join(&separator))?;
    for block in blocks {
        let values = COLUMNS.map(|(_, column, _)| quoted(column.of(block).shown(false)));
        writeln!(out, "{}", values.join(&separator))?;
    }
    Ok(())
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
        "failed": meta.compaction.failed,
        "labels": block.labels(),
        "resolution_ms": block.resolution(),
        "source": meta.thanos.as_ref().map(|t| &t.source),
        "marks": marks(block),
    })
}
