//! Float chunks: nanoseconds per sample to encode and to decode, by class of series and on a mix.
//! Histogram chunks of twenty buckets likewise.
//!
//! `cargo bench -p tsdb --bench chunk`. The table at the start shows the fastest of many runs, which
//! noise on a shared machine disturbs least; criterion then watches the mix over time. With
//! `PROMONTORY_COLS=FILE` the columns of that file are measured too.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]

mod workload;

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::Histogram;
use tsdb::chunk::{Chunk, SAMPLES_PER_CHUNK, SeriesEncoder, TimedChunk, histogram, xor};

use workload::{Class, Columns};

/// Runs, of which the fastest counts.
const RUNS: usize = 60;

/// A workload's series, raw and encoded.
struct Workload {
    name: String,
    columns: Vec<Columns>,
    chunks: Vec<Chunk>,
}

impl Workload {
    fn new(name: impl Into<String>, columns: Vec<Columns>) -> Self {
        let mut chunks = Vec::new();
        encode(&columns, |chunk| chunks.push(chunk));
        Self {
            name: name.into(),
            columns,
            chunks,
        }
    }

    fn samples(&self) -> usize {
        self.columns.iter().map(|series| series.times.len()).sum()
    }

    fn report(&self) {
        let samples = self.samples() as f64;
        let bytes: usize = self.chunks.iter().map(|chunk| chunk.data.len()).sum();
        let encode_ns = fastest(|| encode(&self.columns, |chunk| drop(black_box(chunk))));
        let decode_ns = fastest(|| decode(&self.chunks));
        row(
            &self.name,
            bytes as f64 / samples,
            encode_ns / samples,
            decode_ns / samples,
        );
    }
}

fn encode(columns: &[Columns], mut done: impl FnMut(Chunk)) {
    let chunk_len = usize::from(SAMPLES_PER_CHUNK);
    for series in columns {
        let times = series.times.chunks(chunk_len);
        for (times, values) in times.zip(series.values.chunks(chunk_len)) {
            let mut encoder = xor::Encoder::new();
            for (&t, &v) in times.iter().zip(values) {
                encoder.append(t, v);
            }
            done(encoder.chunk());
        }
    }
}

fn decode(chunks: &[Chunk]) {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for chunk in chunks {
        times.clear();
        values.clear();
        xor::decode_columns(&chunk.data, &mut times, &mut values).expect("it was just encoded");
        black_box((&times, &values));
    }
}

/// Encodes and decodes histograms and prints how long it took.
fn report_histograms() {
    let histograms = workload::histograms();
    let encode = |done: &mut dyn FnMut(TimedChunk)| {
        let mut encoder = SeriesEncoder::new();
        for (t, histogram) in &histograms {
            let finished = encoder.push_histogram(*t, histogram);
            finished.expect("times ascend").map(&mut *done);
        }
        encoder.finish().map(&mut *done);
    };
    let mut chunks = Vec::new();
    encode(&mut |timed| chunks.push(timed.chunk));
    let decode = || {
        let mut histogram = Histogram::default();
        for chunk in &chunks {
            let mut samples = histogram::Samples::new(&chunk.data).expect("it was just encoded");
            while let Some(time) = samples.next_into(&mut histogram) {
                black_box((time.expect("it was just encoded"), &histogram));
            }
        }
    };
    let samples = histograms.len() as f64;
    let encode_ns = fastest(|| encode(&mut |timed| drop(black_box(timed))));
    let decode_ns = fastest(decode);
    let bytes: usize = chunks.iter().map(|chunk| chunk.data.len()).sum();
    row(
        "histogram",
        bytes as f64 / samples,
        encode_ns / samples,
        decode_ns / samples,
    );
}

fn row(name: &str, bytes: f64, encode_ns: f64, decode_ns: f64) {
    println!(
        "{name:<16}{bytes:>8.3} B/sample  encode {encode_ns:>7.2} ns/sample  decode {decode_ns:>7.2} ns/sample"
    );
}

/// Nanoseconds of the fastest run.
fn fastest(mut run: impl FnMut()) -> f64 {
    (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_nanos() as f64
        })
        .fold(f64::INFINITY, f64::min)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark takes no flags of its own"
)]
fn chunks(criterion: &mut Criterion) {
    let mut mix = Vec::new();
    for (class, count) in Class::ALL {
        Workload::new(format!("{class:?}"), workload::series(class, 100)).report();
        mix.extend(workload::series(class, count));
    }
    let mix = Workload::new("mix", mix);
    mix.report();
    report_histograms();
    if let Ok(path) = std::env::var("PROMONTORY_COLS") {
        let bytes = std::fs::read(&path).expect("PROMONTORY_COLS names a readable file");
        Workload::new("file", workload::read_file(&bytes)).report();
    }
    let mut group = criterion.benchmark_group("xor");
    group.throughput(Throughput::Elements(mix.samples() as u64));
    group.sample_size(20);
    group.bench_function("encode", |bencher| {
        bencher.iter(|| encode(&mix.columns, |chunk| drop(black_box(chunk))));
    });
    group.bench_function("decode", |bencher| bencher.iter(|| decode(&mix.chunks)));
    group.finish();
}

criterion_group!(benches, chunks);
criterion_main!(benches);
