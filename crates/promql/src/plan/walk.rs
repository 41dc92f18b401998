//! Walks over plans that change nodes.

use super::{AggregateParam, HistogramCall, Plan, RangeNode, ScalarNode, Selector, VectorNode};

/// What a walk does with the nodes; children come before their parents.
pub(crate) trait Rewrite {
    /// Changes a vector.
    fn vector(&mut self, _: &mut VectorNode) {}

    /// Changes a selector.
    fn selector(&mut self, _: &mut Selector) {}

    /// Changes a scalar.
    fn scalar(&mut self, _: &mut ScalarNode) {}
}

impl Plan {
    /// Walks the whole plan.
    pub(crate) fn rewrite(&mut self, with: &mut dyn Rewrite) {
        match self {
            Self::Scalar(s) => s.rewrite(with),
            Self::Vector(v) => v.rewrite(with),
            Self::Range(r) => r.rewrite(with),
            Self::String(_) => {}
        }
    }
}

impl RangeNode {
    fn rewrite(&mut self, with: &mut dyn Rewrite) {
        match self {
            Self::Matrix { selector, .. } => with.selector(selector),
            Self::Subquery(s) => s.input.rewrite(with),
        }
    }
}

impl ScalarNode {
    fn rewrite(&mut self, with: &mut dyn Rewrite) {
        match self {
            Self::Number(_) | Self::Time => {}
            Self::FromVector(v) => v.rewrite(with),
            Self::Neg(s) | Self::StepInvariant(s) => s.rewrite(with),
            Self::Binary(_, pair) => {
                pair.0.rewrite(with);
                pair.1.rewrite(with);
            }
        }
        with.scalar(self);
    }
}

impl VectorNode {
    fn rewrite(&mut self, with: &mut dyn Rewrite) {
        match self {
            Self::Selector(selector) | Self::SelectorTimes { selector, .. } => {
                with.selector(selector);
            }
            Self::FromScalar(s) => s.rewrite(with),
            Self::RangeCall { args, input, .. } => {
                args.iter_mut().for_each(|a| a.rewrite(with));
                input.rewrite(with);
            }
            Self::Map { args, input, .. } => {
                args.iter_mut().for_each(|a| a.rewrite(with));
                input.rewrite(with);
            }
            Self::Neg(input)
            | Self::Absent { input, .. }
            | Self::Relabel { input, .. }
            | Self::Sort { input, .. }
            | Self::StepInvariant(input) => input.rewrite(with),
            Self::Histogram { call, input, .. } => {
                match call {
                    HistogramCall::Quantile { q, .. } | HistogramCall::Ranges { q } => {
                        q.rewrite(with)
                    }
                    HistogramCall::Fraction { lower, upper } => {
                        lower.rewrite(with);
                        upper.rewrite(with);
                    }
                    HistogramCall::Quantiles { qs, .. } => {
                        qs.iter_mut().for_each(|(q, _)| q.rewrite(with));
                    }
                }
                input.rewrite(with);
            }
            Self::Info(i) => i.input.rewrite(with),
            Self::Aggregate(a) => {
                if let AggregateParam::Scalar(s) = &mut a.param {
                    s.rewrite(with);
                }
                a.input.rewrite(with);
            }
            Self::Binary(b) => {
                b.lhs.rewrite(with);
                b.rhs.rewrite(with);
            }
            Self::BinaryScalar(b) => {
                b.scalar.rewrite(with);
                b.vector.rewrite(with);
            }
        }
        with.vector(self);
    }

    /// What this node yields the series of.
    pub(crate) fn origin(&mut self) -> Origin<'_> {
        match self {
            Self::Selector(selector) | Self::SelectorTimes { selector, .. } => {
                Origin::Selector(selector)
            }
            Self::RangeCall { input, .. } => match &mut **input {
                RangeNode::Matrix { selector, .. } => Origin::Selector(selector),
                RangeNode::Subquery(s) => Origin::Node(&mut s.input),
            },
            Self::Map { input, .. }
            | Self::Neg(input)
            | Self::Relabel { input, .. }
            | Self::Sort { input, .. }
            | Self::Histogram { input, .. }
            | Self::StepInvariant(input) => Origin::Node(input),
            Self::BinaryScalar(b) => Origin::Node(&mut b.vector),
            Self::FromScalar(_)
            | Self::Absent { .. }
            | Self::Info(_)
            | Self::Aggregate(_)
            | Self::Binary(_) => Origin::Own,
        }
    }

    /// The selector whose series this node yields one by one, with all their labels but perhaps the
    /// metric name; `None` when it is not that simple.
    pub(crate) fn selector_of_series(&mut self) -> Option<&mut Selector> {
        if matches!(self, Self::Relabel { .. } | Self::Histogram { .. }) {
            return None;
        }
        match self.origin() {
            Origin::Selector(selector) => Some(selector),
            Origin::Node(input) => input.selector_of_series(),
            Origin::Own => None,
        }
    }
}

/// What the series of a node come from, one by one or several at a time. Their labels stay, but for
/// the metric name and for what relabelling and histogram functions write or take away.
pub(crate) enum Origin<'a> {
    /// From the source.
    Selector(&'a mut Selector),
    /// From its only input.
    Node(&'a mut VectorNode),
    /// It makes them itself, of several inputs or of none, or with labels of its own.
    Own,
}
