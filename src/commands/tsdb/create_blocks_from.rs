//! `tsdb create-blocks-from`: blocks from samples in other formats.

mod progress;

use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use ingester::backfill::{self, Deps, FileStamp, Options, Report};
use model::time::DurationMs;
use serde_json::json;
use tsdb::block::Block;
use ulid::Ulid;

use super::list;
use crate::commands::Stdio;
use crate::commands::output::{Format, Output};
use progress::Meter;

/// Memory for samples while the input is read.
const MEMORY_BYTES: usize = 96 << 20;

/// What the samples are written in.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Source {
    /// OpenMetrics text whose samples have timestamps, ending with `# EOF`.
    ///
    /// Reads files larger than memory, with samples in any order; of several samples of a series
    /// at one time the first is kept. Nothing is written when a line is malformed. After an
    /// interruption, run the same command again: it goes on, and makes no block twice.
    Openmetrics(Args),
}

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; `-` reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Directory that gets the blocks; made if it is not there.
    #[arg(value_name = "DIR", default_value = "data/")]
    dir: PathBuf,
    /// Longest duration of a block: the longest of 2h, 6h, 18h, 54h, ... within it is used.
    #[arg(long, value_name = "DURATION", default_value = "2h")]
    max_block_duration: DurationMs,
    /// Print no progress.
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Print times, durations and sizes for people.
    #[arg(short = 'r', long)]
    human_readable: bool,
    #[command(flatten)]
    output: Output,
}

/// Makes the blocks and lists them.
pub(super) fn run(source: Source, stdio: Stdio<'_>) -> anyhow::Result<ExitCode> {
    let Source::Openmetrics(args) = source;
    let name = args.file.display().to_string();
    let (mut input, stamp): (Box<dyn Read + Send + '_>, _) = if name == "-" {
        (Box::new(stdio.input), None)
    } else {
        let file = File::open(&args.file).with_context(|| format!("open {name}"))?;
        let stamp = FileStamp::of(&args.file, &file)?;
        (Box::new(file), stamp)
    };
    let mut meter = Meter::new(
        stdio.notes,
        stdio.notes_on_terminal,
        stamp.as_ref().map(FileStamp::bytes),
    );
    let options = Options {
        output: args.dir.clone(),
        max_block_duration_ms: args.max_block_duration.0,
        labels: Vec::new(),
        memory_bytes: MEMORY_BYTES,
    };
    let mut deps = Deps {
        new_ulid: &mut Ulid::generate,
        progress: &mut |progress| {
            if !args.quiet {
                meter.show(progress);
            }
            ControlFlow::Continue(())
        },
    };
    let made = backfill::run(&mut input, stamp, &options, &mut deps);
    meter.end();
    print(&args, &made.context(name)?, stdio.out)?;
    Ok(ExitCode::SUCCESS)
}

fn print(args: &Args, report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
    let blocks: Vec<_> = report
        .blocks
        .iter()
        .map(|meta| Block::open(&args.dir.join(meta.ulid.to_string())))
        .collect::<Result<_, _>>()?;
    match args.output.format {
        Format::Json => {
            let result = json!({
                "blocks": blocks.iter().map(list::as_json).collect::<Vec<_>>(),
                "blocks_before": report.blocks_before,
                "samples_read": report.samples,
                "samples_dropped": report.dropped,
            });
            writeln!(out, "{result:#}")?;
        }
        Format::Table => {
            list::print_table(&blocks, args.human_readable, out)?;
            if report.blocks_before > 0 {
                let n = report.blocks_before;
                let journal = args.dir.join(backfill::JOURNAL_DIR);
                writeln!(
                    out,
                    "blocks that an earlier run made of this input: {n} (to make them again, delete {})",
                    journal.display()
                )?;
            }
            if report.dropped > 0 {
                let n = report.dropped;
                writeln!(
                    out,
                    "samples left out, their series having one at their time: {n}"
                )?;
            }
        }
    }
    Ok(())
}
