//! A head that is written to, read and opened again.

mod kinds;
mod model;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::model::stop::Stopped;
use ::model::{Histogram, MatchOp, Matcher, Sample, Stop, TimeRange, Value};

use super::*;
use crate::batch::{Batch, Reject, TimedHistogram};
use crate::merge::merged_samples;

/// A minute, in milliseconds.
const MINUTE: i64 = 60_000;

fn open(dir: &Path, options: HeadOptions) -> Head {
    let (head, report) = Head::open(dir, options, &mut |_| ()).unwrap();
    assert!(report.replay.damage.is_empty(), "{report:?}");
    head
}

fn with_window(minutes: i64) -> HeadOptions {
    HeadOptions {
        out_of_order_window: minutes * MINUTE,
        sync: SyncMode::None,
        ..HeadOptions::default()
    }
}

/// Appends one float, and says why it was refused.
fn append(head: &Head, name: &str, t: i64, v: f64) -> Option<Reject> {
    let mut batch = Batch::new();
    batch.series([("__name__", name), ("job", "test")]);
    batch.float(t, v);
    let appended = head.append(&batch, 1_000 * MINUTE).unwrap();
    head.commit(appended.commit).unwrap();
    assert_eq!(appended.floats + appended.rejected.len(), 1);
    appended.rejected.first().map(|r| r.reason)
}

/// All floats, by metric name.
fn floats(head: &Head, name: &str) -> Vec<(i64, f64)> {
    let found = head.select(&[Matcher::equal("__name__", name)], TimeRange::ALL);
    let samples = found.iter().flat_map(|series| {
        let deleted = series.deleted().cloned().unwrap_or_default();
        merged_samples(series.chunks(TimeRange::ALL).unwrap())
            .map(Result::unwrap)
            .filter(move |s| !deleted.contains(s.t))
    });
    let float = |Sample { t, value }| match value {
        Value::Float(v) => (t, v),
        other => panic!("{other:?}"),
    };
    samples.map(float).collect()
}

#[test]
fn series_have_a_zero_since_when_they_count() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path(), with_window(30));
    let append = |t: i64, start: i64| {
        let mut batch = Batch::new();
        batch.series([("__name__", "before")]);
        batch.float(t, 1.0);
        batch.series([("__name__", "a")]);
        batch.float(t, t as f64);
        batch.start(1, start);
        let appended = head.append(&batch, 1_000 * MINUTE).unwrap();
        assert_eq!((appended.floats, appended.rejected.len()), (2, 0));
    };
    append(1_000 * MINUTE, 990 * MINUTE);
    // Older than the newest sample, at the sample, behind it, and between the newest and the sample.
    append(1_001 * MINUTE, 995 * MINUTE);
    append(1_002 * MINUTE, 1_002 * MINUTE);
    append(1_003 * MINUTE, 1_004 * MINUTE);
    append(1_005 * MINUTE, 1_004 * MINUTE);
    let at = |minute: i64, v: f64| (minute * MINUTE, v);
    let own = |minute: i64| at(minute, (minute * MINUTE) as f64);
    let expected = [
        at(990, 0.0),
        own(1_000),
        own(1_001),
        own(1_002),
        own(1_003),
        at(1_004, 0.0),
        own(1_005),
    ];
    assert_eq!(floats(&head, "a"), expected);
    assert_eq!(floats(&head, "before").len(), 5);
    drop(head);
    let again = open(dir.path(), with_window(30));
    assert_eq!(floats(&again, "a"), expected);
}

#[test]
fn histograms_have_an_empty_one_since_when_they_count() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path(), HeadOptions::default());
    let mut batch = Batch::new();
    batch.series([("__name__", "h")]);
    let histogram = Histogram {
        schema: 2,
        count: 3,
        zero_count: 3,
        ..Histogram::default()
    };
    batch.histogram(TimedHistogram::Integer(2 * MINUTE, histogram));
    batch.start(0, MINUTE);
    head.append(&batch, 2 * MINUTE).unwrap();
    let found = head.select(&[Matcher::equal("__name__", "h")], TimeRange::ALL);
    let samples: Vec<_> = merged_samples(found[0].chunks(TimeRange::ALL).unwrap())
        .map(Result::unwrap)
        .collect();
    let counts = samples.iter().map(|s| match &s.value {
        Value::Histogram(h) => (s.t, h.count, h.schema),
        other => panic!("{other:?}"),
    });
    let expected = [(MINUTE, 0, 2), (2 * MINUTE, 3, 2)];
    assert_eq!(counts.collect::<Vec<_>>(), expected);
}

#[test]
fn there_is_no_zero_before_what_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path(), HeadOptions::default());
    let mut batch = Batch::new();
    batch.series([("__name__", "h")]);
    let histogram = Histogram {
        schema: -53,
        custom_values: vec![2.0, 1.0],
        ..Histogram::default()
    };
    batch.histogram(TimedHistogram::Integer(2 * MINUTE, histogram));
    batch.start(0, MINUTE);
    // Too far in the future.
    batch.series([("__name__", "f")]);
    batch.float(1_000 * MINUTE, 1.0);
    batch.start(1, MINUTE);
    let appended = head.append(&batch, 2 * MINUTE).unwrap();
    assert_eq!(appended.rejected.len(), 2, "{appended:?}");
    assert_eq!(head.time_range(), None);
}

