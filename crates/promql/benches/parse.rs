//! Parsing, over all expressions of the conformance data when it is there.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promql::parse::{Options, parse_expr};

/// The goal is 4 us per expression on average.
fn conformance_set(c: &mut Criterion) {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."));
    let file = "shared/conformance/promql-parser/expressions.jsonl";
    let data = [root.join(file), root.join("..").join(file)]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    let Some(data) = data else { return };
    let expressions: Vec<String> = data
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|row| row["expr"].as_str().map(str::to_owned))
        .collect();
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(expressions.len() as u64));
    group.bench_function("conformance set", |b| {
        b.iter(|| {
            for expr in &expressions {
                let _ = black_box(parse_expr(black_box(expr), Options::all_features()));
            }
        });
    });
    group.finish();
}

fn single_expressions(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse one");
    for (name, expr) in [
        ("name", "up"),
        (
            "ratio",
            r#"sum by (job) (rate(http_requests_total{code=~"5..", job="api"}[5m])) / sum by (job) (rate(http_requests_total{job="api"}[5m])) > 0.05"#,
        ),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| parse_expr(black_box(expr), Options::all_features()));
        });
    }
    group.finish();
}

criterion_group!(benches, conformance_set, single_expressions);
criterion_main!(benches);
