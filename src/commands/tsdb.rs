//! Tools for data directories and blocks. Only `create-blocks-from` and `close` write.

mod analyze;
mod close;
mod create_blocks_from;
mod dump;
mod list;
mod selectors;
mod target;
mod verify;

use std::process::ExitCode;

use super::Stdio;

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
    /// Leave the directory as an orderly stop does, after a crash: Prometheus can take it over then.
    Close(close::Args),
    /// Make blocks of samples in another format.
    #[command(subcommand)]
    CreateBlocksFrom(create_blocks_from::Source),
}

/// Runs the tool.
pub(crate) fn run(command: Command, stdio: Stdio<'_>) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list::run(&args, stdio.out),
        Command::Dump(args) => dump::run(&args, stdio.out),
        Command::Analyze(args) => analyze::run(&args, stdio.out),
        Command::Verify(args) => verify::run(&args, stdio.out),
        Command::Close(args) => close::run(&args, stdio.out, stdio.notes),
        Command::CreateBlocksFrom(source) => create_blocks_from::run(source, stdio),
    }
}
