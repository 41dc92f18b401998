//! What the receivers did since the start: figures by protocol and reason, and the points that were
//! refused last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use runtime::metrics::{Collect, Exposition};
use serde::Serialize;

use super::points::Refusals;
use crate::pipeline::Dropped;
use crate::receive::Outcome;

/// Refused points that are kept to be looked at.
const RECENT_MAX: usize = 200;
/// Of one request, so that a single bad one does not displace all others.
const RECENT_OF_REQUEST_MAX: usize = 10;

/// A point that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecentRefusal {
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// The receiver that refused it.
    pub protocol: &'static str,
    /// The tenant it was for; `""` is the default one.
    pub tenant: String,
    /// Name of the reason, as in the figures.
    pub reason: &'static str,
    /// The reason in words.
    pub error: String,
    /// What the point looks like, cut when it is long; empty for a request that was refused as a
    /// whole before it had points.
    pub point: String,
}

/// Figures of one receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReceiverFigures {
    /// Requests, or pieces of a stream, answered in whatever way.
    pub requests: u64,
    /// Requests that were refused as a whole.
    pub failed: u64,
    /// Requests that were refused as a whole, by reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// Points that were made durable.
    pub points: u64,
    /// Points that rules of the pipeline dropped, by rules.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Points that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// Counters of one receiver.
#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<BTreeMap<&'static str, u64>>,
    points: AtomicU64,
    dropped_before: AtomicU64,
    dropped_after: AtomicU64,
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

/// What all the receivers did.
#[derive(Debug, Default)]
pub struct Status {
    receivers: Mutex<BTreeMap<&'static str, Arc<Counters>>>,
    recent: Mutex<VecDeque<RecentRefusal>>,
}

impl Status {
    /// The handle of a receiver.
    pub(crate) fn of(self: &Arc<Self>, protocol: &'static str) -> ReceiverStatus {
        let counters = Arc::clone(self.receivers.lock().entry(protocol).or_default());
        ReceiverStatus {
            protocol,
            counters,
            all: Arc::clone(self),
        }
    }

    /// The points that were refused last, the newest first.
    pub fn recent(&self) -> Vec<RecentRefusal> {
        self.recent.lock().iter().rev().cloned().collect()
    }

    /// Figures by receiver.
    pub fn figures(&self) -> BTreeMap<&'static str, ReceiverFigures> {
        let receivers = self.receivers.lock();
        let figures = receivers.iter().map(|(name, counters)| {
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let figures = ReceiverFigures {
                requests: load(&counters.requests),
                failed: load(&counters.failed),
                failures: counters.failures.lock().clone(),
                points: load(&counters.points),
                dropped: BTreeMap::from([
                    ("before", load(&counters.dropped_before)),
                    ("after", load(&counters.dropped_after)),
                ]),
                refused: counters.refused.lock().clone(),
            };
            (*name, figures)
        });
        figures.collect()
    }
}

impl Collect for Status {
    fn collect(&self, out: &mut Exposition) {
        for (protocol, figures) in self.figures() {
            let labels = [("protocol", protocol)];
            for (name, help, value) in [
                (
                    "promontory_protocol_requests_total",
                    "Requests of a receiver, answered in whatever way.",
                    figures.requests,
                ),
                (
                    "promontory_protocol_requests_failed_total",
                    "Requests that a receiver refused as a whole.",
                    figures.failed,
                ),
                (
                    "promontory_protocol_points_total",
                    "Points that a receiver made durable.",
                    figures.points,
                ),
            ] {
                out.counter(name, help, &labels, value);
            }
            for (name, help, label, by) in [
                (
                    "promontory_protocol_refused_points_total",
                    "Points that a receiver refused, by reason.",
                    "reason",
                    figures.refused,
                ),
                (
                    "promontory_protocol_request_failures_total",
                    "Requests that a receiver refused as a whole, by reason.",
                    "reason",
                    figures.failures,
                ),
                (
                    "promontory_protocol_dropped_points_total",
                    "Points that rules of the pipeline dropped.",
                    "rules",
                    figures.dropped,
                ),
            ] {
                for (value, count) in by {
                    out.counter(name, help, &[("protocol", protocol), (label, value)], count);
                }
            }
        }
    }
}

/// Totals of one receiver since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Requests, answered in whatever way.
    pub requests: u64,
    /// Requests that were refused as a whole.
    pub failed: u64,
    /// Points that were made durable.
    pub points: u64,
}

/// Where one receiver counts.
#[derive(Debug, Clone)]
pub(crate) struct ReceiverStatus {
    protocol: &'static str,
    counters: Arc<Counters>,
    all: Arc<Status>,
}

/// Points that were refused for one reason, and one of them.
struct RefusedPoints<'a> {
    reason: &'static str,
    error: String,
    count: u64,
    point: &'a str,
}

