//! Functions of the samples in a window.

use std::sync::Arc;

use model::{FloatHistogram, kahan};
use promql::ast::{FunctionId as F, RangeExtension};
use promql::columns::StepValue;

use super::select::{Point, Window};
use super::{Stop, extended, math, rate};

/// A function with what it is given beside the samples.
pub(super) struct RangeCall {
    pub(super) function: F,
    pub(super) scalars: Vec<f64>,
    /// Where the window begins and ends.
    pub(super) ends: (i64, i64),
    /// The step.
    pub(super) t: i64,
    pub(super) extension: Option<RangeExtension>,
}

impl RangeCall {
    pub(super) fn value(&self, window: &Window) -> Result<Option<StepValue>, Stop> {
        if self.extension.is_some() {
            return extended::value(self, window);
        }
        Ok(match self.function {
            F::Rate | F::Increase | F::Delta => {
                rate::extrapolated(self.function, window, self.ends)
            }
            F::Irate | F::Idelta => rate::instant(self.function, window),
            F::SumOverTime | F::AvgOverTime => total(self.function, window),
            F::FirstOverTime => window.points.first().map(|(_, v)| v.clone()),
            F::LastOverTime => window.points.last().map(|(_, v)| v.clone()),
            _ => match self.of_points(&window.points) {
                Some(v) => Some(StepValue::Float(v)),
                None => self.of_floats(&window.floats())?.map(StepValue::Float),
            },
        })
    }

    /// Functions for which floats and histograms are samples alike.
    pub(super) fn of_points(&self, points: &[Point]) -> Option<f64> {
        let seconds = |point: Option<&Point>| point.map(|(t, _)| *t as f64 / 1000.0);
        let pairs = points.windows(2).map(|p| (&p[0].1, &p[1].1));
        Some(match self.function {
            F::CountOverTime => points.len() as f64,
            F::PresentOverTime => 1.0,
            F::TsOfFirstOverTime => seconds(points.first())?,
            F::TsOfLastOverTime => seconds(points.last())?,
            F::Changes => pairs.filter(|(a, b)| is_change(a, b)).count() as f64,
            F::Resets => pairs.filter(|(a, b)| is_reset(a, b)).count() as f64,
            _ => return None,
        })
    }

    /// Functions that look at floats only.
    fn of_floats(&self, points: &[(i64, f64)]) -> Result<Option<f64>, Stop> {
        let values: Vec<f64> = points.iter().map(|p| p.1).collect();
        if values.is_empty() {
            return Ok(None);
        }
        let time_of = |v: f64| {
            let at = points
                .iter()
                .rfind(|p| p.1 == v || p.1.is_nan() && v.is_nan());
            at.map_or(f64::NAN, |p| p.0 as f64 / 1000.0)
        };
        let (max, min) = (
            extreme(&values, |a, b| a > b),
            extreme(&values, |a, b| a < b),
        );
        Ok(Some(match (self.function, &*self.scalars) {
            (F::MaxOverTime, _) => max,
            (F::MinOverTime, _) => min,
            (F::TsOfMaxOverTime, _) => time_of(max),
            (F::TsOfMinOverTime, _) => time_of(min),
            (F::StddevOverTime, _) => variance(&values).sqrt(),
            (F::StdvarOverTime, _) => variance(&values),
            (F::QuantileOverTime, [q]) => math::quantile(*q, values),
            (F::MadOverTime, _) => mad(values),
            (F::Deriv, _) if values.len() > 1 => line(points, points[0].0).0,
            (F::PredictLinear, [ahead]) if values.len() > 1 => {
                let (slope, intercept) = line(points, self.t);
                slope * ahead + intercept
            }
            (F::DoubleExponentialSmoothing, [level, trend]) if values.len() > 1 => {
                smooth(&values, *level, *trend)
            }
            (F::Deriv | F::PredictLinear | F::DoubleExponentialSmoothing, _) => return Ok(None),
            _ => return Err(Stop::Unknown),
        }))
    }
}

