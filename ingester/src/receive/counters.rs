//! What was received, counted since the start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use runtime::metrics::{Collect, Exposition, Histogram};

use super::outcome::{Outcome, Reason, Refusals};

/// Bounds of how much a request has; Thanos' own.
const SIZES: &[f64] = &[10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 10_000.0];
/// Tenants and statuses that are told apart; a head for each tenant is there as well.
const SIZES_MAX: usize = 4096;

/// How much requests had that were answered alike.
#[derive(Debug)]
struct Sizes {
    series: Histogram,
    samples: Histogram,
}

/// Counters of a receiver; each may be read at any time.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Requests that were not answered yet.
    pending: AtomicI64,
    /// By tenant and status.
    sizes: Mutex<BTreeMap<(String, u16), Sizes>>,
    requests: AtomicU64,
    failed: AtomicU64,
    floats: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
    refused: [AtomicU64; Reason::COUNT],
}

impl Counters {
    pub(super) fn begun(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, tenant: &str, status: u16, outcome: &Outcome) {
        let key = (tenant.to_owned(), status);
        let mut sizes = self.sizes.lock();
        if sizes.len() >= SIZES_MAX && !sizes.contains_key(&key) {
            return;
        }
        let sizes = sizes.entry(key).or_insert_with(|| Sizes {
            series: Histogram::new(SIZES),
            samples: Histogram::new(SIZES),
        });
        sizes.series.observe(outcome.series as f64);
        sizes.samples.observe(outcome.samples as f64);
    }

    pub(super) fn wrote(&self, outcome: &Outcome) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        for (counter, count) in [
            (&self.floats, outcome.floats),
            (&self.histograms, outcome.histograms),
            (&self.exemplars, outcome.exemplars),
        ] {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
        self.refused(&outcome.refusals);
    }

    pub(super) fn failed(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn refused(&self, refusals: &Refusals) {
        for (reason, count) in refusals.iter() {
            self.refused[reason.index()].fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

impl Counters {
    fn collect_sizes(&self, out: &mut Exposition) {
        let name = "thanos_receive_pending_write_requests";
        let pending = self.pending.load(Ordering::Relaxed);
        out.gauge(
            name,
            "Write requests that were not answered yet.",
            &[],
            pending as f64,
        );
        let sizes = self.sizes.lock();
        for (name, help, of) in [
            (
                "thanos_receive_write_timeseries",
                "Series of a write request, whatever became of them.",
                (|sizes| &sizes.series) as fn(&Sizes) -> &Histogram,
            ),
            (
                "thanos_receive_write_samples",
                "Samples of a write request, whatever became of them.",
                |sizes| &sizes.samples,
            ),
        ] {
            for ((tenant, status), sizes) in &*sizes {
                let labels = [("code", &*status.to_string()), ("tenant", tenant)];
                out.histogram(name, help, &labels, of(sizes));
            }
        }
    }
}

impl Collect for Counters {
    fn collect(&self, out: &mut Exposition) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (name, help, counter) in [
            (
                "promontory_receive_requests_total",
                "Write requests, answered in whatever way.",
                &self.requests,
            ),
            (
                "promontory_receive_requests_failed_total",
                "Write requests that were refused as a whole.",
                &self.failed,
            ),
            (
                "promontory_receive_samples_total",
                "Floats that were received and made durable.",
                &self.floats,
            ),
            (
                "promontory_receive_histograms_total",
                "Native histograms that were received and made durable.",
                &self.histograms,
            ),
            (
                "promontory_receive_exemplars_total",
                "Exemplars that were received and made durable.",
                &self.exemplars,
            ),
        ] {
            out.counter(name, help, &[], load(counter));
        }
        self.collect_sizes(out);
        for (reason, counter) in Reason::all().iter().zip(&self.refused) {
            out.counter(
                "promontory_receive_refused_samples_total",
                "Samples and exemplars that were refused, by reason.",
                &[("reason", reason.name())],
                load(counter),
            );
        }
    }
}
