use std::collections::BTreeMap;
use std::path::Path;

use model::{Sample, TimeRange, Value};
use proptest::prelude::*;
use tsdb::block::Block;

use super::*;

const HOUR: i64 = 3_600_000;

/// Every sample of every block below a directory: series, time, value.
type Content = BTreeMap<(String, i64), f64>;

fn options(output: &Path) -> Options {
    Options {
        output: output.to_owned(),
        max_block_duration_ms: 0,
        labels: Vec::new(),
        memory_bytes: 64 << 20,
    }
}

/// Runs, and stops at the report `stop_at` if one is given.
fn run_with(input: &str, options: &Options, stop_at: Option<usize>) -> Result<Report, Error> {
    let mut reports = 0;
    let mut deps = Deps {
        new_ulid: &mut Ulid::generate,
        progress: &mut |_| {
            reports += 1;
            match stop_at {
                Some(n) if reports > n => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        },
    };
    run(input.as_bytes(), None, options, &mut deps)
}

fn block_dirs(output: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<_> = fs::read_dir(output)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| !p.file_name().unwrap().to_str().unwrap().starts_with('.'))
        .collect();
    dirs.sort();
    dirs
}

fn content(output: &Path) -> Content {
    let mut found = Content::new();
    for dir in block_dirs(output) {
        let block = Block::open(&dir).unwrap();
        assert!(block.verify().is_empty(), "{:?}", block.verify());
        for series in block.select(&[], TimeRange::ALL).unwrap() {
            let series = series.unwrap();
            for meta in &series.chunks {
                let chunk = block.chunk(meta.reference).unwrap();
                for sample in chunk.samples() {
                    let Sample {
                        t,
                        value: Value::Float(v),
                    } = sample.unwrap()
                    else {
                        panic!("only floats went in")
                    };
                    let twice = found.insert((series.labels.to_string(), t), v);
                    assert_eq!(twice, None, "{} at {t}", series.labels);
                }
            }
        }
    }
    found
}

