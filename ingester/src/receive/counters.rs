//! What was received, counted since the start.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// A counter with its name, and for those that come several times the label that tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The metric's name.
    pub name: &'static str,
    /// Name and value of a label.
    pub label: Option<(&'static str, &'static str)>,
    /// The count.
    pub value: u64,
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

    /// All counters.
    pub fn list(&self) -> Vec<Count> {
        let plain = [
            ("promontory_receive_requests_total", &self.requests),
            ("promontory_receive_requests_failed_total", &self.failed),
            ("promontory_receive_samples_total", &self.floats),
            ("promontory_receive_histograms_total", &self.histograms),
            ("promontory_receive_exemplars_total", &self.exemplars),
        ];
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let plain = plain.into_iter().map(|(name, counter)| Count {
            name,
            label: None,
            value: load(counter),
        });
        let reasons = Reason::all().iter().zip(&self.refused);
        let refused = reasons.map(|(reason, counter)| Count {
            name: "promontory_receive_refused_samples_total",
            label: Some(("reason", reason.name())),
            value: load(counter),
        });
        plain.chain(refused).collect()
    }
}
