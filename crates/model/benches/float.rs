//! Floats as text: each of the forms on values like those of real series.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::float::{push_g, push_json};

fn benches(c: &mut Criterion) {
    let sets: [(&str, Vec<f64>); 3] = [
        ("counters", (0..1000).map(|i| f64::from(i * 7919)).collect()),
        ("rates", (1..1000).map(|i| f64::from(i) / 299.7).collect()),
        ("bytes", (1..1000).map(|i| f64::from(i) * 1.37e12).collect()),
    ];
    let mut group = c.benchmark_group("float text");
    for (name, values) in &sets {
        group.throughput(Throughput::Elements(values.len() as u64));
        let mut out = Vec::with_capacity(1 << 16);
        for (form, push) in [
            ("g", push_g::<Vec<u8>> as fn(&mut Vec<u8>, f64)),
            ("json", push_json),
        ] {
            group.bench_function(format!("{form} of {name}"), |b| {
                b.iter(|| {
                    out.clear();
                    for &v in black_box(values) {
                        push(&mut out, v);
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
