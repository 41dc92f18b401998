//! Reads and evaluates several series at once.
//!
//! Series are pulled from the source one by one and handed to as many slots as the executor runs
//! jobs at once, a few rounds' worth. Results come out in the order of the source, so that sums are
//! the same however many threads there are.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::columns::StepSeries;
use crate::error::Error;
use crate::source::{Series, SeriesSet};

use super::Context;
use super::scan::finish;

/// Reads and evaluates one series; says whether it has values.
pub(crate) type Evaluate<'a, W> =
    dyn Fn(&mut W, &mut dyn Series, &mut StepSeries) -> Result<bool, Error> + Sync + 'a;

/// Series that each slot of an executor gets in a batch.
const ROUNDS: usize = 16;

/// The memory that one job works in.
struct Slot<W> {
    work: W,
    series: Option<Box<dyn Series>>,
    out: StepSeries,
    /// Whether `out` has values.
    result: Result<bool, Error>,
    /// Samples and bytes of `out` that are accounted for.
    held: (u64, u64),
}

impl<W> Slot<W> {
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

/// Evaluates the series of a set, as many at once as the executor can. What the slots hold counts
/// against the limits of the query until it is passed on.
pub(crate) struct Batches<'q, W> {
    set: Box<dyn SeriesSet>,
    slots: Vec<Mutex<Slot<W>>>,
    /// Slots that hold a result, in the order of the source.
    ready: VecDeque<usize>,
    exhausted: bool,
    ctx: &'q Context<'q>,
}

impl<'q, W: Send> Batches<'q, W> {
    /// `work` makes the memory of one job.
    pub(crate) fn new(
        set: Box<dyn SeriesSet>,
        mut work: impl FnMut() -> W,
        ctx: &'q Context<'q>,
    ) -> Self {
        let width = ctx.executor.width();
        let slots = if width > 1 { width * ROUNDS } else { 1 };
        let slot = || {
            Mutex::new(Slot {
                work: work(),
                series: None,
                out: StepSeries::default(),
                result: Ok(false),
                held: (0, 0),
            })
        };
        Self {
            set,
            slots: std::iter::repeat_with(slot).take(slots).collect(),
            ready: VecDeque::new(),
            exhausted: false,
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
                let slot = self.slots[index].get_mut().expect("no job panicked");
                slot.release(self.ctx);
                if std::mem::replace(&mut slot.result, Ok(false))? {
                    std::mem::swap(out, &mut slot.out);
                    return Ok(true);
                }
            }
            if self.exhausted {
                return Ok(false);
            }
            self.fill()?;
            let (slots, ctx) = (&self.slots, self.ctx);
            ctx.executor.run(self.ready.len(), &|index| {
                let mut slot = slots[index].lock().expect("no job panicked");
                let Slot {
                    work,
                    series,
                    out,
                    result,
                    ..
                } = &mut *slot;
                if let Some(mut series) = series.take() {
                    *result = evaluate(work, &mut *series, out);
                }
                // A single slot is passed on at once, to who accounts for it.
                if slots.len() > 1 {
                    slot.hold(ctx);
                }
            });
        }
    }

    /// Gives every slot a series.
    fn fill(&mut self) -> Result<(), Error> {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            self.ctx.tracker.check()?;
            let Some(series) = self.set.next()? else {
                self.exhausted = true;
                finish(&mut *self.set, self.ctx);
                break;
            };
            self.ctx.stats.add_series();
            slot.get_mut().expect("no job panicked").series = Some(series);
            self.ready.push_back(index);
        }
        Ok(())
    }
}

impl<W> Drop for Batches<'_, W> {
    /// Gives back what was not asked for.
    fn drop(&mut self) {
        for slot in &mut self.slots {
            if let Ok(slot) = slot.get_mut() {
                slot.release(self.ctx);
            }
        }
    }
}
