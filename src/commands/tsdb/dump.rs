//! `tsdb dump`: every sample, one a line (`tsdb::db::dump` says in which form).

use std::io::{self, Write};
use std::process::ExitCode;

use model::{Sample, TimeRange, Value};
use serde_json::json;
use tsdb::db::DataDir;
use tsdb::db::dump::Line;

use super::selectors::Selectors;
use super::target::Target;
use crate::commands::output::{Format, Output};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    selectors: Selectors,
    /// First time to print, in milliseconds since the epoch.
    #[arg(long, value_name = "MS", default_value_t = i64::MIN, hide_default_value = true, allow_negative_numbers = true)]
    min_time: i64,
    /// Last time to print, in milliseconds since the epoch.
    #[arg(long, value_name = "MS", default_value_t = i64::MAX, hide_default_value = true, allow_negative_numbers = true)]
    max_time: i64,
    #[command(flatten)]
    output: Output,
}

/// Prints the samples in order of series, then time. What cannot be read is named on standard error,
/// and makes the exit code 1.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let data = args.target.open()?;
    let range = TimeRange::closed(args.min_time, args.max_time);
    for series in data.select(args.selectors.matchers(), range)? {
        let series = series?;
        if !args.selectors.accept(series.labels()) {
            continue;
        }
        let mut line = Line::new(series.labels());
        for sample in series.samples() {
            let sample = sample?;
            match args.output.format {
                Format::Table => writeln!(out, "{}", line.of(&sample))?,
                Format::Json => writeln!(out, "{}", as_json(series.labels(), &sample))?,
            }
        }
    }
    let left_out = left_out(&data);
    for what in &left_out {
        // Standard error may be closed; the exit code says it, too.
        let _ = writeln!(io::stderr(), "error: {what}");
    }
    Ok(if left_out.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What of the data could not be read.
fn left_out(data: &DataDir) -> Vec<String> {
    let report = data.report();
    let blocks = report.unreadable_blocks.iter();
    let blocks = blocks.map(|(dir, e)| format!("block {} is left out: {e}", dir.display()));
    let damage = report.replay.damage.iter();
    blocks
        .chain(damage.map(|e| format!("what follows is left out: {e}")))
        .collect()
}

/// One object a line: labels, time and value, floats as strings since JSON has no NaN.
fn as_json(labels: &model::Labels, sample: &Sample) -> serde_json::Value {
    let labels: serde_json::Map<_, _> = labels
        .iter()
        .map(|(n, v)| (n.to_owned(), v.into()))
        .collect();
    let (kind, value) = match &sample.value {
        Value::Float(v) => ("float", model::float::G(*v).to_string()),
        Value::Histogram(h) => ("histogram", h.to_string()),
        Value::FloatHistogram(h) => ("float_histogram", h.to_string()),
    };
    json!({"labels": labels, "t": sample.t, "type": kind, "value": value})
}
