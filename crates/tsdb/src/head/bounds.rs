//! The times that a head covers, and which samples it takes.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use model::TimeRange;

use super::HeadOptions;
use crate::batch::Reject;

/// First and last time of what was appended. They change only while the logs are locked, and may be
/// read at any time.
#[derive(Debug)]
pub(super) struct Span {
    min: AtomicI64,
    max: AtomicI64,
}

impl Default for Span {
    /// Upside down: holds nothing.
    fn default() -> Self {
        Self {
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(i64::MIN),
        }
    }
}

impl Span {
    pub(super) fn add(&self, (min, max): (i64, i64)) {
        self.min.fetch_min(min, Relaxed);
        self.max.fetch_max(max, Relaxed);
    }

    /// First and last time, unless nothing was added.
    pub(super) fn get(&self) -> Option<(i64, i64)> {
        let (min, max) = (self.min.load(Relaxed), self.max.load(Relaxed));
        (min <= max).then_some((min, max))
    }

    pub(super) fn set(&self, span: Option<(i64, i64)>) {
        let (min, max) = span.unwrap_or((i64::MAX, i64::MIN));
        self.min.store(min, Relaxed);
        self.max.store(max, Relaxed);
    }

    /// Forgets what is before `time`.
    pub(super) fn cut_before(&self, time: i64) {
        if let Some((min, max)) = self.get() {
            self.set((time <= max).then_some((min.max(time), max)));
        }
    }
}

/// The times that a head covers.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    pub(super) in_order: Span,
    pub(super) out_of_order: Span,
    min_valid: AtomicI64,
}

impl Bounds {
    pub(super) fn new(min_valid: i64) -> Self {
        Self {
            min_valid: AtomicI64::new(min_valid),
            ..Self::default()
        }
    }

    pub(super) fn min_valid(&self) -> i64 {
        self.min_valid.load(Relaxed)
    }

    pub(super) fn raise_min_valid(&self, time: i64) {
        self.min_valid.fetch_max(time, Relaxed);
    }

    /// From the first sample to the last, whatever the order they came in.
    pub(super) fn time_range(&self) -> Option<TimeRange> {
        (self.in_order.get().into_iter())
            .chain(self.out_of_order.get())
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            .map(|(min, max)| TimeRange::closed(min, max))
    }

    /// Which samples are taken from now on. While the head is empty, `first` stands for its newest
    /// sample, unless that is older than what was forgotten: what is late is late by the samples before.
    pub(super) fn window(&self, options: &HeadOptions, now: i64, first: i64) -> Window {
        let newest = match self.in_order.get() {
            Some((_, max)) => max,
            None => first.max(self.min_valid()),
        };
        let recent = newest.saturating_sub(options.chunk_range / 2);
        let oldest = newest.saturating_sub(options.out_of_order_window);
        Window {
            in_order_from: self.min_valid().max(recent),
            out_of_order_from: (options.out_of_order_window > 0).then_some(oldest),
            until: now.saturating_add(options.future_max),
        }
    }
}

/// Which samples are taken: Prometheus' rules, with the same bounds for a whole batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    in_order_from: i64,
    /// Nothing out of order is taken when absent.
    out_of_order_from: Option<i64>,
    until: i64,
}

/// What a sample is to its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Newer than the newest.
    InOrder,
    /// At the time of the newest one: it must have the same value.
    AtNewest,
    /// Older than the newest, but not too old.
    OutOfOrder,
}

impl Window {
    /// Where a sample at `t` belongs in a series whose newest sample is at `newest`, `i64::MIN` for
    /// a series without samples.
    #[inline]
    pub(super) fn place(&self, newest: i64, t: i64) -> Result<Place, Reject> {
        if t > self.until {
            return Err(Reject::TooFarInFuture);
        }
        if t >= self.in_order_from {
            if t > newest {
                return Ok(Place::InOrder);
            }
            if t == newest {
                return Ok(Place::AtNewest);
            }
        }
        match self.out_of_order_from {
            Some(from) if t >= from => Ok(Place::OutOfOrder),
            Some(_) => Err(Reject::TooOld),
            None if t < self.in_order_from => Err(Reject::OutOfBounds),
            None => Err(Reject::OutOfOrder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_placed_as_prometheus_does() {
        let bounds = Bounds::new(0);
        let mut options = HeadOptions {
            chunk_range: 100,
            future_max: 50,
            ..HeadOptions::default()
        };
        // An empty head takes its bounds from the first sample of the batch.
        let window = bounds.window(&options, 1000, 900);
        assert_eq!(window.place(i64::MIN, 850), Ok(Place::InOrder));
        assert_eq!(window.place(i64::MIN, 849), Err(Reject::OutOfBounds));
        bounds.in_order.add((10, 1000));
        let window = bounds.window(&options, 1000, 900);
        assert_eq!(window.place(990, 1050), Ok(Place::InOrder));
        assert_eq!(window.place(990, 1051), Err(Reject::TooFarInFuture));
        assert_eq!(window.place(990, 990), Ok(Place::AtNewest));
        assert_eq!(window.place(990, 989), Err(Reject::OutOfOrder));
        assert_eq!(window.place(i64::MIN, 949), Err(Reject::OutOfBounds));
        options.out_of_order_window = 200;
        let window = bounds.window(&options, 1000, 900);
        assert_eq!(window.place(990, 989), Ok(Place::OutOfOrder));
        assert_eq!(window.place(i64::MIN, 949), Ok(Place::OutOfOrder));
        assert_eq!(window.place(i64::MIN, 800), Ok(Place::OutOfOrder));
        assert_eq!(window.place(i64::MIN, 799), Err(Reject::TooOld));
        bounds.raise_min_valid(995);
        let window = bounds.window(&options, 1000, 900);
        assert_eq!(window.place(980, 994), Ok(Place::OutOfOrder));
    }

    #[test]
    fn spans_grow_and_are_cut() {
        let span = Span::default();
        assert_eq!(span.get(), None);
        span.add((5, 7));
        span.add((1, 2));
        assert_eq!(span.get(), Some((1, 7)));
        span.cut_before(6);
        assert_eq!(span.get(), Some((6, 7)));
        span.cut_before(8);
        assert_eq!(span.get(), None);
    }
}
