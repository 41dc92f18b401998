//! Checks of files and metrics before they are used.

mod config;
mod lint;
mod metrics;

use std::io::{BufRead, Write};
use std::process::ExitCode;

use runtime::Environment;

/// Checks.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check configuration files of Prometheus, as the ingester reads them; exit code 1 when one is
    /// wrong.
    Config(config::Args),
    /// Check web configuration files, as `--http.config` takes them; exit code 1 when one is wrong.
    WebConfig(config::Args),
    /// Check metrics from standard input, in Prometheus' text format or OpenMetrics; exit code 1
    /// when they cannot be read, 3 when they could be better.
    Metrics,
}

/// Runs the check; `input` is standard input.
pub(crate) fn run(
    command: &Command,
    environment: &Environment,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Config(args) => config::run(args, environment, out),
        Command::WebConfig(args) => config::run_web(args, out),
        Command::Metrics => metrics::run(input, out),
    }
}
