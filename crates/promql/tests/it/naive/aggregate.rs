//! Aggregations.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::float::push_plain;
use model::{Labels, LabelsBuilder};
use promql::ast::{Aggregate, AggregateOp as Op, Expr};
use promql::columns::StepValue;

use super::call::floats;
use super::over_range::{extreme, mean, sum, sum_of_hists};
use super::{Element, Evaluator, Naive, Stop, labels, math};

impl Evaluator<'_> {
    pub(super) fn aggregate(&self, e: &Aggregate, t: i64) -> Result<Naive, Stop> {
        let input = self.vector(&e.expr, t)?;
        let key = |labels: &Labels| labels::key(labels, &e.grouping, !e.without);
        let mut groups: BTreeMap<Labels, Vec<Element>> = BTreeMap::new();
        let parameter = match &e.param {
            Some(Expr::String(name)) => {
                let name = name.as_str().ok_or(Stop::Unknown)?;
                let mut grouping = e.grouping.clone();
                if !e.without {
                    grouping.push(name.to_owned());
                }
                return Ok(counted(&input, name, |labels| {
                    labels::key(labels, &grouping, !e.without)
                }));
            }
            Some(param) => self.scalar(param, t)?,
            None => 0.0,
        };
        for element in input {
            groups
                .entry(key(&element.labels))
                .or_default()
                .push(element);
        }
        let mut results = Vec::new();
        for (labels, group) in groups {
            match e.op {
                Op::Topk | Op::Bottomk | Op::Limitk | Op::LimitRatio => {
                    results.extend(chosen(e.op, parameter, group)?);
                }
                _ => {
                    let drop_name = group.iter().any(|e| e.drop_name);
                    let value = folded(e.op, parameter, &group)?;
                    results.extend(value.map(|value| Element {
                        labels,
                        value,
                        drop_name,
                    }));
                }
            }
        }
        Ok(Naive::Vector(results))
    }
}

/// The value of a group; `None` when it has none.
fn folded(op: Op, parameter: f64, group: &[Element]) -> Result<Option<StepValue>, Stop> {
    let values: Vec<f64> = floats(group).iter().map(|(_, v)| *v).collect();
    let n = group.len() as f64;
    let v = match op {
        Op::Count => n,
        Op::Group => 1.0,
        Op::Sum | Op::Avg if values.is_empty() => return Ok(of_hists(op, group)),
        // Floats and histograms cannot be added.
        Op::Sum | Op::Avg if values.len() < group.len() => return Ok(None),
        _ if values.is_empty() => return Ok(None),
        Op::Sum => sum(&values),
        Op::Avg => mean(&values),
        Op::Max => extreme(&values, |a, b| a > b),
        Op::Min => extreme(&values, |a, b| a < b),
        Op::Stdvar => variance(&values)?,
        Op::Stddev => variance(&values)?.sqrt(),
        Op::Quantile => math::quantile(parameter, values),
        _ => return Err(Stop::Unknown),
    };
    Ok(Some(StepValue::Float(v)))
}

/// Sum or mean of the histograms of a group.
fn of_hists(op: Op, group: &[Element]) -> Option<StepValue> {
    let hist = |e: &Element| match &e.value {
        StepValue::Histogram(h) => Some(Arc::clone(h)),
        StepValue::Float(_) => None,
    };
    let hists: Vec<_> = group.iter().filter_map(hist).collect();
    let mut sum = sum_of_hists(hists.iter().map(|h| &**h))?;
    if op == Op::Avg {
        sum.div(hists.len() as f64);
    }
    Some(StepValue::Histogram(Arc::new(sum)))
}

/// Not known when the values are so close to each other that the result depends on their order.
fn variance(values: &[f64]) -> Result<f64, Stop> {
    let mut mean = values[0];
    let mut squares = if mean.is_finite() { 0.0 } else { f64::NAN };
    for (i, v) in values.iter().enumerate().skip(1) {
        let delta = v - mean;
        mean += delta / (i + 1) as f64;
        squares += delta * (v - mean);
    }
    let variance = squares / values.len() as f64;
    if variance > 0.0 && variance < 1e-3 * mean * mean {
        return Err(Stop::Unknown);
    }
    Ok(variance)
}

/// What is left of a group. Which of equal values are left is not known.
fn chosen(op: Op, parameter: f64, group: Vec<Element>) -> Result<Vec<Element>, Stop> {
    if parameter.is_nan() || parameter.abs() >= 1e18 {
        return Err(Stop::Unknown);
    }
    let k = parameter as usize;
    match op {
        Op::Limitk if k == 0 || k >= group.len() => {
            return Ok(if k == 0 { Vec::new() } else { group });
        }
        Op::LimitRatio if parameter.abs() >= 1.0 => return Ok(group),
        Op::LimitRatio if parameter == 0.0 => return Ok(Vec::new()),
        Op::Limitk | Op::LimitRatio => return Err(Stop::Unknown),
        _ => {}
    }
    let mut floats = floats(&group);
    // The best come first, NaN last.
    floats.sort_by(|(_, a), (_, b)| {
        let by_value = match op {
            Op::Topk => b.partial_cmp(a),
            _ => a.partial_cmp(b),
        };
        let by_value = by_value.unwrap_or(std::cmp::Ordering::Equal);
        a.is_nan().cmp(&b.is_nan()).then(by_value)
    });
    if k > 0 && k < floats.len() {
        let (last, next) = (floats[k - 1].1, floats[k].1);
        if last == next || last.is_nan() && next.is_nan() {
            return Err(Stop::Unknown);
        }
    }
    floats.truncate(k);
    Ok(floats.into_iter().map(|(element, _)| element).collect())
}

/// `count_values`: how many series have the same value, by value.
fn counted(input: &[Element], name: &str, key: impl Fn(&Labels) -> Labels) -> Naive {
    let mut counts: BTreeMap<Labels, f64> = BTreeMap::new();
    for element in input {
        let mut text = String::new();
        match &element.value {
            StepValue::Float(v) => push_plain(&mut text, *v),
            StepValue::Histogram(h) => text = h.to_string(),
        }
        let mut labels = LabelsBuilder::from_labels(&element.labels);
        labels.set(name, &text);
        *counts.entry(key(&labels.labels())).or_default() += 1.0;
    }
    let counts = counts.into_iter();
    Naive::Vector(
        counts
            .map(|(labels, n)| Element::float(labels, n))
            .collect(),
    )
}
