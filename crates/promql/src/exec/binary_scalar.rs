//! Binary operators on a vector and a scalar.

use crate::columns::{Column, StepSeries, StepValue, Steps};
use crate::error::Error;
use crate::functions::arithmetic;
use crate::plan::BinaryScalarNode;

use super::distinct::{DropName, Names};
use super::{BoxedOperator, Context, Operator, ScalarColumn, eval_scalar, vector};

/// The operator of `node`.
pub(crate) fn build<'q>(
    node: &'q BinaryScalarNode,
    steps: Steps,
    ctx: &'q Context<'q>,
) -> Result<BoxedOperator<'q>, Error> {
    let operator = Box::new(BinaryScalar {
        scalar: eval_scalar(&node.scalar, steps, ctx)?,
        input: vector(&node.vector, steps, ctx)?,
        node,
        ctx,
    });
    if arithmetic::drops_name(node.op) || node.return_bool {
        let names = Names::of(&node.vector);
        let dropped = DropName::new(operator, names, steps.count == 1, ctx);
        return Ok(Box::new(dropped));
    }
    Ok(operator)
}

struct BinaryScalar<'q> {
    input: BoxedOperator<'q>,
    scalar: ScalarColumn,
    node: &'q BinaryScalarNode,
    ctx: &'q Context<'q>,
}

impl Operator for BinaryScalar<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        while self.input.next(out)? {
            self.ctx.tracker.check()?;
            self.apply(&mut out.column);
            if !out.column.is_absent() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl BinaryScalar<'_> {
    fn apply(&self, column: &mut Column) {
        let is_plain = column.hists.is_empty() && arithmetic::drops_name(self.node.op);
        if is_plain {
            for (i, v) in column.floats.iter_mut().enumerate() {
                let s = self.scalar.at(i);
                let (a, b) = if self.node.scalar_left {
                    (s, *v)
                } else {
                    (*v, s)
                };
                *v = arithmetic::float(self.node.op, a, b);
            }
            return;
        }
        for i in 0..column.len() {
            if let Some(value) = column.get(i) {
                column.clear(i);
                if let Some(result) = self.one(i, value) {
                    column.set(i, result);
                }
            }
        }
    }

    fn one(&self, i: usize, value: StepValue) -> Option<StepValue> {
        let scalar = StepValue::Float(self.scalar.at(i));
        let outcome = if self.node.scalar_left {
            arithmetic::apply(self.node.op, &scalar, &value)
        } else {
            arithmetic::apply(self.node.op, &value, &scalar)
        };
        for note in outcome.notes.into_iter().flatten() {
            self.ctx.notes.add(note, self.node.pos);
        }
        let result = outcome.value?;
        if self.node.return_bool {
            return Some(StepValue::Float(f64::from(u8::from(outcome.keep))));
        }
        if !outcome.keep {
            return None;
        }
        // A comparison keeps the value of the vector, on whichever side it is.
        Some(if self.node.op.is_comparison() {
            value
        } else {
            result
        })
    }
}
