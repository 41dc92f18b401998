//! What is counted over all targets, under Prometheus' names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::figure::Quantiles;
use model::time::DurationMs;
use parking_lot::Mutex;
use runtime::metrics::Exposition;
use tsdb::batch::{Appended, Reject};

use super::error::Error;
use super::round::Counts;

/// Counters.
#[derive(Debug, Default)]
pub(super) struct Stats {
    body_size: AtomicU64,
    sample_limit: AtomicU64,
    label_limits: AtomicU64,
    bucket_limit: AtomicU64,
    target_limit: AtomicU64,
    duplicates: AtomicU64,
    out_of_order: AtomicU64,
    out_of_bounds: AtomicU64,
    scrapes: AtomicU64,
    samples: AtomicU64,
    /// Seconds between scrapes, by the interval that was asked for, in milliseconds.
    intervals: Mutex<BTreeMap<i64, Quantiles>>,
}

/// Quantiles of the time between scrapes; Prometheus' own.
const INTERVAL_QUANTILES: &[f64] = &[0.01, 0.05, 0.5, 0.9, 0.99];

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Stats {
    /// Counts a scrape that ended, well or not.
    pub(super) fn scraped(&self, counts: Counts, failure: Option<&Error>) {
        add(&self.scrapes, 1);
        add(&self.samples, counts.scraped);
        // Also where another limit is why the scrape failed.
        add(&self.bucket_limit, counts.is_over_buckets.into());
        match failure {
            Some(Error::BodySize) => add(&self.body_size, 1),
            Some(Error::SampleLimit) => add(&self.sample_limit, 1),
            Some(Error::TargetLimit { .. }) => add(&self.target_limit, 1),
            Some(
                Error::LabelLimit { .. }
                | Error::LabelNameLimit { .. }
                | Error::LabelValueLimit { .. },
            ) => add(&self.label_limits, 1),
            _ => {}
        }
    }

    /// Notes how long after the one before a target is scraped at `now`.
    pub(super) fn rescraped(&self, interval_ms: i64, length: Duration, now: Instant) {
        let mut intervals = self.intervals.lock();
        let of_interval = intervals
            .entry(interval_ms)
            .or_insert_with(|| Quantiles::new(INTERVAL_QUANTILES));
        of_interval.observe(length.as_secs_f64(), now);
    }

    /// Counts the samples that were not taken; returns how many.
    pub(super) fn rejected(&self, duplicates: u64, appended: &Appended) -> u64 {
        add(&self.duplicates, duplicates);
        for rejection in &appended.rejected {
            match rejection.reason {
                Reject::OutOfOrder => add(&self.out_of_order, 1),
                Reject::DuplicateTimestamp => add(&self.duplicates, 1),
                Reject::TooOld | Reject::OutOfBounds | Reject::TooFarInFuture => {
                    add(&self.out_of_bounds, 1);
                }
                _ => {}
            }
        }
        duplicates + appended.rejected.len() as u64
    }

    pub(super) fn collect(&self, out: &mut Exposition) {
        let counters: [(&'static str, &'static str, &AtomicU64); 10] = [
            (
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Scrapes that failed because a body was too long.",
                &self.body_size,
            ),
            (
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Scrapes that failed because a target exposed too many samples.",
                &self.sample_limit,
            ),
            (
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Scrapes that failed because a native histogram had too many buckets.",
                &self.bucket_limit,
            ),
            (
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Scrapes that failed because a series had too many or too long labels.",
                &self.label_limits,
            ),
            (
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Scrapes that failed because a job had too many targets.",
                &self.target_limit,
            ),
            (
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Samples not taken because their series has one of that time.",
                &self.duplicates,
            ),
            (
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Samples not taken because they were out of order.",
                &self.out_of_order,
            ),
            (
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Samples not taken because of their times.",
                &self.out_of_bounds,
            ),
            (
                "promontory_scrapes_total",
                "Scrapes, failed ones included.",
                &self.scrapes,
            ),
            (
                "promontory_scrape_samples_total",
                "Samples that targets exposed.",
                &self.samples,
            ),
        ];
        for (name, help, counter) in counters {
            out.counter(name, help, &[], counter.load(Ordering::Relaxed));
        }
        let now = Instant::now();
        for (interval_ms, lengths) in &*self.intervals.lock() {
            let interval = DurationMs(*interval_ms).to_string();
            let name = "prometheus_target_interval_length_seconds";
            let help = "Time between scrapes of a target, by what was asked for.";
            out.quantiles((name, help), &[("interval", &interval)], lengths, now);
        }
    }
}
