//! A slow, obvious evaluator: one expression at one instant, sample by sample, as the language is
//! defined. Every window is scanned anew. It knows floats only, drops metric names at once, and says
//! so ([`Stop::Unknown`]) when it meets what it does not know.

use std::collections::BTreeMap;

use model::sample::is_stale;
use model::{Labels, LabelsBuilder, Matcher, TimeRange};
use promql::ast::{
    AggregateOp, At, BinaryOp, Cardinality, Duration, Expr, FunctionId as F, UnaryOp,
    VectorMatching, VectorSelector,
};
use promql::columns::Samples;
use promql::source::{Hints, SelectRequest, Source};
use promql::testing::MemoryStorage;

const LOOKBACK_MS: i64 = 300_000;
const SUBQUERY_STEP_MS: i64 = 60_000;
const NAME: &str = "__name__";

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// This evaluator cannot tell.
    Unknown,
    /// The expression fails on this data.
    Failed,
}

/// A value at an instant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Naive {
    Scalar(f64),
    Vector(Vec<(Labels, f64)>),
}

/// The samples of a series in a range.
type Window = (Labels, Vec<(i64, f64)>);

/// What an expression is evaluated on.
pub(crate) struct Evaluator<'a> {
    pub(crate) storage: &'a MemoryStorage,
    /// First and last step of the query, which `start()` and `end()` stand for.
    pub(crate) ends: (i64, i64),
}

fn fixed(duration: &Duration) -> Result<i64, Stop> {
    duration.as_millis().ok_or(Stop::Unknown)
}

fn without_name(labels: &Labels) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.delete(NAME);
    builder.labels()
}

/// The labels that tell groups or matches apart.
fn key(labels: &Labels, names: &[String], only: bool) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.retain(|name, _| names.iter().any(|n| n == name) == only && (only || name != NAME));
    builder.labels()
}

/// Fails when a label set comes twice.
fn distinct(vector: Vec<(Labels, f64)>) -> Result<Naive, Stop> {
    let mut sorted: Vec<_> = vector.iter().map(|(labels, _)| labels).collect();
    sorted.sort();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Stop::Failed);
    }
    Ok(Naive::Vector(vector))
}

