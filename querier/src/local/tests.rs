//! Series that are spread over blocks and head, in the places where the answer is not just what one
//! of them says.

use std::path::Path;

use futures::future::FutureExt as _;
use promql::columns::Samples;
use promql::source::{Hints, SelectRequest, Source as _};
use tsdb::block::{BlockWriter, Interval, Meta};
use tsdb::chunk::SeriesEncoder;
use ulid::Ulid;

use super::*;
use crate::store_source::{Scope, StoreSource, never_waits};
use model::Matcher;

/// Labels and samples of a series.
type Written<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

/// Writes a block of series, whose number tells it from others.
fn write_block(dir: &Path, number: u64, series: &[Written<'_>]) {
    let ulid = Ulid::from_parts(number, 1);
    let mut writer = BlockWriter::create(dir, ulid).unwrap();
    let mut symbols: Vec<&str> = series
        .iter()
        .flat_map(|(labels, _)| labels.iter())
        .flat_map(|(name, value)| [*name, *value])
        .collect();
    symbols.sort_unstable();
    symbols.dedup();
    for symbol in symbols {
        writer.add_symbol(symbol).unwrap();
    }
    let mut range = (i64::MAX, i64::MIN);
    for (labels, samples) in series {
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        for (t, v) in *samples {
            chunks.extend(encoder.push_float(*t, *v).unwrap());
            range = (range.0.min(*t), range.1.max(*t));
        }
        chunks.extend(encoder.finish());
        let labels = Labels::from_pairs(labels.iter().copied());
        writer.add_series(&labels, &chunks).unwrap();
    }
    let meta = Meta::new(ulid, TimeRange::closed(range.0, range.1));
    writer.finish(meta).unwrap().unwrap();
}

fn open(dir: &Path) -> LocalStore {
    LocalStore::new(DataDir::open(dir, 0).unwrap())
}

/// The store as PromQL reads it, replicas told apart by `replica_labels`.
fn source(store: &LocalStore, replica_labels: &[&str]) -> StoreSource {
    let scope = Scope {
        replica_labels: replica_labels.iter().map(|&l| l.to_owned()).collect(),
        ..Scope::default()
    };
    StoreSource::new(Arc::new(store.clone()), scope, never_waits())
}

/// All samples of the selected series.
fn read(store: &LocalStore, matcher: Matcher, range: TimeRange) -> Vec<(String, Vec<(i64, f64)>)> {
    read_all(&source(store, &[]), matcher, range)
}

fn read_all(
    source: &StoreSource,
    matcher: Matcher,
    range: TimeRange,
) -> Vec<(String, Vec<(i64, f64)>)> {
    let request = SelectRequest {
        stop: model::Stop::never(),
        matchers: vec![matcher],
        range,
        hints: Hints::default(),
    };
    let mut set = source.select(&request).unwrap();
    let mut all = Vec::new();
    while let Some(mut series) = set.next().unwrap() {
        let mut samples = Samples::default();
        series.read(range, &mut samples).unwrap();
        let points = samples.ts.into_iter().zip(samples.values).collect();
        all.push((series.labels().to_string(), points));
    }
    all
}

fn named(name: &str) -> Matcher {
    Matcher::equal("__name__", name)
}

#[test]
fn parts_of_a_series_are_put_together() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = ([("__name__", "a")], [("__name__", "b")]);
    write_block(
        dir.path(),
        1,
        &[(&a, &[(10, 1.0), (20, 2.0)]), (&b, &[(10, 7.0)])],
    );
    write_block(dir.path(), 2, &[(&a, &[(30, 3.0)])]);
    // Overlaps both, and says something else of time 20.
    write_block(dir.path(), 3, &[(&a, &[(15, 1.5), (20, 2.0), (40, 4.0)])]);
    let source = open(dir.path());
    let expected = vec![(10, 1.0), (15, 1.5), (20, 2.0), (30, 3.0), (40, 4.0)];
    assert_eq!(
        read(&source, named("a"), TimeRange::ALL),
        [("{__name__=\"a\"}".to_owned(), expected)]
    );
    let both = Matcher::new(model::MatchOp::Regex, "__name__", "a|b").unwrap();
    let names: Vec<_> = read(&source, both, TimeRange::new(0, 12))
        .into_iter()
        .map(|(labels, _)| labels)
        .collect();
    assert_eq!(names, ["{__name__=\"a\"}", "{__name__=\"b\"}"]);
}

