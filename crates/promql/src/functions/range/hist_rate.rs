//! The increase of native histograms between the ends of a window.

use std::ops::Range;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{CounterResetHint, FloatHistogram};

use crate::annotations::{HistogramOp, Note};
use crate::columns::Samples;

use super::Remarks;
use super::start_time::Stamp;

pub(super) fn is_custom(h: &FloatHistogram) -> bool {
    h.schema == CUSTOM_BUCKETS_SCHEMA
}

/// Adds or subtracts, leaving an info when bounds had to be reconciled; `None` when the two kinds
/// cannot be combined, which leaves a warning.
pub(super) fn combine(
    h: &mut FloatHistogram,
    other: &FloatHistogram,
    op: HistogramOp,
    remarks: &Remarks<'_>,
) -> Option<()> {
    // Resets are dealt with one by one, so hints that contradict each other do not matter here.
    let done = match op {
        HistogramOp::Subtraction => h.sub(other),
        HistogramOp::Addition | HistogramOp::Aggregation => h.add(other),
    };
    match done {
        Ok(reconciled) => {
            if reconciled.custom_bounds {
                remarks.add(Note::MismatchedCustomBuckets { op });
            }
            Some(())
        }
        Err(_) => {
            remarks.mixed_schemas();
            None
        }
    }
}

/// Which histograms of a counter follow a reset; found once for all windows.
pub(super) fn resets(samples: &Samples) -> Vec<bool> {
    let mut resets = vec![false; samples.hists.len()];
    for (k, reset) in resets.iter_mut().enumerate().skip(1) {
        let now = Stamp::hist(samples, k);
        let before = Stamp::hist(samples, k - 1);
        *reset = samples.hists[k].detect_reset(&samples.hists[k - 1]) || now.is_reset_after(before);
    }
    resets
}

/// The difference between the last and the first of the histograms `window`, `resets` of a counter
/// accounted for; `None` when there is none, which leaves a warning.
pub(super) fn difference(
    samples: &Samples,
    (window, resets): (Range<usize>, &[bool]),
    (is_counter, from_zero): (bool, bool),
    remarks: &Remarks<'_>,
) -> Option<FloatHistogram> {
    let points = &samples.hists[window.clone()];
    let (first, last) = (points.first()?, points.last()?);
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if is_counter && (is_gauge(first) || is_gauge(last)) {
        remarks.about(|name| Note::NotCounter { name });
    }
    let stamp = |k: usize| Stamp::hist(samples, window.start + k);
    let is_reset = |k: usize| resets[window.start + k];
    let overlaps = |k: usize| stamp(k).overlaps(stamp(k - 1));
    if is_counter && !samples.hist_starts.is_empty() && (1..points.len()).any(overlaps) {
        remarks.about(|name| Note::StartTimeOverlap { name, count: 1 });
    }
    // With a reset right after it, the first histogram does not matter, whatever its buckets.
    let skips_first = is_counter && !from_zero && points.len() > 1 && is_reset(1);
    let relevant = &points[usize::from(skips_first)..];
    let custom = is_custom(&relevant[0]);
    if is_custom(last) != custom {
        remarks.mixed_schemas();
        return None;
    }
    let mut schema = last.schema.min(relevant[0].schema);
    if is_counter {
        for h in relevant
            .iter()
            .skip(1)
            .take(relevant.len().saturating_sub(2))
        {
            if is_gauge(h) {
                remarks.about(|name| Note::NotCounter { name });
            }
            schema = schema.min(h.schema);
            if is_custom(h) != custom {
                remarks.mixed_schemas();
                return None;
            }
        }
    }
    let mut h = last.at_schema(schema);
    if skips_first {
        // Only its bounds matter, which the difference is reconciled with.
        let nothing = FloatHistogram {
            schema: relevant[0].schema,
            custom_values: relevant[0].custom_values.clone(),
            ..FloatHistogram::default()
        };
        combine(&mut h, &nothing, HistogramOp::Subtraction, remarks)?;
    } else if !from_zero {
        combine(&mut h, first, HistogramOp::Subtraction, remarks)?;
    }
    if is_counter {
        for k in 1 + usize::from(skips_first)..points.len() {
            if is_reset(k) {
                combine(&mut h, &points[k - 1], HistogramOp::Addition, remarks)?;
            }
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        remarks.about(|name| Note::NotGauge { name });
    }
    h.counter_reset_hint = CounterResetHint::Gauge;
    h.compact(0);
    Some(h)
}
