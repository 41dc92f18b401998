use std::fs;

use model::{Labels, Value};

use super::super::blocks::FROM_OUT_OF_ORDER;
use super::*;
use crate::block::meta::BlockDesc;
use crate::block::{BlockWriter, Meta};
use crate::chunk::SeriesEncoder;
use crate::wal::record::{RefSample, RefSeries, encode_samples, encode_series};
use crate::wal::{Writer, WriterOptions};

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)])
}

/// A block of one series that has its value at all `times`; `edit` completes what is known of it.
fn block(dir: &Path, ulid: u128, name: &str, times: &[i64], edit: impl FnOnce(&mut Meta)) {
    let mut encoder = SeriesEncoder::new();
    for &t in times {
        encoder.push_float(t, ulid as f64).unwrap();
    }
    let chunk = encoder.finish().unwrap();
    let mut writer = BlockWriter::create(dir, Ulid(ulid)).unwrap();
    for symbol in ["__name__", name] {
        writer.add_symbol(symbol).unwrap();
    }
    writer.add_series(&labels(name), &[chunk]).unwrap();
    let range = TimeRange::closed(times[0], times[times.len() - 1]);
    let mut meta = Meta::new(Ulid(ulid), range);
    edit(&mut meta);
    writer.finish(meta).unwrap();
}

fn wal(dir: &Path, name: &str, times: &[i64]) {
    let mut writer = Writer::open(&dir.join("wal"), WriterOptions::default()).unwrap();
    let (mut series, mut samples) = (Vec::new(), Vec::new());
    encode_series(
        &[RefSeries {
            series: 1,
            labels: labels(name),
        }],
        &mut series,
    );
    let sample = |&t| RefSample {
        series: 1,
        t,
        value: 0.0,
    };
    encode_samples(&times.iter().map(sample).collect::<Vec<_>>(), &mut samples);
    writer.log(&[series, samples]).unwrap();
}

/// Name, time and value of all samples.
fn samples(dir: &DataDir, range: TimeRange) -> Vec<(String, i64, f64)> {
    let mut found = Vec::new();
    for series in dir.select(&[], range).unwrap() {
        let series = series.unwrap();
        for sample in series.samples() {
            let sample = sample.unwrap();
            let Value::Float(v) = sample.value else {
                panic!("{sample:?}");
            };
            found.push((series.labels().metric_name().to_owned(), sample.t, v));
        }
    }
    found
}

fn rows(rows: &[(&str, i64, f64)]) -> Vec<(String, i64, f64)> {
    rows.iter().map(|r| (r.0.to_owned(), r.1, r.2)).collect()
}

#[test]
fn blocks_and_head_are_one_series_in_order_of_labels() {
    let dir = tempfile::tempdir().unwrap();
    block(dir.path(), 1, "b", &[0, 10], |_| {});
    block(dir.path(), 2, "a", &[11, 20], |_| {});
    block(dir.path(), 3, "b", &[12, 15], |meta| {
        meta.compaction.hints = vec![FROM_OUT_OF_ORDER.to_owned()];
    });
    // The blocks hold everything before 21.
    wal(dir.path(), "b", &[10, 20, 21, 30]);
    let opened = DataDir::open(dir.path(), 1).unwrap();
    let all = rows(&[
        ("a", 11, 2.0),
        ("a", 20, 2.0),
        ("b", 0, 1.0),
        ("b", 10, 1.0),
        ("b", 12, 3.0),
        ("b", 15, 3.0),
        ("b", 21, 0.0),
        ("b", 30, 0.0),
    ]);
    assert_eq!(samples(&opened, TimeRange::ALL), all);
    let some: Vec<_> = all
        .into_iter()
        .filter(|r| (10..30).contains(&r.1))
        .collect();
    assert_eq!(samples(&opened, TimeRange::new(10, 30)), some);
    assert!(samples(&opened, TimeRange::new(31, 40)).is_empty());
}

#[test]
fn a_block_that_cannot_be_opened_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    block(dir.path(), 1, "a", &[1], |_| {});
    block(dir.path(), 2, "a", &[2], |_| {});
    fs::write(dir.path().join(Ulid(2).to_string()).join("index"), b"?").unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    let opened = DataDir::open(dir.path(), 1).unwrap();
    assert_eq!(samples(&opened, TimeRange::ALL), rows(&[("a", 1, 1.0)]));
    let unreadable = &opened.report().unreadable_blocks;
    assert!(
        unreadable[0].0.ends_with(Ulid(2).to_string()),
        "{unreadable:?}"
    );
}

#[test]
fn blocks_that_another_was_made_from_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    block(dir.path(), 1, "a", &[1, 2], |_| {});
    block(dir.path(), 2, "a", &[1], |meta| {
        meta.compaction.parents = vec![BlockDesc {
            ulid: Ulid(1),
            min_time: 1,
            max_time: 3,
            unknown: serde_json::Map::new(),
        }];
    });
    let opened = DataDir::open(dir.path(), 1).unwrap();
    assert_eq!(samples(&opened, TimeRange::ALL), rows(&[("a", 1, 2.0)]));
    assert_eq!(opened.report().superseded_blocks, [Ulid(1)]);
}
