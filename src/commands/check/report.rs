//! What a check of everything found: one line for each thing that was looked at.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use crate::commands::output::Format;
use crate::commands::table::{Align, Table};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it must be.
    Ok,
    /// It works, but somebody should know.
    Warning,
    /// It does not work.
    Failed,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) result: Verdict,
    /// The kind of thing.
    pub(super) check: &'static str,
    /// Which one.
    pub(super) subject: String,
    /// What it is, or what is wrong with it.
    pub(super) detail: String,
}

/// All that was found, in the order in which it was looked at.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
}

impl Report {
    fn add(
        &mut self,
        result: Verdict,
        check: &'static str,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) {
        self.findings.push(Finding {
            result,
            check,
            subject: subject.to_string(),
            detail: detail.to_string(),
        });
    }

    /// Something is as it must be.
    pub(super) fn ok(
        &mut self,
        check: &'static str,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) {
        self.add(Verdict::Ok, check, subject, detail);
    }

    /// Something works, but somebody should know what is said of it.
    pub(super) fn warn(
        &mut self,
        check: &'static str,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) {
        self.add(Verdict::Warning, check, subject, detail);
    }

    /// Something does not work.
    pub(super) fn fail(
        &mut self,
        check: &'static str,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) {
        self.add(Verdict::Failed, check, subject, detail);
    }

    /// Fine with what `found` shows, or failed with why it does not.
    pub(super) fn judge<T, E: fmt::Display>(
        &mut self,
        check: &'static str,
        subject: impl fmt::Display,
        found: Result<T, E>,
        show: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match found {
            Ok(found) => {
                self.ok(check, subject, show(&found));
                Some(found)
            }
            Err(error) => {
                self.fail(check, subject, error);
                None
            }
        }
    }

    fn count(&self, verdict: Verdict) -> usize {
        let of = self.findings.iter().filter(|f| f.result == verdict);
        of.count()
    }

    /// Prints all of it. The exit code is 1 when something failed.
    pub(super) fn print(&self, format: Format, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let (all, warnings) = (self.findings.len(), self.count(Verdict::Warning));
        let failed = self.count(Verdict::Failed);
        match format {
            Format::Json => {
                let report =
                    json!({"checks": self.findings, "warnings": warnings, "failed": failed});
                writeln!(out, "{report:#}")?;
            }
            Format::Table => {
                let left = Align::Left;
                let mut table = Table::new(&[
                    ("RESULT", left),
                    ("CHECK", left),
                    ("SUBJECT", left),
                    ("DETAIL", left),
                ]);
                for finding in &self.findings {
                    let result = match finding.result {
                        Verdict::Ok => "ok",
                        Verdict::Warning => "warning",
                        Verdict::Failed => "FAILED",
                    };
                    let (subject, detail) = (finding.subject.clone(), finding.detail.clone());
                    // One finding is one line.
                    let detail = detail.replace('\n', " ");
                    table.row([result.to_owned(), finding.check.to_owned(), subject, detail]);
                }
                table.print(out)?;
                writeln!(out, "{all} checks, {warnings} warnings, {failed} failed")?;
            }
        }
        Ok(match failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }
}
