//! Finds, for each selector by itself, the time that its samples can be from.
//!
//! A selector in a subquery looks further back, one with `@` stands still, one that is evaluated once
//! needs no more than one step: a source that is asked for exactly this opens fewer blocks.

use model::TimeRange;

use crate::ast::RangeExtension;
use crate::columns::Steps;
use crate::plan::{
    AggregateParam, HistogramCall, Plan, RangeNode, ScalarNode, Selector, SubqueryNode, VectorNode,
};

pub(super) struct NarrowTime {
    /// How old a sample may be to count at an instant, in milliseconds.
    pub(super) lookback_ms: i64,
}

impl Selector {
    /// The range that holds every sample that the instants of `steps` may look at.
    pub(crate) fn instants_range(&self, steps: Steps, lookback_ms: i64) -> TimeRange {
        let ahead = match self.extension {
            Some(RangeExtension::Smoothed) => lookback_ms,
            _ => 0,
        };
        let first = self.reference(steps.start).saturating_sub(lookback_ms);
        TimeRange::closed(
            first.saturating_add(1),
            self.reference(steps.end()).saturating_add(ahead),
        )
    }

    /// The range that holds every sample that the windows of `steps` may look at.
    fn windows_range(&self, range_ms: i64, steps: Steps, lookback_ms: i64) -> TimeRange {
        let (behind, ahead) = match self.extension {
            None => (0, 0),
            Some(RangeExtension::Anchored) => (lookback_ms, 0),
            Some(RangeExtension::Smoothed) => (lookback_ms, lookback_ms),
        };
        let first = self.reference(steps.start).saturating_sub(range_ms);
        TimeRange::closed(
            first.saturating_sub(behind).saturating_add(1),
            self.reference(steps.end()).saturating_add(ahead),
        )
    }
}

impl SubqueryNode {
    /// The instants at which the inner expression is evaluated: all multiples of the subquery's step
    /// that a window of `steps` may look at.
    pub(crate) fn inner_steps(&self, steps: Steps) -> Steps {
        let reference = |t| self.at.unwrap_or(t).saturating_sub(self.offset_ms);
        let first = reference(steps.start).saturating_sub(self.range_ms);
        let range = TimeRange::closed(first.saturating_add(1), reference(steps.end()));
        let step = self.step_ms.max(1);
        let first = range.min.div_euclid(step) + i64::from(range.min.rem_euclid(step) != 0);
        let start = first.saturating_mul(step);
        Steps::range(start, range.max.saturating_sub(1), step)
    }
}

impl NarrowTime {
    pub(super) fn apply(&self, plan: &mut Plan, steps: Steps) {
        match plan {
            Plan::Scalar(node) => self.scalar(node, steps),
            Plan::Vector(node) => self.vector(node, steps),
            Plan::Range(node) => self.range(node, steps),
            Plan::String(_) => {}
        }
    }

    fn range(&self, node: &mut RangeNode, steps: Steps) {
        match node {
            RangeNode::Matrix {
                selector, range_ms, ..
            } => selector.range = selector.windows_range(*range_ms, steps, self.lookback_ms),
            RangeNode::Subquery(s) => {
                let inner = s.inner_steps(steps);
                self.vector(&mut s.input, inner);
            }
        }
    }

    fn scalar(&self, node: &mut ScalarNode, steps: Steps) {
        match node {
            ScalarNode::Number(_) | ScalarNode::Time => {}
            ScalarNode::FromVector(input) => self.vector(input, steps),
            ScalarNode::Neg(input) => self.scalar(input, steps),
            ScalarNode::StepInvariant(input) => self.scalar(input, Steps::instant(steps.start)),
            ScalarNode::Binary(_, pair) => {
                self.scalar(&mut pair.0, steps);
                self.scalar(&mut pair.1, steps);
            }
        }
    }

    fn vector(&self, node: &mut VectorNode, steps: Steps) {
        match node {
            VectorNode::Selector(selector) | VectorNode::SelectorTimes { selector, .. } => {
                selector.range = selector.instants_range(steps, self.lookback_ms);
            }
            VectorNode::FromScalar(input) => self.scalar(input, steps),
            VectorNode::RangeCall { args, input, .. } => {
                args.iter_mut().for_each(|arg| self.scalar(arg, steps));
                self.range(input, steps);
            }
            VectorNode::Map { args, input, .. } => {
                args.iter_mut().for_each(|arg| self.scalar(arg, steps));
                self.vector(input, steps);
            }
            VectorNode::Neg(input)
            | VectorNode::Absent { input, .. }
            | VectorNode::Relabel { input, .. }
            | VectorNode::Sort { input, .. } => self.vector(input, steps),
            VectorNode::StepInvariant(input) => self.vector(input, Steps::instant(steps.start)),
            VectorNode::Histogram { call, input, .. } => {
                match call {
                    HistogramCall::Quantile { q, .. } | HistogramCall::Ranges { q } => {
                        self.scalar(q, steps)
                    }
                    HistogramCall::Fraction { lower, upper } => {
                        self.scalar(lower, steps);
                        self.scalar(upper, steps);
                    }
                    HistogramCall::Quantiles { qs, .. } => {
                        qs.iter_mut().for_each(|(q, _)| self.scalar(q, steps));
                    }
                }
                self.vector(input, steps);
            }
            VectorNode::Info(i) => self.vector(&mut i.input, steps),
            VectorNode::Aggregate(a) => {
                if let AggregateParam::Scalar(param) = &mut a.param {
                    self.scalar(param, steps);
                }
                self.vector(&mut a.input, steps);
            }
            VectorNode::Binary(b) => {
                self.vector(&mut b.lhs, steps);
                self.vector(&mut b.rhs, steps);
            }
            VectorNode::BinaryScalar(b) => {
                self.scalar(&mut b.scalar, steps);
                self.vector(&mut b.vector, steps);
            }
        }
    }
}
