//! `rate`, `increase` and `delta`: the difference between the ends of a window, extrapolated to
//! the whole of it.

mod extent;
mod resets;

use std::ops::Range;
use std::sync::Arc;

use crate::annotations::Note;
use crate::columns::Column;

use super::hist_rate;
use super::start_time::Stamp;
use super::{Remarks, Windowed};
use extent::{Extent, Shapes};
use resets::Resets;

/// Which of the three functions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// Decreases are resets.
    pub(super) is_counter: bool,
    /// The result is per second.
    pub(super) is_rate: bool,
}

/// A range in seconds, rounded as Go's `Duration.Seconds` does.
pub(super) fn seconds(ms: i64) -> f64 {
    (ms / 1000) as f64 + (ms % 1000 * 1_000_000) as f64 / 1e9
}

/// Evaluates without `anchored` or `smoothed`.
pub(super) fn extrapolated(
    input: &Windowed<'_>,
    kind: Kind,
    out: &mut Column,
    remarks: &Remarks<'_>,
) {
    let samples = input.samples;
    let mut resets = Resets::find(samples, kind);
    if samples.hist_ts.is_empty() && samples.starts.is_empty() {
        return floats(input, kind, &mut resets, out);
    }
    let hist_resets = if kind.is_counter {
        hist_rate::resets(samples)
    } else {
        Vec::new()
    };
    let range = seconds(input.windows.range_ms);
    for i in 0..input.windows.count() {
        let floats = input.windows.floats(i);
        let hists = input.windows.hists(i);
        if !floats.is_empty() && !hists.is_empty() {
            remarks.mixed();
            continue;
        }
        let window = (input.windows.start(i), input.windows.end(i));
        if !hists.is_empty() {
            if !input.may_work_on_hists(i) {
                break;
            }
            hist(input, (i, kind), &hist_resets, (out, remarks));
            continue;
        }
        let zero_point = zero_point(kind, floats.start, &floats, window.0, |k| {
            Stamp::float(samples, k)
        });
        if floats.len() < 2 && zero_point.is_none() {
            continue;
        }
        let (first, last) = (floats.start, floats.end - 1);
        let mut result = samples.values[last] - samples.values[first];
        if kind.is_counter {
            result = resets.add(&samples.values, first, last, result);
        }
        if resets.overlap(first, last) {
            remarks.about(|name| Note::StartTimeOverlap { name, count: 1 });
        }
        let mut origin = samples.values[first];
        if zero_point.is_some() {
            result += origin;
            origin = 0.0;
        }
        let extent = Extent {
            first_t: samples.ts[first],
            last_t: samples.ts[last],
            gaps: floats.len() - 1,
            zero_point,
        };
        let to_zero = (kind.is_counter && result > 0.0 && origin >= 0.0).then(|| origin / result);
        let mut factor = extent.reach(window).factor(to_zero);
        if kind.is_rate {
            factor /= range;
        }
        out.set_float(i, result * factor);
    }
}

/// Evaluates a series of floats whose starts are not known.
fn floats(input: &Windowed<'_>, kind: Kind, resets: &mut Resets, out: &mut Column) {
    /// Steps whose validity is written at once.
    const WORD: usize = u64::BITS as usize;
    let (ts, values) = (&input.samples.ts[..], &input.samples.values[..]);
    let divisor = match kind.is_rate {
        true => seconds(input.windows.range_ms),
        false => 1.0,
    };
    let bounds = &input.windows.floats;
    let windows = bounds.begins().chunks(WORD).zip(bounds.ends().chunks(WORD));
    let (mut start, stride) = (input.windows.start(0), input.windows.stride());
    let mut shapes = Shapes::new(input.windows.range_ms, divisor);
    for ((word, (begins, ends)), out_floats) in windows.enumerate().zip(out.floats.chunks_mut(WORD))
    {
        let mut valid = 0;
        for (i, ((&begin, &end), slot)) in begins.iter().zip(ends).zip(out_floats).enumerate() {
            let window_start = start;
            start = start.saturating_add(stride);
            if end < begin + 2 {
                continue;
            }
            let (first, last) = (begin as usize, end as usize - 1);
            let origin = values[first];
            let mut result = values[last] - origin;
            if kind.is_counter {
                result = resets.add(values, first, last, result);
            }
            let extent = Extent {
                first_t: ts[first],
                last_t: ts[last],
                gaps: last - first,
                zero_point: None,
            };
            let alike = shapes.of(&extent, window_start);
            let may_reach_zero = kind.is_counter && result > 0.0 && origin >= 0.0;
            let factor = if may_reach_zero && !alike.starts_before_zero(origin, result) {
                alike.reach.factor(Some(origin / result)) / divisor
            } else {
                alike.factor
            };
            *slot = result * factor;
            valid |= 1 << i;
        }
        out.valid.set_word(word, valid);
    }
}

