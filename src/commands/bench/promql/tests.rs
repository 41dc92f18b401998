use serde_json::Value;

use super::*;
use crate::commands::output::Format;

fn args(more: impl FnOnce(&mut Args)) -> Args {
    let mut args = Args {
        dir: None,
        queries: None,
        set: "queries".to_owned(),
        only: String::new(),
        end: None,
        runs: 1,
        threads: 2,
        stop: false,
        series: 60,
        hours: 2,
        output: Output {
            format: Format::Json,
        },
    };
    more(&mut args);
    args
}

fn json(args: &Args) -> (Value, ExitCode) {
    let mut out = Vec::new();
    let code = run(args, &mut out).unwrap();
    (serde_json::from_slice(&out).unwrap(), code)
}

#[test]
fn every_query_of_its_own_finds_something() {
    let (report, code) = json(&args(|_| ()));
    assert_eq!(code, ExitCode::SUCCESS);
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), Suite::own("queries").unwrap().queries.len());
    for row in results {
        assert_ne!(row["series"], 0, "{row}");
    }
    assert!(report["geomean_ms"].as_f64().unwrap() > 0.0);
    let row = |id| results.iter().find(|row| row["id"] == id).unwrap();
    // 3 instances with 8 counters each, 4 samples a minute; all hours are read.
    assert_eq!(row("raw_1h")["series"], 24);
    assert_eq!(row("sum_rate_24h")["samples"], 24 * 480);
    assert_eq!(row("count_all")["check"], 60.0);
}

#[test]
fn runs_the_queries_of_a_file_over_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    DataSet {
        series: 20,
        hours: 1,
    }
    .write(dir.path())
    .unwrap();
    let file = dir.path().join("q.json");
    let queries = r#"{"mine": [
        {"id": "a", "kind": "instant", "expr": "count(memory_bytes)"},
        {"id": "b", "kind": "instant", "expr": "rate("},
        {"id": "c", "kind": "labels", "range": "1h"}
    ]}"#;
    std::fs::write(&file, queries).unwrap();
    let mut args = args(|args| {
        args.dir = Some(dir.path().to_owned());
        args.queries = Some(file);
        args.set = "mine".to_owned();
    });
    let (report, code) = json(&args);
    assert_eq!(code, ExitCode::FAILURE, "one query is wrong");
    assert_eq!(report["results"][0]["check"], 2.0);
    let error = report["results"][1]["error"].as_str().unwrap();
    assert!(error.contains("parse error"), "{error}");
    assert_eq!(report["results"][2]["series"], 8);

    args.only = "c".to_owned();
    args.output.format = Format::Table;
    let mut out = Vec::new();
    assert_eq!(run(&args, &mut out).unwrap(), ExitCode::SUCCESS);
    let table = String::from_utf8(out).unwrap();
    assert!(table.contains("geometric mean of 1 queries"), "{table}");

    args.set = "theirs".to_owned();
    let error = format!("{:#}", run(&args, &mut Vec::new()).unwrap_err());
    assert!(
        error.contains("no list of queries called \"theirs\""),
        "{error}"
    );
}

#[test]
fn refuses_a_directory_without_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let args = args(|args| args.dir = Some(dir.path().to_owned()));
    assert!(run(&args, &mut Vec::new()).is_err());
}

#[test]
fn queries_are_stopped_in_every_way() {
    let (report, code) = json(&args(|args| {
        args.stop = true;
        args.set = "heavy".to_owned();
        args.only = "join".to_owned();
    }));
    assert_eq!(code, ExitCode::SUCCESS);
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 5, "{results:?}");
    let longest = report["longest_ms"].as_f64().unwrap();
    for row in results {
        assert!(row["whole_ms"].as_f64().unwrap() > 0.0, "{row}");
        for way in ["cancelled_ms", "timed_out_ms", "samples_ms", "bytes_ms"] {
            assert!(row[way].as_f64().unwrap() <= longest, "{row}");
        }
    }
    assert!(longest > 0.0);

    let mut out = Vec::new();
    let table = args(|args| {
        args.stop = true;
        args.output.format = Format::Table;
    });
    assert_eq!(run(&table, &mut out).unwrap(), ExitCode::SUCCESS);
    let table = String::from_utf8(out).unwrap();
    assert!(table.contains("longest: "), "{table}");
    assert!(table.contains("sum_rate_1h") && !table.contains("label_values"));
}