impl Evaluator<'_> {
    pub(crate) fn eval(&self, expr: &Expr, t: i64) -> Result<Naive, Stop> {
        match expr {
            Expr::Number(n) => Ok(Naive::Scalar(n.value)),
            Expr::Paren(e) => self.eval(&e.expr, t),
            Expr::Unary(e) if e.op == UnaryOp::Plus => self.eval(&e.expr, t),
            Expr::Unary(e) => match self.eval(&e.expr, t)? {
                Naive::Scalar(v) => Ok(Naive::Scalar(-v)),
                Naive::Vector(v) => mapped(v, |x| -x),
            },
            Expr::Vector(selector) => self.instant(selector, t),
            Expr::Call(call) => self.call(call.function.id, &call.args, t),
            Expr::Aggregate(e) if e.param.is_none() => {
                let Naive::Vector(input) = self.eval(&e.expr, t)? else {
                    return Err(Stop::Unknown);
                };
                let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
                for (labels, v) in input {
                    let group = key(&labels, &e.grouping, !e.without);
                    groups.entry(group).or_default().push(v);
                }
                let groups = groups.into_iter();
                let results = groups.map(|(labels, values)| Ok((labels, fold(e.op, &values)?)));
                Ok(Naive::Vector(results.collect::<Result<_, Stop>>()?))
            }
            Expr::Binary(e) => {
                let (lhs, rhs) = (self.eval(&e.lhs, t)?, self.eval(&e.rhs, t)?);
                match (lhs, rhs) {
                    (Naive::Scalar(a), Naive::Scalar(b)) => {
                        Ok(Naive::Scalar(match holds(e.op, a, b) {
                            Some(holds) => f64::from(u8::from(holds)),
                            None => arithmetic(e.op, a, b)?,
                        }))
                    }
                    (Naive::Vector(v), Naive::Scalar(b)) => {
                        with_scalar(e.op, e.return_bool, v, |v| (v, b))
                    }
                    (Naive::Scalar(a), Naive::Vector(v)) => {
                        with_scalar(e.op, e.return_bool, v, |v| (a, v))
                    }
                    (Naive::Vector(a), Naive::Vector(b)) => {
                        let matching = e.matching.clone().unwrap_or_default();
                        if e.op.is_set() {
                            set(e.op, &matching, a, b)
                        } else {
                            join(e.op, e.return_bool, &matching, a, &b)
                        }
                    }
                }
            }
            _ => Err(Stop::Unknown),
        }
    }

    /// The time that a selector evaluated at `t` refers to.
    fn reference(&self, at: Option<At>, offset: &Duration, t: i64) -> Result<i64, Stop> {
        let t = match at {
            None => t,
            Some(At::Timestamp(t)) => t,
            Some(At::Start) => self.ends.0,
            Some(At::End) => self.ends.1,
        };
        Ok(t - fixed(offset)?)
    }

    /// The samples after `from` and up to `to`, stale markers included.
    fn select(&self, matchers: &[Matcher], (from, to): (i64, i64)) -> Result<Vec<Window>, Stop> {
        let request = SelectRequest {
            matchers: matchers.to_vec(),
            range: TimeRange::new(from + 1, to + 1),
            hints: Hints::default(),
        };
        let mut set = self.storage.select(&request).expect("memory can be read");
        let mut windows = Vec::new();
        while let Some(mut series) = set.next().expect("memory can be read") {
            let mut samples = Samples::default();
            series
                .read(request.range, &mut samples)
                .expect("memory can be read");
            if !samples.hists.is_empty() {
                return Err(Stop::Unknown);
            }
            let points: Vec<_> = samples.ts.into_iter().zip(samples.values).collect();
            if !points.is_empty() {
                windows.push((series.labels().clone(), points));
            }
        }
        Ok(windows)
    }

    fn instant(&self, selector: &VectorSelector, t: i64) -> Result<Naive, Stop> {
        if selector.extension.is_some() {
            return Err(Stop::Unknown);
        }
        let t = self.reference(selector.at, &selector.offset, t)?;
        let windows = self.select(&selector.matchers, (t - LOOKBACK_MS, t))?;
        let newest = windows.into_iter().filter_map(|(labels, points)| {
            let (_, v) = *points.last()?;
            (!is_stale(v)).then_some((labels, v))
        });
        Ok(Naive::Vector(newest.collect()))
    }

    /// The windows of a range vector, and their ends.
    fn range(&self, expr: &Expr, t: i64) -> Result<(Vec<Window>, (i64, i64)), Stop> {
        match expr.unwrap_parens() {
            Expr::Matrix(matrix) if matrix.selector.extension.is_none() => {
                let to = self.reference(matrix.selector.at, &matrix.selector.offset, t)?;
                let ends = (to - fixed(&matrix.range)?, to);
                let mut windows = self.select(&matrix.selector.matchers, ends)?;
                for (_, points) in &mut windows {
                    points.retain(|(_, v)| !is_stale(*v));
                }
                windows.retain(|(_, points)| !points.is_empty());
                Ok((windows, ends))
            }
            Expr::Subquery(subquery) => {
                let to = self.reference(subquery.at, &subquery.offset, t)?;
                let from = to - fixed(&subquery.range)?;
                let step = subquery.step.as_ref().map_or(Ok(SUBQUERY_STEP_MS), fixed)?;
                let mut windows: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
                for at in (from + 1..=to).filter(|at| at.rem_euclid(step) == 0) {
                    let Naive::Vector(vector) = self.eval(&subquery.expr, at)? else {
                        return Err(Stop::Unknown);
                    };
                    for (labels, v) in vector {
                        windows.entry(labels).or_default().push((at, v));
                    }
                }
                Ok((windows.into_iter().collect(), (from, to)))
            }
            _ => Err(Stop::Unknown),
        }
    }

    fn scalar(&self, expr: &Expr, t: i64) -> Result<f64, Stop> {
        match self.eval(expr, t)? {
            Naive::Scalar(v) => Ok(v),
            Naive::Vector(_) => Err(Stop::Unknown),
        }
    }

    fn call(&self, function: F, args: &[Expr], t: i64) -> Result<Naive, Stop> {
        match (function, args) {
            (F::Time, _) => Ok(Naive::Scalar(t as f64 / 1000.0)),
            (F::Start, _) => Ok(Naive::Scalar(self.ends.0 as f64 / 1000.0)),
            (F::End, _) => Ok(Naive::Scalar(self.ends.1 as f64 / 1000.0)),
            (F::Pi, _) => Ok(Naive::Scalar(std::f64::consts::PI)),
            (F::Vector, [v]) => Ok(Naive::Vector(vec![(Labels::empty(), self.scalar(v, t)?)])),
            (F::Scalar, [v]) => match self.eval(v, t)? {
                Naive::Vector(v) if v.len() == 1 => Ok(Naive::Scalar(v[0].1)),
                _ => Ok(Naive::Scalar(f64::NAN)),
            },
            (F::ClampMin, [v, low]) => {
                let low = self.scalar(low, t)?;
                self.each(v, t, |x| if low.is_nan() { low } else { go_max(x, low) })
            }
            (F::Abs, [v]) => self.each(v, t, f64::abs),
            (F::Ceil, [v]) => self.each(v, t, f64::ceil),
            (F::Floor, [v]) => self.each(v, t, f64::floor),
            (F::Sqrt, [v]) => self.each(v, t, f64::sqrt),
            (F::Deg, [v]) => self.each(v, t, |x| x * 180.0 / std::f64::consts::PI),
            (F::Sgn, [v]) => self.each(v, t, |x| match x {
                x if x > 0.0 => 1.0,
                x if x < 0.0 => -1.0,
                x => x,
            }),
            (F::AbsentOverTime, _) => Err(Stop::Unknown),
            (_, [range]) => {
                let (windows, ends) = self.range(range, t)?;
                let keeps_name = matches!(function, F::LastOverTime | F::FirstOverTime);
                let mut results = Vec::new();
                for (labels, points) in windows {
                    if let Some(v) = over_range(function, &points, ends)? {
                        let labels = if keeps_name {
                            labels
                        } else {
                            without_name(&labels)
                        };
                        results.push((labels, v));
                    }
                }
                distinct(results)
            }
            _ => Err(Stop::Unknown),
        }
    }

    fn each(&self, v: &Expr, t: i64, f: impl Fn(f64) -> f64) -> Result<Naive, Stop> {
        match self.eval(v, t)? {
            Naive::Vector(v) => mapped(v, f),
            Naive::Scalar(_) => Err(Stop::Unknown),
        }
    }
}

