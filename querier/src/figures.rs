//! Figures of queries and of the stores that they ask, under Thanos' names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use promql::stats::QueryStats;
use runtime::metrics::{Collect, Exposition, Histogram, Quantiles};

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
}

impl Figures {
    /// Figures of queries over `stores`, of which there are at most `queries_max` at once.
    pub(crate) fn new(stores: Arc<dyn Stores>, queries_max: usize) -> Self {
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
        }
    }

    /// Counts a query, which waited to be begun, as under way until what is returned is dropped.
    pub(crate) fn begin(&self, waited: Duration) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.waits.observe(waited.as_secs_f64());
        self.queueing.took(waited);
        InFlight { figures: self }
    }

    /// Counts what a query did.
    pub(crate) fn evaluated(&self, stats: &QueryStats) {
        (self.samples).fetch_add(stats.samples_total, Ordering::Relaxed);
        self.preparing.took(stats.prepare_time);
        self.evaluating.took(stats.eval_time);
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