#[test]
fn blocks_are_aligned_to_their_duration() {
    let dir = tempfile::tempdir().unwrap();
    let input = "a 1 7199.999\na 2 7200\nb{x=\"y\"} 3 -1\na 4 36000\n# EOF\n";
    let report = run_with(input, &options(dir.path()), None).unwrap();
    let ranges: Vec<_> = report.blocks.iter().map(Meta::range).collect();
    assert_eq!(
        ranges,
        [
            TimeRange::closed(-1000, -1000),
            TimeRange::closed(7_199_999, 7_199_999),
            TimeRange::closed(2 * HOUR, 2 * HOUR),
            TimeRange::closed(10 * HOUR, 10 * HOUR),
        ]
    );
    assert_eq!(
        (report.samples, report.dropped, report.blocks_before),
        (4, 0, 0)
    );
    assert_eq!(content(dir.path()).len(), 4);

    let longer = tempfile::tempdir().unwrap();
    let wide = Options {
        max_block_duration_ms: 20 * HOUR,
        labels: vec![("x".into(), "z".into())],
        ..options(longer.path())
    };
    assert_eq!(run_with(input, &wide, None).unwrap().blocks.len(), 2);
    let series: Vec<_> = content(longer.path()).into_keys().map(|k| k.0).collect();
    assert!(
        series.contains(&r#"{__name__="b", x="z"}"#.to_owned()),
        "{series:?}"
    );
}

#[test]
fn durations_are_those_of_prometheus() {
    for (max_hours, hours) in [
        (0, 2),
        (2, 2),
        (5, 2),
        (6, 6),
        (53, 18),
        (54, 54),
        (1 << 30, 39366),
    ] {
        assert_eq!(
            block_duration_ms(max_hours * HOUR),
            hours * HOUR,
            "{max_hours}"
        );
    }
}

#[test]
fn a_wrong_line_is_named_and_nothing_is_written() {
    for (input, message) in [
        (
            "a 1 1\na x 2\n# EOF\n",
            "line 2: expected a value, found \"x 2\"",
        ),
        ("a 1 1\na 1\n# EOF\n", "line 2: the sample has no timestamp"),
        ("a 1 1\n", "line 2: the input does not end with # EOF"),
        ("# EOF\na 1 1\n", "line 2: nothing may follow # EOF"),
        ("a 1 1\n# EOF\na 1 1\n", "line 3: nothing may follow # EOF"),
        (
            "a{b=\"1\",b=\"2\"} 1 1\n# EOF\n",
            "line 1: the label \"b\" appears twice",
        ),
        ("a 1 1e40\n# EOF\n", "line 1: the timestamp is out of range"),
        (
            "a 1 1\na 1 -1e40\n# EOF\n",
            "line 2: the timestamp is out of range",
        ),
        (
            "a 1 1\n\n# EOF\n",
            "line 2: expected a metric name, found the end of the line",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = run_with(input, &options(dir.path()), None).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(block_dirs(dir.path()).is_empty());
    }
}

/// Three series over six hours, two of them written in turns, the third backwards.
fn many_blocks() -> (String, Content) {
    let (mut lines, mut expected) = (Vec::new(), Content::new());
    for i in 0..400i64 {
        let t = i * 54;
        for (name, t) in [("a", t), ("b", t), ("c", 21_600 - t)] {
            lines.push(format!("{name} {i} {t}"));
            expected.insert((format!("{{__name__=\"{name}\"}}"), t * 1000), i as f64);
        }
    }
    (lines.join("\n") + "\n# EOF\n", expected)
}

#[test]
fn a_stopped_run_goes_on_without_skipping_or_doubling() {
    let (input, expected) = many_blocks();
    let whole = tempfile::tempdir().unwrap();
    run_with(&input, &options(whole.path()), None).unwrap();
    assert_eq!(content(whole.path()), expected);
    let blocks = block_dirs(whole.path()).len();
    assert_eq!(blocks, 4);

    for stop_at in 0..blocks {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        let stopped = run_with(&input, &options, Some(stop_at)).unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::Cancelled);
        assert_eq!(block_dirs(dir.path()).len(), stop_at);
        let report = run_with(&input, &options, None).unwrap();
        assert_eq!(
            (report.blocks_before, report.blocks.len()),
            (stop_at, blocks - stop_at)
        );
        assert_eq!(content(dir.path()), expected);

        let again = run_with(&input, &options, None).unwrap();
        assert_eq!((again.blocks_before, again.blocks.len()), (blocks, 0));
        assert_eq!(block_dirs(dir.path()).len(), blocks);
    }
}

#[test]
fn a_block_that_was_made_but_not_noted_is_not_made_again() {
    let (input, expected) = many_blocks();
    let dir = tempfile::tempdir().unwrap();
    run_with(&input, &options(dir.path()), Some(2)).unwrap_err();
    // As if the run had been killed before it noted what it had done.
    let journal = dir.path().join(journal::DIR);
    let record = fs::read_dir(&journal)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "json"))
        .unwrap();
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("\"done\": true", "\"done\": false")).unwrap();
    run_with(&input, &options(dir.path()), None).unwrap();
    assert_eq!(content(dir.path()), expected);
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("input.om");
    let (input, expected) = many_blocks();
    fs::write(&path, &input).unwrap();
    let out = dir.path().join("out");
    let run_file = |stop_at: usize, input: &[u8]| {
        let file = FileStamp::of(&path, &fs::File::open(&path).unwrap()).unwrap();
        let mut reports = 0;
        let mut deps = Deps {
            new_ulid: &mut Ulid::generate,
            progress: &mut |_| {
                reports += 1;
                if reports > stop_at {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        };
        run(input, file, &options(&out), &mut deps)
    };
    run_file(2, input.as_bytes()).unwrap_err();
    // Nothing is left to read, and nothing has to be.
    let report = run_file(usize::MAX, b"").unwrap();
    assert_eq!((report.blocks_before, report.samples), (2, 0));
    assert_eq!(content(&out), expected);
}

#[test]
fn two_runs_do_not_share_an_output() {
    let dir = tempfile::tempdir().unwrap();
    let _held = Journal::open(dir.path()).unwrap();
    let error = run_with("# EOF\n", &options(dir.path()), None).unwrap_err();
    assert!(error.to_string().starts_with("another run"), "{error}");
}

#[test]
fn an_input_without_samples_makes_no_block() {
    let dir = tempfile::tempdir().unwrap();
    let report = run_with("# TYPE a counter\n# EOF\n", &options(dir.path()), None).unwrap();
    assert!(report.blocks.is_empty());
    assert!(block_dirs(dir.path()).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn blocks_hold_the_first_sample_of_every_time(
        samples in proptest::collection::vec((0u8..4, 0i64..40_000, 0u8..5), 1..400),
        memory_bytes in 0usize..20_000,
    ) {
        let mut expected = Content::new();
        let mut input = String::new();
        for (series, t, v) in &samples {
            input.push_str(&format!("m{{s=\"{series}\"}} {v} {t}\n"));
            let key = (format!("{{__name__=\"m\", s=\"{series}\"}}"), t * 1000);
            expected.entry(key).or_insert(f64::from(*v));
        }
        input.push_str("# EOF\n");
        let dir = tempfile::tempdir().unwrap();
        let options = Options { memory_bytes, ..options(dir.path()) };
        let report = run_with(&input, &options, None).unwrap();
        prop_assert_eq!(content(dir.path()), expected.clone());
        prop_assert_eq!(report.samples - report.dropped, expected.len() as u64);
    }
}
