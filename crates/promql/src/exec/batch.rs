//! Reads and evaluates several series at once.
//!
//! Series are pulled from the source one by one and handed to as many slots as the executor runs
//! jobs at once, a few rounds' worth. While a batch is evaluated, one of the jobs pulls the series
//! of the next. Results come out in the order of the source, so that sums are the same however many
//! threads there are.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::columns::{Samples, StepSeries};
use crate::error::Error;
use crate::source::{Series, SeriesSet};

use super::Context;
use super::scan::finish;

/// Reads and evaluates one series; says whether it has values.
pub(crate) type Evaluate<'a, W> =
    dyn Fn(&mut W, &mut dyn Series, &mut StepSeries) -> Result<bool, Error> + Sync + 'a;

/// Series that each thread of an executor gets in a batch.
const ROUNDS: usize = 16;

/// The memory that a job works in, kept from series to series.
pub(crate) trait Work: Send {
    /// Bytes of memory it owns.
    fn heap_bytes(&self) -> usize;
}

impl Work for Samples {
    fn heap_bytes(&self) -> usize {
        Self::heap_bytes(self)
    }
}

/// A series under evaluation and its result.
struct Slot {
    series: Option<Box<dyn Series>>,
    out: StepSeries,
    /// Whether `out` has values.
    result: Result<bool, Error>,
    /// Samples and bytes of `out` that are accounted for.
    held: (u64, u64),
}

impl Slot {
    /// Accounts for the result, which may have to wait for the ones before it.
    fn hold(&mut self, ctx: &Context<'_>) {
        if matches!(self.result, Ok(true)) {
            let column = &self.out.column;
            self.held = (column.sample_count(), column.heap_bytes() as u64);
            if let Err(error) = ctx.tracker.acquire(self.held.0, self.held.1) {
                self.result = Err(error);
            }
        }
    }

    fn release(&mut self, ctx: &Context<'_>) {
        let (samples, bytes) = std::mem::take(&mut self.held);
        ctx.tracker.release(samples, bytes);
    }
}

/// Where the series come from.
struct Feed {
    set: Box<dyn SeriesSet>,
    is_exhausted: bool,
    /// Series of the next batch.
    pulled: Vec<Box<dyn Series>>,
    /// Why no more could be pulled.
    failure: Option<Error>,
}

impl Feed {
    /// Pulls up to `count` series.
    fn pull(&mut self, count: usize, ctx: &Context<'_>) {
        while self.pulled.len() < count && !self.is_exhausted && self.failure.is_none() {
            let mut next = || self.set.next().map_err(|e| ctx.tracker.failed(e));
            match ctx.tracker.check().and_then(|()| next()) {
                Ok(Some(series)) => {
                    ctx.stats.add_series();
                    self.pulled.push(series);
                }
                Ok(None) => {
                    self.is_exhausted = true;
                    finish(&mut *self.set, ctx);
                }
                Err(error) => self.failure = Some(error),
            }
        }
    }
}

/// The memory of jobs that do not run, each with the bytes of it that are accounted for.
struct Idle<'q, W> {
    works: Mutex<Vec<(W, u64)>>,
    make: Box<dyn Fn() -> W + Sync + 'q>,
}

impl<W: Work> Idle<'_, W> {
    /// Runs `job` in memory that another job left, if there is any.
    fn with<R>(
        &self,
        ctx: &Context<'_>,
        job: impl FnOnce(&mut W) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let left = lock(&self.works).pop();
        let (mut work, held) = left.unwrap_or_else(|| ((self.make)(), 0));
        let result = job(&mut work);
        let bytes = work.heap_bytes() as u64;
        let acquired = match bytes.checked_sub(held) {
            Some(more) => ctx.tracker.acquire(0, more),
            None => {
                ctx.tracker.release(0, held - bytes);
                Ok(())
            }
        };
        lock(&self.works).push((work, bytes));
        acquired.and(result)
    }
}

