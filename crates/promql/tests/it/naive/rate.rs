//! Differences between the samples of a window.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};
use promql::ast::FunctionId as F;
use promql::columns::StepValue;

use super::select::Window;

const CUSTOM_SCHEMA: i32 = -53;

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// The difference of the ends, stretched to the range: up to half a distance between samples beyond
/// the outer ones, or all the way if it is less than about one; and not beyond where a counter was 0.
pub(super) fn extrapolated(f: F, window: &Window, (from, to): (i64, i64)) -> Option<StepValue> {
    let [(t1, _), .., (t2, _)] = *window.points else {
        return None;
    };
    let (floats, hists) = (window.floats(), window.hists());
    let is_counter = f != F::Delta;
    let (mut difference, start, increase) = if hists.is_empty() {
        let difference = float_difference(&floats, is_counter);
        (StepValue::Float(difference), floats[0].1, difference)
    } else if floats.is_empty() {
        let hists: Vec<_> = hists.iter().map(|(_, h)| &**h).collect();
        let difference = hist_difference(&hists, is_counter)?;
        let count = difference.count;
        (
            StepValue::Histogram(Arc::new(difference)),
            hists[0].count,
            count,
        )
    } else {
        return None;
    };
    let sampled = seconds(t2 - t1);
    let average = sampled / (window.points.len() - 1) as f64;
    let stretch = |gap: f64| {
        if gap >= average * 1.1 {
            average / 2.0
        } else {
            gap
        }
    };
    let mut before = stretch(seconds(t1 - from));
    if is_counter && increase > 0.0 && start >= 0.0 {
        before = before.min(sampled * (start / increase));
    }
    let mut factor = (sampled + before + stretch(seconds(to - t2))) / sampled;
    if f == F::Rate {
        factor /= seconds(to - from);
    }
    difference = super::binary::scaled(&difference, factor);
    Some(difference)
}

fn float_difference(points: &[(i64, f64)], is_counter: bool) -> f64 {
    let mut difference = points[points.len() - 1].1 - points[0].1;
    for pair in points.windows(2).filter(|p| is_counter && p[1].1 < p[0].1) {
        difference += pair[0].1;
    }
    difference
}

/// `None` when some have custom buckets and some do not, unless it is the first only, and a reset
/// right after it makes it not matter.
fn hist_difference(hists: &[&FloatHistogram], is_counter: bool) -> Option<FloatHistogram> {
    let is_custom = |h: &FloatHistogram| h.schema == CUSTOM_SCHEMA;
    let mut first = hists[0].clone();
    if is_counter && hists[1].detect_reset(hists[0]) {
        first = FloatHistogram {
            schema: hists[1].schema,
            custom_values: hists[1].custom_values.clone(),
            ..FloatHistogram::default()
        };
    }
    let last = hists[hists.len() - 1];
    let inner = if is_counter {
        &hists[1..hists.len() - 1]
    } else {
        &[]
    };
    let mut relevant: Vec<&FloatHistogram> = vec![&first, last];
    relevant.extend(inner);
    if relevant.iter().any(|h| is_custom(h) != is_custom(last)) {
        return None;
    }
    let schema = relevant.iter().map(|h| h.schema).min();
    let mut h = last.at_schema(schema.expect("there are two at least"));
    let _ = h.sub(&first).ok()?;
    if is_counter {
        let mut previous = &first;
        for &now in &hists[1..] {
            if now.detect_reset(previous) {
                let _ = h.add(previous).ok()?;
            }
            previous = now;
        }
    }
    h.counter_reset_hint = CounterResetHint::Gauge;
    h.compact(0);
    Some(h)
}

/// The difference of the last two samples.
pub(super) fn instant(f: F, window: &Window) -> Option<StepValue> {
    let [.., (t1, a), (t2, b)] = &*window.points else {
        return None;
    };
    let is_rate = f == F::Irate;
    let interval = seconds(t2 - t1);
    Some(match (a, b) {
        (StepValue::Float(a), StepValue::Float(b)) => {
            let difference = if is_rate && b < a { *b } else { b - a };
            let by = if is_rate { interval } else { 1.0 };
            StepValue::Float(difference / by)
        }
        (StepValue::Histogram(a), StepValue::Histogram(b)) => {
            let mut h = FloatHistogram::clone(b);
            if !is_rate || !b.detect_reset(a) {
                let _ = h.sub(a).ok()?;
            }
            h.counter_reset_hint = CounterResetHint::Gauge;
            h.compact(0);
            if is_rate {
                h.div(interval);
            }
            StepValue::Histogram(Arc::new(h))
        }
        _ => return None,
    })
}
