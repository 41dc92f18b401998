//! `rate`, `increase` and `delta`: the difference between the ends of a window, extrapolated to
//! the whole of it.

use std::ops::Range;
use std::sync::Arc;

use crate::annotations::Note;
use crate::columns::{Column, Samples};

use super::hist_rate;
use super::start_time::Stamp;
use super::{Remarks, Windowed};

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
    let mut shapes = Shapes {
        usual: Alike::NONE,
        odd: Alike::NONE,
        range_ms: input.windows.range_ms,
        divisor,
    };
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

/// The extrapolations of windows met last.
struct Shapes {
    usual: Alike,
    /// A late scrape makes two windows odd, the one that it begins and the one that it ends; each of
    /// them is followed by usual ones.
    odd: Alike,
    range_ms: i64,
    divisor: f64,
}

impl Shapes {
    /// The extrapolation of the window that starts at `start`.
    #[inline]
    fn of(&mut self, extent: &Extent, start: i64) -> &Alike {
        if self.usual.holds(extent, start) {
            return &self.usual;
        }
        if self.odd.holds(extent, start) {
            std::mem::swap(&mut self.usual, &mut self.odd);
            return &self.usual;
        }
        let window = (start, start.saturating_add(self.range_ms));
        self.odd = Alike::new(extent, window, self.divisor);
        &self.odd
    }
}

/// The extrapolation of a window, for all that have their samples at the same places: scrapes are
/// regular, so most windows of a series do, and are spared six divisions.
struct Alike {
    /// From the start of the window to its first sample.
    before_ms: i64,
    sampled_ms: i64,
    gaps: usize,
    reach: Reach,
    /// Of windows whose extrapolation does not meet zero; with what makes a rate of it.
    factor: f64,
}

impl Alike {
    /// Of no window, all of which have gaps.
    const NONE: Self = Self {
        before_ms: 0,
        sampled_ms: 0,
        gaps: 0,
        reach: Reach {
            sampled: 0.0,
            to_start: 0.0,
            to_end: 0.0,
        },
        factor: 0.0,
    };

    fn new(extent: &Extent, window: (i64, i64), divisor: f64) -> Self {
        let reach = extent.reach(window);
        Self {
            before_ms: extent.first_t - window.0,
            sampled_ms: extent.last_t - extent.first_t,
            gaps: extent.gaps,
            factor: reach.factor(None) / divisor,
            reach,
        }
    }

    /// True when it is the extrapolation of a window that starts at `start`; all are equally wide.
    #[inline]
    fn holds(&self, extent: &Extent, start: i64) -> bool {
        self.before_ms == extent.first_t - start
            && self.sampled_ms == extent.last_t - extent.first_t
            && self.gaps == extent.gaps
    }

    /// True when it is certain without a division that a counter which grew from `origin` by
    /// `result` was not zero yet where the extrapolation starts. The margins are far wider than
    /// what rounding may change.
    #[inline]
    fn starts_before_zero(&self, origin: f64, result: f64) -> bool {
        let to_zero = origin * self.reach.sampled;
        to_zero > 1e-280 && to_zero > self.reach.to_start * result * 1.000_001
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

/// Where in time the samples of a window are.
struct Extent {
    first_t: i64,
    last_t: i64,
    /// Number of samples less one.
    gaps: usize,
    /// When the counter was zero, if that is known and inside the window.
    zero_point: Option<i64>,
}

impl Extent {
    /// How far an extrapolation to the window `(start, end]` goes: to its end if that is about as
    /// far as one sample from another, else half as far.
    fn reach(&self, (start, end): (i64, i64)) -> Reach {
        let mut sampled = (self.last_t - self.first_t) as f64 / 1000.0;
        let average = if self.gaps == 0 {
            0.0
        } else {
            sampled / self.gaps as f64
        };
        let threshold = average * 1.1;
        let first_t = self.zero_point.unwrap_or(self.first_t);
        if self.zero_point.is_some() {
            sampled = (self.last_t - first_t) as f64 / 1000.0;
        }
        let mut to_start = (first_t - start) as f64 / 1000.0;
        let mut to_end = (end - self.last_t) as f64 / 1000.0;
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        Reach {
            sampled,
            to_start,
            to_end,
        }
    }
}

/// What is extrapolated from and how far, in seconds.
struct Reach {
    /// Between the first and the last sample.
    sampled: f64,
    to_start: f64,
    to_end: f64,
}

impl Reach {
    /// By how much the difference between the first and last sample grows when it is extrapolated,
    /// but no further than where a counter was zero, `to_zero` being the first value as a share of
    /// the difference.
    fn factor(&self, to_zero: Option<f64>) -> f64 {
        let mut to_start = self.to_start;
        if let Some(share) = to_zero {
            let to_zero = self.sampled * share;
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        (self.sampled + to_start + self.to_end) / self.sampled
    }
}

/// Appends the indices of the values that are less than the one before.
fn find_decreases(values: &[f64], at: &mut Vec<u32>) {
    /// Values that are looked at together, most often to find that none decreases.
    const RUN: usize = 64;
    for from in (1..values.len()).step_by(RUN) {
        let now = &values[from..values.len().min(from + RUN)];
        let before = &values[from - 1..];
        let decreases = now.iter().zip(before).map(|(now, before)| now < before);
        if decreases.clone().fold(false, |any, d| any | d) {
            let found = decreases.enumerate().filter(|(_, d)| *d);
            at.extend(found.map(|(k, _)| (from + k) as u32));
        }
    }
}

/// The resets of a series, found once; steps that ascend find theirs without a scan.
struct Resets {
    /// Indices of the first samples after resets, ascending.
    at: Vec<u32>,
    /// Indices of the samples that claim to have started before the sample before them.
    overlaps: Vec<u32>,
    /// Position of the first reset that the current window may contain.
    next: usize,
    last_first: usize,
}

impl Resets {
    fn find(samples: &Samples, kind: Kind) -> Self {
        let (mut at, mut overlaps) = (Vec::new(), Vec::new());
        if kind.is_counter {
            let values = &samples.values;
            if samples.starts.is_empty() {
                find_decreases(values, &mut at);
            } else {
                at.extend((1..values.len()).filter_map(|k| {
                    let (now, before) = (Stamp::float(samples, k), Stamp::float(samples, k - 1));
                    if now.overlaps(before) {
                        overlaps.push(k as u32);
                    }
                    (values[k] < values[k - 1] || now.is_reset_after(before)).then_some(k as u32)
                }));
            }
        }
        Self {
            at,
            overlaps,
            next: 0,
            last_first: 0,
        }
    }

    /// True when one of samples `first..=last` overlaps with the one before it.
    fn overlap(&self, first: usize, last: usize) -> bool {
        let next = self.overlaps.partition_point(|&k| k as usize <= first);
        self.overlaps.get(next).is_some_and(|&k| k as usize <= last)
    }

    /// `result` plus the values that samples `first..=last` were reset from.
    #[inline]
    fn add(&mut self, values: &[f64], first: usize, last: usize, mut result: f64) -> f64 {
        if self.at.is_empty() {
            return result;
        }
        if first < self.last_first {
            self.next = 0;
        }
        self.last_first = first;
        while self.next < self.at.len() && self.at[self.next] as usize <= first {
            self.next += 1;
        }
        for &k in &self.at[self.next..] {
            if k as usize > last {
                break;
            }
            result += values[k as usize - 1];
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Bounds, Windows};
    use super::*;
    use crate::annotations::Notes;
    use crate::ast::PosRange;
    use crate::columns::Steps;
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
