//! Checks of files and metrics before they are used, and of what they point to.
//!
//! Exit codes: 0 when all is as it must be, warnings included; 1 when something is wrong; 2 for a wrong
//! command line; 3 for metrics that could be better.

mod config;
mod everything;
mod lint;
mod live;
mod metrics;
mod report;
mod rules;
mod thanos;

use std::io::{BufRead, Write};
use std::process::ExitCode;

use runtime::Environment;

/// Without a subcommand all files of a deployment are checked, each named by its flag, and with --live
/// also what they point to. Exit code 0 when all is as it must be or only warned of, 1 when something
/// is wrong, 2 for a wrong command line.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Check {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    everything: everything::Args,
}

/// Checks of one kind of file.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check configuration files of Prometheus, as the ingester reads them; exit code 1 when one is
    /// wrong.
    Config(config::Args),
    /// Check files with rules; exit code 1 when one is wrong.
    Rules(rules::Args),
    /// Check web configuration files, as `--http.config` takes them; exit code 1 when one is wrong.
    WebConfig(config::Args),
    /// Check metrics from standard input, in Prometheus' text format or OpenMetrics; exit code 1
    /// when they cannot be read, 3 when they could be better.
    Metrics,
}

/// Runs the check; `input` is standard input.
pub(crate) fn run(
    check: &Check,
    environment: &Environment,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    match &check.command {
        None => everything::run(&check.everything, environment, out),
        Some(Command::Config(args)) => config::run(args, environment, out),
        Some(Command::Rules(args)) => rules::run(args, out),
        Some(Command::WebConfig(args)) => config::run_web(args, out),
        Some(Command::Metrics) => metrics::run(input, out),
    }
}
