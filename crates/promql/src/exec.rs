//! The operators: a tree that yields series, one at a time, each evaluated at all steps.
//!
//! [`vector`] makes the operator of a plan node. An operator pulls series from its inputs and owns
//! nothing of them longer than it must: scans, range functions and element-wise functions hold one
//! series, aggregations hold groups, joins hold the "one" side.
//!
//! Contract of [`Operator::next`]: it overwrites what it is given; a label set may come more than
//! once, but never with values at the same step (a *fragment*), so whoever needs whole series
//! merges them ([`merge::Merged`]).

mod absent;
mod aggregate;
mod batch;
mod binary;
mod binary_scalar;
mod distinct;
mod elementwise;
mod held;
mod histogram;
mod in_order;
mod info;
pub(crate) mod labels;
pub(crate) mod merge;
mod profile;
mod range_buckets;
mod range_call;
mod ranges;
mod relabel;
mod scalar;
mod scan;
mod shared;
mod sort;
mod subquery;

use crate::annotations::Notes;
use crate::columns::{StepSeries, Steps};
use crate::engine::Options;
use crate::error::Error;
use crate::executor::Executor;
use crate::limits::Tracker;
use crate::plan::VectorNode;
use crate::source::Source;
use crate::stats::Recorder;

use distinct::{DropName, Names};
pub(crate) use held::Held;
pub(crate) use in_order::InOrder;
pub(crate) use merge::Merged;
pub(crate) use profile::Profile;
pub(crate) use ranges::{RangeSeries, RangeSource, range_source};
pub(crate) use scalar::{ScalarColumn, apply as apply_scalar, eval as eval_scalar};
pub(crate) use shared::SharedSets;

/// What all operators of a running query share.
pub(crate) struct Context<'q> {
    pub(crate) source: &'q dyn Source,
    pub(crate) executor: &'q dyn Executor,
    pub(crate) options: &'q Options,
    pub(crate) tracker: Tracker,
    pub(crate) notes: Notes,
    pub(crate) shared: SharedSets,
    pub(crate) stats: Recorder,
    /// Present when statistics per operator are asked for.
    pub(crate) profile: Option<Profile>,
}

/// Yields series, one at a time.
pub(crate) trait Operator {
    /// Replaces `out` by the next series; false when there is none.
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error>;
}

/// An operator of some kind.
pub(crate) type BoxedOperator<'q> = Box<dyn Operator + 'q>;

/// The operator that evaluates `node` at `steps`.
pub(crate) fn vector<'q>(
    node: &'q VectorNode,
    steps: Steps,
    ctx: &'q Context<'q>,
) -> Result<BoxedOperator<'q>, Error> {
    profile::profiled(node, ctx, || make(node, steps, ctx))
}

fn make<'q>(
    node: &'q VectorNode,
    steps: Steps,
    ctx: &'q Context<'q>,
) -> Result<BoxedOperator<'q>, Error> {
    Ok(match node {
        VectorNode::Selector(s) => Box::new(scan::Scan::new(s, scan::Yield::Values, steps, ctx)),
        VectorNode::SelectorTimes { selector, starts } => {
            let what = if *starts {
                scan::Yield::StartTimes
            } else {
                scan::Yield::Times
            };
            let scan = Box::new(scan::Scan::new(selector, what, steps, ctx));
            let names = Names::of_selector(selector);
            Box::new(DropName::new(scan, names, steps.count == 1, ctx))
        }
        VectorNode::FromScalar(s) => {
            Box::new(scalar::FromScalar::new(eval_scalar(s, steps, ctx)?, steps))
        }
        VectorNode::RangeCall { .. } => range_call::build(node, steps, ctx)?,
        VectorNode::Map { func, args, input } => {
            let input = (vector(input, steps, ctx)?, Names::of(input));
            elementwise::build(*func, args, input, steps, ctx)?
        }
        VectorNode::Neg(input) => {
            elementwise::negate((vector(input, steps, ctx)?, Names::of(input)), ctx)
        }
        VectorNode::Absent { input, labels } => Box::new(absent::Absent::new(
            vector(input, steps, ctx)?,
            labels,
            steps,
        )),
        VectorNode::Relabel { rule, input } => {
            relabel::build(rule, vector(input, steps, ctx)?, ctx)?
        }
        VectorNode::Sort { order, input, pos } => {
            let input = vector(input, steps, ctx)?;
            sort::build(order, input, (*pos, steps), ctx)
        }
        VectorNode::Histogram { call, input, pos } => {
            let input = vector(input, steps, ctx)?;
            histogram::build(call, input, *pos, steps, ctx)?
        }
        VectorNode::Info(i) => Box::new(info::Info::new(
            i,
            vector(&i.input, steps, ctx)?,
            steps,
            ctx,
        )),
        VectorNode::Aggregate(a) => aggregate::build(a, steps, ctx)?,
        VectorNode::Binary(b) => binary::build(b, steps, ctx)?,
        VectorNode::BinaryScalar(b) => binary_scalar::build(b, steps, ctx)?,
        VectorNode::StepInvariant(inner) => {
            let once = Steps::instant(steps.start);
            Box::new(Broadcast {
                input: vector(inner, once, ctx)?,
                steps,
            })
        }
    })
}

/// Repeats the value of the first step at all steps.
struct Broadcast<'q> {
    input: BoxedOperator<'q>,
    steps: Steps,
}

impl Operator for Broadcast<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        let more = self.input.next(out)?;
        if more {
            out.column.broadcast(self.steps.count);
        }
        Ok(more)
    }
}
