//! Requests of remote write, from bytes to a batch: 2,000 samples, one a series, with 10 labels.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ingester::receive::{DecodeOptions, Decoded, message, v1, v2};
use prost::Message as _;
use proto::prometheus::{Label, Sample, TimeSeries, WriteRequest};
use proto::write_v2;
use storeapi::snappy;

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

fn request_v1() -> WriteRequest {
    let series = (0..SERIES).map(|i| {
        let label = |(name, value): (String, String)| Label {
            name: name.into(),
            value: value.into(),
        };
        let (timestamp, value) = sample(i);
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
    let v1_bytes = request_v1().encode_to_vec();
    let v1_block = snappy::compress(&v1_bytes).expect("it is small");
    let v2_bytes = request_v2().encode_to_vec();
    let mut decoded = Decoded::new();
    let mut bytes = Vec::new();

    let mut group = c.benchmark_group("remote_write");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("v1", |b| {
        b.iter(|| v1::decode(black_box(&v1_bytes), &options, &mut decoded));
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

criterion_group!(benches, decode);
criterion_main!(benches);
