//! Matching a regular expression against a million label values, by the shape that it reduces to,
//! next to the plain automaton of the `regex` crate; and compiling.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::regex::Regex;

fn bench(c: &mut Criterion) {
    let values: Vec<String> = (0..1_000_000)
        .map(|i| {
            format!(
                "checkout-{:x}-{}.example.org:{}",
                i * 7919 % 65_536,
                i % 100,
                9000 + i % 10
            )
        })
        .collect();
    let set: Vec<String> = (0..200)
        .map(|i| values[i * 4999].replace('.', "\\."))
        .collect();
    let mut group = c.benchmark_group("match 1M values");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(values.len() as u64));
    for (shape, pattern) in [
        ("set of 200", set.join("|")),
        ("prefix", "checkout-a.*".to_owned()),
        ("suffix", ".*:9003".to_owned()),
        ("contains", ".*-77\\.example.*".to_owned()),
        ("contains one of 3", ".*(-77\\.|-78\\.|-79\\.).*".to_owned()),
        ("ignoring case", "(?i).*-77\\.example\\.org.*".to_owned()),
        (
            "general",
            "checkout-[0-9a-f]+-7[0-9]\\.example\\..*:900[0-4]".to_owned(),
        ),
    ] {
        let regex = Regex::new(&pattern).expect("a valid expression");
        group.bench_function(shape, |b| {
            b.iter(|| {
                black_box(&values)
                    .iter()
                    .filter(|v| regex.is_match(v))
                    .count()
            });
        });
        let plain = regex::Regex::new(&format!("^(?s:{pattern})$")).expect("a valid expression");
        group.bench_function(format!("{shape}, plain automaton"), |b| {
            b.iter(|| {
                black_box(&values)
                    .iter()
                    .filter(|v| plain.is_match(v))
                    .count()
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("compile");
    group.sample_size(20);
    for (shape, pattern) in [
        ("literal", "checkout"),
        ("set", "200|201|204"),
        ("prefix", "5.*"),
        ("general", "[a-z]+-[0-9]+"),
    ] {
        group.bench_function(shape, |b| b.iter(|| Regex::new(black_box(pattern))));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
