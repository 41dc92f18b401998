//! Operators between two values, and between the series that match each other.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Labels, LabelsBuilder};
use promql::ast::{Binary, BinaryOp as Op, Cardinality, VectorMatching};
use promql::columns::StepValue;

use super::{Element, Evaluator, Naive, Stop, labels};

/// `value * factor`.
pub(super) fn scaled(value: &StepValue, factor: f64) -> StepValue {
    match value {
        StepValue::Float(v) => StepValue::Float(v * factor),
        StepValue::Histogram(h) => {
            let mut h = FloatHistogram::clone(h);
            h.mul(factor);
            StepValue::Histogram(Arc::new(h))
        }
    }
}

/// Whether a comparison holds; `None` for other operators, and where values cannot be compared.
fn holds(op: Op, a: &StepValue, b: &StepValue) -> Option<bool> {
    Some(match (op, a, b) {
        (Op::Eq, StepValue::Histogram(a), StepValue::Histogram(b)) => a.equals(b),
        (Op::Ne, StepValue::Histogram(a), StepValue::Histogram(b)) => !a.equals(b),
        (op, StepValue::Float(a), StepValue::Float(b)) => match op {
            Op::Eq => a == b,
            Op::Ne => a != b,
            Op::Lt => a < b,
            Op::Le => a <= b,
            Op::Gt => a > b,
            Op::Ge => a >= b,
            _ => return None,
        },
        _ => return None,
    })
}

/// What an arithmetic operator or one that trims yields; `None` for values it is not for.
fn computed(op: Op, a: &StepValue, b: &StepValue) -> Option<StepValue> {
    let hist = |mut h: FloatHistogram| {
        h.compact(0);
        StepValue::Histogram(Arc::new(h))
    };
    let copy = |h: &Arc<FloatHistogram>| FloatHistogram::clone(h);
    Some(match (op, a, b) {
        (op, StepValue::Float(a), StepValue::Float(b)) => StepValue::Float(number(op, *a, *b)?),
        (Op::Mul, StepValue::Histogram(h), StepValue::Float(v))
        | (Op::Mul, StepValue::Float(v), StepValue::Histogram(h)) => hist(copy(h).mul(*v).clone()),
        (Op::Div, StepValue::Histogram(h), StepValue::Float(v)) => hist(copy(h).div(*v).clone()),
        (Op::TrimUpper, StepValue::Histogram(h), StepValue::Float(v)) => {
            hist(copy(h).keep_below(*v).clone())
        }
        (Op::TrimLower, StepValue::Histogram(h), StepValue::Float(v)) => {
            hist(copy(h).keep_above(*v).clone())
        }
        (Op::Add | Op::Sub, StepValue::Histogram(a), StepValue::Histogram(b)) => {
            let mut h = copy(a);
            if op == Op::Add {
                let _ = h.add(b).ok()?;
            } else {
                let _ = h.sub(b).ok()?;
                h.counter_reset_hint = CounterResetHint::Gauge;
            }
            hist(h)
        }
        _ => return None,
    })
}

fn number(op: Op, a: f64, b: f64) -> Option<f64> {
    Some(match op {
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Div => a / b,
        Op::Mod => a % b,
        Op::Pow => a.powf(b),
        Op::Atan2 => a.atan2(b),
        _ => return None,
    })
}

const fn is_arithmetic(op: Op) -> bool {
    !op.is_comparison() && !op.is_set() && !matches!(op, Op::TrimUpper | Op::TrimLower)
}

/// What a join has found.
#[derive(Default)]
struct Joined {
    results: Vec<Element>,
    /// The match groups seen, with the labels made if several series of one group may match.
    matched: Vec<(Labels, Option<Labels>)>,
}

