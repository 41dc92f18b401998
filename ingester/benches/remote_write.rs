//! Requests of remote write, from bytes to a batch and into a head: 2,000 samples, one a series, with 10
//! labels.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ingester::receive::{DecodeOptions, Decoded, Known, message, v1, v2};
use prost::Message as _;
use proto::prometheus::{Label, Sample, TimeSeries, WriteRequest};
use proto::write_v2;
use storeapi::snappy;
use tsdb::batch::SeriesRef;
use tsdb::head::{Head, HeadOptions, SyncMode};

const SERIES: usize = 2000;

/// Labels as those of a Kubernetes target: about 190 bytes a series.
fn labels(i: usize) -> Vec<(String, String)> {
    [
        ("__name__", "http_request_duration_seconds_count".to_owned()),
        ("cluster", "eu-west-1-prod".to_owned()),
        ("code", (200 + i % 5).to_string()),
        ("container", "api".to_owned()),
        ("handler", format!("/api/v1/{}", i % 40)),
        ("instance", format!("10.0.{}.7:8080", i % 256)),
        ("job", "kubernetes-pods".to_owned()),
        ("method", "GET".to_owned()),
        ("namespace", "production".to_owned()),
        ("pod", format!("api-{:x}", i * 7919)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn sample(i: usize) -> (i64, f64) {
    (1_700_000_000_000 + i as i64, i as f64 * 1234.5)
}

/// A request of the series from `first` on, at scrape number `scrape`.
fn request_v1(first: usize, scrape: usize) -> WriteRequest {
    let series = (first..first + SERIES).map(|i| {
        let label = |(name, value): (String, String)| Label {
            name: name.into(),
            value: value.into(),
        };
        let (timestamp, value) = sample(i);
        let timestamp = timestamp + scrape as i64 * 15_000;
        let value = value + (scrape * (i % 50)) as f64;
        TimeSeries {
            labels: labels(i).into_iter().map(label).collect(),
            samples: vec![Sample { value, timestamp }],
            ..TimeSeries::default()
        }
    });
    WriteRequest {
        timeseries: series.collect(),
        ..WriteRequest::default()
    }
}

fn request_v2() -> write_v2::Request {
    let mut symbols = vec![String::new()];
    let mut timeseries = Vec::with_capacity(SERIES);
    for i in 0..SERIES {
        let mut refs = Vec::new();
        for text in labels(i)
            .into_iter()
            .flat_map(|(name, value)| [name, value])
        {
            let known = symbols.iter().position(|symbol| *symbol == text);
            let place = known.unwrap_or_else(|| {
                symbols.push(text);
                symbols.len() - 1
            });
            refs.push(place as u32);
        }
        let (timestamp, value) = sample(i);
        timeseries.push(write_v2::TimeSeries {
            labels_refs: refs,
            samples: vec![write_v2::Sample {
                value,
                timestamp,
                start_timestamp: 0,
            }],
            ..Default::default()
        });
    }
    write_v2::Request {
        symbols: symbols.into_iter().map(Into::into).collect(),
        timeseries,
    }
}

fn decode(c: &mut Criterion) {
    let options = DecodeOptions::default();
    let v1_bytes = request_v1(0, 0).encode_to_vec();
    let v1_block = snappy::compress(&v1_bytes).expect("it is small");
    let v2_bytes = request_v2().encode_to_vec();
    let mut decoded = Decoded::new();
    let mut bytes = Vec::new();

    let mut group = c.benchmark_group("remote_write");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("v1", |b| {
        b.iter(|| v1::decode(black_box(&v1_bytes), &options, &mut decoded));
    });
    let mut known = Known::default();
    let series: Vec<_> = (1..=SERIES as u64).map(|i| Some(SeriesRef(i))).collect();
    v1::decode_known(&v1_bytes, &options, &known, &mut decoded).unwrap();
    decoded.teach(&v1_bytes, &series, &mut known);
    group.bench_function("v1, known series", |b| {
        b.iter(|| v1::decode_known(black_box(&v1_bytes), &options, &known, &mut decoded));
    });
    group.bench_function("v1, snappy", |b| {
        b.iter(|| {
            snappy::decompress(black_box(&v1_block), 1 << 30, &mut bytes).expect("it is sound");
            v1::decode(&bytes, &options, &mut decoded)
        });
    });
    group.bench_function("v1, by prost", |b| {
        b.iter(|| {
            let request = WriteRequest::decode(black_box(v1_bytes.as_slice()));
            let request = request.expect("it is sound");
            message::fill(&request.timeseries, &options, &mut decoded)
        });
    });
    group.bench_function("v2", |b| {
        b.iter(|| v2::decode(black_box(&v2_bytes), &options, &mut decoded));
    });
    group.finish();
}

/// The whole way: from a compressed request to samples in the head, and in its log without waiting for
/// the disk.
fn append(c: &mut Criterion) {
    const REQUESTS: usize = 10;
    let options = DecodeOptions::default();
    let dir = tempfile::tempdir().unwrap();
    let head_options = HeadOptions {
        sync: SyncMode::None,
        ..HeadOptions::default()
    };
    let (head, _) = Head::open(dir.path(), head_options, &mut |_| ()).unwrap();
    let (mut bytes, mut decoded, mut known) = (Vec::new(), Decoded::new(), Known::default());
    let mut scrape = 0;
    let mut one_scrape = || {
        let mut taken = Duration::ZERO;
        for request in 0..REQUESTS {
            let block = request_v1(request * SERIES, scrape).encode_to_vec();
            let block = snappy::compress(&block).unwrap();
            let started = Instant::now();
            snappy::decompress(&block, 1 << 30, &mut bytes).unwrap();
            v1::decode_known(&bytes, &options, &known, &mut decoded).unwrap();
            for (_, batch) in decoded.batches() {
                let appended = head.append(batch, i64::MAX).unwrap();
                assert_eq!(appended.floats, SERIES);
                decoded.teach(&bytes, &appended.series, &mut known);
            }
            taken += started.elapsed();
        }
        scrape += 1;
        taken
    };
    let mut group = c.benchmark_group("remote_write to the head");
    group.throughput(Throughput::Elements((REQUESTS * SERIES) as u64));
    group.bench_function("20,000 known series", |b| {
        b.iter_custom(|times| (0..times).map(|_| one_scrape()).sum());
    });
    group.finish();
}

criterion_group!(benches, decode, append);
criterion_main!(benches);
