//! The engine on columns in memory: what is left of a query when reading costs a copy.
//!
//! Throughput is samples read. Data: 200 counters or gauges at 15 s, in 10 jobs.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, TimeRange};
use promql::columns::{Samples, Steps};
use promql::parse::{Options as ParseOptions, parse_expr};
use promql::source::{SelectRequest, Series, SeriesSet, Source, SourceError};
use promql::{Engine, Options};

const SERIES: usize = 200;
const SCRAPE_MS: i64 = 15_000;
const HOUR_MS: i64 = 3_600_000;
/// Two days, so that queries of one day have data before their start.
const END_MS: i64 = 48 * HOUR_MS;

struct MemorySeries {
    labels: Labels,
    samples: Samples,
}

/// Series sorted by labels.
struct Memory(Vec<Arc<MemorySeries>>);

/// Numbers that look random, from a fixed seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl Memory {
    fn new() -> Self {
        let mut noise = Noise(42);
        let mut series = Vec::new();
        for metric in [
            "requests_total",
            "temperature",
            "duration_bucket",
            "target_meta",
        ] {
            for i in 0..SERIES {
                let pod = format!("pod-{i:04}");
                let job = format!("job-{}", i % 10);
                let le = ["0.1", "0.5", "1", "5", "+Inf"][i % 5];
                let mut pairs = vec![("__name__", metric), ("job", &job), ("pod", &pod)];
                if metric == "duration_bucket" {
                    pairs.push(("le", le));
                }
                let mut samples = Samples::default();
                let mut counter = 0.0;
                let jitter = (noise.next() * 1000.0) as i64;
                let mut t = jitter;
                while t < END_MS {
                    counter += (noise.next() * 10.0).floor();
                    let v = match metric {
                        "temperature" => 20.0 + noise.next() * 10.0,
                        "target_meta" => 1.0,
                        _ => counter,
                    };
                    samples.push_float(t, v, 0);
                    if noise.next() < 0.0005 {
                        counter = 0.0;
                    }
                    t += SCRAPE_MS;
                }
                let labels = Labels::from_pairs(pairs);
                series.push(Arc::new(MemorySeries { labels, samples }));
            }
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Self(series)
    }
}

impl Source for Memory {
    fn select(&self, request: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError> {
        let matching = self
            .0
            .iter()
            .filter(|s| s.labels.match_all(&request.matchers));
        Ok(Box::new(Set(matching
            .cloned()
            .collect::<Vec<_>>()
            .into_iter())))
    }
}

struct Set(std::vec::IntoIter<Arc<MemorySeries>>);

impl SeriesSet for Set {
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        Ok(self
            .0
            .next()
            .map(|s| Box::new(Reader(s)) as Box<dyn Series>))
    }
}

struct Reader(Arc<MemorySeries>);

impl Series for Reader {
    fn labels(&self) -> &Labels {
        &self.0.labels
    }

    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        let all = &self.0.samples;
        let from = all.ts.partition_point(|&t| t < range.min);
        let to = all.ts.partition_point(|&t| t < range.max);
        out.ts.extend_from_slice(&all.ts[from..to]);
        out.values.extend_from_slice(&all.values[from..to]);
        Ok(())
    }
}

/// Name, expression, range in hours, step in seconds.
const QUERIES: [(&str, &str, i64, i64); 15] = [
    (
        "rate_1h_15s",
        "sum by (job) (rate(requests_total[5m]))",
        1,
        15,
    ),
    (
        "rate_6h_60s",
        "sum by (job) (rate(requests_total[5m]))",
        6,
        60,
    ),
    (
        "rate_24h_300s",
        "sum by (job) (rate(requests_total[5m]))",
        24,
        300,
    ),
    (
        "increase_24h_of_1h",
        "sum by (job) (increase(requests_total[1h]))",
        24,
        300,
    ),
    ("sum_gauge_24h_60s", "sum by (job) (temperature)", 24, 60),
    (
        "avg_over_time_1h",
        "avg_over_time(temperature[1h])",
        24,
        300,
    ),
    (
        "max_over_time_1h",
        "max_over_time(temperature[1h])",
        24,
        300,
    ),
    (
        "quantile_over_time_30m",
        "quantile_over_time(0.9, temperature[30m])",
        6,
        60,
    ),
    (
        "stddev_over_time_1h",
        "stddev_over_time(temperature[1h])",
        24,
        300,
    ),
    ("deriv_1h", "deriv(temperature[1h])", 24, 300),
    (
        "quantile_6h_60s",
        "quantile by (job) (0.95, temperature)",
        6,
        60,
    ),
    ("topk_6h_60s", "topk(10, rate(requests_total[5m]))", 6, 60),
    (
        "join_6h_60s",
        "sum by (job) (rate(requests_total[5m]) * on (pod) group_left (job) target_meta)",
        6,
        60,
    ),
    (
        "histogram_quantile_6h_60s",
        "histogram_quantile(0.9, sum by (le) (rate(duration_bucket[5m])))",
        6,
        60,
    ),
    (
        "subquery_6h",
        "max_over_time(sum by (job) (rate(requests_total[1m]))[1h:1m])",
        6,
        300,
    ),
];

fn queries(c: &mut Criterion) {
    let memory = Memory::new();
    let engine = Engine::new(Options::default());
    let mut group = c.benchmark_group("engine");
    group.sample_size(20);
    for (name, text, hours, step) in QUERIES {
        let expr = parse_expr(text, ParseOptions::all_features()).expect("the query is valid");
        let steps = Steps::range(END_MS - hours * HOUR_MS, END_MS, step * 1000);
        let samples = SERIES as i64 * hours * HOUR_MS / SCRAPE_MS;
        group.throughput(Throughput::Elements(samples as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                black_box(
                    engine
                        .range(&memory, (&expr, text), steps)
                        .expect("it evaluates"),
                )
            });
        });
    }
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
