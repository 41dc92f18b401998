//! Figures of looks at a bucket.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use model::figure::{Figure, Histogram, Value};

use super::View;

/// Upper bounds of the durations of looks, in seconds; those of Thanos.
const SECONDS: &[f64] = &[0.01, 1.0, 10.0, 100.0, 300.0, 600.0, 1000.0];

#[derive(Debug)]
pub(super) struct Counts {
    pub(super) syncs: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) seconds: Histogram,
    states: Mutex<BTreeMap<&'static str, u64>>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            syncs: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            seconds: Histogram::new(SECONDS),
            states: Mutex::default(),
        }
    }
}

impl Counts {
    pub(super) fn note<M>(&self, view: &View<M>) {
        let mut states = view.excluded.clone();
        states.insert("loaded", view.blocks.len() as u64);
        states.insert("no-meta-json", view.partial.len() as u64);
        states.insert("corrupted-meta-json", view.corrupted.len() as u64);
        states.insert("failed", view.failed.len() as u64);
        *(self.states.lock()).unwrap_or_else(std::sync::PoisonError::into_inner) = states;
    }

    pub(super) fn visit(&self, visit: &mut dyn FnMut(Figure<'_>)) {
        let syncs = self.syncs.load(Ordering::Relaxed);
        let (buckets, sum) = self.seconds.read();
        let mut add = |name, help, value| {
            visit(Figure {
                name,
                help,
                labels: &[],
                value,
            });
        };
        add(
            "thanos_blocks_meta_syncs_total",
            "Looks at the bucket's blocks.",
            Value::Counter(syncs as f64),
        );
        add(
            "thanos_blocks_meta_sync_failures_total",
            "Looks at the bucket's blocks that failed.",
            Value::Counter(self.failures.load(Ordering::Relaxed) as f64),
        );
        add(
            "thanos_blocks_meta_sync_duration_seconds",
            "Time that looks at the bucket's blocks took.",
            Value::Histogram {
                buckets: &buckets,
                sum,
            },
        );
        let states = (self.states.lock()).unwrap_or_else(std::sync::PoisonError::into_inner);
        for (state, count) in states.iter() {
            visit(Figure {
                name: "thanos_blocks_meta_synced",
                help: "Blocks in each state at the last look.",
                labels: &[("state", state)],
                value: Value::Gauge(*count as f64),
            });
        }
    }
}
