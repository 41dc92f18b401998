//! Binary operators on two values.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use crate::annotations::{HistogramOp, Note};
use crate::ast::BinaryOp;
use crate::columns::StepValue;

/// What a comparison of two floats says; `None` when `op` is no comparison.
#[inline]
pub(crate) fn compare(op: BinaryOp, a: f64, b: f64) -> Option<bool> {
    Some(match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Lt => a < b,
        BinaryOp::Le => a <= b,
        BinaryOp::Gt => a > b,
        BinaryOp::Ge => a >= b,
        _ => return None,
    })
}

/// An arithmetic operator on two floats; NaN for operators that have no meaning there.
#[inline]
pub(crate) fn float(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => f64::NAN,
    }
}

/// True for the operators that change what a metric means, so that its name goes.
pub(crate) const fn drops_name(op: BinaryOp) -> bool {
    !op.is_comparison() && !op.is_set() && !matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower)
}

/// What an operator makes of two values.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The result; of a comparison the left value. `None` when the operator has no meaning here.
    pub(crate) value: Option<StepValue>,
    /// False when a comparison does not hold.
    pub(crate) keep: bool,
    pub(crate) notes: [Option<Note>; 2],
}

impl Outcome {
    fn value(value: StepValue) -> Self {
        Self {
            value: Some(value),
            keep: true,
            notes: [None, None],
        }
    }

    fn hist(mut h: FloatHistogram) -> Self {
        h.compact(0);
        Self::value(StepValue::Histogram(Arc::new(h)))
    }

    const fn nothing(note: Note) -> Self {
        Self {
            value: None,
            keep: false,
            notes: [Some(note), None],
        }
    }

    fn compared(value: StepValue, keep: bool) -> Self {
        Self {
            keep,
            ..Self::value(value)
        }
    }
}

/// Applies `op`, which is no set operator.
pub(crate) fn apply(op: BinaryOp, lhs: &StepValue, rhs: &StepValue) -> Outcome {
    match (lhs, rhs) {
        (StepValue::Float(a), StepValue::Float(b)) => match compare(op, *a, *b) {
            Some(holds) => Outcome::compared(StepValue::Float(*a), holds),
            None if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) => {
                incompatible(op, "float", "float")
            }
            None => Outcome::value(StepValue::Float(float(op, *a, *b))),
        },
        (StepValue::Float(a), StepValue::Histogram(b)) => match op {
            BinaryOp::Mul => scaled(b, |h| h.mul(*a)),
            _ => incompatible(op, "float", "histogram"),
        },
        (StepValue::Histogram(a), StepValue::Float(b)) => match op {
            BinaryOp::Mul => scaled(a, |h| h.mul(*b)),
            BinaryOp::Div => scaled(a, |h| h.div(*b)),
            BinaryOp::TrimUpper => scaled(a, |h| h.keep_below(*b)),
            BinaryOp::TrimLower => scaled(a, |h| h.keep_above(*b)),
            _ => incompatible(op, "histogram", "float"),
        },
        (StepValue::Histogram(a), StepValue::Histogram(b)) => match op {
            BinaryOp::Add => sum(a, b, op, HistogramOp::Addition),
            BinaryOp::Sub => sum(a, b, op, HistogramOp::Subtraction),
            BinaryOp::Eq => Outcome::compared(lhs.clone(), a.equals(b)),
            BinaryOp::Ne => Outcome::compared(lhs.clone(), !a.equals(b)),
            _ => incompatible(op, "histogram", "histogram"),
        },
    }
}

fn incompatible(op: BinaryOp, left: &'static str, right: &'static str) -> Outcome {
    Outcome::nothing(Note::IncompatibleTypes {
        op: op.as_str(),
        left,
        right,
    })
}

fn scaled(
    h: &FloatHistogram,
    by: impl FnOnce(&mut FloatHistogram) -> &mut FloatHistogram,
) -> Outcome {
    let mut h = h.clone();
    by(&mut h);
    Outcome::hist(h)
}

fn sum(a: &FloatHistogram, b: &FloatHistogram, op: BinaryOp, what: HistogramOp) -> Outcome {
    let mut h = a.clone();
    let done = match what {
        HistogramOp::Subtraction => h.sub(b),
        HistogramOp::Addition | HistogramOp::Aggregation => h.add(b),
    };
    let Ok(reconciled) = done else {
        return Outcome::nothing(Note::IncompatibleBucketLayout { op: op.as_str() });
    };
    if what == HistogramOp::Subtraction {
        h.counter_reset_hint = CounterResetHint::Gauge;
    }
    let collision = reconciled.counter_reset_collision;
    let mismatch = reconciled.custom_bounds;
    Outcome {
        notes: [
            collision.then_some(Note::CounterResetCollision { op: what }),
            mismatch.then_some(Note::MismatchedCustomBuckets { op: what }),
        ],
        ..Outcome::hist(h)
    }
}