#[test]
fn what_was_appended_is_read_and_still_there_when_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path(), HeadOptions::default());
    for i in 0..300 {
        for name in ["a", "b"] {
            assert_eq!(append(&head, name, i * MINUTE, i as f64), None);
        }
    }
    let expected: Vec<_> = (0..300).map(|i| (i * MINUTE, i as f64)).collect();
    for opened_again in [false, true] {
        let again;
        let head = if opened_again {
            again = open(dir.path(), HeadOptions::default());
            &again
        } else {
            &head
        };
        assert_eq!(floats(head, "a"), expected, "{opened_again}");
        assert_eq!(floats(head, "b"), expected, "{opened_again}");
        assert_eq!(head.series_count(), 2);
        assert_eq!(head.time_range(), Some(TimeRange::closed(0, 299 * MINUTE)));
        assert_eq!(head.label_names(&[]), ["__name__", "job"]);
        assert_eq!(head.label_values("__name__", &[]), ["a", "b"]);
    }
    // It goes on with the same series.
    drop(head);
    let head = open(dir.path(), HeadOptions::default());
    append(&head, "a", 300 * MINUTE, 300.0);
    append(&head, "c", 300 * MINUTE, 1.0);
    drop(head);
    let head = open(dir.path(), HeadOptions::default());
    assert_eq!(floats(&head, "a").len(), 301);
    assert_eq!(floats(&head, "c"), [(300 * MINUTE, 1.0)]);
    assert_eq!(head.series_count(), 3);
}

#[test]
fn refusals_are_those_of_prometheus() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path(), with_window(0));
    assert_eq!(append(&head, "a", 500 * MINUTE, 1.0), None);
    assert_eq!(append(&head, "a", 500 * MINUTE, 1.0), None);
    let again = append(&head, "a", 500 * MINUTE, 2.0);
    assert_eq!(again, Some(Reject::DuplicateTimestamp));
    let before = append(&head, "a", 499 * MINUTE, 2.0);
    assert_eq!(before, Some(Reject::OutOfOrder));
    assert_eq!(append(&head, "b", 440 * MINUTE, 2.0), None);
    assert_eq!(
        append(&head, "c", 439 * MINUTE, 2.0),
        Some(Reject::OutOfBounds)
    );
    assert_eq!(
        append(&head, "a", 1011 * MINUTE, 2.0),
        Some(Reject::TooFarInFuture)
    );
    assert_eq!(floats(&head, "a"), [(500 * MINUTE, 1.0)]);
    assert_eq!(head.series_count(), 2);
}

#[test]
fn samples_out_of_order_are_kept_within_the_window() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path(), with_window(100));
    append(&head, "a", 500 * MINUTE, 500.0);
    for i in (401..500).rev() {
        assert_eq!(append(&head, "a", i * MINUTE, i as f64), None);
    }
    assert_eq!(append(&head, "a", 399 * MINUTE, 1.0), Some(Reject::TooOld));
    let expected: Vec<_> = (401..=500).map(|i| (i * MINUTE, i as f64)).collect();
    assert_eq!(floats(&head, "a"), expected);
    assert_eq!(head.out_of_order_span(), Some((401 * MINUTE, 499 * MINUTE)));
    drop(head);
    let head = open(dir.path(), with_window(100));
    assert_eq!(floats(&head, "a"), expected);
}

#[test]
fn looking_for_series_ends_when_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path(), with_window(0));
    let mut batch = Batch::new();
    for i in 0..5_000 {
        // Not in the order of labels, so that they have to be sorted.
        let (a, b) = (format!("{:05}", i * 7919 % 5_000), format!("{}", i % 2));
        batch.series([("a", a.as_str()), ("b", b.as_str())]);
        batch.float(MINUTE, 1.0);
    }
    head.append(&batch, 1_000 * MINUTE).unwrap();
    let regex = Matcher::new(MatchOp::Regex, "a", ".*[1-5].*").unwrap();
    for (matchers, looks_min) in [
        (vec![regex], 50),
        (vec![], 5),
        (vec![Matcher::not_equal("a", "00007")], 5),
    ] {
        let run = |looks| {
            let seen = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&seen);
            let stop = Stop::when(move || count.fetch_add(1, Ordering::Relaxed) >= looks);
            let found = head.select_until(&matchers, TimeRange::ALL, &stop);
            (found.map(|all| all.len()), seen.load(Ordering::Relaxed))
        };
        let (found, all) = run(usize::MAX);
        assert!(
            found.unwrap() > 1_000 && all > looks_min,
            "{all} {matchers:?}"
        );
        for looks in [0, all / 2, all - 1] {
            assert_eq!(run(looks), (Err(Stopped), looks + 1));
        }
    }
}
