//! Figures of exporters that write to other systems by remote write, under the names that Prometheus
//! gives them; native histograms count as samples.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use runtime::metrics::{Exposition, Histogram, LabelPairs};
use tsdb::batch::Batch;

use super::Sent;
use super::exporter::Figures;

/// Bounds in seconds of the time that a request takes; Prometheus' own.
const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0,
];

/// What is counted for Prometheus' names alone.
#[derive(Debug)]
pub(super) struct RemoteStorage {
    /// Samples that were sent, however often and whatever became of them.
    attempted: AtomicU64,
    retried: AtomicU64,
    newest_queued_ms: AtomicI64,
    newest_sent_ms: AtomicI64,
    /// Requests that are sent at once.
    shards: AtomicU64,
    seconds: Histogram,
}

impl Default for RemoteStorage {
    fn default() -> Self {
        Self {
            attempted: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            newest_queued_ms: AtomicI64::new(0),
            newest_sent_ms: AtomicI64::new(0),
            shards: AtomicU64::new(1),
            seconds: Histogram::new(SECONDS),
        }
    }
}

/// The newest time in a batch, in milliseconds.
pub(super) fn newest_ms(batch: &Batch) -> Option<i64> {
    let of_series = |series: tsdb::batch::BatchSeries<'_>| {
        let floats = series.floats.iter().map(|float| float.t);
        let histograms = series.histograms.iter().map(|histogram| histogram.t());
        floats.chain(histograms).max()
    };
    batch.iter().filter_map(of_series).max()
}

impl RemoteStorage {
    /// Notes that samples up to this time wait to be sent.
    pub(super) fn queued(&self, newest_ms: i64) {
        self.newest_queued_ms
            .fetch_max(newest_ms, Ordering::Relaxed);
    }

    /// Notes that so many requests are sent at once.
    pub(super) fn sharded(&self, shards: usize) {
        self.shards.store(shards.max(1) as u64, Ordering::Relaxed);
    }

    /// Counts what became of a request.
    pub(super) fn sent(&self, batch: &Batch, sent: &Sent, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        let refused: usize = sent.refused.iter().map(|refusal| refusal.samples).sum();
        let left = match &sent.left {
            None => 0,
            Some(left) => left.batch.as_ref().unwrap_or(batch).sample_count(),
        };
        let attempted = sent.taken + refused + left;
        self.attempted
            .fetch_add(attempted as u64, Ordering::Relaxed);
        self.retried.fetch_add(left as u64, Ordering::Relaxed);
        if left == 0
            && let Some(newest_ms) = newest_ms(batch)
        {
            self.newest_sent_ms.fetch_max(newest_ms, Ordering::Relaxed);
        }
    }

    /// Notes that nothing up to this time waits any longer, whether rules dropped it or it was sent.
    pub(super) fn done(&self, newest_ms: Option<i64>) {
        if let Some(newest_ms) = newest_ms {
            self.newest_sent_ms.fetch_max(newest_ms, Ordering::Relaxed);
        }
    }

    /// Adds the figures of one exporter, of which `figures` are known besides.
    pub(super) fn collect(&self, figures: &Figures, shards_max: usize, out: &mut Exposition) {
        let labels = [("remote_name", &*figures.name), ("url", &*figures.url)];
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (name, help, value) in [
            (
                "prometheus_remote_storage_samples_total",
                "Samples that were sent, those that are sent again included.",
                load(&self.attempted),
            ),
            (
                "prometheus_remote_storage_samples_failed_total",
                "Samples that the other side refused for good.",
                figures.refused_samples,
            ),
            (
                "prometheus_remote_storage_samples_retried_total",
                "Samples that the other side did not take and that were sent again.",
                load(&self.retried),
            ),
        ] {
            out.counter(name, help, &labels, value);
        }
        self.dropped(&labels, figures, out);
        let seconds = |ms: &AtomicI64| ms.load(Ordering::Relaxed) as f64 / 1000.0;
        for (name, help, value) in [
            (
                "prometheus_remote_storage_samples_pending",
                "Samples that wait to be sent.",
                figures.queue.samples as f64,
            ),
            (
                "prometheus_remote_storage_shards",
                "Requests that are sent at once.",
                load(&self.shards) as f64,
            ),
            (
                "prometheus_remote_storage_shards_max",
                "Requests that may be sent at once.",
                shards_max as f64,
            ),
            (
                "prometheus_remote_storage_shards_min",
                "Requests that are sent at once at least, when there is anything to send.",
                1.0,
            ),
            (
                "prometheus_remote_storage_queue_highest_timestamp_seconds",
                "Time of the newest sample that was queued.",
                seconds(&self.newest_queued_ms),
            ),
            (
                "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
                "Time of the newest sample that the other side took, or that was not to be sent.",
                seconds(&self.newest_sent_ms),
            ),
        ] {
            out.gauge(name, help, &labels, value);
        }
        let help = "How long requests took.";
        let name = "prometheus_remote_storage_sent_batch_duration_seconds";
        out.histogram(name, help, &labels, &self.seconds);
    }

    fn dropped(&self, labels: LabelPairs<'_>, figures: &Figures, out: &mut Exposition) {
        for (reason, samples) in [
            ("dropped_series", figures.filtered_samples),
            ("queue_full", figures.queue.dropped_samples),
        ] {
            let mut labels = labels.to_vec();
            labels.insert(0, ("reason", reason));
            let help = "Samples that were not sent: rules dropped them, they were too old, or the queue was full.";
            let name = "prometheus_remote_storage_samples_dropped_total";
            out.counter(name, help, &labels, samples);
        }
    }
}
