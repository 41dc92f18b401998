//! Statistics of each operator of a query, kept when they are asked for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::columns::StepSeries;
use crate::error::Error;
use crate::plan::VectorNode;
use crate::stats::{FanOutStats, OperatorStats};

use super::{BoxedOperator, Context, Operator};

/// The operators of a query, as they are made and as they run.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    operators: Vec<Measured>,
    /// Those that are being made, the outermost first.
    making: Vec<usize>,
    /// Whom a source asked for the operator that is running.
    fan_out: Vec<FanOutStats>,
}

/// One operator; its inputs' figures are part of its own.
#[derive(Debug)]
struct Measured {
    parent: Option<usize>,
    stats: OperatorStats,
}

impl Profile {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an operator; all that are made before it is made are its inputs.
    fn enter(&self, node: &VectorNode) -> usize {
        let mut state = self.lock();
        let id = state.operators.len();
        let parent = state.making.last().copied();
        state.operators.push(Measured {
            parent,
            stats: OperatorStats {
                name: node.title(),
                ..OperatorStats::default()
            },
        });
        state.making.push(id);
        id
    }

    fn leave(&self, id: usize, work: &Work) {
        let mut state = self.lock();
        state.making.pop();
        work.add_to(&mut state.operators[id].stats);
    }

    /// A select is done, for the innermost operator that is running: it takes this when it yields.
    pub(super) fn add_fan_out(&self, stats: Vec<FanOutStats>) {
        self.lock().fan_out.extend(stats);
    }

    fn ran(&self, id: usize, work: &Work) {
        let mut state = self.lock();
        let fan_out = std::mem::take(&mut state.fan_out);
        let stats = &mut state.operators[id].stats;
        stats.fan_out.extend(fan_out);
        work.add_to(stats);
    }

    /// The operators as a tree for each one that is nobody's input, scalars' vectors among them.
    pub(crate) fn take(&self) -> Vec<OperatorStats> {
        let operators = std::mem::take(&mut self.lock().operators);
        let mut roots = Vec::new();
        let mut done: Vec<Option<Measured>> = operators.into_iter().map(Some).collect();
        // Inputs come after what they are inputs of.
        while let Some(operator) = done.pop() {
            let Some(Measured { parent, mut stats }) = operator else {
                continue;
            };
            stats.inputs.reverse();
            match parent.and_then(|parent| done[parent].as_mut()) {
                Some(parent) => parent.stats.inputs.push(stats),
                None => roots.push(stats),
            }
        }
        roots.reverse();
        roots
    }
}

/// What was done between two moments.
struct Work {
    time: Duration,
    samples: u64,
    samples_held: u64,
    series: u64,
}

impl Work {
    fn add_to(&self, stats: &mut OperatorStats) {
        stats.time += self.time;
        stats.samples += self.samples;
        stats.samples_peak = stats.samples_peak.max(self.samples_held);
        stats.series += self.series;
    }
}

/// Runs `work`, which says whether it yielded a series, and measures it.
fn measure<T>(ctx: &Context<'_>, work: impl FnOnce() -> (T, bool)) -> (T, Work) {
    let (begin, samples) = (Instant::now(), ctx.stats.samples());
    let (result, yielded) = work();
    let work = Work {
        time: begin.elapsed(),
        samples: ctx.stats.samples() - samples,
        samples_held: ctx.tracker.samples(),
        series: u64::from(yielded),
    };
    (result, work)
}

/// Makes an operator by `make`, and measures it from then on if that is asked for.
pub(super) fn profiled<'q>(
    node: &VectorNode,
    ctx: &'q Context<'q>,
    make: impl FnOnce() -> Result<BoxedOperator<'q>, Error>,
) -> Result<BoxedOperator<'q>, Error> {
    let Some(profile) = &ctx.profile else {
        return make();
    };
    let id = profile.enter(node);
    let (made, work) = measure(ctx, || (make(), false));
    profile.leave(id, &work);
    Ok(Box::new(Profiled {
        inner: made?,
        id,
        profile,
        ctx,
    }))
}

struct Profiled<'q> {
    inner: BoxedOperator<'q>,
    id: usize,
    profile: &'q Profile,
    ctx: &'q Context<'q>,
}

impl Operator for Profiled<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        let (result, work) = measure(self.ctx, || {
            let result = self.inner.next(out);
            let yielded = matches!(result, Ok(true));
            (result, yielded)
        });
        self.profile.ran(self.id, &work);
        result
    }
}
