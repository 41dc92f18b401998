//! The matrix of a range query as JSON: 100 series of 1,000 points.

use std::hint::black_box;
use std::io;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::Labels;
use promql::columns::StepValue;
use promql::value::{MatrixSeries, QueryValue};
use querier::api::json::write_result;

const SERIES: usize = 100;
const POINTS: usize = 1000;
const START_MS: i64 = 1_700_000_000_000;

/// Points every 15 s, at `offset_ms` past the second, whose values `value` makes from a number in
/// [0, 1) that looks random.
fn matrix(offset_ms: i64, value: impl Fn(f64) -> f64) -> QueryValue {
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let series = (0..SERIES).map(|i| MatrixSeries {
        labels: Labels::from_pairs([
            ("__name__", "http_requests_total"),
            ("instance", &format!("10.0.0.{i}:9100")),
            ("job", "node"),
        ]),
        points: (0..POINTS as i64)
            .map(|j| {
                let t = START_MS + j * 15_000 + offset_ms;
                (t, StepValue::Float(value(random())))
            })
            .collect(),
    });
    QueryValue::Matrix(series.collect())
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("json/matrix");
    group.throughput(Throughput::Elements((SERIES * POINTS) as u64));
    for (name, matrix) in [
        ("rates", matrix(0, |x| x * 100.0)),
        ("counters", matrix(0, |x| (x * 1e9).floor())),
        ("rates off the second", matrix(123, |x| x * 100.0)),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| write_result(&mut io::sink(), START_MS, black_box(&matrix), (None, None)));
        });
    }
    group.finish();
}

criterion_group!(benches, write);
criterion_main!(benches);
