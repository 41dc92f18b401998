//! What a bucket's client counts, under the names that Thanos' dashboards ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use model::figure::{Figure, Histogram, Value};

use crate::pace::Pace;

/// What is done with a bucket, as Thanos names it in the label `operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Listing.
    Iter,
    /// Reading a whole object.
    Get,
    /// Reading a range of an object.
    GetRange,
    /// Asking for size and time of an object.
    Attributes,
    /// Writing an object.
    Upload,
    /// Deleting an object.
    Delete,
}

impl Operation {
    const ALL: [Self; 6] = [
        Self::Iter,
        Self::Get,
        Self::GetRange,
        Self::Attributes,
        Self::Upload,
        Self::Delete,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Iter => "iter",
            Self::Get => "get",
            Self::GetRange => "get_range",
            Self::Attributes => "attributes",
            Self::Upload => "upload",
            Self::Delete => "delete",
        }
    }

    /// Whether it brings bytes of objects here.
    const fn reads(self) -> bool {
        matches!(self, Self::Get | Self::GetRange)
    }

    /// Whether it brings bytes of objects here or there.
    const fn moves_bytes(self) -> bool {
        self.reads() || matches!(self, Self::Upload)
    }
}

/// Upper bounds of durations, in seconds; those of Thanos.
const SECONDS: &[f64] = &[
    0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0,
];
/// Upper bounds of sizes, in bytes; those of Thanos.
const SIZES: &[f64] = &Histogram::doubling::<16>(32_768.0);

#[derive(Debug)]
struct Counts {
    started: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    sizes: Histogram,
    seconds: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            started: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            sizes: Histogram::new(SIZES),
            seconds: Histogram::new(SECONDS),
        }
    }
}

/// What a bucket's client has done so far.
#[derive(Debug, Default)]
pub struct Metrics {
    operations: [Counts; 6],
    hedged: AtomicU64,
    hedges_won: AtomicU64,
    last_upload_ms: AtomicI64,
    pace: Arc<Pace>,
}

impl Metrics {
    /// Of a store that is asked at `pace`.
    pub(crate) fn paced(pace: Arc<Pace>) -> Self {
        Self {
            pace,
            ..Self::default()
        }
    }

