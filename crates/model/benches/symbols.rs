//! Interning a million strings, finding and resolving them; next to a map of owned strings.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::symbols::Symbols;

fn bench(c: &mut Criterion) {
    let strings: Vec<String> = (0..1_000_000)
        .map(|i| format!("checkout-{:x}-{}", i * 7919 % 1_048_576, i % 10))
        .collect();
    let mut group = c.benchmark_group("1M strings");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(strings.len() as u64));
    group.bench_function("intern new", |b| {
        b.iter(|| {
            let mut symbols = Symbols::new();
            for s in &strings {
                black_box(symbols.intern(s));
            }
            symbols
        });
    });
    group.bench_function("intern new, map of owned strings", |b| {
        b.iter(|| {
            let mut map: HashMap<String, u32> = HashMap::new();
            for s in &strings {
                if !map.contains_key(s.as_str()) {
                    map.insert(s.clone(), map.len() as u32);
                }
            }
            map
        });
    });
    let mut symbols = Symbols::new();
    let ids: Vec<_> = strings.iter().map(|s| symbols.intern(s)).collect();
    group.bench_function("intern known", |b| {
        b.iter(|| {
            for s in &strings {
                black_box(symbols.intern(s));
            }
        });
    });
    group.bench_function("resolve", |b| {
        b.iter(|| {
            ids.iter()
                .map(|id| symbols.resolve(*id).len())
                .sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
