//! What was written to a database since it was opened, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::batch::{Appended, Reject};

/// Numbers of samples that a database took, and of those that it did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Floats taken.
    pub floats: u64,
    /// Native histograms taken.
    pub histograms: u64,
    /// Exemplars taken.
    pub exemplars: u64,
    /// Not taken: older than the newest of their series, while no window for such samples is open.
    pub out_of_order: u64,
    /// Not taken: older than the window for samples that come out of order.
    pub too_old: u64,
    /// Not taken: before what the head takes, or too far in the future.
    pub out_of_bounds: u64,
    /// Not taken: another value for a time that there is one of.
    pub duplicate: u64,
    /// Exemplars not taken: older than the newest of their series.
    pub out_of_order_exemplars: u64,
}

/// Counts while others write.
#[derive(Debug, Default)]
pub(super) struct Counters {
    floats: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
    out_of_order: AtomicU64,
    too_old: AtomicU64,
    out_of_bounds: AtomicU64,
    duplicate: AtomicU64,
    out_of_order_exemplars: AtomicU64,
}

impl Counters {
    /// Counts what became of a batch.
    pub(super) fn note(&self, appended: &Appended) {
        let counts = [
            (&self.floats, appended.floats),
            (&self.histograms, appended.histograms),
            (&self.exemplars, appended.exemplars),
        ];
        for (counter, count) in counts {
            if count > 0 {
                counter.fetch_add(count as u64, Relaxed);
            }
        }
        for rejection in &appended.rejected {
            let counter = match rejection.reason {
                Reject::OutOfOrder => &self.out_of_order,
                Reject::TooOld => &self.too_old,
                Reject::OutOfBounds | Reject::TooFarInFuture => &self.out_of_bounds,
                Reject::DuplicateTimestamp => &self.duplicate,
                Reject::ExemplarOutOfOrder => &self.out_of_order_exemplars,
                // Whoever sent them counts them: they are not about time.
                Reject::InvalidHistogram
                | Reject::SeriesLimit
                | Reject::ExemplarTooLong
                | Reject::ExemplarOfUnknownSeries
                | Reject::UnknownSeries => continue,
            };
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn read(&self) -> Written {
        Written {
            floats: self.floats.load(Relaxed),
            histograms: self.histograms.load(Relaxed),
            exemplars: self.exemplars.load(Relaxed),
            out_of_order: self.out_of_order.load(Relaxed),
            too_old: self.too_old.load(Relaxed),
            out_of_bounds: self.out_of_bounds.load(Relaxed),
            duplicate: self.duplicate.load(Relaxed),
            out_of_order_exemplars: self.out_of_order_exemplars.load(Relaxed),
        }
    }
}
