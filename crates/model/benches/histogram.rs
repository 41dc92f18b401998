//! Operations that PromQL does once for each histogram sample: 20 buckets on each side.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use model::{FloatHistogram, Span};

/// A histogram with 20 positive and 20 negative buckets, the positive ones from `first` on.
fn histogram(first: i32, schema: i32) -> FloatHistogram {
    let spans = |first| {
        vec![
            Span {
                offset: first,
                length: 12,
            },
            Span {
                offset: 3,
                length: 8,
            },
        ]
    };
    let buckets: Vec<f64> = (1..=20).map(f64::from).collect();
    FloatHistogram {
        schema,
        zero_threshold: 1e-9,
        zero_count: 3.0,
        count: 423.0,
        sum: 99.5,
        positive_spans: spans(first),
        negative_spans: spans(-5),
        positive_buckets: buckets.clone(),
        negative_buckets: buckets,
        ..FloatHistogram::default()
    }
}

fn benches(c: &mut Criterion) {
    let h = histogram(0, 3);
    let shifted = histogram(2, 3);
    let coarse = histogram(0, 1);
    let mut group = c.benchmark_group("histogram");
    for (name, other) in [
        ("same layout", &h),
        ("other layout", &shifted),
        ("lower schema", &coarse),
    ] {
        group.bench_function(format!("add {name}"), |b| {
            b.iter_batched_ref(
                || h.clone(),
                |sum| sum.add(black_box(other)),
                BatchSize::SmallInput,
            );
        });
    }
    let mut sum = h.clone();
    let mut lost = sum.zero_compensation();
    let _ = sum.kahan_add(&shifted, &mut lost);
    group.bench_function("kahan_add into wider layout", |b| {
        b.iter(|| sum.kahan_add(black_box(&h), &mut lost));
    });
    group.bench_function("detect_reset same layout", |b| {
        b.iter(|| black_box(&h).detect_reset(black_box(&h)));
    });
    group.bench_function("compact nothing", |b| {
        b.iter_batched_ref(|| h.clone(), |h| _ = h.compact(0), BatchSize::SmallInput);
    });
    let mut sparse = h.clone();
    (sparse.positive_buckets.iter_mut().step_by(3)).for_each(|count| *count = 0.0);
    group.bench_function("compact a third away", |b| {
        b.iter_batched_ref(
            || sparse.clone(),
            |h| _ = h.compact(0),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("all buckets with bounds", |b| {
        b.iter(|| black_box(&h).all().map(|bucket| bucket.upper).sum::<f64>());
    });
    let mut text = String::new();
    group.bench_function("text", |b| {
        b.iter(|| {
            text.clear();
            black_box(&h).push_text(&mut text);
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
