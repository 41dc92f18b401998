//! Merging three adjacent blocks, as a compaction of two-hour blocks to one of six hours does.
//!
//! Chunks that need no change are copied, so samples per second depend on the disk as well.

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, TimeRange};
use tsdb::block::{Block, BlockWriter, Meta};
use tsdb::chunk::SeriesEncoder;
use tsdb::merge::{Overlap, compact};
use ulid::Ulid;

const SERIES: usize = 10_000;
const BLOCKS: i64 = 3;
/// Two hours of a sample every 15 s.
const SAMPLES: i64 = 480;
const INTERVAL_MS: i64 = 15_000;

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("http_requests_{:02}_total", i % 50)),
        ("cluster", "eu-west-1".to_owned()),
        ("instance", format!("10.0.{}.{}:8080", i / 256, i % 256)),
        ("job", format!("job-{}", i % 7)),
        ("pod", format!("pod-{i:06x}")),
    ])
}

fn write(dir: &Path, number: i64) -> Block {
    let mut series: Vec<_> = (0..SERIES).map(labels).collect();
    series.sort();
    let mut symbols: Vec<_> = series
        .iter()
        .flat_map(|l| l.iter().flat_map(|(n, v)| [n.to_owned(), v.to_owned()]))
        .collect();
    symbols.sort();
    symbols.dedup();
    let ulid = Ulid::from_parts(1, number as u128 + 1);
    let mut writer = BlockWriter::create(dir, ulid).expect("temporary directory");
    for symbol in &symbols {
        writer.add_symbol(symbol).expect("symbols ascend");
    }
    let start = number * SAMPLES * INTERVAL_MS;
    for (i, labels) in series.iter().enumerate() {
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        for n in 0..SAMPLES {
            let value = (n * (i as i64 % 17) + n % 3) as f64;
            chunks.extend(
                encoder
                    .push_float(start + n * INTERVAL_MS, value)
                    .expect("times ascend"),
            );
        }
        chunks.extend(encoder.finish());
        writer.add_series(labels, &chunks).expect("series ascend");
    }
    let range = TimeRange::new(start, start + SAMPLES * INTERVAL_MS);
    writer
        .finish(Meta::new(ulid, range))
        .expect("temporary directory");
    Block::open(&dir.join(ulid.to_string())).expect("it was just written")
}

fn adjacent(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let blocks: Vec<_> = (0..BLOCKS).map(|n| write(dir.path(), n)).collect();
    let all: Vec<_> = blocks.iter().collect();
    let mut group = c.benchmark_group("merge");
    group.throughput(Throughput::Elements(
        SERIES as u64 * (BLOCKS * SAMPLES) as u64,
    ));
    group.sample_size(10);
    group.bench_function("3 adjacent blocks", |b| {
        b.iter_batched(
            || tempfile::tempdir().expect("temporary directory"),
            |to| {
                let merged = compact(&all, to.path(), Ulid::from_parts(2, 1), Overlap::Union);
                black_box(merged.expect("sound blocks"));
                to
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, adjacent);
criterion_main!(benches);
