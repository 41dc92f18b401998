//! Two replicas of a day at 15 s, joined: by penalty, as counters, by chain.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promql::columns::Samples;
use querier::dedup::Dedup;

const SAMPLES: usize = 5760;

/// A sample every 15 s from `first_ms` on, but for one hour's gap at `gap`.
fn replica(first_ms: i64, gap: usize) -> Samples {
    let mut samples = Samples::default();
    for i in (0..SAMPLES).filter(|i| !(gap..gap + 240).contains(i)) {
        samples.push_float(first_ms + i as i64 * 15_000, i as f64, 0);
    }
    samples
}

fn benchmark(c: &mut Criterion) {
    let replicas = [replica(0, 1000), replica(3000, 4000)];
    let three = [replica(0, 1000), replica(3000, 4000), replica(7000, 3000)];
    let mut group = c.benchmark_group("dedup");
    for (name, dedup, is_counter, replicas) in [
        ("penalty", Dedup::Penalty, false, &replicas[..]),
        ("penalty, counter", Dedup::Penalty, true, &replicas[..]),
        ("penalty, three", Dedup::Penalty, false, &three[..]),
        ("chain", Dedup::Chain, false, &replicas[..]),
    ] {
        let count: usize = replicas.iter().map(Samples::len).sum();
        group.throughput(Throughput::Elements(count as u64));
        let mut out = Samples::default();
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                dedup.merge(black_box(replicas), is_counter, &mut out);
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
