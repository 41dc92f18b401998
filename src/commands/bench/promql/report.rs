//! Printing what queries took, as a table or as JSON.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::clock::memory_peak;
use super::measure::{Bench, Measured};
use super::queries::Query;
use crate::commands::output::Format;

/// Prints as results come in; JSON is printed at the end.
pub(super) struct Report<'a> {
    out: &'a mut dyn Write,
    output: Format,
    rows: Vec<Value>,
    /// Sum of the logarithms of the wall times.
    log_sum: f64,
    succeeded: u32,
    failed: u32,
}

impl<'a> Report<'a> {
    pub(super) fn begin(out: &'a mut dyn Write, output: Format) -> anyhow::Result<Self> {
        if output == Format::Table {
            writeln!(
                out,
                "{:26} {:>8} {:>9} {:>10} {:>10} {:>11} {:>9} {:>10}  sum",
                "query",
                "series",
                "points",
                "min ms",
                "cpu ms",
                "samples",
                "ns/sample",
                "memory kB"
            )?;
        }
        Ok(Self {
            out,
            output,
            rows: Vec::new(),
            log_sum: 0.0,
            succeeded: 0,
            failed: 0,
        })
    }

    /// Adds what the query `id` took, or why it failed.
    pub(super) fn add(&mut self, id: &str, result: anyhow::Result<Measured>) -> anyhow::Result<()> {
        match (result, self.output) {
            (Ok(m), output) => {
                self.succeeded += 1;
                self.log_sum += m.wall_ms.ln();
                match output {
                    Format::Table => self.print(id, &m)?,
                    Format::Json => self.rows.push(row(id, &m)),
                }
            }
            (Err(error), output) => {
                self.failed += 1;
                match output {
                    Format::Table => writeln!(self.out, "{id:26} failed: {error:#}")?,
                    Format::Json => self
                        .rows
                        .push(json!({"id": id, "error": format!("{error:#}")})),
                }
            }
        }
        Ok(())
    }

    fn print(&mut self, id: &str, m: &Measured) -> anyhow::Result<()> {
        writeln!(
            self.out,
            "{id:26} {:8} {:9} {:10.3} {:10.3} {:11} {:>9} {:10}  {:.9e}",
            m.size.series,
            m.size.points,
            m.wall_ms,
            m.cpu_ms,
            m.samples,
            ns_per_sample(m).map_or_else(|| "-".to_owned(), |ns| format!("{ns:.1}")),
            m.bytes_peak / 1000,
            m.size.sum,
        )?;
        // A query may take long: what is done is shown.
        self.out.flush()?;
        Ok(())
    }

    /// Prints what is known of all queries together; the exit code tells whether all succeeded.
    pub(super) fn finish(self) -> anyhow::Result<ExitCode> {
        let geomean =
            (self.succeeded > 0).then(|| (self.log_sum / f64::from(self.succeeded)).exp());
        let memory = memory_peak();
        match self.output {
            Format::Table => {
                if let Some(geomean) = geomean {
                    writeln!(
                        self.out,
                        "geometric mean of {} queries: {geomean:.3} ms",
                        self.succeeded
                    )?;
                }
                if let Some(bytes) = memory {
                    writeln!(
                        self.out,
                        "peak memory of the process: {} MB",
                        bytes / 1_000_000
                    )?;
                }
            }
            Format::Json => {
                let report = json!({
                    "results": self.rows,
                    "geomean_ms": geomean,
                    "memory_peak_bytes": memory,
                });
                writeln!(self.out, "{report:#}")?;
            }
        }
        Ok(match self.failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }
}

/// Stops the queries, prints how soon each one ended, and last the longest of all.
pub(super) fn stops<'a>(
    bench: &Bench,
    queries: impl Iterator<Item = &'a Query>,
    (output, out): (Format, &mut dyn Write),
) -> anyhow::Result<ExitCode> {
    if output == Format::Table {
        let [a, b, c, d] = ["cancelled", "timed out", "samples", "bytes"];
        writeln!(
            out,
            "{:26} {:>9} {a:>9} {b:>9} {c:>9} {d:>9}",
            "ms", "whole"
        )?;
    }
    let (mut rows, mut longest) = (Vec::new(), 0f64);
    for query in queries {
        let id = &query.id;
        let Some(s) = bench.stops(query).with_context(|| format!("stop {id}"))? else {
            continue;
        };
        let ways = [s.cancelled, s.timed_out, s.samples, s.bytes];
        longest = ways.into_iter().fold(longest, f64::max);
        if output == Format::Table {
            let [a, b, c, d] = ways;
            let whole = s.whole;
            writeln!(out, "{id:26} {whole:9.1} {a:9.2} {b:9.2} {c:9.2} {d:9.2}")?;
            out.flush()?;
        }
        rows.push(json!({
            "id": id,
            "whole_ms": s.whole,
            "cancelled_ms": s.cancelled,
            "timed_out_ms": s.timed_out,
            "samples_ms": s.samples,
            "bytes_ms": s.bytes,
        }));
    }
    match output {
        Format::Table => writeln!(out, "longest: {longest:.2} ms")?,
        Format::Json => writeln!(out, "{:#}", json!({"results": rows, "longest_ms": longest}))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Processor time per sample decoded.
fn ns_per_sample(m: &Measured) -> Option<f64> {
    (m.samples > 0).then(|| m.cpu_ms * 1e6 / m.samples as f64)
}

fn row(id: &str, m: &Measured) -> Value {
    json!({
        "id": id,
        "series": m.size.series,
        "points": m.size.points,
        "check": m.size.sum,
        "min_ms": m.wall_ms,
        "cpu_ms": m.cpu_ms,
        "samples": m.samples,
        "ns_per_sample": ns_per_sample(m),
        "bytes_peak": m.bytes_peak,
    })
}
