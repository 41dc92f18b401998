//! Reading, comparing, hashing and building label sets of the size that Kubernetes gives.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hashbrown::DefaultHashBuilder;
use model::{Labels, LabelsBuilder, Matcher};

fn series(pod: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "container_cpu_usage_seconds_total".to_owned()),
        ("cluster", "eu-west-1-production".to_owned()),
        ("container", "checkout".to_owned()),
        (
            "image",
            "registry.example/checkout@sha256:0123456789abcdef".to_owned(),
        ),
        ("instance", "10.0.12.7:10250".to_owned()),
        ("job", "kubelet".to_owned()),
        ("namespace", "shop".to_owned()),
        ("node", "node-0127".to_owned()),
        ("pod", format!("checkout-7f9c4d5b8-{pod:05}")),
        ("replica", "prometheus-0".to_owned()),
    ])
}

fn bench(c: &mut Criterion) {
    let (a, b) = (series(1), series(2));
    c.bench_function("get first", |x| x.iter(|| black_box(&a).get("__name__")));
    c.bench_function("get ninth", |x| x.iter(|| black_box(&a).get("pod")));
    c.bench_function("get absent", |x| x.iter(|| black_box(&a).get("zone")));
    c.bench_function("iterate over 10", |x| {
        x.iter(|| {
            black_box(&a)
                .iter()
                .map(|(n, v)| n.len() + v.len())
                .sum::<usize>()
        });
    });
    c.bench_function("compare, ninth differs", |x| {
        x.iter(|| black_box(&a).cmp(black_box(&b)));
    });
    c.bench_function("hash", |x| {
        let hasher = DefaultHashBuilder::default();
        x.iter(|| hasher.hash_one(black_box(&a)));
    });
    c.bench_function("stable hash", |x| x.iter(|| black_box(&a).stable_hash()));
    c.bench_function("hash for 2 names", |x| {
        let builder = DefaultHashBuilder::default();
        x.iter(|| {
            let mut hasher = builder.build_hasher();
            black_box(&a).hash_for_names(&["namespace", "pod"], &mut hasher);
            hasher.finish()
        });
    });
    c.bench_function("keep 2 names", |x| {
        x.iter(|| black_box(&a).keep(&["namespace", "pod"]));
    });
    c.bench_function("match 3 matchers", |x| {
        let matchers = [
            Matcher::equal("__name__", "container_cpu_usage_seconds_total"),
            Matcher::equal("namespace", "shop"),
            Matcher::not_equal("pod", ""),
        ];
        x.iter(|| black_box(&a).match_all(&matchers));
    });
    c.bench_function("build from 10 sorted pairs", |x| {
        let pairs: Vec<(&str, &str)> = a.iter().collect();
        x.iter(|| Labels::from_sorted(black_box(&pairs).iter().copied()));
    });
    c.bench_function("change 1 of 10", |x| {
        let mut builder = LabelsBuilder::new();
        x.iter(|| builder.reset(black_box(&a)).set("replica", "").labels());
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
