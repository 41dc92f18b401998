//! Functions of native and classic histograms.

use std::collections::BTreeMap;

use model::float::push_openmetrics;
use model::histogram::Bucket;
use model::logarithm::{exp2, log2};
use model::{FloatHistogram, Labels, LabelsBuilder, kahan};
use promql::ast::{Expr, FunctionId as F};
use promql::columns::StepValue;

use super::{Element, Evaluator, Naive, Stop};

const CUSTOM_SCHEMA: i32 = -53;

/// Relative difference up to which counts of classic buckets are the same.
const TOLERANCE: f64 = 1e-12;

/// Upper bounds and cumulative counts.
type Classic = Vec<(f64, f64)>;

/// A histogram of either kind.
enum Histogram {
    Native(FloatHistogram),
    Classic(Classic),
}

/// What is asked of a histogram.
#[derive(Clone, Copy)]
enum Question {
    Quantile(f64),
    Fraction(f64, f64),
}

impl Question {
    fn answer(self, h: &Histogram) -> f64 {
        match (self, h) {
            (Self::Quantile(q), Histogram::Native(h)) => quantile(q, h),
            (Self::Quantile(q), Histogram::Classic(buckets)) => classic_quantile(q, buckets),
            (Self::Fraction(low, high), Histogram::Native(h)) => fraction(low, high, h),
            (Self::Fraction(low, high), Histogram::Classic(buckets)) => {
                classic_fraction(low, high, buckets)
            }
        }
    }
}

impl Evaluator<'_> {
    pub(super) fn of_buckets(&self, f: F, args: &[Expr], t: i64) -> Result<Naive, Stop> {
        let mut results = Vec::new();
        match (f, args) {
            (F::HistogramQuantile, [q, v]) => {
                let question = Question::Quantile(self.scalar(q, t)?);
                for (element, h) in histograms(self.vector(v, t)?) {
                    results.push(element.with(StepValue::Float(question.answer(&h))));
                }
            }
            (F::HistogramFraction, [low, high, v]) => {
                let question = Question::Fraction(self.scalar(low, t)?, self.scalar(high, t)?);
                for (element, h) in histograms(self.vector(v, t)?) {
                    results.push(element.with(StepValue::Float(question.answer(&h))));
                }
            }
            (F::HistogramQuantiles, [v, Expr::String(name), qs @ ..]) => {
                let name = name.as_str().ok_or(Stop::Unknown)?;
                let histograms = histograms(self.vector(v, t)?);
                for q in qs {
                    let q = self.scalar(q, t)?;
                    let mut text = String::new();
                    push_openmetrics(&mut text, q);
                    for (element, h) in &histograms {
                        let answer = Question::Quantile(q).answer(h);
                        let mut element = element.with(StepValue::Float(answer));
                        let mut labels = LabelsBuilder::from_labels(&element.labels);
                        labels.set(name, &text);
                        element.labels = labels.labels();
                        results.push(element);
                    }
                }
            }
            _ => return Err(Stop::Unknown),
        }
        self.renamed(results)
    }
}

/// Native histograms, and those that floats with a bound in `le` make up. Where both have the same
/// labels there is none.
fn histograms(vector: Vec<Element>) -> Vec<(Element, Histogram)> {
    let mut classic: BTreeMap<Labels, Classic> = BTreeMap::new();
    let mut native = Vec::new();
    for element in vector {
        match &element.value {
            StepValue::Histogram(h) => {
                let h = FloatHistogram::clone(h);
                native.push((element, h));
            }
            StepValue::Float(count) => {
                let le = element.labels.get("le").unwrap_or_default();
                if let Ok(bound) = le.parse::<f64>() {
                    let mut labels = LabelsBuilder::from_labels(&element.labels);
                    labels.delete("le");
                    classic
                        .entry(labels.labels())
                        .or_default()
                        .push((bound, *count));
                }
            }
        }
    }
    let mut histograms = Vec::new();
    for (element, h) in native {
        if classic.remove(&element.labels).is_none() {
            histograms.push((element, Histogram::Native(h)));
        }
    }
    for (labels, buckets) in classic {
        let element = Element::float(labels, 0.0);
        histograms.push((element, Histogram::Classic(buckets)));
    }
    histograms
}