fn mapped(vector: Vec<(Labels, f64)>, f: impl Fn(f64) -> f64) -> Result<Naive, Stop> {
    distinct(
        vector
            .into_iter()
            .map(|(labels, v)| (without_name(&labels), f(v)))
            .collect(),
    )
}

fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Sums of values that are not of one size depend on how they are made, which scripts check.
fn tame(values: &[f64]) -> Result<f64, Stop> {
    if values
        .iter()
        .all(|v| v.abs() < 1e5 && (*v == 0.0 || v.abs() > 1e-3))
    {
        Ok(values.iter().sum())
    } else {
        Err(Stop::Unknown)
    }
}

/// The most extreme value; NaN only when there is nothing else.
fn extreme(values: &[f64], is_better: impl Fn(f64, f64) -> bool) -> f64 {
    let better = |best: f64, &v: &f64| {
        if best.is_nan() || is_better(v, best) {
            v
        } else {
            best
        }
    };
    values.iter().skip(1).fold(values[0], better)
}

fn fold(op: AggregateOp, values: &[f64]) -> Result<f64, Stop> {
    Ok(match op {
        AggregateOp::Sum => tame(values)?,
        AggregateOp::Avg => tame(values)? / values.len() as f64,
        AggregateOp::Count => values.len() as f64,
        AggregateOp::Group => 1.0,
        AggregateOp::Max => extreme(values, |a, b| a > b),
        AggregateOp::Min => extreme(values, |a, b| a < b),
        _ => return Err(Stop::Unknown),
    })
}

fn over_range(f: F, points: &[(i64, f64)], ends: (i64, i64)) -> Result<Option<f64>, Stop> {
    let values: Vec<f64> = points.iter().map(|p| p.1).collect();
    let pairs = || values.windows(2);
    let (first, last) = (points[0], points[points.len() - 1]);
    Ok(Some(match f {
        F::SumOverTime => tame(&values)?,
        F::AvgOverTime => tame(&values)? / values.len() as f64,
        F::CountOverTime => values.len() as f64,
        F::PresentOverTime => 1.0,
        F::MaxOverTime => extreme(&values, |a, b| a > b),
        F::MinOverTime => extreme(&values, |a, b| a < b),
        F::LastOverTime => last.1,
        F::FirstOverTime => first.1,
        F::TsOfFirstOverTime => first.0 as f64 / 1000.0,
        F::TsOfLastOverTime => last.0 as f64 / 1000.0,
        F::Resets => pairs().filter(|p| p[1] < p[0]).count() as f64,
        F::Changes => {
            let changed = |p: &&[f64]| p[0] != p[1] && !(p[0].is_nan() && p[1].is_nan());
            pairs().filter(changed).count() as f64
        }
        F::Rate | F::Increase | F::Delta => return Ok(extrapolated(f, points, ends)),
        F::Irate | F::Idelta => {
            let [.., (t1, v1), (t2, v2)] = *points else {
                return Ok(None);
            };
            match f {
                F::Idelta => v2 - v1,
                _ if v2 < v1 => v2 / ((t2 - t1) as f64 / 1000.0),
                _ => (v2 - v1) / ((t2 - t1) as f64 / 1000.0),
            }
        }
        _ => return Err(Stop::Unknown),
    }))
}