#[test]
fn what_is_deleted_in_one_block_is_hidden_there_only() {
    let dir = tempfile::tempdir().unwrap();
    let a = [("__name__", "a")];
    write_block(dir.path(), 1, &[(&a, &[(10, 1.0), (20, 2.0)])]);
    write_block(dir.path(), 2, &[(&a, &[(20, 2.5), (30, 3.0)])]);
    let block = dir.path().join(Ulid::from_parts(1, 1).to_string());
    let mut tombstones = tsdb::block::Tombstones::default();
    let series = DataDir::open(dir.path(), 0).unwrap();
    let series = series.blocks()[0]
        .select(&[named("a")], TimeRange::ALL)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let interval = Interval { min: 15, max: 25 };
    tombstones.add(u64::from(series.reference.0), interval);
    tombstones.replace_in(&block).unwrap();
    let source = open(dir.path());
    let expected = vec![(10, 1.0), (20, 2.5), (30, 3.0)];
    assert_eq!(read(&source, named("a"), TimeRange::ALL)[0].1, expected);
}

#[test]
fn names_and_values_are_those_of_the_selected_series() {
    let dir = tempfile::tempdir().unwrap();
    let a = [("__name__", "a"), ("job", "x")];
    let b = [("__name__", "b"), ("job", "y"), ("zone", "1")];
    write_block(dir.path(), 1, &[(&a, &[(10, 1.0)])]);
    write_block(dir.path(), 2, &[(&b, &[(1000, 1.0)])]);
    let store = open(dir.path());
    let request = |matchers: Vec<Matcher>, range| LabelsRequest {
        matchers,
        range,
        ..LabelsRequest::default()
    };
    let names = |matchers, range| {
        let found = store.label_names(request(matchers, range));
        found.now_or_never().unwrap().unwrap().values
    };
    let all = TimeRange::ALL;
    assert_eq!(names(vec![], all), ["__name__", "job", "zone"]);
    assert_eq!(names(vec![], TimeRange::new(0, 50)), ["__name__", "job"]);
    assert_eq!(names(vec![named("a")], all), ["__name__", "job"]);
    let values = |matchers, range| {
        let found = store.label_values("job".to_owned(), request(matchers, range));
        found.now_or_never().unwrap().unwrap().values
    };
    assert_eq!(values(vec![], all), ["x", "y"]);
    assert_eq!(values(vec![named("b")], all), ["y"]);
    assert_eq!(values(vec![], TimeRange::new(500, 2000)), ["y"]);
    let of_job = vec![Matcher::not_equal("job", "")];
    let sets = source(&store, &[]).label_sets(of_job, all, 0).unwrap();
    assert_eq!(sets.len(), 2);
}

#[test]
fn replica_labels_are_removed_and_series_sorted_again() {
    let dir = tempfile::tempdir().unwrap();
    let x = [("__name__", "up"), ("a", "1"), ("z", "1")];
    let y = [("__name__", "up"), ("a", "2"), ("z", "0")];
    let also_x = [("__name__", "up"), ("a", "3"), ("z", "1")];
    let points = [(10_000, 1.0), (20_000, 2.0)];
    let later = [(10_100, 7.0), (20_100, 8.0)];
    write_block(
        dir.path(),
        1,
        &[(&x, &points), (&y, &points), (&also_x, &later)],
    );
    let store = open(dir.path());
    let found = read_all(&source(&store, &["a"]), named("up"), TimeRange::ALL);
    assert_eq!(
        found,
        [
            ("{__name__=\"up\", z=\"0\"}".to_owned(), points.to_vec()),
            ("{__name__=\"up\", z=\"1\"}".to_owned(), points.to_vec()),
        ]
    );
    let apart = read_all(&source(&store, &[]), named("up"), TimeRange::ALL);
    assert_eq!(apart.len(), 3);
}
