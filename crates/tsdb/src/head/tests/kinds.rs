//! Samples other than floats, and what comes beside samples.

use model::sample::STALE_NAN;
use model::{
    Exemplar, FloatHistogram, Histogram, Labels, Metadata, MetricType, Span, TimeRange, Value,
};

use super::{MINUTE, open, with_window};
use crate::batch::{Appended, Batch, Reject, SeriesRef, TimedHistogram};
use crate::head::Head;
use crate::merge::merged_samples;

fn histogram(count: u64) -> Histogram {
    Histogram {
        count,
        sum: 1.5,
        positive_spans: vec![Span {
            offset: 0,
            length: 1,
        }],
        positive_buckets: vec![i64::try_from(count).unwrap()],
        ..Histogram::default()
    }
}

fn append(head: &Head, fill: impl FnOnce(&mut Batch)) -> Appended {
    let mut batch = Batch::new();
    batch.series([("__name__", "h")]);
    fill(&mut batch);
    head.append(&batch, 1_000 * MINUTE).unwrap()
}

fn samples(head: &Head) -> Vec<(i64, Value)> {
    let found = head.select(&[], TimeRange::ALL);
    let samples = merged_samples(found[0].chunks(TimeRange::ALL).unwrap());
    samples
        .map(Result::unwrap)
        .map(|s| (s.t, s.value))
        .collect()
}

#[test]
fn kinds_of_one_series_keep_their_order_through_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path(), with_window(30));
    let appended = append(&head, |batch| {
        batch.float(1, 1.0);
        batch.float(3, 3.0);
        batch.float(5, STALE_NAN);
        batch.histogram(TimedHistogram::Integer(2, histogram(2)));
        batch.histogram(TimedHistogram::Integer(4, histogram(4)));
    });
    assert_eq!(
        (appended.floats, appended.histograms),
        (3, 2),
        "{appended:?}"
    );
    let float = FloatHistogram {
        count: 1.5,
        zero_count: 1.5,
        ..FloatHistogram::default()
    };
    let appended = append(&head, |batch| {
        batch.histogram(TimedHistogram::Float(6, float.clone()));
        batch.histogram(TimedHistogram::Float(6, float.clone()));
        batch.histogram(TimedHistogram::Integer(6, histogram(1)));
        let mut bad = histogram(9);
        bad.positive_buckets.pop();
        batch.histogram(TimedHistogram::Integer(7, bad));
        batch.histogram(TimedHistogram::Integer(0, histogram(7)));
    });
    let reasons: Vec<_> = appended.rejected.iter().map(|r| r.reason).collect();
    assert_eq!(
        reasons,
        [Reject::DuplicateTimestamp, Reject::InvalidHistogram]
    );
    assert_eq!(appended.histograms, 3);
    let check = |head: &Head| {
        let samples = samples(head);
        let times: Vec<_> = samples.iter().map(|s| s.0).collect();
        assert_eq!(times, [0, 1, 2, 3, 4, 5, 6]);
        let is_stale = matches!(&samples[5].1, Value::Histogram(h) if h.sum.is_nan());
        assert!(is_stale, "{samples:?}");
        assert!(matches!(&samples[0].1, Value::Histogram(h) if h.count == 7));
        assert!(matches!(&samples[6].1, Value::FloatHistogram(h) if h.count == 1.5));
    };
    check(&head);
    drop(head);
    check(&open(dir.path(), with_window(30)));
}

#[test]
fn exemplars_and_metadata_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path(), with_window(0));
    let metadata = |help: &str| Metadata {
        kind: MetricType::Counter,
        unit: "seconds".to_owned(),
        help: help.to_owned(),
    };
    let exemplar = |t| Exemplar {
        labels: Labels::from_pairs([("trace_id", "x")]),
        t,
        value: 1.0,
    };
    let appended = append(&head, |batch| {
        batch.float(1, 1.0);
        batch.exemplar(exemplar(1));
        batch.exemplar(exemplar(2));
        batch.exemplar(exemplar(1));
        batch.metadata(metadata("old"));
    });
    assert_eq!(appended.exemplars, 2);
    assert_eq!(appended.rejected[0].reason, Reject::ExemplarOutOfOrder);
    append(&head, |batch| batch.metadata(metadata("new")));
    let check = |head: &Head| {
        let found = head.exemplars(&[Vec::new()], TimeRange::new(0, 2));
        assert_eq!(found[0].exemplars, [exemplar(1)]);
        let found = head.metadata();
        assert_eq!(found.len(), 1);
        assert_eq!((&*found[0].0, &*found[0].1), ("h", &metadata("new")));
    };
    check(&head);
    drop(head);
    check(&open(dir.path(), with_window(0)));
}

#[test]
fn series_are_limited_and_known_by_number() {
    let dir = tempfile::tempdir().unwrap();
    let options = crate::head::HeadOptions {
        series_max: 2,
        ..with_window(0)
    };
    let head = open(dir.path(), options);
    let mut batch = Batch::new();
    for name in ["a", "b", "c"] {
        batch.series([("__name__", name)]);
        batch.float(1, 1.0);
    }
    let appended = head.append(&batch, 0).unwrap();
    assert_eq!(appended.rejected[0].reason, Reject::SeriesLimit);
    assert_eq!(appended.series[2], None);
    assert_eq!(head.series_count(), 2);
    batch.clear();
    batch.known_series(appended.series[1].unwrap(), &Labels::empty());
    batch.float(2, 2.0);
    batch.known_series(SeriesRef(99), &Labels::empty());
    batch.float(2, 2.0);
    let appended = head.append(&batch, 0).unwrap();
    assert_eq!(appended.floats, 1);
    assert_eq!(appended.rejected[0].reason, Reject::UnknownSeries);

    // An exemplar makes no series; nothing else is wrong with a write for want of it.
    batch.clear();
    batch.series([("__name__", "new")]);
    batch.exemplar(Exemplar {
        labels: Labels::empty(),
        t: 2,
        value: 1.0,
    });
    let appended = head.append(&batch, 0).unwrap();
    let reasons: Vec<_> = appended.rejected.iter().map(|r| r.reason).collect();
    assert_eq!(reasons, [Reject::ExemplarOfUnknownSeries]);
    assert!(reasons[0].is_of_exemplar());
}
