//! Figures of queries and of the stores that they ask, under Thanos' names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use promql::stats::QueryStats;
use runtime::metrics::{Collect, Exposition, Histogram, Quantiles};

use crate::store_source::ReadStats;
use crate::stores::Stores;

/// Bounds of ranges in seconds: minutes, hours, days, months.
const RANGE_SECONDS: &[f64] = &[
    60.0,
    300.0,
    900.0,
    3_600.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
    2_592_000.0,
    7_776_000.0,
    31_536_000.0,
];

/// Bounds of waits in seconds; Thanos' own.
const WAIT_SECONDS: &[f64] = &[
    0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0,
];

/// Quantiles and bounds of what parts of queries take; Prometheus' own.
const SLICE_QUANTILES: &[f64] = &[0.5, 0.9, 0.99];
const SLICE_SECONDS: &[f64] = &[0.01, 0.1, 1.0, 10.0];

/// How long a part of queries took.
#[derive(Debug)]
struct Slice {
    name: &'static str,
    quantiles: Mutex<Quantiles>,
    seconds: Histogram,
}

impl Slice {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            quantiles: Mutex::new(Quantiles::new(SLICE_QUANTILES)),
            seconds: Histogram::new(SLICE_SECONDS),
        }
    }

    fn took(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.seconds.observe(seconds);
        self.quantiles.lock().observe(seconds, Instant::now());
    }

    fn collect(&self, out: &mut Exposition) {
        let help = "How long the parts of queries took.";
        let labels = [("slice", self.name)];
        let name = "prometheus_engine_query_duration_seconds";
        let now = Instant::now();
        out.quantiles((name, help), &labels, &self.quantiles.lock(), now);
        let name = "prometheus_engine_query_duration_histogram_seconds";
        out.histogram(name, help, &labels, &self.seconds);
    }
}

/// Tenants that are told apart; others are counted together.
const TENANTS_MAX: usize = 64;
/// The tenant that those are counted as.
const OTHER: &str = "other";

/// By what queries are told apart that are counted by how long they took, in ascending order.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Seconds that they took.
    pub seconds: Vec<f64>,
    /// Samples that they read.
    pub samples: Vec<f64>,
    /// Series that they read.
    pub series: Vec<f64>,
}

impl Default for Bounds {
    /// Thanos' own.
    fn default() -> Self {
        Self {
            seconds: vec![0.1, 0.25, 0.75, 1.25, 1.75, 2.5, 3.0, 5.0, 10.0],
            samples: vec![1e2, 1e3, 1e4, 1e5, 1e6],
            series: vec![1e1, 1e2, 1e3, 1e4, 1e5],
        }
    }
}

/// How long queries took by how much they read, and whose they were. As in Thanos, a query that is
/// beyond the last bound counts as of that, and one that read nothing is not counted.
#[derive(Debug)]
struct Reads {
    bounds: Bounds,
    /// By the places of the bounds of series and samples, and by tenant.
    seconds: Mutex<BTreeMap<(usize, usize, String), Histogram>>,
}

impl Reads {
    fn observe(&self, read: ReadStats, tenant: &str, took: Duration) {
        if read.series == 0 || read.samples == 0 {
            return;
        }
        let place = |bounds: &[f64], count: u64| {
            let place = bounds.partition_point(|bound| *bound <= count as f64);
            place.min(bounds.len().saturating_sub(1))
        };
        let series = place(&self.bounds.series, read.series);
        let samples = place(&self.bounds.samples, read.samples);
        let mut all = self.seconds.lock();
        let mut of_tenant = tenant;
        if !all.keys().any(|(_, _, known)| known == tenant) {
            let known: BTreeSet<&str> = all.keys().map(|(_, _, tenant)| &**tenant).collect();
            if known.len() >= TENANTS_MAX {
                of_tenant = OTHER;
            }
        }
        let key = (series, samples, of_tenant.to_owned());
        let seconds = all
            .entry(key)
            .or_insert_with(|| Histogram::new(self.bounds.seconds.clone()));
        seconds.observe(took.as_secs_f64());
    }

    fn collect(&self, out: &mut Exposition) {
        let name = "thanos_store_api_query_duration_seconds";
        let help = "How long queries took that read series, by how much they read at most.";
        let bound = |bounds: &[f64], place: usize| bounds[place].to_string();
        for ((series, samples, tenant), seconds) in &*self.seconds.lock() {
            let series = bound(&self.bounds.series, *series);
            let samples = bound(&self.bounds.samples, *samples);
            let labels = [
                ("samples_le", &*samples),
                ("series_le", &*series),
                ("tenant", tenant),
            ];
            out.histogram(name, help, &labels, seconds);
        }
    }
}

/// Counts queries.
#[derive(Debug)]
pub(crate) struct Figures {
    stores: Arc<dyn Stores>,
    queries_max: usize,
    in_flight: AtomicU64,
    samples: AtomicU64,
    waits: Histogram,
    queueing: Slice,
    preparing: Slice,
    evaluating: Slice,
    ranges: Histogram,
    reads: Reads,
}

