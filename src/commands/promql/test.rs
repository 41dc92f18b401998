//! `promql test`: runs scripts in the language of Prometheus' own tests.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use promql::testing::run_script;

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Scripts: load, eval and expect commands, as in Prometheus' promqltest.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs each script, and prints what failed and how many evaluations passed.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (mut passed, mut failed) = (0, 0);
    for path in &args.files {
        let file = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("read {file}"))?;
        let report = run_script(&text).with_context(|| format!("run {file}"))?;
        for failure in &report.failures {
            writeln!(out, "{file}:{}: {}", failure.line, failure.message)?;
        }
        writeln!(
            out,
            "{file}: {} passed, {} failed",
            report.passed,
            report.failures.len()
        )?;
        passed += report.passed;
        failed += report.failures.len();
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
