//! `and`, `or` and `unless`: one side passes where the other has, or has not, a match.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::ast::BinaryOp;
use crate::columns::{Bitmap, StepSeries};
use crate::error::Error;
use crate::exec::labels::LabelFilter;
use crate::exec::{BoxedOperator, Context, Operator};
use crate::plan::BinaryNode;

/// Streams one side; holds of the other the steps at which each match group has a value.
pub(super) struct SetOperator<'q> {
    node: &'q BinaryNode,
    filter: LabelFilter,
    lhs: BoxedOperator<'q>,
    rhs: BoxedOperator<'q>,
    /// Steps with a value, by match group: of the right side, but for `or` of the left.
    present: HashMap<u128, Bitmap>,
    /// `or`: the left side is done. Others: the right side is known.
    other_done: bool,
    ctx: &'q Context<'q>,
}

impl<'q> SetOperator<'q> {
    pub(super) fn new(
        node: &'q BinaryNode,
        lhs: BoxedOperator<'q>,
        rhs: BoxedOperator<'q>,
        ctx: &'q Context<'q>,
    ) -> Self {
        Self {
            node,
            filter: LabelFilter::new(&node.matching.labels, node.matching.on),
            lhs,
            rhs,
            present: HashMap::new(),
            other_done: false,
            ctx,
        }
    }

    fn note_presence(&mut self, series: &StepSeries) {
        let present = series.column.present();
        self.present
            .entry(self.filter.hash(&series.labels))
            .and_modify(|p| p.union(&present))
            .or_insert(present);
    }

    fn next_or(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if !self.other_done {
            if self.lhs.next(out)? {
                self.note_presence(out);
                return Ok(true);
            }
            self.other_done = true;
        }
        while self.rhs.next(out)? {
            self.ctx.tracker.check()?;
            if let Some(left) = self.present.get(&self.filter.hash(&out.labels)) {
                restrict(out, left, false);
            }
            if !out.column.is_absent() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn next_and_unless(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if !self.other_done {
            while self.rhs.next(out)? {
                self.note_presence(out);
            }
            self.other_done = true;
        }
        let wants_match = self.node.op == BinaryOp::And;
        while self.lhs.next(out)? {
            self.ctx.tracker.check()?;
            match self.present.get(&self.filter.hash(&out.labels)) {
                Some(right) => restrict(out, right, wants_match),
                None if wants_match => continue,
                None => {}
            }
            if !out.column.is_absent() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Keeps the values at steps whose bit is `wanted`.
fn restrict(series: &mut StepSeries, steps: &Bitmap, wanted: bool) {
    let column = &mut series.column;
    if wanted {
        column.valid.intersect(steps);
    } else {
        column.valid.subtract(steps);
    }
    for (i, h) in column.hists.iter_mut().enumerate() {
        if steps.get(i) != wanted {
            *h = None::<Arc<_>>;
        }
    }
}

impl Operator for SetOperator<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if self.node.op == BinaryOp::Or {
            self.next_or(out)
        } else {
            self.next_and_unless(out)
        }
    }
}
