//! Makes sure that no label set has two values at one step.
//!
//! Series become equal when a function drops their names. In a range query, series that became
//! equal are one series if they have no step in common, and an error if they have.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher};

use crate::columns::{Bitmap, StepSeries};
use crate::error::Error;
use crate::plan::{RangeNode, Selector, VectorNode};

use super::labels;
use super::range_call::keeps_name;
use super::{BoxedOperator, Context, Operator};

/// What Prometheus says when two series are one.
pub(crate) const SAME_LABELSET: &str = "vector cannot contain metrics with the same labelset";

/// Remembers the steps of each label set seen.
#[derive(Debug, Default)]
pub(crate) struct StepGuard {
    seen: HashMap<u128, Bitmap>,
    /// Two series with one label set are an error even if they share no step.
    strict: bool,
}

impl StepGuard {
    /// A guard; a strict one refuses equal series even if they share no step.
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            seen: HashMap::new(),
            strict,
        }
    }

    /// Fails when a step of `series` was seen before for its labels.
    pub(crate) fn admit(&mut self, series: &StepSeries) -> Result<(), Error> {
        let present = self.steps(series);
        match self.seen.entry(labels::hash(&series.labels)) {
            Entry::Vacant(slot) => {
                slot.insert(present);
            }
            Entry::Occupied(slot) if self.strict || slot.get().intersects(&present) => {
                return Err(Error::execution(SAME_LABELSET));
            }
            Entry::Occupied(mut slot) => slot.get_mut().union(&present),
        }
        Ok(())
    }

    /// As [`StepGuard::admit`], but does not remember `series`.
    fn compare(&self, series: &StepSeries) -> Result<(), Error> {
        if self.seen.is_empty() {
            return Ok(());
        }
        let twin = self.seen.get(&labels::hash(&series.labels));
        match twin.is_some_and(|twin| self.strict || twin.intersects(&self.steps(series))) {
            true => Err(Error::execution(SAME_LABELSET)),
            false => Ok(()),
        }
    }

    fn steps(&self, series: &StepSeries) -> Bitmap {
        match self.strict {
            true => Bitmap::default(),
            false => series.column.present(),
        }
    }
}

/// What is known of the series that lose their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// They may differ in their names alone.
    Any,
    /// They are of one metric, distinct and in order of labels, so that only the other labels that go
    /// with the name could make two of them equal.
    One,
    /// They lost their names before, or have one for all, and stayed distinct.
    Gone,
}

impl Names {
    /// What is known of the series that `selector` yields.
    pub(crate) fn of_selector(selector: &Selector) -> Self {
        let is_name = |m: &Matcher| m.name() == METRIC_NAME && m.op() == MatchOp::Equal;
        match selector.matchers.iter().any(is_name) {
            true => Self::One,
            false => Self::Any,
        }
    }

    /// What is known of the series that `node` yields, if names go as soon as values change.
    pub(crate) fn of(node: &VectorNode) -> Self {
        match node {
            VectorNode::Selector(selector) => Self::of_selector(selector),
            VectorNode::SelectorTimes { selector, .. } => Self::of_selector(selector).dropped(),
            VectorNode::RangeCall { func, input, .. } => match keeps_name(*func) {
                true => Self::of_range(input),
                false => Self::of_range(input).dropped(),
            },
            VectorNode::Map { input, .. } | VectorNode::Neg(input) => Self::of(input).dropped(),
            _ => Self::Any,
        }
    }

    /// What is known of the series of a range vector.
    pub(crate) fn of_range(node: &RangeNode) -> Self {
        match node {
            RangeNode::Matrix { selector, .. } => Self::of_selector(selector),
            RangeNode::Subquery(_) => Self::Any,
        }
    }

    const fn dropped(self) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::One | Self::Gone => Self::Gone,
        }
    }
}

/// Drops metric names, or marks them to be dropped, and guards against equal series.
pub(crate) struct DropName<'q> {
    input: BoxedOperator<'q>,
    guard: StepGuard,
    names: Names,
    ctx: &'q Context<'q>,
}

impl<'q> DropName<'q> {
    /// Guards with `strict` as [`StepGuard::new`] does.
    pub(crate) fn new(
        input: BoxedOperator<'q>,
        names: Names,
        strict: bool,
        ctx: &'q Context<'q>,
    ) -> Self {
        Self {
            input,
            guard: StepGuard::new(strict),
            names,
            ctx,
        }
    }

    /// Drops the name of `series`; fails when another one had the labels that are left.
    fn drop_name(&mut self, series: &mut StepSeries) -> Result<(), Error> {
        match self.names {
            Names::Any => {
                series.labels = labels::drop_reserved(&series.labels);
                self.guard.admit(series)
            }
            Names::Gone => {
                series.labels = labels::drop_reserved(&series.labels);
                Ok(())
            }
            Names::One => {
                let others = series
                    .labels
                    .iter()
                    .filter(|(name, _)| *name != METRIC_NAME);
                let is_typed = labels::has_reserved(others);
                series.labels = labels::drop_reserved(&series.labels);
                // Of two that become equal the one with more labels comes first, unless the other
                // ends before them. All but those two need not be remembered.
                let last = series.labels.iter().last();
                if is_typed || last.is_none_or(|(name, _)| name < labels::LAST_RESERVED) {
                    return self.guard.admit(series);
                }
                self.guard.compare(series)
            }
        }
    }
}

impl Operator for DropName<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if !self.input.next(out)? {
            return Ok(false);
        }
        if self.ctx.options.delayed_name_removal {
            // Checked at the end, when they are dropped.
            out.drop_name = true;
        } else {
            self.drop_name(out)?;
        }
        Ok(true)
    }
}
