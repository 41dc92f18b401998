//! `rate`, `increase` and `delta` of `anchored` and `smoothed` selectors: the difference between
//! the values at the ends of a window, which samples outside of it help to find.

use std::ops::Range;
use std::sync::Arc;

use model::histogram::MixedSchemas;
use model::{CounterResetHint, FloatHistogram};

use crate::annotations::{HistogramOp, Note};
use crate::ast::RangeExtension;
use crate::columns::Column;

use super::hist_rate::{combine, is_custom};
use super::rate::{Kind, seconds};
use super::{Remarks, Windowed};

pub(super) fn rate(input: &Windowed<'_>, kind: Kind, out: &mut Column, remarks: &Remarks<'_>) {
    let smoothed = input.windows.extension == Some(RangeExtension::Smoothed);
    let range = seconds(input.windows.range_ms);
    for i in 0..input.windows.count() {
        if input.is_mixed(i) {
            remarks.mixed();
            continue;
        }
        // A counter looks for resets in the whole window.
        if !input.pace.goes_on(input.windows.floats(i).len()) || !input.may_work_on_hists(i) {
            break;
        }
        let (start, end) = (input.windows.start(i), input.windows.end(i));
        let window = input.windows.floats(i);
        if !window.is_empty() {
            let ts = &input.samples.ts[window.clone()];
            if let Some(ends) = Ends::find(ts, start, end, smoothed) {
                let values = &input.samples.values[window];
                let mut v = float_difference(ts, values, &ends, kind.is_counter);
                if kind.is_rate {
                    v /= range;
                }
                out.set_float(i, v);
            }
            continue;
        }
        let window = input.windows.hists(i);
        let ts = &input.samples.hist_ts[window.clone()];
        if let Some(ends) = Ends::find(ts, start, end, smoothed) {
            let hists = &input.samples.hists[window];
            if let Some(mut h) = hist_difference(ts, hists, &ends, (kind.is_counter, remarks)) {
                if kind.is_rate {
                    h.div(range);
                }
                out.set_hist(i, Arc::new(h));
            }
        }
    }
}

/// The samples that the values at the ends of a window come from.
struct Ends {
    start: i64,
    end: i64,
    first: usize,
    last: usize,
    /// The value at the start lies between `first` and the sample after it.
    interpolate_left: bool,
    /// The value at the end lies between `last` and the sample before it.
    interpolate_right: bool,
}

impl Ends {
    /// `None` when no sample says anything about the window.
    fn find(ts: &[i64], start: i64, end: i64, smoothed: bool) -> Option<Self> {
        let mut last = ts.len().checked_sub(1)?;
        let first = ts[..last]
            .partition_point(|&t| t <= start)
            .saturating_sub(1);
        if smoothed {
            last = ts[..last].partition_point(|&t| t < end);
        }
        if ts[last] <= start || ts[first] > end {
            return None;
        }
        Some(Self {
            start,
            end,
            first,
            last,
            interpolate_left: smoothed && ts[first] < start,
            interpolate_right: smoothed && last > 0 && ts[last] > end,
        })
    }
}

fn float_difference(ts: &[i64], values: &[f64], ends: &Ends, is_counter: bool) -> f64 {
    let at = |a: usize, b: usize, t: i64| {
        // A counter that was reset in between restarts from zero.
        let from = if is_counter && values[b] < values[a] {
            0.0
        } else {
            values[a]
        };
        from + (values[b] - from) * (t - ts[a]) as f64 / (ts[b] - ts[a]) as f64
    };
    let left = if ends.interpolate_left {
        at(ends.first, ends.first + 1, ends.start)
    } else {
        values[ends.first]
    };
    let right = if ends.interpolate_right {
        at(ends.last - 1, ends.last, ends.end)
    } else {
        values[ends.last]
    };
    if !is_counter {
        return right - left;
    }
    // The ends are taken care of; what is left are the samples strictly inside.
    let from = ends.first + usize::from(ts[ends.first] <= ends.start);
    let to = ends.last + usize::from(ts[ends.last] < ends.end);
    let mut correction = 0.0;
    let mut previous = left;
    for &v in values.get(from..to).unwrap_or_default() {
        if v < previous {
            correction += previous;
        }
        previous = v;
    }
    if right < previous {
        correction += previous;
    }
    right - left + correction
}

