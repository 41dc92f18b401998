//! `bench promql`: how long queries take over blocks on disk, read as the querier reads them.
//!
//! Each query runs once to warm caches and to count the samples that it reads, then a number of
//! times against the clock; what is reported is the run that took least.

mod clock;
mod generate;
mod measure;
mod queries;
mod report;
mod stop;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use querier::blocks::Blocks;
use querier::pool::Pool;
use tsdb::block::Block;

use generate::DataSet;
use queries::Suite;

use crate::commands::output::Output;

/// Flags of the benchmark.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory with blocks; without it, data of the tool's own are generated and queried with
    /// queries of its own.
    #[arg(value_name = "DIR", requires = "queries")]
    dir: Option<PathBuf>,
    /// Queries: JSON, an object of lists of queries.
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// Which list of the file to run.
    #[arg(long, value_name = "NAME", default_value = "queries")]
    set: String,
    /// Run only queries whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Time that queries end at; without it, the end of the data.
    #[arg(long, value_name = "UNIX SECONDS")]
    end: Option<i64>,
    /// How often each query runs against the clock.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Threads that evaluate a query; 0 for as many as the machine runs at once.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Series to generate.
    #[arg(long, value_name = "N", default_value_t = 1000, conflicts_with = "dir", value_parser = clap::value_parser!(u32).range(20..=10_000_000))]
    series: u32,
    /// Hours of data to generate, a sample every 15 s.
    #[arg(long, value_name = "N", default_value_t = 24, conflicts_with = "dir", value_parser = clap::value_parser!(u32).range(1..=8760))]
    hours: u32,
    /// Measure how soon queries end when they are stopped: by their caller, and by each limit.
    #[arg(long)]
    stop: bool,
    #[command(flatten)]
    output: Output,
}

/// Runs the queries and prints what they took; fails when one of them does.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let generated = match &args.dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("create a directory for generated data")?),
    };
    let dir = match (&args.dir, &generated) {
        (Some(dir), _) => dir.as_path(),
        (None, Some(tmp)) => {
            let data = DataSet {
                series: args.series,
                hours: args.hours,
            };
            data.write(tmp.path()).context("generate data")?;
            tmp.path()
        }
        (None, None) => bail!("no directory of blocks"),
    };
    let (blocks, data_end) = open_blocks(dir)?;
    let suite = match &args.queries {
        Some(path) => Suite::read(path, &args.set)?,
        None => Suite::own(&args.set)?,
    };
    let pool = Pool::start(args.threads).context("start threads")?;
    let bench = measure::Bench {
        blocks,
        pool,
        end: args.end.map_or(data_end, |seconds| seconds * 1000),
        runs: args.runs,
    };
    let chosen = suite.queries.iter().filter(|q| q.id.contains(&args.only));
    if args.stop {
        return report::stops(&bench, chosen, (args.output.format, out));
    }
    let mut report = report::Report::begin(out, args.output.format)?;
    for query in chosen {
        report.add(&query.id, bench.measure(query))?;
    }
    report.finish()
}

/// The blocks in `dir`, and the end of the last.
fn open_blocks(dir: &Path) -> anyhow::Result<(Blocks, i64)> {
    let mut blocks = Vec::new();
    for entry in dir
        .read_dir()
        .with_context(|| format!("list {}", dir.display()))?
    {
        let path = entry
            .with_context(|| format!("list {}", dir.display()))?
            .path();
        if path.join(tsdb::block::META_FILE).is_file() {
            blocks.push(Block::open(&path).with_context(|| format!("open {}", path.display()))?);
        }
    }
    let Some(end) = blocks.iter().map(|b| b.meta().max_time).max() else {
        bail!("no blocks in {}", dir.display());
    };
    Ok((Blocks::new(blocks), end))
}

#[cfg(test)]
mod tests;
