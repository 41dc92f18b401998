//! Limits of one query, and the tracker that holds a running query to them.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use model::stop::{self, Stopped};
use model::{ErrorKind, Stop};

use crate::columns::Column;
use crate::error::Error;
use crate::source::SourceError;

/// What one query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most samples held in memory at once.
    pub samples_max: u64,
    /// Most bytes of columns held in memory at once, estimated.
    pub bytes_max: u64,
    /// Most steps of a range query.
    pub steps_max: usize,
    /// Most steps of a subquery.
    pub subquery_steps_max: usize,
    /// Most wall time.
    pub timeout: Duration,
}

impl Default for Limits {
    /// Prometheus' defaults where it has them; 2 GiB of columns.
    fn default() -> Self {
        Self {
            samples_max: 50_000_000,
            bytes_max: 2 << 30,
            steps_max: 11_000,
            subquery_steps_max: 10_000_000,
            timeout: Duration::from_secs(120),
        }
    }
}

/// Stops a running query from outside. Clones stop the same query.
#[derive(Debug, Clone, Default)]
pub struct Cancellation {
    stopped: Arc<AtomicBool>,
}

impl Cancellation {
    /// A query that runs until somebody calls [`Cancellation::cancel`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the query at its next series.
    pub fn cancel(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// True once the query was stopped.
    pub fn is_cancelled(&self) -> bool {
        self.stopped.load(Relaxed)
    }
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// What a running query holds now and held at most.
#[derive(Debug)]
pub(crate) struct Tracker {
    limits: Limits,
    cancellation: Cancellation,
    deadline: Option<Instant>,
    samples: AtomicU64,
    samples_peak: AtomicU64,
    bytes: AtomicU64,
    bytes_peak: AtomicU64,
    /// A limit was reached by one of the threads of the query, which is to stop the others.
    is_exhausted: Arc<AtomicBool>,
    /// Asked for as soon as [`Tracker::check`] fails.
    stop: Stop,
}

impl Tracker {
    pub(crate) fn new(limits: Limits, cancellation: Cancellation) -> Self {
        let deadline = Instant::now().checked_add(limits.timeout);
        let is_exhausted = Arc::new(AtomicBool::new(false));
        let (cancelled, exhausted) = (cancellation.clone(), Arc::clone(&is_exhausted));
        let stop = Stop::when(move || {
            cancelled.is_cancelled() || exhausted.load(Relaxed) || is_over(deadline)
        });
        Self {
            limits,
            cancellation,
            deadline,
            samples: AtomicU64::new(0),
            samples_peak: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bytes_peak: AtomicU64::new(0),
            is_exhausted,
            stop,
        }
    }

    /// The limit that was reached.
    #[cold]
    fn exhausted(&self) -> Error {
        self.is_exhausted.store(true, Relaxed);
        if self.samples_peak() > self.limits.samples_max {
            return Error::TooManySamples {
                held: self.samples_peak(),
                limit: self.limits.samples_max,
            };
        }
        Error::TooManyBytes {
            held: self.bytes_peak(),
            limit: self.limits.bytes_max,
        }
    }

    /// Fails when the query was cancelled, or reached a limit, or its time is up. Called for every series; long work on
    /// one is done at a [`Pace`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cancellation.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if self.is_exhausted.load(Relaxed) {
            return Err(self.exhausted());
        }
        if is_over(self.deadline) {
            return Err(Error::Timeout {
                limit: self.limits.timeout,
            });
        }
        Ok(())
    }

    /// Ends work on the query once it is to end.
    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Why the query is to end, as its stop said.
    fn why(&self) -> Error {
        // What a stop once said it says for ever.
        self.check().err().unwrap_or(Error::Cancelled)
    }

    /// What the query fails with when its source does: the reason for its own end, if the source
    /// stopped because of that.
    pub(crate) fn failed(&self, error: SourceError) -> Error {
        match (error.kind, self.check()) {
            (ErrorKind::Cancelled, Err(end)) => end,
            _ => error.into(),
        }
    }

    /// Accounts for columns taken into memory, also when that is too much.
    pub(crate) fn acquire(&self, samples: u64, bytes: u64) -> Result<(), Error> {
        let samples = self.samples.fetch_add(samples, Relaxed) + samples;
        let bytes = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        self.samples_peak.fetch_max(samples, Relaxed);
        self.bytes_peak.fetch_max(bytes, Relaxed);
        if samples > self.limits.samples_max || bytes > self.limits.bytes_max {
            return Err(self.exhausted());
        }
        Ok(())
    }

