//! Debian's promtool, a Prometheus of another age, reads what we write as we do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use model::{Labels, TimeRange, Value};
use tsdb::block::Block;

use crate::blocks::{samples, write_floats};

/// True when promtool is there; a notice, and in CI a failure, when not.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no main to configure them"
)]
fn promtool_is_there() -> bool {
    let found = Command::new("promtool").arg("--version").output().is_ok();
    if !found {
        assert!(std::env::var("CI").is_err(), "CI needs promtool");
        eprintln!("skipped: install promtool (Debian: prometheus)");
    }
    found
}

fn promtool(args: &[&str], dir: &Path) -> String {
    let mut command = Command::new("promtool");
    let output = command.arg("tsdb").args(args).arg(dir).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "promtool tsdb {args:?}: {text}{errors}"
    );
    text
}

/// Series with names and values of all kinds: long, quoted, Unicode, many of one label.
fn series() -> BTreeSet<Labels> {
    let mut series: BTreeSet<Labels> = (0..300)
        .map(|i| {
            Labels::from_pairs([
                ("__name__", format!("metric_{}", i % 7)),
                ("instance", format!("host-{i}:9100")),
                (
                    "job",
                    if i % 2 == 0 {
                        "node".to_owned()
                    } else {
                        String::new()
                    },
                ),
            ])
        })
        .collect();
    series.insert(Labels::from_pairs([
        ("__name__", "odd"),
        ("text", "a \"quote\", a \\ and a\nnew line"),
        ("unicode", "größer 測試 🦀"),
    ]));
    let long = "x".repeat(70_000);
    series.insert(Labels::from_pairs([("__name__", "long"), ("text", &long)]));
    series
}

/// Special floats first, then a mix of counters and noise.
fn values(i: usize) -> Vec<(i64, f64)> {
    let special = [
        0.0,
        -0.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
    ];
    (0..400)
        .map(|k| {
            let v = match special.get(k) {
                Some(v) if i == 0 => *v,
                _ if i.is_multiple_of(2) => (k * i) as f64,
                _ => ((k * 7919 + i) as f64).sin() * 1e9,
            };
            (k as i64 * 15_000 + i as i64, v)
        })
        .collect()
}

/// `{labels} value milliseconds` as promtool prints samples: the bits of the value, with all NaNs
/// alike.
fn parse(line: &str) -> (String, i64, u64) {
    let mut parts = line.rsplitn(3, ' ');
    let t = parts.next().unwrap().parse().unwrap();
    let v: f64 = parts.next().unwrap().parse().unwrap();
    (parts.next().unwrap().to_owned(), t, bits(v))
}

fn bits(v: f64) -> u64 {
    if v.is_nan() { u64::MAX } else { v.to_bits() }
}

#[test]
fn promtool_lists_analyzes_and_dumps_what_we_wrote() {
    if !promtool_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("wal")).unwrap();
    let path = write_floats(dir.path(), TimeRange::new(0, 7_200_000), &series(), values);
    let block = Block::open(&path).unwrap();
    assert_eq!(block.verify(), []);

    let name = block.meta().ulid.to_string();
    let list = promtool(&["list"], dir.path());
    let row: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    let stats = &block.meta().stats;
    assert_eq!(row[0], name, "{list}");
    for count in [stats.num_samples, stats.num_chunks, stats.num_series] {
        assert!(
            row.contains(&count.to_string().as_str()),
            "{count} in {list}"
        );
    }

    let mut analyze = Command::new("promtool");
    let output = analyze
        .args(["tsdb", "analyze", "--extended"])
        .args([dir.path().as_os_str(), name.as_ref()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains(&format!("Series: {}\n", stats.num_series)),
        "{text}"
    );

    let mut ours: Vec<_> = samples(&block)
        .unwrap()
        .into_iter()
        .map(|(labels, sample)| match sample.value {
            Value::Float(v) => (labels.to_string(), sample.t, bits(v)),
            other => panic!("{other:?}"),
        })
        .collect();
    let dump = promtool(&["dump"], dir.path());
    let mut theirs: Vec<_> = dump.lines().map(parse).collect();
    ours.sort();
    theirs.sort();
    assert!(
        ours == theirs,
        "{} and {} samples",
        ours.len(),
        theirs.len()
    );
}
