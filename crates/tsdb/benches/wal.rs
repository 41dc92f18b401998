//! Write-ahead logs: decoding records, logging, replaying a log of a quarter of a gigabyte.
//!
//! The log is of the shape of the bench set: series with ten labels in batches of one target,
//! scraped every 15 seconds, whose values are constants, counters and gauges. It is deterministic.
//!
//! `REPLAY_DIR=DIR cargo bench -p tsdb --bench wal -- replay` keeps the data directory in `DIR`, so
//! that a Prometheus can be started on a copy of it and its time to "Server is ready" be compared.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]
#![expect(
    clippy::print_stderr,
    reason = "figures that criterion does not measure"
)]

mod pods;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tsdb::head::{ReplayOptions, replay};
use tsdb::wal::record::{Changes, decode_samples, encode_changes, encode_samples, encode_series};
use tsdb::wal::{Compression, RefSample, RefSeries, Writer, WriterOptions};

use crate::pods::{SERIES_PER_POD, labels, value};

const TARGETS: u64 = 100;
const SCRAPES: i64 = 1750;
const STEP: i64 = 15_000;
/// The end of the bench set, less what is scraped.
const START: i64 = 1_763_683_200_000 - SCRAPES * STEP;

fn scrape(target: u64, scrape: i64) -> Vec<RefSample> {
    (0..SERIES_PER_POD)
        .map(|series| RefSample {
            series: 1 + target * SERIES_PER_POD + series,
            // Scrapes of targets are spread over the interval.
            t: START + scrape * STEP + target as i64 * (STEP / TARGETS as i64),
            value: value(target * 7 + series, scrape),
        })
        .collect()
}

/// Writes the log, in batches of one scrape of one target each; returns its size.
fn write(dir: &Path) -> u64 {
    let mut writer = Writer::open(&dir.join("wal"), WriterOptions::default()).unwrap();
    let mut record = Vec::new();
    for target in 0..TARGETS {
        let series: Vec<_> = (0..SERIES_PER_POD)
            .map(|series| RefSeries {
                series: 1 + target * SERIES_PER_POD + series,
                labels: labels(target, series),
            })
            .collect();
        record.clear();
        encode_series(&series, &mut record);
        writer.log(&[&record]).unwrap();
    }
    for i in 0..SCRAPES {
        for target in 0..TARGETS {
            record.clear();
            encode_samples(&scrape(target, i), &mut record);
            writer.log(&[&record]).unwrap();
        }
    }
    writer.sync().unwrap();
    let files = std::fs::read_dir(dir.join("wal")).unwrap();
    files.map(|f| f.unwrap().metadata().unwrap().len()).sum()
}

fn bench_records(c: &mut Criterion) {
    let mut record = Vec::new();
    encode_samples(&scrape(3, 100), &mut record);
    let mut group = c.benchmark_group("record");
    group.throughput(Throughput::Elements(SERIES_PER_POD));
    let mut samples = Vec::new();
    group.bench_function("decode samples", |b| {
        b.iter(|| {
            samples.clear();
            decode_samples(black_box(&record), &mut samples).unwrap();
            samples.len()
        });
    });
    let samples = scrape(3, 100);
    group.bench_function("encode samples", |b| {
        b.iter(|| {
            record.clear();
            encode_samples(black_box(&samples), &mut record);
            record.len()
        });
    });
    let before: Vec<_> = scrape(3, 99).iter().map(|row| Some(row.value)).collect();
    let mut record = Vec::new();
    group.bench_function("encode changes", |b| {
        b.iter(|| {
            record.clear();
            encode_changes(black_box(&samples), &before, &mut record);
            record.len()
        });
    });
    let mut first = Vec::new();
    encode_changes(&scrape(3, 99), &[], &mut first);
    let (mut changes, mut out) = (Changes::default(), Vec::new());
    changes.decode(&first, &mut out).unwrap();
    group.bench_function("decode changes", |b| {
        b.iter(|| {
            out.clear();
            changes.decode(black_box(&record), &mut out).unwrap();
            out.len()
        });
    });
    group.finish();
}

fn bench_log(c: &mut Criterion) {
    let mut record = Vec::new();
    encode_samples(&scrape(3, 100), &mut record);
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Bytes(record.len() as u64));
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let options = WriterOptions {
            compression,
            ..WriterOptions::default()
        };
        let mut writer = Writer::open(dir.path(), options).unwrap();
        group.bench_function(compression.to_string(), |b| {
            b.iter(|| writer.log(&[black_box(&record)]).unwrap());
        });
    }
    group.finish();
}

#[expect(
    clippy::disallowed_methods,
    reason = "benchmarks have no main to configure them"
)]
fn bench_replay(c: &mut Criterion) {
    let tmp = tempfile::tempdir().unwrap();
    let kept = std::env::var("REPLAY_DIR").ok().map(PathBuf::from);
    let dir = kept.as_deref().unwrap_or(tmp.path());
    let size = write(dir);
    let started = Instant::now();
    let (head, report) = replay(dir, &ReplayOptions::default()).unwrap();
    eprintln!(
        "first replay: {} MB, {} series, {} samples in {:.2} s",
        size / 1_000_000,
        head.series_count(),
        report.samples,
        started.elapsed().as_secs_f64()
    );
    drop(head);
    let mut group = c.benchmark_group("replay");
    group.sample_size(10);
    group.throughput(Throughput::Elements(report.samples));
    for workers in [1, 2] {
        let options = ReplayOptions {
            workers,
            ..ReplayOptions::default()
        };
        group.bench_function(format!("{workers} workers"), |b| {
            b.iter(|| replay(dir, &options).unwrap().0.series_count());
        });
    }
    group.finish();
}

criterion_group!(benches, bench_records, bench_log, bench_replay);
criterion_main!(benches);
