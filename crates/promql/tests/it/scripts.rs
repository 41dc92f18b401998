//! Prometheus' own scripts, and ours, through the runner.

use std::path::Path;

use promql::testing::{Report, run_script, run_script_with, script_options};

/// Evaluations in Prometheus' 21 scripts.
const PROMETHEUS_EVALS: usize = 2214;

fn run_folder(folder: &Path) -> Report {
    let mut total = Report::default();
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder was found")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a script is text");
        let report = run_script(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = path.display();
        let failures: Vec<String> = report
            .failures
            .iter()
            .map(|f| format!("{file}:{}: {}", f.line, f.message))
            .collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        total.passed += report.passed;
    }
    total
}

#[test]
fn prometheus_scripts_pass() {
    let Some(folder) = super::conformance::find("promql") else {
        return;
    };
    assert_eq!(run_folder(&folder).passed, PROMETHEUS_EVALS);
}

/// What Prometheus' scripts do not cover.
#[test]
fn our_scripts_pass() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts"));
    assert!(run_folder(folder).passed >= 155);
}

/// Scripts assume that names are dropped at the end. With names dropped at once Prometheus' own
/// engine fails as often.
#[test]
fn names_dropped_at_once_change_as_many_results_as_in_prometheus() {
    let Some(folder) = super::conformance::find("promql") else {
        return;
    };
    let mut options = script_options();
    options.delayed_name_removal = false;
    for (name, failures) in [
        ("native_histograms", 13),
        ("histograms", 12),
        ("name_label_dropping", 8),
        ("type_and_unit", 4),
        ("operators", 0),
        ("functions", 0),
    ] {
        let text =
            std::fs::read_to_string(folder.join(format!("{name}.test"))).expect("a script is text");
        let report = run_script_with(&text, options.clone()).unwrap();
        assert_eq!(report.failures.len(), failures, "{name}");
    }
}

#[test]
fn a_wrong_expectation_is_a_failure() {
    for script in [
        "load 1m\n  a 1\n\neval instant at 0 a\n  a 2\n",
        "load 1m\n  a 1\n\neval instant at 0 a\n  b 1\n",
        "load 1m\n  a 1\n\neval instant at 0 a\n",
        "load 1m\n  a 1\n\neval instant at 0 a\n  expect fail\n",
        "load 1m\n  a 1\n\neval instant at 0 a\n  expect warn\n  a 1\n",
        "load 1m\n  a 1\n\neval range from 0 to 1m step 1m a\n  a 1 2\n",
    ] {
        let report = run_script(script).unwrap();
        assert_eq!((report.passed, report.failures.len()), (0, 1), "{script}");
    }
}