pub(super) fn statistic(f: F, h: &FloatHistogram) -> f64 {
    match f {
        F::HistogramCount => h.count,
        F::HistogramSum => h.sum,
        F::HistogramAvg => h.sum / h.count,
        F::HistogramStddev => variance(h).sqrt(),
        _ => variance(h),
    }
}

/// Observations are taken to lie in the middle of their bucket.
fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut squares, mut lost) = (0.0, 0.0);
    for bucket in h.all().filter(|b| b.count != 0.0) {
        let middle = if h.schema == CUSTOM_SCHEMA {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let delta = middle - mean;
        (squares, lost) = kahan::add(bucket.count * delta * delta, squares, lost);
    }
    (squares + lost) / h.count
}

/// The zero bucket ends at zero on the side where there are no observations.
fn one_sided(mut bucket: Bucket<f64>, h: &FloatHistogram) -> Bucket<f64> {
    if h.schema != CUSTOM_SCHEMA && bucket.lower <= 0.0 && bucket.upper >= 0.0 {
        if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
            bucket.lower = 0.0;
        } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
            bucket.upper = 0.0;
        }
    }
    bucket
}

fn quantile(q: f64, h: &FloatHistogram) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if h.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    // The upper half is counted from above, so that a rank between two buckets is in the upper one.
    let from_below = h.sum.is_nan() || q < 0.5;
    let mut buckets: Vec<Bucket<f64>> = h.all().collect();
    if !from_below {
        buckets.reverse();
    }
    let rank = if from_below { q } else { 1.0 - q } * h.count;
    let mut passed = 0.0;
    let mut found = None;
    for bucket in buckets {
        passed += bucket.count;
        found = Some(bucket);
        if bucket.count != 0.0 && passed >= rank {
            break;
        }
    }
    let Some(bucket) = found else {
        return if rank > 0.0 && !h.sum.is_nan() {
            0.0
        } else {
            f64::NAN
        };
    };
    let mut bucket = one_sided(bucket, h);
    let is_custom = h.schema == CUSTOM_SCHEMA;
    if is_custom && bucket.lower == f64::NEG_INFINITY {
        if bucket.upper <= 0.0 {
            return bucket.upper;
        }
        bucket.lower = 0.0;
    } else if is_custom && bucket.upper == f64::INFINITY {
        return bucket.lower;
    }
    passed = passed.min(h.count);
    if passed < rank {
        return if h.sum.is_nan() {
            f64::NAN
        } else {
            bucket.upper
        };
    }
    let into = if from_below {
        rank - (passed - bucket.count)
    } else {
        passed - rank
    };
    let share = into / bucket.count;
    let (lower, upper) = (bucket.lower, bucket.upper);
    if is_custom || lower <= 0.0 && upper >= 0.0 {
        return lower + (upper - lower) * share;
    }
    let (log_lower, log_upper) = (log2(lower.abs()), log2(upper.abs()));
    if lower > 0.0 {
        exp2(log_lower + (log_upper - log_lower) * share)
    } else {
        -exp2(log_upper + (log_lower - log_upper) * (1.0 - share))
    }
}

