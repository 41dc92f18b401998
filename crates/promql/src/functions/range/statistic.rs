//! Statistics of the floats of a window; histograms are ignored with an info.

use std::ops::Range;

use model::kahan;

use crate::annotations::Note;
use crate::ast::FunctionId;
use crate::columns::Column;
use crate::exec::ScalarColumn;
use crate::functions::quantile as plain;

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
    let replaces = |old: f64, new: f64| {
        old.is_nan()
            || match func {
                FunctionId::MinOverTime => new < old,
                FunctionId::MaxOverTime => new > old,
                FunctionId::TsOfMinOverTime => new <= old,
                _ => new >= old,
            }
    };
    let wants_time = matches!(
        func,
        FunctionId::TsOfMinOverTime | FunctionId::TsOfMaxOverTime
    );
    input.each_statistic(remarks, |i, window| {
        let mut best = window.start;
        for k in window.start + 1..window.end {
            if replaces(values[best], values[k]) {
                best = k;
            }
        }
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

/// `stdvar_over_time`, or `stddev_over_time` (`root`): Welford's method with compensated sums.
pub(super) fn variance(input: &Windowed<'_>, root: bool, out: &mut Column, remarks: &Remarks<'_>) {
    let values = &input.samples.values;
    input.each_statistic(remarks, |i, window| {
        let mut count = 0.0;
        let (mut mean, mut mean_lost) = (0.0, 0.0);
        let (mut aux, mut aux_lost) = (0.0, 0.0);
        for &v in &values[window] {
            count += 1.0;
            let delta = v - (mean + mean_lost);
            (mean, mean_lost) = kahan::add(delta / count, mean, mean_lost);
            (aux, aux_lost) = kahan::add(delta * (v - (mean + mean_lost)), aux, aux_lost);
        }
        let variance: f64 = (aux + aux_lost) / count;
        out.set_float(i, if root { variance.sqrt() } else { variance });
    });
}

/// `quantile_over_time`.
pub(super) fn quantile(
    input: &Windowed<'_>,
    q: &ScalarColumn,
    out: &mut Column,
    remarks: &Remarks<'_>,
) {
    let mut sorted = Vec::new();
    input.each_statistic(remarks, |i, window| {
        let q = q.at(i);
        if !(0.0..=1.0).contains(&q) {
            remarks.add(Note::InvalidQuantile { got: q });
        }
        sorted.clear();
        sorted.extend_from_slice(&input.samples.values[window]);
        out.set_float(i, plain::quantile(q, &mut sorted));
    });
}

/// `mad_over_time`: the median of the distances from the median.
pub(super) fn mad(input: &Windowed<'_>, out: &mut Column, remarks: &Remarks<'_>) {
    let mut sorted = Vec::new();
    input.each_statistic(remarks, |i, window| {
        sorted.clear();
        sorted.extend_from_slice(&input.samples.values[window]);
        if sorted.iter().any(|v| v.is_nan()) {
            out.set_float(i, f64::NAN);
            return;
        }
        let median = plain::quantile(0.5, &mut sorted);
        for v in &mut sorted {
            *v = (*v - median).abs();
        }
        out.set_float(i, plain::quantile(0.5, &mut sorted));
    });
}