/// Evaluates the series of a set, as many at once as the executor can. What the slots hold and what
/// the jobs work in counts against the limits of the query.
pub(crate) struct Batches<'q, W: Work> {
    feed: Mutex<Feed>,
    slots: Vec<Mutex<Slot>>,
    idle: Idle<'q, W>,
    /// Slots that hold a result, in the order of the source.
    ready: VecDeque<usize>,
    ctx: &'q Context<'q>,
}

impl<'q, W: Work> Batches<'q, W> {
    /// `work` makes the memory of one job.
    pub(crate) fn new(
        set: Box<dyn SeriesSet>,
        work: impl Fn() -> W + Sync + 'q,
        ctx: &'q Context<'q>,
    ) -> Self {
        let width = ctx.executor.width();
        let slots = if width > 1 { width * ROUNDS } else { 1 };
        let slot = || {
            Mutex::new(Slot {
                series: None,
                out: StepSeries::default(),
                result: Ok(false),
                held: (0, 0),
            })
        };
        Self {
            feed: Mutex::new(Feed {
                set,
                is_exhausted: false,
                pulled: Vec::new(),
                failure: None,
            }),
            slots: std::iter::repeat_with(slot).take(slots).collect(),
            idle: Idle {
                works: Mutex::default(),
                make: Box::new(work),
            },
            ready: VecDeque::new(),
            ctx,
        }
    }

    /// Swaps the next series that has values into `out`; false when there is none. `evaluate` reads
    /// and evaluates one series, and says whether it has values.
    pub(crate) fn next(
        &mut self,
        out: &mut StepSeries,
        evaluate: &Evaluate<'_, W>,
    ) -> Result<bool, Error> {
        loop {
            while let Some(index) = self.ready.pop_front() {
                let slot = unlocked(&mut self.slots[index]);
                slot.release(self.ctx);
                if std::mem::replace(&mut slot.result, Ok(false))? {
                    std::mem::swap(out, &mut slot.out);
                    return Ok(true);
                }
            }
            self.fill()?;
            match self.ready.len() {
                0 => return Ok(false),
                1 => self.evaluate(0, evaluate),
                // The first job is to pull the next batch.
                ready => {
                    let count = self.slots.len();
                    self.ctx.executor.run(ready + 1, &|job| match job {
                        0 => lock(&self.feed).pull(count, self.ctx),
                        job => self.evaluate(job - 1, evaluate),
                    });
                }
            }
        }
    }

    /// Gives every slot a series that was pulled before, or pulls them now.
    fn fill(&mut self) -> Result<(), Error> {
        let feed = unlocked(&mut self.feed);
        if feed.pulled.is_empty() {
            feed.pull(self.slots.len(), self.ctx);
        }
        if let (true, Some(error)) = (feed.pulled.is_empty(), feed.failure.take()) {
            return Err(error);
        }
        for (index, series) in feed.pulled.drain(..).enumerate() {
            unlocked(&mut self.slots[index]).series = Some(series);
            self.ready.push_back(index);
        }
        Ok(())
    }

    /// Evaluates the series in a slot.
    fn evaluate(&self, index: usize, evaluate: &Evaluate<'_, W>) {
        let mut slot = lock(&self.slots[index]);
        let Slot {
            series,
            out,
            result,
            ..
        } = &mut *slot;
        if let Some(mut series) = series.take() {
            let job = |work: &mut W| evaluate(work, &mut *series, out);
            // Of a batch that takes long the rest need not be done once the query is stopped.
            *result = (self.ctx.tracker.check()).and_then(|()| self.idle.with(self.ctx, job));
        }
        // A single slot is passed on at once, to who accounts for it.
        if self.slots.len() > 1 {
            slot.hold(self.ctx);
        }
    }
}

impl<W: Work> Drop for Batches<'_, W> {
    /// Gives back what was not asked for.
    fn drop(&mut self) {
        for slot in &mut self.slots {
            unlocked(slot).release(self.ctx);
        }
        for (_, held) in unlocked(&mut self.idle.works) {
            self.ctx.tracker.release(0, *held);
        }
    }
}

/// A job that panicked takes the query down; what it left in a slot is not looked at again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unlocked<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}
