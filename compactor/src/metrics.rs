//! What the compactor counts, under Thanos' names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bucket::{Bucket, Fetcher};
use model::figure::Figure;
use runtime::metrics::{Collect, Exposition, Histogram};

/// What was done so far.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) iterations: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) runs_started: AtomicU64,
    pub(crate) runs_completed: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) vertical: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) garbage_runs: AtomicU64,
    pub(crate) garbage_failures: AtomicU64,
    pub(crate) garbage_blocks: AtomicU64,
    pub(crate) cleaned: AtomicU64,
    pub(crate) clean_failures: AtomicU64,
    pub(crate) partial_deletions: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) lease_held: AtomicU64,
    pub(crate) todo_merges: AtomicU64,
    pub(crate) todo_blocks: AtomicU64,
    pub(crate) todo_deletions: AtomicU64,
    garbage_seconds: GarbageSeconds,
    /// By marker and reason.
    marked: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

/// Upper bounds of the seconds that searches take; Thanos' own.
const GARBAGE_SECONDS: &[f64] = &[
    0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0,
];

/// How long searches for blocks that others cover took.
#[derive(Debug)]
struct GarbageSeconds(Histogram);

impl Default for GarbageSeconds {
    fn default() -> Self {
        Self(Histogram::new(GARBAGE_SECONDS))
    }
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Name, help and value of a counter.
type Counter<'a> = (&'static str, &'static str, &'a AtomicU64);

impl Metrics {
    /// Counts a search for blocks that others cover.
    pub(crate) fn garbage_searched(&self, took: Duration) {
        add(&self.garbage_runs, 1);
        self.garbage_seconds.0.observe(took.as_secs_f64());
    }

    /// Counts a mark that was set.
    pub(crate) fn marked(&self, marker: &'static str, reason: &'static str) {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        *marked.entry((marker, reason)).or_default() += 1;
    }

    fn merge_counters(&self) -> [Counter<'_>; 7] {
        [
            (
                "thanos_compact_iterations_total",
                "Passes over the bucket that succeeded.",
                &self.iterations,
            ),
            (
                "thanos_compact_retries_total",
                "Passes over the bucket that failed and are tried again.",
                &self.retries,
            ),
            (
                "thanos_compact_group_compaction_runs_started_total",
                "Looks at groups that were begun.",
                &self.runs_started,
            ),
            (
                "thanos_compact_group_compaction_runs_completed_total",
                "Looks at groups that came to their end.",
                &self.runs_completed,
            ),
            (
                "thanos_compact_group_compactions_total",
                "Merges that resulted in a block.",
                &self.compactions,
            ),
            (
                "thanos_compact_group_vertical_compactions_total",
                "Merges of overlapping blocks.",
                &self.vertical,
            ),
            (
                "thanos_compact_group_compactions_failures_total",
                "Merges that failed.",
                &self.failures,
            ),
        ]
    }

    fn cleaning_counters(&self) -> [Counter<'_>; 7] {
        [
            (
                "thanos_compact_garbage_collection_total",
                "Searches for blocks that others cover.",
                &self.garbage_runs,
            ),
            (
                "thanos_compact_garbage_collection_failures_total",
                "Searches for blocks that others cover that failed.",
                &self.garbage_failures,
            ),
            (
                "thanos_compact_garbage_collected_blocks_total",
                "Blocks marked since others cover them.",
                &self.garbage_blocks,
            ),
            (
                "thanos_compact_blocks_cleaned_total",
                "Marked blocks that were deleted.",
                &self.cleaned,
            ),
            (
                "thanos_compact_block_cleanup_failures_total",
                "Deletions of marked blocks that failed.",
                &self.clean_failures,
            ),
            (
                "thanos_compact_aborted_partial_uploads_deletion_attempts_total",
                "Uploads given up by their producers that were deleted.",
                &self.partial_deletions,
            ),
            (
                "promontory_compact_quarantined_blocks_total",
                "Damaged blocks that were marked as not to be compacted.",
                &self.quarantined,
            ),
        ]
    }
}

impl Collect for Metrics {
    fn collect(&self, out: &mut Exposition) {
        let counters = (self.merge_counters().into_iter()).chain(self.cleaning_counters());
        for (name, help, value) in counters {
            out.counter(name, help, &[], value.load(Ordering::Relaxed));
        }
        let gauges = [
            (
                "thanos_compact_todo_compactions",
                "Merges that are planned.",
                &self.todo_merges,
            ),
            (
                "thanos_compact_todo_compaction_blocks",
                "Blocks in the merges that are planned.",
                &self.todo_blocks,
            ),
            (
                "thanos_compact_todo_deletion_blocks",
                "Blocks that are marked for deletion.",
                &self.todo_deletions,
            ),
            (
                "promontory_compact_lease_held",
                "Whether this compactor is the one that works.",
                &self.lease_held,
            ),
        ];
        for (name, help, value) in gauges {
            out.gauge(name, help, &[], value.load(Ordering::Relaxed) as f64);
        }
        out.histogram(
            "thanos_compact_garbage_collection_duration_seconds",
            "How long searches for blocks that others cover took.",
            &[],
            &self.garbage_seconds.0,
        );
        // A bad block is set aside and never stops the others; the alert on this stays quiet.
        let help = "Whether the compactor stopped working for good.";
        out.gauge("thanos_compact_halted", help, &[], 0.0);
        let marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        for ((marker, reason), count) in marked.iter() {
            let labels = [("marker", *marker), ("reason", *reason)];
            let help = "Marks that were set.";
            out.counter("thanos_compact_blocks_marked_total", help, &labels, *count);
        }
    }
}

/// Shows what the bucket's client and the fetcher count.
pub(crate) struct BucketMetrics {
    pub(crate) bucket: Bucket,
    pub(crate) fetcher: Arc<Fetcher>,
}

impl Collect for BucketMetrics {
    fn collect(&self, out: &mut Exposition) {
        let mut show = |figure: Figure<'_>| out.add(figure);
        self.bucket.metrics().visit(self.bucket.name(), &mut show);
        self.fetcher.visit(&mut show);
    }
}
