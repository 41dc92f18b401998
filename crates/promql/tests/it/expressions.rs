//! Every expression of the conformance data is accepted or refused as Prometheus does, with the same
//! printed forms and messages.

use promql::parse::{Limits, Options, parse_expr};
use promql::print::pretty;
use serde_json::Value;

use crate::conformance;

/// Some of the data is longer than what is taken by default.
fn any_length() -> Options {
    Options {
        limits: Limits::HIGHEST,
        ..Options::all_features()
    }
}

/// What we make of a row of the data, in the form of its columns.
fn judge(expr: &str) -> (String, String, String) {
    match parse_expr(expr, any_length()) {
        Ok(tree) => (String::new(), tree.to_string(), pretty(&tree)),
        Err(error) => (error.to_string(), String::new(), String::new()),
    }
}

#[test]
fn prometheus_and_we_agree_on_every_expression() {
    let Some(path) = conformance::find("promql-parser/expressions.jsonl") else {
        return;
    };
    let data = std::fs::read_to_string(path).unwrap();
    let mut differences = Vec::new();
    for line in data.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let column = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let expr = column("expr");
        let theirs = (column("error"), column("printed"), column("pretty"));
        let ours = judge(&expr);
        if ours != theirs {
            let shown: String = expr.chars().take(300).collect();
            differences.push(format!("{shown}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
        if let Ok(tree) = parse_expr(&ours.1, any_length()) {
            assert_eq!(tree.to_string(), ours.1, "printed form of {expr}");
        }
    }
    let count = differences.len();
    assert!(
        differences.is_empty(),
        "{count} differ:\n{}",
        differences.join("\n")
    );
}