impl Figures {
    /// Figures of queries over `stores`, of which there are at most `queries_max` at once, and which
    /// `bounds` tell apart.
    pub(crate) fn new(stores: Arc<dyn Stores>, queries_max: usize, bounds: Bounds) -> Self {
        Self {
            stores,
            queries_max,
            in_flight: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            waits: Histogram::new(WAIT_SECONDS),
            queueing: Slice::new("queue_time"),
            preparing: Slice::new("prepare_time"),
            evaluating: Slice::new("inner_eval"),
            ranges: Histogram::new(RANGE_SECONDS),
            reads: Reads {
                bounds,
                seconds: Mutex::default(),
            },
        }
    }

    /// Counts a query, which waited to be begun, as under way until what is returned is dropped.
    pub(crate) fn begin(&self, waited: Duration) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.waits.observe(waited.as_secs_f64());
        self.queueing.took(waited);
        InFlight {
            figures: self,
            begin: Instant::now(),
        }
    }

    /// Notes how long the range of a query is, in milliseconds.
    pub(crate) fn asked_for(&self, range_ms: i64) {
        self.ranges.observe(range_ms as f64 / 1e3);
    }
}

/// A query that is under way.
#[derive(Debug)]
pub(crate) struct InFlight<'a> {
    figures: &'a Figures,
    begin: Instant,
}

impl InFlight<'_> {
    /// Counts what the query of a tenant did, which is at its end.
    pub(crate) fn evaluated(self, stats: &QueryStats, read: ReadStats, tenant: &str) {
        let figures = self.figures;
        (figures.samples).fetch_add(stats.samples_total, Ordering::Relaxed);
        figures.preparing.took(stats.prepare_time);
        figures.evaluating.took(stats.eval_time);
        figures.reads.observe(read, tenant, self.begin.elapsed());
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.figures.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Collect for Figures {
    fn collect(&self, out: &mut Exposition) {
        for name in [
            "thanos_query_concurrent_gate_queries_max",
            "prometheus_engine_queries_concurrent_max",
        ] {
            let help = "Queries that are answered at once; more wait.";
            out.gauge(name, help, &[], self.queries_max as f64);
        }
        let in_flight = self.in_flight.load(Ordering::Relaxed) as f64;
        for name in [
            "thanos_query_concurrent_gate_queries_in_flight",
            "prometheus_engine_queries",
        ] {
            out.gauge(name, "Queries that are evaluated now.", &[], in_flight);
        }
        out.counter(
            "thanos_query_concurrent_gate_queries_total",
            "Queries that were begun.",
            &[],
            self.waits.count(),
        );
        out.histogram(
            "thanos_query_concurrent_gate_queries_duration_seconds",
            "How long queries waited until they were begun.",
            &[],
            &self.waits,
        );
        for slice in [&self.queueing, &self.preparing, &self.evaluating] {
            slice.collect(out);
        }
        out.histogram(
            "thanos_query_range_requested_timespan_duration_seconds",
            "How long the ranges of range queries are.",
            &[],
            &self.ranges,
        );
        self.reads.collect(out);
        out.counter(
            "prometheus_engine_query_samples_total",
            "Samples that queries looked at.",
            &[],
            self.samples.load(Ordering::Relaxed),
        );
        let mut connections: BTreeMap<(String, String), u64> = BTreeMap::new();
        for store in self.stores.statuses() {
            if store.last_error.is_none() {
                let sets: Vec<_> = store.label_sets.iter().map(ToString::to_string).collect();
                *connections
                    .entry((sets.join(","), store.component))
                    .or_default() += 1;
            }
        }
        for ((labels, component), count) in connections {
            out.gauge(
                "thanos_store_nodes_grpc_connections",
                "Stores that answer, by external labels and kind.",
                &[("external_labels", &labels), ("store_type", &component)],
                count as f64,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reads: &Reads) -> String {
        let mut out = Exposition::default();
        reads.collect(&mut out);
        out.into_text()
    }

    #[test]
    fn queries_are_told_apart_by_what_they_read() {
        let reads = Reads {
            bounds: Bounds::default(),
            seconds: Mutex::default(),
        };
        let read = |series, samples| ReadStats {
            series,
            chunks: 1,
            samples,
        };
        for (series, samples) in [(9, 99), (10, 100), (10_000_000, 10_000_000), (0, 0)] {
            reads.observe(read(series, samples), "a", Duration::from_millis(200));
        }
        let all = text(&reads);
        for (samples, series) in [("100", "10"), ("1000", "100"), ("1000000", "100000")] {
            let labels = format!("samples_le=\"{samples}\",series_le=\"{series}\",tenant=\"a\"");
            let name = "thanos_store_api_query_duration_seconds";
            for line in [
                format!("{name}_bucket{{{labels},le=\"0.1\"}} 0"),
                format!("{name}_bucket{{{labels},le=\"0.25\"}} 1"),
                format!("{name}_count{{{labels}}} 1"),
            ] {
                assert!(all.contains(&line), "{line}\n{all}");
            }
        }
        assert_eq!(all.matches("_count").count(), 3);
        for i in 0..1000 {
            reads.observe(read(1, 1), &i.to_string(), Duration::ZERO);
        }
        assert_eq!(text(&reads).matches("_count").count(), 3 + TENANTS_MAX);
    }
}