fn hist_difference(
    ts: &[i64],
    hists: &[Arc<FloatHistogram>],
    ends: &Ends,
    (is_counter, remarks): (bool, &Remarks<'_>),
) -> Option<FloatHistogram> {
    let used = &hists[ends.first..=ends.last];
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if is_counter && used.iter().any(|h| is_gauge(h)) {
        remarks.about(|name| Note::NotCounter { name });
    }
    let ends_are_gauges = is_gauge(&hists[ends.first]) && is_gauge(&hists[ends.last]);
    if !is_counter && !ends_are_gauges {
        remarks.about(|name| Note::NotGauge { name });
    }
    if used.iter().any(|h| is_custom(h) != is_custom(&used[0])) {
        remarks.mixed_schemas();
        return None;
    }
    let at = |a: usize, b: usize, t: i64| {
        interpolate_hist((ts[a], &hists[a]), (ts[b], &hists[b]), t, is_counter)
            .map_err(|_| remarks.mixed_schemas())
            .ok()
    };
    let left = if ends.interpolate_left {
        at(ends.first, ends.first + 1, ends.start)?
    } else {
        FloatHistogram::clone(&hists[ends.first])
    };
    let right = if ends.interpolate_right {
        at(ends.last - 1, ends.last, ends.end)?
    } else {
        FloatHistogram::clone(&hists[ends.last])
    };
    let mut h = right.clone();
    combine(&mut h, &left, HistogramOp::Subtraction, remarks)?;
    if is_counter {
        correct_resets(&mut h, hists, (ends, &right), remarks)?;
    }
    h.counter_reset_hint = CounterResetHint::Gauge;
    h.compact(0);
    Some(h)
}

/// Adds the histograms that the ones inside the window were reset from.
///
/// An interpolated left end takes account of a reset before the sample after it, so comparison
/// starts with that sample.
fn correct_resets(
    h: &mut FloatHistogram,
    hists: &[Arc<FloatHistogram>],
    (ends, right): (&Ends, &FloatHistogram),
    remarks: &Remarks<'_>,
) -> Option<()> {
    let from = ends.first + usize::from(ends.interpolate_left);
    let to = ends.last + usize::from(!ends.interpolate_right);
    let inside: Range<usize> = from..to;
    if inside.is_empty() {
        return Some(());
    }
    for k in inside.start + 1..inside.end {
        if hists[k].detect_reset(&hists[k - 1]) {
            combine(h, &hists[k - 1], HistogramOp::Addition, remarks)?;
        }
    }
    let last = &hists[inside.end - 1];
    if ends.interpolate_right && right.detect_reset(last) {
        combine(h, last, HistogramOp::Addition, remarks)?;
    }
    Some(())
}

/// The histogram at `t` on the line from `a` to `b`, each a time and a histogram; a counter that
/// was reset in between restarts from zero.
pub(crate) fn interpolate_hist(
    a: (i64, &FloatHistogram),
    b: (i64, &FloatHistogram),
    t: i64,
    is_counter: bool,
) -> Result<FloatHistogram, MixedSchemas> {
    if is_custom(a.1) != is_custom(b.1) {
        return Err(MixedSchemas);
    }
    let share = (t - a.0) as f64 / (b.0 - a.0) as f64;
    let mut h = b.1.clone();
    if is_counter && b.1.detect_reset(a.1) {
        h.mul(share);
        return Ok(h);
    }
    let _ = h.sub(a.1)?;
    h.mul(share);
    let mut at = a.1.clone();
    let _ = at.add(&h)?;
    Ok(at)
}