impl Evaluator<'_> {
    pub(super) fn binary(&self, e: &Binary, t: i64) -> Result<Naive, Stop> {
        let sides = (self.eval(&e.lhs, t), self.eval(&e.rhs, t));
        // An optimizer may find out that the series that one side fails on do not matter.
        let (lhs, rhs) = match sides {
            _ if e.matching.is_none() || e.op == Op::Or => (sides.0?, sides.1?),
            (Ok(lhs), Ok(rhs)) => (lhs, rhs),
            _ => return Err(Stop::Unknown),
        };
        match (lhs, rhs) {
            (Naive::Scalar(a), Naive::Scalar(b)) => {
                let (a, b) = (StepValue::Float(a), StepValue::Float(b));
                match holds(e.op, &a, &b) {
                    Some(holds) => Ok(Naive::Scalar(f64::from(u8::from(holds)))),
                    None => match computed(e.op, &a, &b) {
                        Some(StepValue::Float(v)) => Ok(Naive::Scalar(v)),
                        _ => Err(Stop::Unknown),
                    },
                }
            }
            (Naive::Vector(v), Naive::Scalar(b)) => {
                let b = StepValue::Float(b);
                self.with_scalar(e, v, |v| (v.clone(), b.clone()))
            }
            (Naive::Scalar(a), Naive::Vector(v)) => {
                let a = StepValue::Float(a);
                self.with_scalar(e, v, |v| (a.clone(), v.clone()))
            }
            (Naive::Vector(a), Naive::Vector(b)) => {
                let matching = e.matching.clone().unwrap_or_default();
                if e.op.is_set() {
                    set(e.op, &matching, a, b)
                } else {
                    self.join(e, &matching, (a, b))
                }
            }
        }
    }

    fn with_scalar(
        &self,
        e: &Binary,
        vector: Vec<Element>,
        sides: impl Fn(&StepValue) -> (StepValue, StepValue),
    ) -> Result<Naive, Stop> {
        let mut results = Vec::new();
        for element in vector {
            let (a, b) = sides(&element.value);
            if !e.op.is_comparison() {
                results.extend(computed(e.op, &a, &b).map(|value| element.with(value)));
                continue;
            }
            match holds(e.op, &a, &b) {
                Some(holds) if e.return_bool => {
                    results.push(element.with(StepValue::Float(f64::from(u8::from(holds)))));
                }
                Some(true) => results.push(element),
                Some(false) | None => {}
            }
        }
        if is_arithmetic(e.op) || e.return_bool {
            return self.renamed(results);
        }
        labels::distinct(results)
    }

    /// Arithmetic or comparison. What fails because a match is not unique is not known: an optimizer
    /// may find out that the series in question do not matter.
    fn join(
        &self,
        e: &Binary,
        matching: &VectorMatching,
        (lhs, rhs): (Vec<Element>, Vec<Element>),
    ) -> Result<Naive, Stop> {
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if lhs.is_empty() && rhs.is_empty() || !fills && (lhs.is_empty() || rhs.is_empty()) {
            return Ok(Naive::Vector(Vec::new()));
        }
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let key = |e: &Element| labels::key(&e.labels, &matching.labels, matching.on);
        let mut joined = Joined::default();
        for m in &many {
            let mut matches = one.iter().filter(|o| key(o) == key(m));
            match (matches.next(), matches.next(), fill_one) {
                (Some(_), Some(_), _) => return Err(Stop::Unknown),
                (Some(o), None, _) => self.pair(e, matching, (m, o), &mut joined)?,
                (None, _, Some(v)) => {
                    let o = Element::float(key(m), v);
                    self.pair(e, matching, (m, &o), &mut joined)?;
                }
                (None, _, None) => {}
            }
        }
        for (i, o) in one.iter().enumerate() {
            if one[..i].iter().any(|other| key(other) == key(o)) {
                return Err(Stop::Unknown);
            }
            if let Some(v) = fill_many
                && !joined.matched.iter().any(|(group, _)| *group == key(o))
            {
                let m = Element::float(key(o), v);
                self.pair(e, matching, (&m, o), &mut joined)?;
            }
        }
        labels::distinct(joined.results)
    }

    /// Joins two series, if the operator is for their values.
    fn pair(
        &self,
        e: &Binary,
        matching: &VectorMatching,
        (many, one): (&Element, &Element),
        joined: &mut Joined,
    ) -> Result<(), Stop> {
        let (a, b) = if matching.cardinality == Cardinality::OneToMany {
            (&one.value, &many.value)
        } else {
            (&many.value, &one.value)
        };
        let value = if e.op.is_comparison() {
            holds(e.op, a, b).map(|holds| {
                if e.return_bool {
                    Some(StepValue::Float(f64::from(u8::from(holds))))
                } else {
                    holds.then(|| a.clone())
                }
            })
        } else {
            computed(e.op, a, b).map(Some)
        };
        let Some(value) = value else {
            return Ok(());
        };
        let labels = self.joined_labels(e, matching, (&many.labels, &one.labels));
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let key = labels::key(&many.labels, &matching.labels, matching.on);
        let matched = (key, (!one_to_one).then(|| labels.clone()));
        if joined.matched.contains(&matched) {
            return Err(Stop::Unknown);
        }
        joined.matched.push(matched);
        joined.results.extend(value.map(|value| Element {
            labels,
            value,
            drop_name: e.return_bool,
        }));
        Ok(())
    }

    fn joined_labels(
        &self,
        e: &Binary,
        matching: &VectorMatching,
        (many, one): (&Labels, &Labels),
    ) -> Labels {
        let drops_name = is_arithmetic(e.op) || e.return_bool && !self.delayed_names;
        let base = if drops_name {
            labels::without_name(many)
        } else {
            many.clone()
        };
        let mut builder = LabelsBuilder::from_labels(&base);
        if matching.cardinality == Cardinality::OneToOne {
            builder.retain(|n, _| matching.labels.iter().any(|l| l == n) == matching.on);
        }
        for name in &matching.include {
            builder.set(name, one.get(name).unwrap_or_default());
        }
        builder.labels()
    }
}

fn set(
    op: Op,
    matching: &VectorMatching,
    mut lhs: Vec<Element>,
    rhs: Vec<Element>,
) -> Result<Naive, Stop> {
    let keys = |side: &[Element]| -> Vec<Labels> {
        let key = |e: &Element| labels::key(&e.labels, &matching.labels, matching.on);
        side.iter().map(key).collect()
    };
    let (left, right) = (keys(&lhs), keys(&rhs));
    if op == Op::Or {
        let others = rhs.into_iter().zip(right);
        lhs.extend(others.filter(|(_, k)| !left.contains(k)).map(|(e, _)| e));
    } else {
        let mut keys = left.iter();
        lhs.retain(|_| {
            let key = keys.next().expect("each series has a key");
            right.contains(key) == (op == Op::And)
        });
    }
    labels::distinct(lhs)
}