    pub(crate) fn start(&self, operation: Operation) {
        self.of(operation).started.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, operation: Operation) {
        self.of(operation).failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn done(&self, operation: Operation, took: Duration, bytes: u64) {
        let counts = self.of(operation);
        counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        if operation.moves_bytes() {
            counts.sizes.observe(bytes as f64);
        }
        counts.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn hedged(&self) {
        self.hedged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn hedge_won(&self) {
        self.hedges_won.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a block was uploaded at `now_ms`.
    pub fn uploaded(&self, now_ms: i64) {
        self.last_upload_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// How often `operation` was begun.
    pub fn count(&self, operation: Operation) -> u64 {
        self.of(operation).started.load(Ordering::Relaxed)
    }

    /// How often `operation` failed; an object that is not there is no failure.
    pub fn failures(&self, operation: Operation) -> u64 {
        self.of(operation).failed.load(Ordering::Relaxed)
    }

    /// An upper bound of the time that the fraction `quantile` of `operation` took, once a hundred
    /// of them are done.
    pub fn quantile(&self, operation: Operation, quantile: f64) -> Option<Duration> {
        let (buckets, _) = self.of(operation).seconds.read();
        let all = buckets.last().map_or(0, |(_, below)| *below);
        if all < 100 {
            return None;
        }
        let wanted = (all as f64 * quantile).ceil() as u64;
        let (bound, _) = buckets.iter().find(|(_, below)| *below >= wanted)?;
        bound.is_finite().then(|| Duration::from_secs_f64(*bound))
    }

    fn of(&self, operation: Operation) -> &Counts {
        &self.operations[operation as usize]
    }

    /// Calls `visit` for each figure; `bucket` is the bucket's name.
    pub fn visit(&self, bucket: &str, visit: &mut dyn FnMut(Figure<'_>)) {
        for operation in Operation::ALL {
            self.visit_operation(bucket, operation, visit);
        }
        let own = [("bucket", bucket)];
        let mut add = |name, help, value| {
            visit(Figure {
                name,
                help,
                labels: &own,
                value,
            });
        };
        add(
            "thanos_objstore_bucket_last_successful_upload_time",
            "Second timestamp of the last successful upload of a block.",
            Value::Gauge(self.last_upload_ms.load(Ordering::Relaxed) as f64 / 1000.0),
        );
        add(
            "promontory_objstore_bucket_hedged_reads_total",
            "Range reads that were asked for a second time because the first was slow.",
            Value::Counter(self.hedged.load(Ordering::Relaxed) as f64),
        );
        add(
            "promontory_objstore_bucket_hedges_won_total",
            "Range reads whose second request answered first.",
            Value::Counter(self.hedges_won.load(Ordering::Relaxed) as f64),
        );
        add(
            "promontory_objstore_bucket_throttled_total",
            "Answers of the store (429, 503) that asked for fewer requests.",
            Value::Counter(self.pace.throttled() as f64),
        );
        add(
            "promontory_objstore_bucket_requests_max",
            "Requests that are made at once at most, while the store asks for fewer; 0 for no bound.",
            Value::Gauge(self.pace.limit().unwrap_or(0.0)),
        );
    }

    fn visit_operation(
        &self,
        bucket: &str,
        operation: Operation,
        visit: &mut dyn FnMut(Figure<'_>),
    ) {
        let counts = self.of(operation);
        let labels = [("bucket", bucket), ("operation", operation.name())];
        let mut add = |name, help, value: u64| {
            visit(Figure {
                name,
                help,
                labels: &labels,
                value: Value::Counter(value as f64),
            });
        };
        add(
            "thanos_objstore_bucket_operations_total",
            "Operations attempted against the bucket.",
            counts.started.load(Ordering::Relaxed),
        );
        add(
            "thanos_objstore_bucket_operation_failures_total",
            "Operations against the bucket that failed.",
            counts.failed.load(Ordering::Relaxed),
        );
        add(
            "promontory_objstore_bucket_operation_bytes_total",
            "Bytes read from or written to the bucket.",
            counts.bytes.load(Ordering::Relaxed),
        );
        if operation.moves_bytes() {
            let (buckets, sum) = counts.sizes.read();
            visit(Figure {
                name: "thanos_objstore_bucket_operation_transferred_bytes",
                help: "Bytes that each operation read from or wrote to the bucket.",
                labels: &labels,
                value: Value::Histogram {
                    buckets: &buckets,
                    sum,
                },
            });
        }
        if operation.reads() {
            visit(Figure {
                name: "thanos_objstore_bucket_operation_fetched_bytes_total",
                help: "Bytes read from the bucket.",
                labels: &labels,
                value: Value::Counter(counts.bytes.load(Ordering::Relaxed) as f64),
            });
        }
        let (buckets, sum) = counts.seconds.read();
        visit(Figure {
            name: "thanos_objstore_bucket_operation_duration_seconds",
            help: "Duration of successful operations against the bucket.",
            labels: &labels,
            value: Value::Histogram {
                buckets: &buckets,
                sum,
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn figures_carry_thanos_names() {
        let metrics = Metrics::default();
        metrics.start(Operation::Get);
        metrics.done(Operation::Get, Duration::from_millis(200), 7);
        metrics.start(Operation::Delete);
        metrics.failed(Operation::Delete);
        let mut shown = BTreeMap::new();
        metrics.visit("b", &mut |figure| {
            let operation = figure.labels.last().map_or("", |(_, value)| *value);
            let value = match figure.value {
                Value::Counter(value) | Value::Gauge(value) => value.to_string(),
                Value::Histogram { buckets, sum } => format!("{:?} {sum}", &buckets[2..4]),
                Value::Summary { .. } => String::new(),
            };
            shown.insert(format!("{} {operation}", figure.name), value);
        });
        for (name, value) in [
            ("operations_total get", "1"),
            ("operation_failures_total delete", "1"),
            ("operation_failures_total get", "0"),
            ("operation_duration_seconds get", "[(0.1, 0), (0.3, 1)] 0.2"),
        ] {
            assert_eq!(shown[&format!("thanos_objstore_bucket_{name}")], value);
        }
    }

    #[test]
    fn a_quantile_needs_observations() {
        let metrics = Metrics::default();
        for i in 0..100 {
            assert_eq!(metrics.quantile(Operation::GetRange, 0.95), None, "{i}");
            let took = if i < 95 { 5 } else { 500 };
            metrics.done(Operation::GetRange, Duration::from_millis(took), 1);
        }
        let at = |q| metrics.quantile(Operation::GetRange, q);
        assert_eq!(at(0.95), Some(Duration::from_millis(10)));
        assert_eq!(at(0.96), Some(Duration::from_millis(600)));
    }
}
