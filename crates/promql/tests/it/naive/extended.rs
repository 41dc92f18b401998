//! `anchored` and `smoothed` windows of floats.

use promql::ast::{FunctionId as F, RangeExtension};
use promql::columns::StepValue;

use super::Stop;
use super::over_range::RangeCall;
use super::select::Window;

/// The value at `t` on the line from `a` to `b`; a counter that was reset in between began at 0.
pub(super) fn between(a: (i64, f64), b: (i64, f64), t: i64, is_counter: bool) -> f64 {
    let from = if is_counter && b.1 < a.1 { 0.0 } else { a.1 };
    from + (b.1 - from) * (t - a.0) as f64 / (b.0 - a.0) as f64
}

pub(super) fn value(call: &RangeCall, window: &Window) -> Result<Option<StepValue>, Stop> {
    if !window.hists().is_empty() {
        return Err(Stop::Unknown);
    }
    let (from, to) = call.ends;
    let points = window.floats();
    match call.function {
        F::Changes | F::Resets => {
            // From the last sample at or before the start on.
            let anchor = points.iter().rposition(|p| p.0 <= from).unwrap_or(0);
            if points[points.len() - 1].0 <= from {
                return Ok(None);
            }
            Ok(call
                .of_points(&window.points[anchor..])
                .map(StepValue::Float))
        }
        F::Rate | F::Increase | F::Delta => {
            let smoothed = call.extension == Some(RangeExtension::Smoothed);
            let is_counter = call.function != F::Delta;
            let difference = difference(&points, (from, to), smoothed, is_counter);
            let by = if call.function == F::Rate {
                (to - from) as f64 / 1000.0
            } else {
                1.0
            };
            Ok(difference.map(|v| StepValue::Float(v / by)))
        }
        _ => Err(Stop::Unknown),
    }
}

/// The difference between the values at the ends. Anchored, these are those of the last samples up to
/// there; smoothed, they lie on the line to the next sample. Without a sample before the start the
/// first one after it counts, and without one after the end the last one.
fn difference(
    points: &[(i64, f64)],
    (from, to): (i64, i64),
    smoothed: bool,
    is_counter: bool,
) -> Option<f64> {
    let at = |t: i64| {
        let before = points.iter().rfind(|p| p.0 <= t);
        let after = points.iter().find(|p| p.0 >= t);
        match (before, after) {
            (Some(a), Some(b)) if smoothed && a.0 < b.0 => Some(between(*a, *b, t, is_counter)),
            (Some(p), _) | (None, Some(p)) => Some(p.1),
            (None, None) => None,
        }
    };
    let last = points.iter().rfind(|p| smoothed || p.0 <= to)?;
    let first = points[0];
    if last.0 <= from || first.0 > to {
        return None;
    }
    let (left, right) = (at(from)?, at(to)?);
    let mut lost = 0.0;
    if is_counter {
        let inside = points.iter().filter(|p| p.0 > from && p.0 < to);
        let mut previous = left;
        for v in inside.map(|p| p.1).chain([right]) {
            if v < previous {
                lost += previous;
            }
            previous = v;
        }
    }
    Some(right - left + lost)
}
