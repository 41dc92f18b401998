//! `tsdb create-blocks-from openmetrics` beside promtool, and what a kill leaves.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use promontory_tests::{peer, workspace_root};

fn create(input: &Path, output: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([input, output])
        .args(more);
    command
}

fn finish(mut command: Command) -> String {
    let output = command.output().expect("the command starts");
    text(&output)
}

fn text(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).expect("output is text")
}

/// Every sample of our dump, which fails on a double one.
fn dump(dir: &Path) -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command.args(["tsdb", "dump"]).arg(dir);
    let lines = finish(command);
    let samples: BTreeSet<_> = lines.lines().map(str::to_owned).collect();
    assert_eq!(
        samples.len(),
        lines.lines().count(),
        "a sample is there twice"
    );
    samples
}

/// What promtool says of a directory.
fn promtool(tool: &Path, what: &str, dir: &Path) -> String {
    let mut command = Command::new(tool);
    command.args(["tsdb", what]).arg(dir);
    finish(command)
}

/// Blocks in a list: min time, max time, samples, series. Where chunks end is the writer's choice.
fn ranges(list: &str) -> Vec<[String; 4]> {
    list.lines()
        .skip(1)
        .map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect())
        .map(|cells: Vec<String>| [0, 1, 3, 5].map(|i| cells[i].clone()))
        .collect()
}

/// Series of several kinds over seven hours, a time after the other as a scraper would write them.
fn several_hours() -> String {
    let mut text = String::from(
        "# HELP requests Requests.\n# TYPE requests counter\n# UNIT size_bytes bytes\n",
    );
    for i in 0..500 {
        let t = 1_700_000_000 + i * 50;
        for code in ["200", "5\\\"00\\n", "é"] {
            writeln!(text, "requests_total{{code=\"{code}\"}} {} {t}.125", i * 3)
                .expect("writing to a String");
        }
        for (name, value) in [("size_bytes", "NaN"), ("heat", "-1.5e-3"), ("top", "+Inf")] {
            writeln!(text, "{name} {value} {t}").expect("writing to a String");
        }
    }
    text.push_str("# EOF\n");
    text
}

#[test]
fn blocks_hold_what_promtool_makes_of_the_same_file() {
    let Some(tool) = peer("promtool") else {
        return;
    };
    let dir = tempfile::tempdir().expect("temporary directory");
    let input = dir.path().join("input.om");
    std::fs::write(&input, several_hours()).expect("temporary directory");
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let listed = finish(create(&input, &ours, &[]));
    let mut command = Command::new(&tool);
    command
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&input, &theirs]);
    finish(command);

    // promtool wants a log to dump blocks.
    for dir in [&ours, &theirs] {
        std::fs::create_dir_all(dir.join("wal")).expect("temporary directory");
    }
    let samples = dump(&ours);
    assert_eq!(samples.len(), 3000);
    assert_eq!(samples, dump(&theirs));
    assert_eq!(
        promtool(&tool, "dump", &ours),
        promtool(&tool, "dump", &theirs)
    );
    let list = promtool(&tool, "list", &ours);
    assert_eq!(ranges(&list).len(), 4);
    assert_eq!(ranges(&list), ranges(&promtool(&tool, "list", &theirs)));
    assert_eq!(ranges(&list), ranges(&listed));
}

#[test]
fn the_example_of_the_readme_makes_blocks() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let input = workspace_root().join("docs/examples/requests.om");
    let made = finish(create(&input, dir.path(), &["-o", "json"]));
    let made: serde_json::Value = serde_json::from_str(&made).expect("output is JSON");
    let samples = dump(dir.path()).len();
    assert!(samples > 0);
    assert_eq!(made["samples_read"], samples);
    assert_eq!(made["blocks"].as_array().map(Vec::is_empty), Some(false));
}

#[test]
fn a_wrong_line_is_named_and_nothing_appears() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let input = dir.path().join("input.om");
    let output = dir.path().join("out");
    for (text, line) in [
        ("a 1 1\nb{ 2 2\n# EOF\n", 2),
        ("a 1 1\na 2 2\na 3\n# EOF\n", 3),
    ] {
        std::fs::write(&input, text).expect("temporary directory");
        let failed = create(&input, &output, &[]).output().expect("starts");
        assert_eq!(failed.status.code(), Some(1));
        let message = String::from_utf8_lossy(&failed.stderr);
        assert!(message.contains(&format!("line {line}:")), "{message}");
        assert!(dump(&output).is_empty());
    }
}

#[test]
fn standard_input_is_read_in_any_order() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut child = create(Path::new("-"), dir.path(), &["-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it was piped");
    stdin
        .write_all(b"a 2 20000\na 1 10\na 3 10000\na 1 10\n# EOF\n")
        .expect("the binary reads");
    drop(stdin);
    assert!(child.wait().expect("the binary ends").success());
    assert_eq!(dump(dir.path()).len(), 3);
}

/// Kills runs ever later, each going on where the one before was, until one gets to its end.
#[test]
fn a_run_after_kills_neither_skips_nor_doubles() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (input, output) = (dir.path().join("input.om"), dir.path().join("out"));
    let mut text = String::new();
    for i in 0..6_000u32 {
        // A block for every fifty samples or so.
        writeln!(text, "a{{i=\"{}\"}} {i} {}", i % 7, 1_700_000_000 + i * 144)
            .expect("writing to a String");
    }
    text.push_str("# EOF\n");
    std::fs::write(&input, &text).expect("temporary directory");
    let whole = dir.path().join("whole");
    finish(create(&input, &whole, &[]));

    let mut kills_between_blocks = 0;
    for blocks_before_kill in [0, 1, 5, 20, 60] {
        let mut child = create(&input, &output, &["-q"])
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let ended = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                assert!(status.success());
                break true;
            }
            if blocks(&output) >= blocks_before_kill {
                child.kill().expect("a child");
                child.wait().expect("a child");
                break false;
            }
            std::thread::yield_now();
        };
        if ended {
            break;
        }
        kills_between_blocks += usize::from(blocks(&output) > 0);
    }
    assert!(kills_between_blocks > 0, "every run got to its end");
    finish(create(&input, &output, &[]));
    assert_eq!(dump(&output), dump(&whole));
    assert_eq!(blocks(&output), blocks(&whole));
}

/// Number of blocks in place.
fn blocks(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .filter(|entry| {
            let name = entry.as_ref().expect("readable").file_name();
            name.len() == 26
        })
        .count()
}
