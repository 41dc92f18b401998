//! Calls of functions.

use promql::ast::{Call, Expr, FunctionId as F};
use promql::columns::StepValue;

use super::math::{go_max, go_min, round};
use super::{Element, Evaluator, Naive, Stop, buckets, date, labels, math, over_range};

impl Evaluator<'_> {
    pub(super) fn call(&self, call: &Call, t: i64) -> Result<Naive, Stop> {
        let seconds = |ms: i64| Ok(Naive::Scalar(ms as f64 / 1000.0));
        match (call.function.id, &*call.args) {
            (F::Time, _) => seconds(t),
            (F::Start, _) => seconds(self.ends.0),
            (F::End, _) => seconds(self.ends.1),
            (F::Step, _) => seconds(self.step_ms),
            (F::Range, _) => seconds(self.ends.1 - self.ends.0),
            (F::Pi, _) => Ok(Naive::Scalar(std::f64::consts::PI)),
            (F::MaxOf, [a, b]) => Ok(Naive::Scalar(go_max(
                self.scalar(a, t)?,
                self.scalar(b, t)?,
            ))),
            (F::MinOf, [a, b]) => Ok(Naive::Scalar(go_min(
                self.scalar(a, t)?,
                self.scalar(b, t)?,
            ))),
            (F::Scalar, [v]) => {
                let floats = floats(&self.vector(v, t)?);
                Ok(Naive::Scalar(match *floats {
                    [(_, v)] => v,
                    _ => f64::NAN,
                }))
            }
            (F::Vector, [v]) => {
                let element = Element::float(model::Labels::empty(), self.scalar(v, t)?);
                Ok(Naive::Vector(vec![element]))
            }
            (F::Absent | F::AbsentOverTime, [v]) => self.absent(call.function.id, v, t),
            (F::Sort | F::SortDesc, [v]) => {
                let floats = floats(&self.vector(v, t)?).into_iter();
                Ok(Naive::Vector(floats.map(|(e, _)| e).collect()))
            }
            (F::SortByLabel | F::SortByLabelDesc, [v, ..]) => self.eval(v, t),
            (F::LabelReplace, [v, rest @ ..]) => labels::replace(self.vector(v, t)?, rest),
            (F::LabelJoin, [v, rest @ ..]) => labels::join(self.vector(v, t)?, rest),
            (F::Timestamp, [v]) => self.timestamps(v, t),
            (F::Info, args) => self.info(args, t),
            (F::StartTimestamp, _) => Err(Stop::Unknown),
            (F::HistogramQuantile | F::HistogramFraction | F::HistogramQuantiles, args) => {
                self.of_buckets(call.function.id, args, t)
            }
            (f, args) => self.by_series(f, args, t),
        }
    }

    fn absent(&self, f: F, v: &Expr, t: i64) -> Result<Naive, Stop> {
        let is_absent = if f == F::Absent {
            self.vector(v, t)?.is_empty()
        } else {
            self.range(v, t)?.0.is_empty()
        };
        let one = Element::float(labels::of_absent(v), 1.0);
        Ok(Naive::Vector(
            is_absent.then_some(one).into_iter().collect(),
        ))
    }

    /// The times of the samples that a selector finds; the evaluation time for all else.
    fn timestamps(&self, v: &Expr, t: i64) -> Result<Naive, Stop> {
        let times = match v.unwrap_parens() {
            Expr::Vector(selector) => self.newest(selector, t)?,
            v => self.vector(v, t)?.into_iter().map(|e| (t, e)).collect(),
        };
        let seconds = |(t, e): &(i64, Element)| e.with(StepValue::Float(*t as f64 / 1000.0));
        self.renamed(times.iter().map(seconds).collect())
    }

    /// Functions that look at one series at a time.
    fn by_series(&self, f: F, args: &[Expr], t: i64) -> Result<Naive, Stop> {
        match (f, args) {
            (F::Clamp, [v, low, high]) => {
                self.clamped(v, (self.scalar(low, t)?, self.scalar(high, t)?), t)
            }
            (F::ClampMin, [v, low]) => self.clamped(v, (self.scalar(low, t)?, f64::INFINITY), t),
            (F::ClampMax, [v, high]) => {
                self.clamped(v, (f64::NEG_INFINITY, self.scalar(high, t)?), t)
            }
            (F::Round, [v]) => self.each(v, t, |v| Ok(round(v, 1.0))),
            (F::Round, [v, to]) => {
                let to = self.scalar(to, t)?;
                self.each(v, t, |v| Ok(round(v, to)))
            }
            (
                F::Minute
                | F::Hour
                | F::DayOfMonth
                | F::DayOfWeek
                | F::DayOfYear
                | F::DaysInMonth
                | F::Month
                | F::Year,
                [v],
            ) => self.each(v, t, |v| date::part(f, v).ok_or(Stop::Unknown)),
            (
                F::HistogramCount
                | F::HistogramSum
                | F::HistogramAvg
                | F::HistogramStddev
                | F::HistogramStdvar,
                [v],
            ) => {
                let vector = self.vector(v, t)?;
                let of = |e: &Element| match &e.value {
                    StepValue::Histogram(h) => {
                        Some(e.with(StepValue::Float(buckets::statistic(f, h))))
                    }
                    StepValue::Float(_) => None,
                };
                self.renamed(vector.iter().filter_map(of).collect())
            }
            (f, [v]) if math::function(f).is_some() => {
                let function = math::function(f).ok_or(Stop::Unknown)?;
                self.each(v, t, |v| Ok(function(v)))
            }
            (f, args) => self.over_range(f, args, t),
        }
    }

    fn clamped(&self, v: &Expr, (low, high): (f64, f64), t: i64) -> Result<Naive, Stop> {
        if high < low {
            self.vector(v, t)?;
            return Ok(Naive::Vector(Vec::new()));
        }
        self.each(v, t, |v| Ok(go_max(low, go_min(high, v))))
    }

    /// Applies `f` to each float; histograms are left out.
    fn each(&self, v: &Expr, t: i64, f: impl Fn(f64) -> Result<f64, Stop>) -> Result<Naive, Stop> {
        let floats = floats(&self.vector(v, t)?).into_iter();
        let results = floats.map(|(e, v)| Ok(e.with(StepValue::Float(f(v)?))));
        self.renamed(results.collect::<Result<_, Stop>>()?)
    }

    fn over_range(&self, f: F, args: &[Expr], t: i64) -> Result<Naive, Stop> {
        let is_range = |e: &&Expr| e.value_type() == promql::ast::ValueType::Matrix;
        let range = args.iter().find(is_range).ok_or(Stop::Unknown)?;
        let scalars = args.iter().filter(|e| !is_range(e));
        let scalars: Vec<f64> = scalars
            .map(|e| self.scalar(e, t))
            .collect::<Result<_, _>>()?;
        let (windows, ends) = self.range(range, t)?;
        // Series that become equal are an error even if they have no step in common.
        let may_fail = !self.delayed_names && has_several_names(range);
        let call = over_range::RangeCall {
            function: f,
            scalars,
            ends,
            t,
            extension: match range.unwrap_parens() {
                Expr::Matrix(matrix) => matrix.selector.extension,
                _ => None,
            },
        };
        let mut results = Vec::new();
        for window in windows {
            if let Some(value) = call.value(&window)? {
                results.push(window.element(value));
            }
        }
        if matches!(f, F::LastOverTime | F::FirstOverTime) {
            return labels::distinct(results);
        }
        match self.renamed(results) {
            Ok(_) if may_fail => Err(Stop::Unknown),
            result => result,
        }
    }
}

/// True when series of several names may be in the vector.
fn has_several_names(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |e| match e {
        Expr::Vector(selector) => found |= selector.name.is_empty(),
        Expr::Matrix(matrix) => found |= matrix.selector.name.is_empty(),
        Expr::Binary(e) => found |= e.op == promql::ast::BinaryOp::Or,
        _ => {}
    });
    found
}

/// The elements that are floats, with their values.
pub(super) fn floats(vector: &[Element]) -> Vec<(Element, f64)> {
    let float = |e: &Element| match e.value {
        StepValue::Float(v) => Some((e.clone(), v)),
        StepValue::Histogram(_) => None,
    };
    vector.iter().filter_map(float).collect()
}
