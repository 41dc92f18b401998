//! Statistics of the floats of a window; histograms are ignored with an info.

use std::ops::Range;

use model::kahan;

use crate::annotations::Note;
use crate::ast::FunctionId;
use crate::columns::Column;
use crate::exec::ScalarColumn;
use crate::functions::lanes::{self, Lanes, fold};
use crate::functions::quantile as plain;
use crate::functions::sliding::{ExtremeWindow, SortedWindow};

use super::{Remarks, Windowed};

impl Windowed<'_> {
    fn each_statistic(&self, remarks: &Remarks<'_>, mut each: impl FnMut(usize, Range<usize>)) {
        self.each_floats(|i, window| {
            if self.is_mixed(i) {
                remarks.ignored_hists();
            }
            each(i, window);
        });
    }
}

/// `min_over_time`, `max_over_time` and the times of the extremes.
///
/// NaN gives way to any other value. Of equal values the first counts, but for the times of
/// extremes the last.
pub(super) fn extreme(
    func: FunctionId,
    input: &Windowed<'_>,
    out: &mut Column,
    remarks: &Remarks<'_>,
) {
    let (values, ts) = (&input.samples.values, &input.samples.ts);
    let beats = |old: f64, new: f64| match func {
        FunctionId::MinOverTime => new < old,
        FunctionId::MaxOverTime => new > old,
        FunctionId::TsOfMinOverTime => new <= old,
        _ => new >= old,
    };
    let wants_time = matches!(
        func,
        FunctionId::TsOfMinOverTime | FunctionId::TsOfMaxOverTime
    );
    if !wants_time && input.overlap() < SCAN_OVERLAP_MAX {
        let scan = match func {
            FunctionId::MaxOverTime => scan_extreme::<true>,
            _ => scan_extreme::<false>,
        };
        input.each_statistic(remarks, |i, window| out.set_float(i, scan(&values[window])));
        return;
    }
    let mut extreme = ExtremeWindow::default();
    input.each_statistic(remarks, |i, window| {
        // Of NaNs alone the last stands for all.
        let last = window.end - 1;
        let best = extreme.slide(values, window, beats).unwrap_or(last);
        out.set_float(
            i,
            if wants_time {
                ts[best] as f64 / 1000.0
            } else {
                values[best]
            },
        );
    });
}

/// How often each sample is looked at from which on a queue is faster than to scan each window.
const SCAN_OVERLAP_MAX: usize = 100;

/// The largest or smallest value that is not NaN, found without branches; of zeros the first.
fn scan_extreme<const MAX: bool>(values: &[f64]) -> f64 {
    let pick = |a: f64, b: f64| {
        let replaces = if MAX { b > a } else { b < a };
        if replaces { b } else { a }
    };
    let worst = if MAX {
        f64::NEG_INFINITY
    } else {
        f64::INFINITY
    };
    let (blocks, tail) = values.as_chunks::<8>();
    let mut best = [worst; 8];
    for block in blocks {
        for (best, &v) in best.iter_mut().zip(block) {
            *best = pick(*best, v);
        }
    }
    let result = best.iter().chain(tail).fold(worst, |a, &b| pick(a, b));
    if result != 0.0 && result != worst {
        return result;
    }
    // NaNs alone, infinities, or zeros, whose signs depend on their order.
    values
        .iter()
        .copied()
        .reduce(|a, b| if a.is_nan() { b } else { pick(a, b) })
        .unwrap_or(f64::NAN)
}

/// `stdvar_over_time`, or `stddev_over_time` (`root`): Welford's method with compensated sums.
pub(super) fn variance(input: &Windowed<'_>, root: bool, out: &mut Column, remarks: &Remarks<'_>) {
    let values = &input.samples.values;
    input.each_statistic(remarks, |_, _| {});
    let start = |_: &Lanes| lanes::Variance::default();
    fold(values, input.float_windows(), start, |i, variance| {
        let variance = if variance.is_finite() {
            variance
        } else {
            plain_variance(&values[input.windows.floats(i)])
        };
        out.set_float(i, if root { variance.sqrt() } else { variance });
    });
}