/// The difference of the ends, stretched to the range: up to half a distance between samples beyond
/// the outer ones, or all the way if it is less than about one; and not beyond where a counter was 0.
fn extrapolated(f: F, points: &[(i64, f64)], (from, to): (i64, i64)) -> Option<f64> {
    let [(t1, v1), .., (t2, v2)] = *points else {
        return None;
    };
    let mut difference = v2 - v1;
    if f != F::Delta {
        let resets = points.windows(2).filter(|p| p[1].1 < p[0].1);
        difference += resets.map(|p| p[0].1).sum::<f64>();
    }
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let sampled = seconds(t2 - t1);
    let average = sampled / (points.len() - 1) as f64;
    let stretch = |gap: f64| {
        if gap >= average * 1.1 {
            average / 2.0
        } else {
            gap
        }
    };
    let mut before = stretch(seconds(t1 - from));
    if f != F::Delta && difference > 0.0 && v1 >= 0.0 {
        before = before.min(sampled * (v1 / difference));
    }
    let increase = difference * ((sampled + before + stretch(seconds(to - t2))) / sampled);
    Some(if f == F::Rate {
        increase / seconds(to - from)
    } else {
        increase
    })
}

fn holds(op: BinaryOp, a: f64, b: f64) -> Option<bool> {
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

fn arithmetic(op: BinaryOp, a: f64, b: f64) -> Result<f64, Stop> {
    Ok(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => return Err(Stop::Unknown),
    })
}

fn with_scalar(
    op: BinaryOp,
    return_bool: bool,
    vector: Vec<(Labels, f64)>,
    sides: impl Fn(f64) -> (f64, f64),
) -> Result<Naive, Stop> {
    let mut results = Vec::new();
    for (labels, v) in vector {
        let (a, b) = sides(v);
        match holds(op, a, b) {
            None => results.push((without_name(&labels), arithmetic(op, a, b)?)),
            Some(holds) if return_bool => {
                results.push((without_name(&labels), f64::from(u8::from(holds))));
            }
            Some(true) => results.push((labels, v)),
            Some(false) => {}
        }
    }
    distinct(results)
}

fn set(
    op: BinaryOp,
    matching: &VectorMatching,
    mut lhs: Vec<(Labels, f64)>,
    rhs: Vec<(Labels, f64)>,
) -> Result<Naive, Stop> {
    let keys = |side: &[(Labels, f64)]| -> Vec<Labels> {
        let key = |(labels, _): &(Labels, f64)| key(labels, &matching.labels, matching.on);
        side.iter().map(key).collect()
    };
    let (left, right) = (keys(&lhs), keys(&rhs));
    match op {
        BinaryOp::Or => {
            let others = rhs.into_iter().zip(right);
            lhs.extend(others.filter(|(_, k)| !left.contains(k)).map(|(s, _)| s));
        }
        _ => {
            let mut keys = left.iter();
            lhs.retain(|_| {
                let key = keys.next().expect("each series has a key");
                right.contains(key) == (op == BinaryOp::And)
            });
        }
    }
    distinct(lhs)
}

/// Arithmetic or comparison, one to one. What fails because a match is not unique is not known:
/// an optimizer may find out that the series in question do not matter.
fn join(
    op: BinaryOp,
    return_bool: bool,
    matching: &VectorMatching,
    lhs: Vec<(Labels, f64)>,
    rhs: &[(Labels, f64)],
) -> Result<Naive, Stop> {
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    if matching.cardinality != Cardinality::OneToOne || fills {
        return Err(Stop::Unknown);
    }
    let key = |labels: &Labels| key(labels, &matching.labels, matching.on);
    let mut ones = BTreeMap::new();
    for (labels, v) in rhs {
        if ones.insert(key(labels), *v).is_some() {
            return Err(Stop::Unknown);
        }
    }
    let mut matched = Vec::new();
    let mut results = Vec::new();
    for (labels, a) in lhs {
        let key = key(&labels);
        let Some(&b) = ones.get(&key) else { continue };
        if matched.contains(&key) {
            return Err(Stop::Unknown);
        }
        match holds(op, a, b) {
            None => results.push((key.clone(), arithmetic(op, a, b)?)),
            Some(holds) if return_bool => results.push((key.clone(), f64::from(u8::from(holds)))),
            Some(true) => {
                let mut kept = LabelsBuilder::from_labels(&labels);
                kept.retain(|n, _| matching.labels.iter().any(|l| l == n) == matching.on);
                results.push((kept.labels(), a));
            }
            Some(false) => {}
        }
        matched.push(key);
    }
    distinct(results)
}
