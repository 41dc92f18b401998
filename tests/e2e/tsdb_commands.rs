//! The `tsdb` tools on data that Prometheus wrote.

use std::path::Path;
use std::process::{Command, Output};

use promontory_tests::{conformance, peer};
use serde_json::Value;

fn promontory(args: &[&str], dir: &Path) -> Output {
    let (tool, rest) = args.split_first().expect("a tool is named");
    Command::new(env!("CARGO_BIN_EXE_promontory"))
        .args(["tsdb", tool])
        .arg(dir)
        .args(rest)
        .output()
        .expect("the binary starts")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is text")
}

fn json(args: &[&str], dir: &Path) -> Value {
    let output = promontory(&[args, &["-o", "json"]].concat(), dir);
    serde_json::from_slice(&output.stdout).expect("output is JSON")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("temporary directory");
    for entry in std::fs::read_dir(from).expect("readable data") {
        let entry = entry.expect("readable data");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("temporary directory");
        }
    }
}

#[test]
fn blocks_are_listed_as_promtool_lists_them() {
    let (Some(data), Some(promtool)) = (conformance("tsdb/compacted"), peer("promtool")) else {
        return;
    };
    let dir = tempfile::tempdir().expect("temporary directory");
    copy(&data, dir.path());
    let theirs = Command::new(promtool)
        .args(["tsdb", "list"])
        .arg(dir.path())
        .output()
        .expect("promtool starts");
    let theirs: Vec<Vec<_>> = text(&theirs)
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    let ours = json(&["list"], &data);
    let ours = ours["blocks"].as_array().expect("a list of blocks");
    assert_eq!(ours.len(), 3);
    assert_eq!(ours.len(), theirs.len(), "{theirs:?}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        // ULID, min time, max time, duration, samples, chunks, series, size.
        for (key, column) in [
            ("min_time", 1),
            ("max_time", 2),
            ("samples", 4),
            ("chunks", 5),
            ("series", 6),
        ] {
            assert_eq!(
                ours[key].to_string(),
                theirs[column],
                "{key} of {}",
                theirs[0]
            );
        }
        assert_eq!(ours["ulid"].as_str(), Some(theirs[0].as_str()));
    }
}

/// The numbers behind the names in a list of promtool's analysis: `NUMBER NAME` lines under a title.
/// A name with a line break in it goes on in the next line.
fn promtool_list(output: &str, title: &str) -> Vec<(u64, String)> {
    let (_, list) = output
        .split_once(&format!("{title}:\n"))
        .expect("promtool prints the list");
    let mut found: Vec<(u64, String)> = Vec::new();
    for line in list.lines().take_while(|line| !line.is_empty()) {
        let parts = line
            .split_once(' ')
            .and_then(|(n, what)| Some((n.parse().ok()?, what.to_owned())));
        match (parts, found.last_mut()) {
            (Some(entry), _) => found.push(entry),
            (None, Some((_, what))) => what.extend(["\n", line]),
            (None, None) => panic!("{line:?} is not a number and a name"),
        }
    }
    found
}

#[test]
fn a_block_is_analyzed_as_promtool_analyzes_it() {
    let (Some(data), Some(promtool)) = (conformance("tsdb/compacted"), peer("promtool")) else {
        return;
    };
    let dir = tempfile::tempdir().expect("temporary directory");
    copy(&data, dir.path());
    let block = "01M7XZZV0HPD444SPH4QQBET76";
    let theirs = Command::new(promtool)
        .args(["tsdb", "analyze", "--limit=100"])
        .arg(dir.path())
        .arg(block)
        .output()
        .expect("promtool starts");
    let theirs = text(&theirs);
    let ours = json(&["analyze", block, "--limit", "100"], &data);
    for (key, title) in [
        ("churn_by_pair", "Label pairs most involved in churning"),
        ("churn_by_label", "Label names most involved in churning"),
        ("series_by_pair", "Most common label pairs"),
        (
            "value_bytes_by_label",
            "Label names with highest cumulative label value length",
        ),
        ("values_by_label", "Highest cardinality labels"),
        ("series_by_metric", "Highest cardinality metric names"),
    ] {
        let mut theirs = promtool_list(&theirs, title);
        theirs.retain(|(number, _)| *number > 0);
        theirs.sort();
        let list = ours[key].as_array().expect("a list");
        let mut ours: Vec<_> = list
            .iter()
            .map(|l| {
                (
                    l["number"].as_u64().unwrap_or(0),
                    l["what"].as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        assert!(ours.windows(2).all(|w| w[0].0 >= w[1].0), "{key} descends");
        ours.sort();
        assert_eq!(ours, theirs, "{title}");
    }
}

#[test]
fn dumps_can_be_narrowed() {
    let Some(data) = conformance("tsdb/compacted") else {
        return;
    };
    let all = text(&promontory(&["dump"], &data));
    let some = text(&promontory(
        &[
            "dump",
            "--match",
            r#"{job="a",__name__!~"f?hist.*"}"#,
            "--min-time",
            "1700000000000",
            "--max-time",
            "1700003600000",
        ],
        &data,
    ));
    let expected: Vec<_> = all
        .lines()
        .filter(|line| {
            let mut columns = line.split('\t');
            let labels = columns.next().unwrap_or_default();
            let t: i64 = columns
                .next()
                .and_then(|t| t.parse().ok())
                .unwrap_or_default();
            let is_hist =
                labels.contains(r#"__name__="hist"#) || labels.contains(r#"__name__="fhist"#);
            labels.contains(r#"job="a""#)
                && !is_hist
                && (1_700_000_000_000..=1_700_003_600_000).contains(&t)
        })
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(some.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn damage_is_found_and_named() {
    let Some(data) = conformance("tsdb/compacted") else {
        return;
    };
    assert!(promontory(&["verify"], &data).status.success());
    let dir = tempfile::tempdir().expect("temporary directory");
    copy(&data, dir.path());
    let damaged = [
        ("01M7XZZV0HPD444SPH4QQBET76/chunks/000001", 5_000),
        ("wal/00000002", 1_000),
        ("chunks_head/000002", 45),
    ];
    for (file, offset) in damaged {
        let path = dir.path().join(file);
        let mut bytes = std::fs::read(&path).expect("copied file");
        bytes[offset] ^= 0x40;
        std::fs::write(&path, bytes).expect("copied file");
    }
    let output = promontory(&["verify", "-o", "json"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).expect("output is JSON");
    let problems = found["problems"].as_array().expect("a list of problems");
    for (file, offset) in damaged {
        let problem = problems
            .iter()
            .find(|p| p["file"].as_str().is_some_and(|f| f.ends_with(file)))
            .unwrap_or_else(|| panic!("{file} is not among {problems:#?}"));
        let at = problem["offset"].as_u64().expect("damage has a place");
        // The place named is the start or the checksum of what is damaged.
        assert!(at.abs_diff(offset as u64) < 1024, "{problem}");
        assert!(problem["advice"].is_string());
    }
}

#[test]
fn what_is_not_there_is_said_plainly() {
    let output = promontory(&["list"], Path::new("/nonexistent/data"));
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("/nonexistent/data is not a directory"),
        "{message}"
    );
}
