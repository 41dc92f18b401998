//! Limits of one query, and the tracker that holds a running query to them.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;

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
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// True once the query was stopped.
    pub fn is_cancelled(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
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
    is_exhausted: AtomicBool,
}

impl Tracker {
    pub(crate) fn new(limits: Limits, cancellation: Cancellation) -> Self {
        Self {
            limits,
            cancellation,
            deadline: Instant::now().checked_add(limits.timeout),
            samples: AtomicU64::new(0),
            samples_peak: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bytes_peak: AtomicU64::new(0),
            is_exhausted: AtomicBool::new(false),
        }
    }

    /// The limit that was reached.
    #[cold]
    fn exhausted(&self) -> Error {
        self.is_exhausted.store(true, Ordering::Relaxed);
        if self.samples_peak() > self.limits.samples_max {
            return Error::TooManySamples;
        }
        Error::TooManyBytes {
            limit: self.limits.bytes_max,
        }
    }

    /// Fails when the query was cancelled, or reached a limit, or its time is up. Called for every series; long work on
    /// one is done at a [`Pace`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cancellation.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if self.is_exhausted.load(Ordering::Relaxed) {
            return Err(self.exhausted());
        }
        if self.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(Error::Timeout);
        }
        Ok(())
    }

    /// Accounts for columns taken into memory.
    pub(crate) fn acquire(&self, samples: u64, bytes: u64) -> Result<(), Error> {
        let now = self.samples.fetch_add(samples, Ordering::Relaxed) + samples;
        self.samples_peak.fetch_max(now, Ordering::Relaxed);
        if now > self.limits.samples_max {
            return Err(self.exhausted());
        }
        let now = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes_peak.fetch_max(now, Ordering::Relaxed);
        if now > self.limits.bytes_max {
            return Err(self.exhausted());
        }
        Ok(())
    }

    /// Gives back what [`Tracker::acquire`] took.
    pub(crate) fn release(&self, samples: u64, bytes: u64) {
        self.samples.fetch_sub(samples, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Samples held now.
    pub(crate) fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    pub(crate) fn samples_peak(&self) -> u64 {
        self.samples_peak.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes_peak(&self) -> u64 {
        self.bytes_peak.load(Ordering::Relaxed)
    }
}

/// Looks out for the end of a query in the middle of long work, without a look at the clock for
/// every bit of it.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    tracker: &'a Tracker,
    /// Work since the last look.
    done: Cell<u64>,
    is_stopped: Cell<bool>,
}

impl<'a> Pace<'a> {
    /// Work between two looks; a unit is about what one sample takes, nanoseconds.
    const STRIDE: u64 = 1 << 18;

    pub(crate) const fn new(tracker: &'a Tracker) -> Self {
        Self {
            tracker,
            done: Cell::new(0),
            is_stopped: Cell::new(false),
        }
    }

    /// Accounts for work that is about to be done. False when the query ends, so that the work need
    /// not be done; [`Pace::finish`] says why.
    #[inline]
    pub(crate) fn goes_on(&self, work: usize) -> bool {
        let done = self.done.get().saturating_add(work as u64);
        self.done.set(done);
        done < Self::STRIDE || self.look()
    }

    #[cold]
    fn look(&self) -> bool {
        if self.tracker.check().is_err() {
            self.is_stopped.set(true);
            return false;
        }
        self.done.set(0);
        true
    }

    /// As [`Pace::goes_on`], for loops that can fail.
    pub(crate) fn spend(&self, work: usize) -> Result<(), Error> {
        self.goes_on(work);
        self.finish()
    }

    /// Fails when the query ended before the work did.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        match self.is_stopped.get() {
            true => self.tracker.check(),
            false => Ok(()),
        }
    }
}
