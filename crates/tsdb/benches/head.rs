//! The writable head: samples of known series, new series, selecting, memory per series.
//!
//! Series have ten labels, 190 bytes of text, as a pod's have; a batch is what a remote-write
//! request holds. Nothing waits for the disk.

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
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, Matcher, TimeRange};
use tsdb::batch::{Batch, SeriesRef};
use tsdb::head::{Head, HeadOptions, SyncMode};

use crate::pods::{SERIES_PER_POD, value};

const BATCH: u64 = 2000;
const STEP: i64 = 15_000;
const START: i64 = 1_700_006_400_000;

fn labels(series: u64) -> Labels {
    pods::labels(series / SERIES_PER_POD, series % SERIES_PER_POD)
}

fn open(dir: &tempfile::TempDir) -> Head {
    let options = HeadOptions {
        sync: SyncMode::None,
        ..HeadOptions::default()
    };
    Head::open(dir.path(), options, &mut |_| ()).unwrap().0
}

/// Fills a batch with one scrape of [`BATCH`] series from `first` on.
fn fill(batch: &mut Batch, labels: &[Labels], first: u64, scrape: i64) {
    batch.clear();
    for (i, labels) in (first..).zip(&labels[first as usize..][..BATCH as usize]) {
        batch.series(labels);
        batch.float(START + scrape * STEP, value(i, scrape));
    }
}

/// Appends a scrape of all series; only the time in the head counts.
fn scrape(head: &Head, labels: &[Labels], batch: &mut Batch, scrape: i64) -> Duration {
    let mut taken = Duration::ZERO;
    for first in (0..labels.len() as u64).step_by(BATCH as usize) {
        fill(batch, labels, first, scrape);
        let started = Instant::now();
        let appended = head.append(batch, START + scrape * STEP).unwrap();
        taken += started.elapsed();
        assert!(appended.rejected.is_empty());
    }
    taken
}

fn bench_append(c: &mut Criterion) {
    let labels: Vec<_> = (0..20_000).map(labels).collect();
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(labels.len() as u64));
    let dir = tempfile::tempdir().unwrap();
    let head = open(&dir);
    let (mut batch, mut n) = (Batch::new(), 0);
    group.bench_function("by labels, 20,000 series", |b| {
        b.iter_custom(|times| {
            let mut taken = Duration::ZERO;
            for _ in 0..times {
                taken += scrape(&head, &labels, &mut batch, n);
                n += 1;
            }
            taken
        });
    });
    let known: Vec<_> = (1..=labels.len() as u64).map(SeriesRef).collect();
    group.bench_function("by reference, 20,000 series", |b| {
        b.iter_custom(|times| {
            let mut taken = Duration::ZERO;
            for _ in 0..times {
                for part in known.chunks(BATCH as usize) {
                    batch.clear();
                    for series in part {
                        batch.known_series(*series, &Labels::empty());
                        batch.float(START + n * STEP, value(series.0, n));
                    }
                    let started = Instant::now();
                    head.append(&batch, START + n * STEP).unwrap();
                    taken += started.elapsed();
                }
                n += 1;
            }
            taken
        });
    });
    group.finish();

    let mut group = c.benchmark_group("select");
    let range = TimeRange::closed(START + (n - 240) * STEP, START + n * STEP);
    let matchers = [
        Matcher::equal("__name__", "http_server_request_duration_seconds_3"),
        Matcher::equal("namespace", "team-3"),
    ];
    group.bench_function("200 series, an hour, with chunks", |b| {
        b.iter(|| {
            let found = head.select(black_box(&matchers), range);
            let chunks = found.iter().map(|s| s.chunks(range).unwrap().len());
            chunks.sum::<usize>()
        });
    });
    group.finish();
}

/// Anonymous memory of this process, in bytes.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("RssAnon:")).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

fn bench_create(c: &mut Criterion) {
    let labels: Vec<_> = (0..200_000).map(labels).collect();
    let mut batch = Batch::new();
    fill(&mut batch, &labels, 0, 0);
    {
        let dir = tempfile::tempdir().unwrap();
        let before = anonymous();
        let head = open(&dir);
        let mut taken = scrape(&head, &labels, &mut batch, 0);
        eprintln!("200,000 new series in {:.2} s", taken.as_secs_f64());
        for n in 1..36 {
            taken += scrape(&head, &labels, &mut batch, n);
        }
        let bytes = (anonymous() - before) as f64 / labels.len() as f64;
        eprintln!(
            "{bytes:.0} bytes of anonymous memory per series after 36 scrapes, {:.2} M samples/s",
            36.0 * 0.2 / taken.as_secs_f64()
        );
    }
    let mut group = c.benchmark_group("create");
    group.sample_size(10);
    group.throughput(Throughput::Elements(labels.len() as u64));
    group.bench_function("200,000 series", |b| {
        b.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    let dir = tempfile::tempdir().unwrap();
                    scrape(&open(&dir), &labels, &mut batch, 0)
                })
                .sum()
        });
    });
    group.finish();
}

criterion_group!(benches, bench_create, bench_append);
criterion_main!(benches);
