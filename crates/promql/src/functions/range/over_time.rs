//! `sum_over_time` and `avg_over_time`.

use std::ops::Range;
use std::sync::Arc;

use model::{FloatHistogram, kahan};

use crate::annotations::{HistogramOp, Note};
use crate::columns::Column;
use crate::functions::hist_sum::{HistMean, HistSum, Joined};
use crate::functions::lanes::{self, Lanes, fold};

use super::{Remarks, Windowed};

pub(super) fn sum(input: &Windowed<'_>, out: &mut Column, remarks: &Remarks<'_>) {
    let values = &input.samples.values;
    each_sum(input, remarks, |i, window, (sum, lost)| {
        let v = if (sum + lost).is_finite() {
            sum + lost
        } else {
            plain_sum(&values[window])
        };
        out.set_float(i, v);
    });
    each_hists(input, out, remarks, |hists, remarks| {
        let mut sum = HistSum::new(&hists[0]);
        for h in &hists[1..] {
            join(sum.add(h), remarks)?;
        }
        finish(sum.collides(), remarks);
        Some(sum.total())
    });
}

pub(super) fn avg(input: &Windowed<'_>, out: &mut Column, remarks: &Remarks<'_>) {
    let values = &input.samples.values;
    each_sum(input, remarks, |i, window, (sum, lost)| {
        let count = window.len() as f64;
        let v = if (sum + lost).is_finite() {
            sum / count + lost / count
        } else {
            mean(&values[window])
        };
        out.set_float(i, v);
    });
    each_hists(input, out, remarks, |hists, remarks| {
        let mut mean = HistMean::new(&hists[0]);
        for h in &hists[1..] {
            join(mean.add(h), remarks)?;
        }
        finish(mean.collides(), remarks);
        Some(mean.mean())
    });
}

/// Calls `each` with the compensated sum of every window that has floats only, which may not be
/// finite.
fn each_sum(
    input: &Windowed<'_>,
    remarks: &Remarks<'_>,
    mut each: impl FnMut(usize, Range<usize>, (f64, f64)),
) {
    let start = |_: &Lanes| lanes::Sum::default();
    fold(
        &input.samples.values,
        input.float_windows(),
        start,
        |i, sum| {
            if input.is_mixed(i) {
                remarks.mixed();
            } else {
                each(i, input.windows.floats(i), sum);
            }
        },
    );
}

/// The sum, also where it overflows or something is not finite.
fn plain_sum(values: &[f64]) -> f64 {
    let (sum, lost) = values
        .iter()
        .fold((0.0, 0.0), |(sum, lost), &v| kahan::add(v, sum, lost));
    if sum.is_infinite() { sum } else { sum + lost }
}

/// The mean: the sum over the count, or, once the sum would overflow, a running mean.
fn mean(values: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0, 0.0);
    let mut count = 0.0;
    let mut rest = values.iter();
    for &v in rest.by_ref() {
        count += 1.0;
        let next = kahan::add(v, sum, lost);
        if count > 1.0 && next.0.is_infinite() {
            // Take the value that did not fit again, below.
            return running_mean(v, rest.as_slice(), (sum, lost), count);
        }
        (sum, lost) = next;
    }
    sum / count + lost / count
}

fn running_mean(v: f64, rest: &[f64], (sum, lost): (f64, f64), mut count: f64) -> f64 {
    let (mut mean, mut lost) = (sum / (count - 1.0), lost / (count - 1.0));
    for &v in std::iter::once(&v).chain(rest) {
        let share = (count - 1.0) / count;
        (mean, lost) = kahan::add(v / count, share * mean, share * lost);
        count += 1.0;
    }
    mean + lost
}

/// Evaluates `each` for the steps that have histograms only.
fn each_hists(
    input: &Windowed<'_>,
    out: &mut Column,
    remarks: &Remarks<'_>,
    each: impl Fn(&[Arc<FloatHistogram>], &Remarks<'_>) -> Option<FloatHistogram>,
) {
    for i in 0..input.windows.count() {
        let window = input.windows.hists(i);
        if window.is_empty() || input.is_mixed(i) {
            continue;
        }
        if !input.may_work_on_hists(i) {
            break;
        }
        if let Some(h) = each(&input.samples.hists[window], remarks) {
            out.set_hist(i, Arc::new(h));
        }
    }
}

/// Leaves what an addition gives reason to remark; `None` when it was impossible.
fn join(joined: Joined, remarks: &Remarks<'_>) -> Option<()> {
    match joined {
        Joined::Plain => {}
        Joined::Reconciled => {
            remarks.add(Note::MismatchedCustomBuckets {
                op: HistogramOp::Aggregation,
            });
        }
        Joined::Impossible => {
            remarks.mixed_schemas();
            return None;
        }
    }
    Some(())
}

fn finish(collides: bool, remarks: &Remarks<'_>) {
    if collides {
        remarks.add(Note::CounterResetCollision {
            op: HistogramOp::Aggregation,
        });
    }
}