impl ReceiverStatus {
    /// What was counted so far.
    pub(super) fn totals(&self) -> Totals {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            requests: load(&self.counters.requests),
            failed: load(&self.counters.failed),
            points: load(&self.counters.points),
        }
    }

    /// Counts a request that was refused as a whole.
    pub(crate) fn failed(&self) {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts why a request was refused as a whole, and shows it.
    pub(super) fn failure(&self, at: (i64, &str), why: (&'static str, String)) {
        self.lost(at, why, (0, ""));
    }

    /// Counts the `count` points of a request that was refused as a whole.
    pub(super) fn lost(
        &self,
        (now_ms, tenant): (i64, &str),
        (reason, error): (&'static str, String),
        (count, point): (usize, &str),
    ) {
        *self.counters.failures.lock().entry(reason).or_default() += 1;
        let refused = RefusedPoints {
            reason,
            error,
            count: count as u64,
            point,
        };
        self.refused(now_ms, tenant, [refused]);
    }

    /// Counts a request of which `points` were stored and `refused` were not.
    pub(super) fn stored(&self, now_ms: i64, tenant: &str, points: usize, refusals: &Refusals) {
        let counters = &self.counters;
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.points.fetch_add(points as u64, Ordering::Relaxed);
        if refusals.is_empty() {
            return;
        }
        let mut counts = counters.refused.lock();
        for (reason, count) in refusals.by_reason() {
            *counts.entry(reason).or_default() += count;
        }
        drop(counts);
        let kept = refusals.kept().iter().take(RECENT_OF_REQUEST_MAX);
        let kept = kept.map(|refused| RefusedPoints {
            reason: refused.reason.name(),
            error: refused.reason.to_string(),
            count: 0,
            point: &refused.shown,
        });
        self.refused(now_ms, tenant, kept);
    }

    /// Counts a remote write.
    pub(crate) fn wrote(&self, now_ms: i64, tenant: &str, outcome: &Outcome) {
        let counters = &self.counters;
        let points = outcome.floats + outcome.histograms;
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.points.fetch_add(points as u64, Ordering::Relaxed);
        let first = outcome.refusals.first().unwrap_or_default();
        let refused = outcome
            .refusals
            .iter()
            .map(|(reason, count)| RefusedPoints {
                reason: reason.name(),
                error: reason.to_string(),
                count: count as u64,
                point: first,
            });
        self.refused(now_ms, tenant, refused);
    }

    /// Counts points that rules dropped.
    pub(crate) fn dropped(&self, dropped: Dropped) {
        let Dropped { before, after } = dropped;
        let counters = &self.counters;
        for (counter, count) in [
            (&counters.dropped_before, before),
            (&counters.dropped_after, after),
        ] {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    fn refused<'a>(
        &self,
        now_ms: i64,
        tenant: &str,
        refused: impl IntoIterator<Item = RefusedPoints<'a>>,
    ) {
        for refused in refused {
            if refused.count > 0 {
                let mut counts = self.counters.refused.lock();
                *counts.entry(refused.reason).or_default() += refused.count;
            }
            let mut recent = self.all.recent.lock();
            if recent.len() == RECENT_MAX {
                recent.pop_front();
            }
            recent.push_back(RecentRefusal {
                time_ms: now_ms,
                protocol: self.protocol,
                tenant: tenant.to_owned(),
                reason: refused.reason,
                error: refused.error,
                point: refused.point.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::points::Reason;
    use super::*;

    #[test]
    fn the_last_refusals_are_kept_few_of_each_request() {
        let status = Arc::new(Status::default());
        let receiver = status.of("opentsdb");
        let refused = |count: usize, shown: &str| {
            let mut refusals = Refusals::default();
            for i in 0..count {
                refusals.add(i, None, Reason::NoValue, || shown.to_owned());
            }
            refusals
        };
        let many = refused(1000, "many");
        for t in 0..30 {
            receiver.stored(t, "a", 1, &many);
        }
        receiver.stored(99, "", 5, &refused(1, "last"));
        let recent = status.recent();
        assert_eq!(recent.len(), RECENT_MAX);
        assert_eq!((recent[0].time_ms, recent[0].point.as_str()), (99, "last"));
        assert_eq!((recent[1].time_ms, recent[11].time_ms), (29, 28));
        let figures = &status.figures()["opentsdb"];
        assert_eq!((figures.requests, figures.points), (31, 35));
        assert_eq!(figures.refused["no_value"], 30_001);
        let mut text = Exposition::default();
        status.collect(&mut text);
        let line = r#"promontory_protocol_refused_points_total{protocol="opentsdb",reason="no_value"} 30001"#;
        assert!(text.into_text().contains(line));
    }
}
