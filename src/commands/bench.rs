//! Benchmarks that anybody can run.

mod promql;

use std::io::Write;
use std::process::ExitCode;

/// Benchmarks.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run queries over blocks, in this process, and say what each one takes.
    Promql(promql::Args),
}

/// Runs the benchmark.
pub(crate) fn run(command: Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match command {
        Command::Promql(args) => promql::run(&args, out),
    }
}
