//! Tools for data directories and blocks. None of them writes to what it looks at.

mod analyze;
mod dump;
mod list;
mod selectors;
mod target;
mod verify;

use std::io::Write;
use std::process::ExitCode;

/// Tools for data directories and blocks.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the blocks of a data directory.
    List(list::Args),
    /// Print every sample, one a line.
    Dump(dump::Args),
    /// Show what a block is made of: cardinality, churn, bytes per sample.
    Analyze(analyze::Args),
    /// Check blocks, WAL and head chunks in depth; exit code 1 when something is damaged.
    Verify(verify::Args),
}

/// Runs the tool.
pub(crate) fn run(command: Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list::run(&args, out),
        Command::Dump(args) => dump::run(&args, out),
        Command::Analyze(args) => analyze::run(&args, out),
        Command::Verify(args) => verify::run(&args, out),
    }
}
