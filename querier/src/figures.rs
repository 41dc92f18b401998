//! Figures of queries and of the stores that they ask, under Thanos' names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use runtime::metrics::{Collect, Exposition, Histogram};

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

/// Counts queries.
#[derive(Debug)]
pub(crate) struct Figures {
    stores: Arc<dyn Stores>,
    queries_max: usize,
    in_flight: AtomicU64,
    samples: AtomicU64,
    seconds: Histogram,
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
            seconds: Histogram::new(Histogram::SECONDS),
            ranges: Histogram::new(RANGE_SECONDS),
        }
    }

    /// Counts a query as under way until what is returned is dropped.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight {
            figures: self,
            begin: Instant::now(),
        }
    }

    /// Counts the samples that a query looked at.
    pub(crate) fn looked_at(&self, samples: u64) {
        self.samples.fetch_add(samples, Ordering::Relaxed);
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

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.figures.in_flight.fetch_sub(1, Ordering::Relaxed);
        let took = self.begin.elapsed().as_secs_f64();
        self.figures.seconds.observe(took);
    }
}

impl Collect for Figures {
    fn collect(&self, out: &mut Exposition) {
        out.gauge(
            "thanos_query_concurrent_gate_queries_max",
            "Queries that are answered at once; more wait.",
            &[],
            self.queries_max as f64,
        );
        out.gauge(
            "thanos_query_concurrent_gate_queries_in_flight",
            "Queries that are evaluated now.",
            &[],
            self.in_flight.load(Ordering::Relaxed) as f64,
        );
        out.histogram(
            "promontory_query_evaluation_seconds",
            "How long it took to evaluate queries.",
            &[],
            &self.seconds,
        );
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