/// When the counter was zero, if its start lies in the window.
fn zero_point(
    kind: Kind,
    first: usize,
    window: &Range<usize>,
    window_start: i64,
    stamp: impl Fn(usize) -> Stamp,
) -> Option<i64> {
    if kind.is_counter && !window.is_empty() {
        stamp(first).zero_point(window_start)
    } else {
        None
    }
}

fn hist(
    input: &Windowed<'_>,
    (i, kind): (usize, Kind),
    resets: &[bool],
    (out, remarks): (&mut Column, &Remarks<'_>),
) {
    let samples = input.samples;
    let window = input.windows.hists(i);
    let bounds = (input.windows.start(i), input.windows.end(i));
    let stamp = |k| Stamp::hist(samples, k);
    let zero_point = zero_point(kind, window.start, &window, bounds.0, stamp);
    if window.len() < 2 && zero_point.is_none() {
        return;
    }
    let (first, last) = (window.start, window.end - 1);
    let gaps = window.len() - 1;
    let Some(mut h) = hist_rate::difference(
        samples,
        (window, resets),
        (kind.is_counter, zero_point.is_some()),
        remarks,
    ) else {
        return;
    };
    let extent = Extent {
        first_t: samples.hist_ts[first],
        last_t: samples.hist_ts[last],
        gaps,
        zero_point,
    };
    let origin = match zero_point {
        Some(_) => 0.0,
        None => samples.hists[first].count,
    };
    let to_zero = (kind.is_counter && h.count > 0.0 && origin >= 0.0).then(|| origin / h.count);
    let mut factor = extent.reach(bounds).factor(to_zero);
    if kind.is_rate {
        factor /= seconds(input.windows.range_ms);
    }
    h.mul(factor);
    out.set_hist(i, Arc::new(h));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Bounds, Windows};
    use super::*;
    use crate::annotations::Notes;
    use crate::ast::PosRange;
    use crate::columns::{Samples, Steps};
    use crate::limits::{Cancellation, Limits, Pace, Tracker};

    fn evaluate(samples: &Samples, steps: Steps, range_ms: i64, kind: Kind) -> Column {
        let mut windows = Windows {
            steps,
            at: None,
            offset_ms: 0,
            range_ms,
            extension: None,
            lookback_ms: 300_000,
            floats: Bounds::default(),
            hists: Bounds::default(),
        };
        windows.fit(samples);
        let tracker = Tracker::new(Limits::default(), Cancellation::new());
        let input = Windowed {
            samples,
            windows: &windows,
            pace: &Pace::new(&tracker),
        };
        let remarks = Remarks {
            notes: &Notes::default(),
            name: "x",
            pos: PosRange::default(),
        };
        let mut out = Column::absent(steps.count);
        extrapolated(&input, kind, &mut out, &remarks);
        out
    }

    proptest! {
        /// Without starts a shorter way is taken; with starts that are not known, the long one.
        #[test]
        fn the_short_way_yields_the_same_bits(
            scrapes in prop::collection::vec(
                (
                    prop_oneof![9 => Just(15_000), 1 => 1..40_000i64],
                    prop_oneof![2 => Just(0.0), 8 => 0.0..100.0f64, 1 => -1e4..0.0f64],
                ),
                1..200,
            ),
            step in prop::sample::select(vec![5_000, 15_000, 60_000, 70_000, 300_000]),
            range_ms in prop::sample::select(vec![30_000, 60_000, 300_000]),
            (is_counter, is_rate) in any::<(bool, bool)>(),
        ) {
            let (mut t, mut v) = (0, 0.0);
            let mut samples = Samples::default();
            for (gap, change) in scrapes {
                t += gap;
                v = f64::max(v + change, 0.0);
                samples.push_float(t, v, 0);
            }
            let steps = Steps::range(0, t + 100_000, step);
            let kind = Kind { is_counter, is_rate };
            let short = evaluate(&samples, steps, range_ms, kind);
            samples.starts = vec![0; samples.ts.len()];
            let long = evaluate(&samples, steps, range_ms, kind);
            prop_assert_eq!(&short.valid, &long.valid);
            let bits = |c: &Column| c.floats.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&short), bits(&long));
        }
    }
}
