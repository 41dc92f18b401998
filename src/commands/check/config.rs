//! `check config` and `check web-config`: configuration files.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use ingester::config::Config;
use runtime::Environment;
use runtime::web_config::{Ignored, WebConfig};

/// Flags of the check.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for file in &args.files {
        let name = file.display();
        writeln!(out, "Checking {name}")?;
        match Config::load(file, environment) {
            Ok(config) => {
                for warning in &config.warnings {
                    writeln!(out, "  WARNING: {warning}")?;
                }
                let jobs = config.jobs.len();
                writeln!(out, "  SUCCESS: {name} is valid, with {jobs} scrape jobs")?;
            }
            Err(error) => {
                writeln!(out, "  FAILED: {error}")?;
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Checks web configurations instead.
pub(super) fn run_web(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for file in &args.files {
        let name = file.display().to_string();
        match WebConfig::read(&name) {
            Ok(config) => {
                for Ignored { field, reason } in config.ignored {
                    writeln!(out, "  WARNING: {field} has no effect: {reason}")?;
                }
                writeln!(out, "{name} SUCCESS")?;
            }
            Err(error) => {
                writeln!(out, "{name} FAILED: {error}")?;
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