fn fraction(low: f64, high: f64, h: &FloatHistogram) -> f64 {
    if h.count == 0.0 || low.is_nan() || high.is_nan() {
        return f64::NAN;
    }
    if low >= high {
        return 0.0;
    }
    let observed: f64 = if h.sum.is_nan() {
        h.all().map(|b| b.count).sum()
    } else {
        h.count
    };
    // How many observations lie below `v`.
    let below = |v: f64| {
        let mut rank = 0.0;
        for bucket in h.all() {
            let linear = h.schema == CUSTOM_SCHEMA || bucket.lower <= 0.0 && bucket.upper >= 0.0;
            let bucket = fraction_bucket(bucket, h);
            if bucket.lower >= v {
                return rank;
            }
            if bucket.upper > v {
                return if bucket.lower == f64::NEG_INFINITY {
                    bucket.count
                } else if bucket.upper == f64::INFINITY && linear {
                    rank
                } else {
                    rank + bucket.count * bucket.fraction_below(v, linear)
                };
            }
            rank += bucket.count;
        }
        observed
    };
    (below(high).min(observed) - below(low).min(observed)) / h.count
}

/// As [`one_sided`], for custom buckets around zero too: they have no negative ones.
fn fraction_bucket(mut bucket: Bucket<f64>, h: &FloatHistogram) -> Bucket<f64> {
    let is_around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
    if h.schema == CUSTOM_SCHEMA && is_around_zero && !h.positive_buckets.is_empty() {
        bucket.lower = 0.0;
    }
    one_sided(bucket, h)
}

/// Buckets in order of bounds, those of one bound added; `None` without one that has no bound.
fn ordered(buckets: &Classic) -> Option<Classic> {
    let mut buckets = buckets.clone();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    if buckets.last()?.0 != f64::INFINITY {
        return None;
    }
    let mut merged: Classic = Vec::new();
    for (bound, count) in buckets {
        match merged.last_mut() {
            Some(last) if last.0 == bound => last.1 += count,
            _ => merged.push((bound, count)),
        }
    }
    Some(merged)
}

fn classic_quantile(q: f64, buckets: &Classic) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    let Some(mut buckets) = ordered(buckets) else {
        return f64::NAN;
    };
    // Counts that are less than those before, or hardly more, are the same.
    let mut highest = buckets[0].1;
    for (_, count) in &mut buckets[1..] {
        let is_close = (*count - highest).abs() / (count.abs() + highest.abs()) < TOLERANCE;
        if *count < highest || is_close {
            *count = highest;
        } else {
            highest = *count;
        }
    }
    let [.., before_last, last] = *buckets else {
        return f64::NAN;
    };
    if last.1 == 0.0 {
        return f64::NAN;
    }
    let rank = q * last.1;
    let bounded = &buckets[..buckets.len() - 1];
    let found = bounded.iter().position(|b| b.1 >= rank);
    let found = found.unwrap_or(bounded.len());
    match found {
        i if i == bounded.len() => before_last.0,
        0 if bounded[0].0 <= 0.0 => bounded[0].0,
        0 => bounded[0].0 * (rank / bounded[0].1),
        i => {
            let ((start, below), (end, count)) = (bounded[i - 1], bounded[i]);
            start + (end - start) * ((rank - below) / (count - below))
        }
    }
}

fn classic_fraction(low: f64, high: f64, buckets: &Classic) -> f64 {
    let Some(buckets) = ordered(buckets) else {
        return f64::NAN;
    };
    let total = buckets[buckets.len() - 1].1;
    if total == 0.0 || low.is_nan() || high.is_nan() {
        return f64::NAN;
    }
    if low >= high {
        return 0.0;
    }
    let below = |v: f64| {
        let mut lower = if buckets[0].0 <= 0.0 {
            f64::NEG_INFINITY
        } else {
            0.0
        };
        let mut rank = 0.0;
        for &(upper, count) in &buckets {
            if lower >= v {
                return rank;
            }
            if upper > v {
                return if lower == f64::NEG_INFINITY {
                    count
                } else {
                    rank + (count - rank) * (v - lower) / (upper - lower)
                };
            }
            rank = count;
            lower = upper;
        }
        total
    };
    let capped = |rank: f64| if rank > total { total } else { rank };
    (capped(below(high)) - capped(below(low))) / total
}
