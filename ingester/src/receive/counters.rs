//! What was received, counted since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use runtime::metrics::{Collect, Exposition};

use super::outcome::{Outcome, Reason, Refusals};

/// Counters of a receiver; each may be read at any time.
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    failed: AtomicU64,
    floats: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
    refused: [AtomicU64; Reason::COUNT],
}

impl Counters {
    pub(super) fn wrote(&self, outcome: &Outcome) {
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
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn refused(&self, refusals: &Refusals) {
        for (reason, count) in refusals.iter() {
            self.refused[reason.index()].fetch_add(count as u64, Ordering::Relaxed);
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