/// As [`lanes::Variance`], also where something overflows or is not finite.
fn plain_variance(values: &[f64]) -> f64 {
    let mut count = 0.0;
    let (mut mean, mut mean_lost) = (0.0, 0.0);
    let (mut aux, mut aux_lost) = (0.0, 0.0);
    for &v in values {
        count += 1.0;
        let delta = v - (mean + mean_lost);
        (mean, mean_lost) = kahan::add(delta / count, mean, mean_lost);
        (aux, aux_lost) = kahan::add(delta * (v - (mean + mean_lost)), aux, aux_lost);
    }
    (aux + aux_lost) / count
}

/// `quantile_over_time`.
pub(super) fn quantile(
    input: &Windowed<'_>,
    q: &ScalarColumn,
    out: &mut Column,
    remarks: &Remarks<'_>,
) {
    let mut sorted = SortedWindow::default();
    input.each_statistic(remarks, |i, window| {
        let q = q.at(i);
        if !(0.0..=1.0).contains(&q) {
            remarks.add(Note::InvalidQuantile { got: q });
        }
        let sorted = sorted.slide(&input.samples.values, window);
        out.set_float(i, plain::quantile_of_sorted(q, sorted));
    });
}

/// `mad_over_time`: the median of the distances from the median.
pub(super) fn mad(input: &Windowed<'_>, out: &mut Column, remarks: &Remarks<'_>) {
    let mut sorted = SortedWindow::default();
    let mut distances = Vec::new();
    input.each_statistic(remarks, |i, window| {
        let sorted = sorted.slide(&input.samples.values, window);
        out.set_float(i, median_distance(sorted, &mut distances));
    });
}

/// The median of the distances of values, sorted, from their median. NaN comes first in what is
/// sorted, and makes the result one.
fn median_distance(sorted: &[f64], distances: &mut Vec<f64>) -> f64 {
    let (Some(&first), Some(&last)) = (sorted.first(), sorted.last()) else {
        return f64::NAN;
    };
    if first.is_nan() {
        return f64::NAN;
    }
    let median = plain::quantile_of_sorted(0.5, sorted);
    distances.clear();
    if first.is_infinite() || last.is_infinite() {
        // The distance between two infinities is NaN, which no order of values tells.
        distances.extend(sorted.iter().map(|v| (v - median).abs()));
        return plain::quantile(0.5, distances);
    }
    // Distances grow to both sides of the median, and half of them and the next one or two decide.
    let deciding = (sorted.len() / 2 + 2).min(sorted.len());
    let (below, above) = sorted.split_at(sorted.partition_point(|v| *v < median));
    let mut below = below.iter().rev().map(|v| (v - median).abs()).peekable();
    let mut above = above.iter().map(|v| (v - median).abs()).peekable();
    while distances.len() < deciding {
        let is_below = match (below.peek(), above.peek()) {
            (Some(b), Some(a)) => b < a,
            (b, _) => b.is_some(),
        };
        distances.extend(if is_below { below.next() } else { above.next() });
    }
    plain::quantile_of_least(0.5, distances, sorted.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_median_distance_is_that_of_sorted_distances(
            mut values in prop::collection::vec(
                prop_oneof![
                    8 => -1e3..1e3f64,
                    4 => (-3..3i32).prop_map(f64::from),
                    1 => Just(f64::INFINITY),
                    1 => Just(f64::NEG_INFINITY),
                    1 => Just(f64::NAN),
                ],
                1..40,
            ),
        ) {
            values.sort_by(plain::order);
            let has_nan = values.iter().any(|v| v.is_nan());
            let median = plain::quantile_of_sorted(0.5, &values);
            let mut distances: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
            let expected = if has_nan { f64::NAN } else { plain::quantile(0.5, &mut distances) };
            let found = median_distance(&values, &mut Vec::new());
            prop_assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan());
        }
    }
}
