//! Tools for PromQL.

mod format;
mod parse;
mod test;

use std::io::{BufRead, Write};
use std::process::ExitCode;

/// Tools for PromQL.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Parse expressions: print a tree, or judge one JSON object per line.
    Parse(parse::Args),
    /// Print an expression broken into lines.
    Format(format::Args),
    /// Run test scripts: load series, evaluate, compare.
    Test(test::Args),
}

/// Runs the tool; `input` is what it reads when told `-`.
pub(crate) fn run(
    command: Command,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Parse(args) => parse::run(&args, input, out),
        Command::Format(args) => format::run(&args, input, out),
        Command::Test(args) => test::run(&args, out),
    }
}
