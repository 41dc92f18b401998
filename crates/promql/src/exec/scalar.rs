//! Scalars: one number per step.

use model::Labels;

use crate::columns::{StepSeries, Steps};
use crate::error::Error;
use crate::functions::arithmetic;
use crate::plan::{ScalarNode, ScalarOp, VectorNode};

use super::{Context, Operator, vector};

/// A number at each step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ScalarColumn {
    /// The same at all steps.
    Constant(f64),
    /// One per step.
    Steps(Vec<f64>),
}

impl ScalarColumn {
    /// The number at step `i`.
    #[inline]
    pub(crate) fn at(&self, i: usize) -> f64 {
        match self {
            Self::Constant(v) => *v,
            Self::Steps(values) => values[i],
        }
    }
}

/// Evaluates a scalar at all steps.
pub(crate) fn eval(
    node: &ScalarNode,
    steps: Steps,
    ctx: &Context<'_>,
) -> Result<ScalarColumn, Error> {
    Ok(match node {
        ScalarNode::Number(v) => ScalarColumn::Constant(*v),
        ScalarNode::Time => {
            let seconds = |i| steps.at(i) as f64 / 1000.0;
            ScalarColumn::Steps((0..steps.count).map(seconds).collect())
        }
        ScalarNode::FromVector(inner) => from_vector(inner, steps, ctx)?,
        ScalarNode::Neg(inner) => match eval(inner, steps, ctx)? {
            ScalarColumn::Constant(v) => ScalarColumn::Constant(-v),
            ScalarColumn::Steps(values) => {
                ScalarColumn::Steps(values.into_iter().map(|v| -v).collect())
            }
        },
        ScalarNode::Binary(op, pair) => {
            let (lhs, rhs) = (eval(&pair.0, steps, ctx)?, eval(&pair.1, steps, ctx)?);
            if let (ScalarColumn::Constant(a), ScalarColumn::Constant(b)) = (&lhs, &rhs) {
                ScalarColumn::Constant(apply(*op, *a, *b))
            } else {
                let at = |i| apply(*op, lhs.at(i), rhs.at(i));
                ScalarColumn::Steps((0..steps.count).map(at).collect())
            }
        }
        ScalarNode::StepInvariant(inner) => match eval(inner, Steps::instant(steps.start), ctx)? {
            ScalarColumn::Steps(values) => {
                ScalarColumn::Constant(values.first().copied().unwrap_or(f64::NAN))
            }
            constant @ ScalarColumn::Constant(_) => constant,
        },
    })
}

/// An operator on two numbers; comparisons yield 0 or 1.
pub(crate) fn apply(op: ScalarOp, a: f64, b: f64) -> f64 {
    match op {
        ScalarOp::Binary(op) => match arithmetic::compare(op, a, b) {
            Some(holds) => f64::from(u8::from(holds)),
            None => arithmetic::float(op, a, b),
        },
        ScalarOp::Max => max(a, b),
        ScalarOp::Min => -max(-a, -b),
    }
}

/// Go's `math.Max`: infinity is more than NaN, NaN more than all else, and `+0` more than `-0`.
fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// The value of the only series with a float at each step; NaN when there is none or another.
fn from_vector(node: &VectorNode, steps: Steps, ctx: &Context<'_>) -> Result<ScalarColumn, Error> {
    let mut input = vector(node, steps, ctx)?;
    let mut values = vec![f64::NAN; steps.count];
    let mut seen = vec![false; steps.count];
    let mut series = StepSeries::default();
    while input.next(&mut series)? {
        for i in series.column.valid.ones() {
            values[i] = if seen[i] {
                f64::NAN
            } else {
                series.column.floats[i]
            };
            seen[i] = true;
        }
    }
    Ok(ScalarColumn::Steps(values))
}

/// A series without labels that has the value of a scalar.
pub(crate) struct FromScalar {
    scalar: Option<ScalarColumn>,
    steps: Steps,
}

impl FromScalar {
    pub(crate) const fn new(scalar: ScalarColumn, steps: Steps) -> Self {
        Self {
            scalar: Some(scalar),
            steps,
        }
    }
}

impl Operator for FromScalar {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        let Some(scalar) = self.scalar.take() else {
            return Ok(false);
        };
        out.labels = Labels::empty();
        out.drop_name = false;
        out.column.reset(self.steps.count);
        for (i, slot) in out.column.floats.iter_mut().enumerate() {
            *slot = scalar.at(i);
        }
        out.column.valid.fill(self.steps.count);
        Ok(true)
    }
}