    /// Gives back what [`Tracker::acquire`] took.
    pub(crate) fn release(&self, samples: u64, bytes: u64) {
        self.samples.fetch_sub(samples, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// Samples held now.
    pub(crate) fn samples(&self) -> u64 {
        self.samples.load(Relaxed)
    }

    pub(crate) fn samples_peak(&self) -> u64 {
        self.samples_peak.load(Relaxed)
    }

    pub(crate) fn bytes_peak(&self) -> u64 {
        self.bytes_peak.load(Relaxed)
    }
}

/// Samples and bytes that are accounted for, until it is dropped.
#[derive(Debug)]
pub(crate) struct Holding<'a> {
    tracker: &'a Tracker,
    samples: u64,
    bytes: u64,
}

impl<'a> Holding<'a> {
    /// Nothing yet.
    pub(crate) const fn new(tracker: &'a Tracker) -> Self {
        Self {
            tracker,
            samples: 0,
            bytes: 0,
        }
    }

    /// Accounts for more.
    pub(crate) fn add(&mut self, samples: u64, bytes: u64) -> Result<(), Error> {
        self.samples += samples;
        self.bytes += bytes;
        self.tracker.acquire(samples, bytes)
    }

    /// Accounts for a column.
    pub(crate) fn add_column(&mut self, column: &Column) -> Result<(), Error> {
        self.add(column.sample_count(), column.heap_bytes() as u64)
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.tracker.release(self.samples, self.bytes);
    }
}

/// Looks out for the end of a query in the middle of long work, without a look at the clock for
/// every bit of it.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    tracker: &'a Tracker,
    pace: stop::Pace<'a>,
}

impl<'a> Pace<'a> {
    pub(crate) const fn new(tracker: &'a Tracker) -> Self {
        Self {
            tracker,
            pace: stop::Pace::new(&tracker.stop),
        }
    }

    /// Accounts for work that is about to be done; a unit is about what one sample takes, a
    /// nanosecond. False when the query ends, so that the work need not be done; [`Pace::finish`]
    /// says why.
    #[inline]
    pub(crate) fn goes_on(&self, work: usize) -> bool {
        self.pace.goes_on(work)
    }

    /// As [`Pace::goes_on`], for loops that can fail.
    pub(crate) fn spend(&self, work: usize) -> Result<(), Error> {
        self.goes_on(work);
        self.finish()
    }

    /// Fails when the query ended before the work did.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        match self.pace.finish() {
            Ok(()) => Ok(()),
            Err(Stopped) => Err(self.tracker.why()),
        }
    }

    /// Sorts, unless the query ends before that is done.
    pub(crate) fn sort_by<T>(
        &self,
        items: &mut Vec<T>,
        compare: impl Fn(&T, &T) -> Ordering,
    ) -> Result<(), Error> {
        stop::sort_by(items, &self.pace, compare).map_err(|Stopped| self.tracker.why())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_the_query_ends_a_sort() {
        let tracker = || {
            let cancellation = Cancellation::new();
            let limits = Limits {
                samples_max: 10,
                ..Limits::default()
            };
            (Tracker::new(limits, cancellation.clone()), cancellation)
        };
        let sort = |tracker: &Tracker| {
            let mut items: Vec<u32> = (0..100_000).rev().collect();
            let result = Pace::new(tracker).sort_by(&mut items, u32::cmp);
            assert_eq!(items.len(), 100_000);
            result.map(|()| items.is_sorted())
        };
        let (running, _) = tracker();
        assert!(sort(&running).is_ok_and(|is_sorted| is_sorted));
        let (cancelled, cancellation) = tracker();
        cancellation.cancel();
        assert!(matches!(sort(&cancelled), Err(Error::Cancelled)));
        let (full, _) = tracker();
        assert!(matches!(
            full.acquire(11, 0),
            Err(Error::TooManySamples {
                held: 11,
                limit: 10
            })
        ));
        assert!(matches!(sort(&full), Err(Error::TooManySamples { .. })));
    }

    #[test]
    fn what_is_held_is_given_back() {
        let tracker = Tracker::new(Limits::default(), Cancellation::new());
        let mut holding = Holding::new(&tracker);
        holding.add(3, 100).unwrap();
        holding.add(4, 50).unwrap();
        assert_eq!(tracker.samples(), 7);
        drop(holding);
        assert_eq!(tracker.samples(), 0);
        assert_eq!((tracker.samples_peak(), tracker.bytes_peak()), (7, 150));
    }
}