fn is_change(a: &StepValue, b: &StepValue) -> bool {
    match (a, b) {
        (StepValue::Float(a), StepValue::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (StepValue::Histogram(a), StepValue::Histogram(b)) => !b.equals(a),
        _ => true,
    }
}

fn is_reset(a: &StepValue, b: &StepValue) -> bool {
    match (a, b) {
        (StepValue::Float(a), StepValue::Float(b)) => b < a,
        (StepValue::Histogram(a), StepValue::Histogram(b)) => b.detect_reset(a),
        _ => true,
    }
}

/// The most extreme value; NaN only when there is nothing else.
pub(super) fn extreme(values: &[f64], is_better: impl Fn(f64, f64) -> bool) -> f64 {
    let better = |best: f64, &v: &f64| {
        if best.is_nan() || is_better(v, best) {
            v
        } else {
            best
        }
    };
    values.iter().skip(1).fold(values[0], better)
}

/// The compensated sum.
pub(super) fn sum(values: &[f64]) -> f64 {
    let add = |(sum, lost), v: &f64| kahan::add(*v, sum, lost);
    let (sum, lost) = values.iter().fold((0.0, 0.0), add);
    if sum.is_infinite() { sum } else { sum + lost }
}

/// The mean, by way of a mean of means once the sum would overflow.
pub(super) fn mean(values: &[f64]) -> f64 {
    let (mut sum, mut lost) = (values[0], 0.0);
    for (i, &v) in values.iter().enumerate().skip(1) {
        let (next, next_lost) = kahan::add(v, sum, lost);
        if next.is_infinite() {
            return incremental_mean((sum / i as f64, lost / i as f64), i, values);
        }
        (sum, lost) = (next, next_lost);
    }
    let n = values.len() as f64;
    sum / n + lost / n
}

/// Goes on from the mean of the first `from` values.
fn incremental_mean((mut mean, mut lost): (f64, f64), from: usize, values: &[f64]) -> f64 {
    for (i, v) in values.iter().enumerate().skip(from) {
        let n = (i + 1) as f64;
        let q = (n - 1.0) / n;
        (mean, lost) = kahan::add(v / n, q * mean, q * lost);
    }
    mean + lost
}

/// The sum of histograms; `None` when some have custom buckets and some do not.
pub(super) fn sum_of_hists<'a>(
    mut hists: impl Iterator<Item = &'a FloatHistogram>,
) -> Option<FloatHistogram> {
    let mut sum = hists.next()?.clone();
    for h in hists {
        let _ = sum.add(h).ok()?;
    }
    sum.compact(0);
    Some(sum)
}

fn total(function: F, window: &Window) -> Option<StepValue> {
    let (floats, hists) = (window.floats(), window.hists());
    if !floats.is_empty() && !hists.is_empty() {
        return None;
    }
    let n = hists.len() as f64;
    if hists.is_empty() {
        let values: Vec<f64> = floats.iter().map(|p| p.1).collect();
        return Some(StepValue::Float(match function {
            F::SumOverTime => sum(&values),
            _ => mean(&values),
        }));
    }
    let mut sum = sum_of_hists(hists.iter().map(|(_, h)| &**h))?;
    if function == F::AvgOverTime {
        sum.div(n);
    }
    Some(StepValue::Histogram(Arc::new(sum)))
}

fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut mean_lost) = (0.0, 0.0);
    let (mut squares, mut squares_lost) = (0.0, 0.0);
    for (i, v) in values.iter().enumerate() {
        let delta = v - (mean + mean_lost);
        (mean, mean_lost) = kahan::add(delta / (i + 1) as f64, mean, mean_lost);
        let square = delta * (v - (mean + mean_lost));
        (squares, squares_lost) = kahan::add(square, squares, squares_lost);
    }
    (squares + squares_lost) / values.len() as f64
}

/// The median distance from the median.
fn mad(values: Vec<f64>) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let median = math::quantile(0.5, values.clone());
    math::quantile(0.5, values.iter().map(|v| (v - median).abs()).collect())
}

/// Slope per second of the line with the least squares, and its value at `t`.
fn line(points: &[(i64, f64)], t: i64) -> (f64, f64) {
    let first = points[0].1;
    if points.iter().all(|p| p.1 == first) {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let n = points.len() as f64;
    let x = |p: &(i64, f64)| (p.0 - t) as f64 / 1000.0;
    let total = |of: &dyn Fn(&(i64, f64)) -> f64| {
        let add = |(sum, lost), p| kahan::add(of(p), sum, lost);
        let (sum, lost) = points.iter().fold((0.0, 0.0), add);
        sum + lost
    };
    let (sum_x, sum_y) = (total(&x), total(&|p| p.1));
    let (sum_xy, sum_xx) = (total(&|p| x(p) * p.1), total(&|p| x(p) * x(p)));
    let slope = (sum_xy - sum_x * sum_y / n) / (sum_xx - sum_x * sum_x / n);
    (slope, sum_y / n - slope * sum_x / n)
}

fn smooth(values: &[f64], level_factor: f64, trend_factor: f64) -> f64 {
    let (mut before, mut level) = (0.0, values[0]);
    let mut trend = values[1] - values[0];
    for (i, v) in values.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = level_factor * v + (1.0 - level_factor) * (level + trend);
        (before, level) = (level, next);
    }
    level
}
