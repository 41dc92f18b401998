//! `check rules`: files with groups of rules, in Prometheus' form with what Thanos adds.
//!
//! Templates in labels and annotations are not looked into.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use model::labels::METRIC_NAME;
use model::time::DurationMs;
use promql::parse::{Options, parse_expr};
use serde::Deserialize;
use serde_json::Value;

/// Flags of the check.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The files; * and ? in the last part of a path stand for anything.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(default)]
    name: String,
    interval: Option<DurationMs>,
    query_offset: Option<DurationMs>,
    limit: Option<i64>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Of Thanos.
    partial_response_strategy: Option<String>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    /// A text or a bare number.
    expr: Option<Value>,
    #[serde(rename = "for")]
    pending: Option<DurationMs>,
    keep_firing_for: Option<DurationMs>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Rules in it.
    pub(super) rules: usize,
    /// What should be known about them.
    pub(super) warnings: Vec<String>,
    /// What is wrong with them.
    pub(super) errors: Vec<String>,
}

/// Checks a file.
pub(super) fn check_file(file: &Path) -> Found {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string());
    let failed = |error| Found {
        errors: vec![error],
        ..Found::default()
    };
    text.map_or_else(failed, |text| check(&text))
}

fn check(text: &str) -> Found {
    let mut found = Found::default();
    if text.trim().is_empty() {
        return found;
    }
    let file: File = match runtime::yaml::read(text) {
        Ok(file) => file,
        Err(error) => {
            found.errors.push(error);
            return found;
        }
    };
    let (mut names, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for group in &file.groups {
        if group.name.is_empty() {
            found.errors.push("a group has no name".to_owned());
        } else if !names.insert(&group.name) {
            let error = format!("group {:?} is there twice", group.name);
            found.errors.push(error);
        }
        group.check(&mut found);
        for (n, rule) in group.rules.iter().enumerate() {
            let at = format!("group {:?}, rule {}", group.name, n + 1);
            for error in rule.errors() {
                found.errors.push(format!("{at}: {error}"));
            }
            if !seen.insert((&rule.record, &rule.alert, &rule.labels)) {
                let warning = "another rule has its name and labels; the two may give one series";
                found.warnings.push(format!("{at}: {warning}"));
            }
        }
        found.rules += group.rules.len();
    }
    found
}

impl Group {
    fn check(&self, found: &mut Found) {
        let mut wrong = |what: String| {
            found.errors.push(format!("group {:?}: {what}", self.name));
        };
        if self.interval.is_some_and(|interval| interval.0 <= 0) {
            wrong("interval must be more than nothing".to_owned());
        }
        if self.query_offset.is_some_and(|offset| offset.0 < 0) {
            wrong("query_offset must not be negative".to_owned());
        }
        if self.limit.is_some_and(|limit| limit < 0) {
            wrong("limit must not be negative; 0 is none".to_owned());
        }
        if let Some(strategy) = &self.partial_response_strategy
            && !["warn", "abort"].contains(&&*strategy.to_ascii_lowercase())
        {
            wrong(format!(
                "partial_response_strategy {strategy:?} is not known; use warn or abort"
            ));
        }
        for error in label_errors(&self.labels) {
            wrong(error);
        }
    }
}

impl Rule {
    fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        match (said(&self.record), said(&self.alert)) {
            (true, true) => errors.push("it has both record and alert".to_owned()),
            (false, false) => errors.push("it has neither record nor alert".to_owned()),
            (true, false) => self.check_recording(&mut errors),
            (false, true) => {
                for name in self.annotations.keys().filter(|name| !is_name(name)) {
                    errors.push(format!("{name:?} cannot name an annotation"));
                }
            }
        }
        match &self.expr {
            None | Some(Value::Null) => errors.push("it has no expr".to_owned()),
            Some(expr) => {
                let text = match expr {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                if let Err(error) = parse_expr(&text, Options::all_features()) {
                    errors.push(format!("expr: {error}"));
                }
            }
        }
        errors.extend(label_errors(&self.labels));
        errors
    }

    fn check_recording(&self, errors: &mut Vec<String>) {
        let name = self.record.as_deref().unwrap_or_default();
        if name.contains(['{', '}']) {
            errors.push(format!("{name:?} cannot name a series"));
        }
        for (field, is_said) in [
            ("for", self.pending.is_some()),
            ("keep_firing_for", self.keep_firing_for.is_some()),
            ("annotations", !self.annotations.is_empty()),
        ] {
            if is_said {
                errors.push(format!("{field} is for alerts only"));
            }
        }
    }
}

fn label_errors(labels: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    let wrong = (labels.keys()).filter(|name| !is_name(name) || *name == METRIC_NAME);
    wrong.map(|name| format!("{name:?} cannot name a label of a rule"))
}

/// Any text is a name, since names may be UTF-8, but none at all.
fn is_name(name: &str) -> bool {
    !name.is_empty()
}

/// Checks the files that are named.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for pattern in &args.files {
        for file in ingester::matching_files(pattern)? {
            let found = check_file(&file);
            writeln!(out, "Checking {}", file.display())?;
            for warning in &found.warnings {
                writeln!(out, "  WARNING: {warning}")?;
            }
            for error in &found.errors {
                writeln!(out, "  FAILED: {error}")?;
                code = ExitCode::FAILURE;
            }
            if found.errors.is_empty() {
                writeln!(out, "  SUCCESS: {} rules found", found.rules)?;
            }
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_as_they_must_be_are_counted() {
        let found = check(
            "groups:\n- name: a\n  interval: 30s\n  partial_response_strategy: ABORT\n  rules:\n\
             \x20 - {record: 'job:x:sum', expr: sum by (job) (x), labels: {a: b}}\n\
             \x20 - {alert: X, expr: 1, for: 5m, keep_firing_for: 1h, annotations: {text: '{{ $value }}'}}\n\
             - name: b\n",
        );
        assert_eq!(
            found,
            Found {
                rules: 2,
                ..Found::default()
            }
        );
        assert_eq!(check(" \n"), Found::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, said) in [
            ("groups: [{name: a, rules: 5}]", "line 1"),
            (
                "groups: [{name: a, rules: [{record: x, expr: 'sum('}]}]",
                "group \"a\", rule 1: expr",
            ),
            (
                "groups: [{name: a, rules: [{record: x, alert: y, expr: z}]}]",
                "both",
            ),
            ("groups: [{name: a, rules: [{expr: z}]}]", "neither"),
            ("groups: [{name: a, rules: [{alert: z}]}]", "no expr"),
            (
                "groups: [{name: a, rules: [{record: x, expr: z, for: 1m}]}]",
                "for is for alerts",
            ),
            (
                "groups: [{name: a, rules: [{record: x, expr: z, labels: {__name__: y}}]}]",
                "__name__",
            ),
            ("groups: [{name: a}, {name: a}]", "twice"),
            ("groups: [{rules: []}]", "no name"),
            (
                "groups: [{name: a, partial_response_strategy: some}]",
                "warn or abort",
            ),
            ("groups: [{name: a, limit: -1}]", "limit"),
            ("group: []", "group"),
        ] {
            let found = check(text);
            assert!(
                found.errors.iter().any(|e| e.contains(said)),
                "{text}: {found:?}"
            );
        }
        let twice = "groups: [{name: a, rules: [{record: x, expr: y}, {record: x, expr: z}]}]";
        let found = check(twice);
        assert_eq!((found.errors.len(), found.warnings.len()), (0, 1));
    }
}
