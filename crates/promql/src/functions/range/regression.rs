//! `deriv`, `predict_linear` and `double_exponential_smoothing`: lines through the floats of a
//! window.

use std::ops::Range;

use model::kahan;

use crate::columns::{Column, Samples};
use crate::error::Error;
use crate::exec::ScalarColumn;
use crate::functions::lanes::{Fold, LANES, Lanes, fold, lost};

use super::{Remarks, Windowed};

impl Windowed<'_> {
    /// Calls `each` with every step that has two floats or more; histograms are ignored with an
    /// info, if there is a float at all. Fails as `each` does, and when the query ends.
    fn each_line(
        &self,
        remarks: &Remarks<'_>,
        mut each: impl FnMut(usize, &[i64], &[f64]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for i in 0..self.windows.count() {
            if self.is_mixed(i) {
                remarks.ignored_hists();
            }
            let window = self.windows.floats(i);
            self.pace.spend(window.len())?;
            if window.len() >= 2 {
                each(
                    i,
                    &self.samples.ts[window.clone()],
                    &self.samples.values[window],
                )?;
            }
        }
        Ok(())
    }
}

pub(super) fn deriv(input: &Windowed<'_>, out: &mut Column, remarks: &Remarks<'_>) {
    // A time near the samples keeps the sums small and so precise.
    let origin = |_, first| first;
    each_regression(input, remarks, origin, |i, (slope, _)| {
        out.set_float(i, slope)
    });
}

pub(super) fn predict(
    input: &Windowed<'_>,
    ahead: &ScalarColumn,
    out: &mut Column,
    remarks: &Remarks<'_>,
) {
    let origin = |i, _| input.windows.step(i);
    each_regression(input, remarks, origin, |i, (slope, intercept)| {
        out.set_float(i, slope * ahead.at(i) + intercept);
    });
}

/// Calls `each` with the slope (per second) and the value at `origin` of the least-squares line of
/// every window of two floats or more. `origin` is given the index of a window and the time of its
/// first float. Histograms are ignored with an info, if there is a float at all.
fn each_regression(
    input: &Windowed<'_>,
    remarks: &Remarks<'_>,
    origin: impl Fn(usize, i64) -> i64,
    mut each: impl FnMut(usize, (f64, f64)),
) {
    let Samples { ts, values, .. } = input.samples;
    if (0..input.windows.count()).any(|i| input.is_mixed(i)) {
        remarks.ignored_hists();
    }
    let ends = runs(values);
    let is_flat = |window: &Range<usize>| ends[window.start] as usize >= window.end;
    let lines = || {
        input
            .float_windows()
            .filter(|(_, window)| window.len() >= 2)
    };
    for (i, window) in lines().filter(|(_, window)| is_flat(window)) {
        each(i, flat(values[window.start]));
    }
    let points: Vec<Point> = ts
        .iter()
        .map(|&t| t as f64)
        .zip(values.iter().copied())
        .collect();
    let start = |lanes: &Lanes| {
        LineSums::new(
            lanes
                .each_ref()
                .map(|(i, window)| origin(*i, ts[window.start]) as f64),
        )
    };
    let sloped = lines().filter(|(_, window)| !is_flat(window));
    fold(&points, sloped, start, |i, sums| {
        let window = input.windows.floats(i);
        let is_exact = ts[window.end - 1] <= EXACT_MAX && sums.iter().all(|v| v.is_finite());
        let sums = match is_exact {
            true => sums,
            false => {
                let origin = origin(i, ts[window.start]);
                plain_sums(&ts[window.clone()], &values[window.clone()], origin)
            }
        };
        each(i, line(sums, window.len()));
    });
}

/// For each value the end of the run of values that are equal to it.
fn runs(values: &[f64]) -> Vec<u32> {
    let mut ends = vec![0; values.len()];
    let mut end = values.len() as u32;
    for k in (0..values.len()).rev() {
        // NaN is not even equal to itself.
        if values.get(k + 1).is_none_or(|next| *next != values[k]) {
            end = k as u32 + 1;
        }
        ends[k] = end;
    }
    ends
}

/// The line through values that are all the same.
const fn flat(value: f64) -> (f64, f64) {
    if value.is_infinite() {
        (f64::NAN, f64::NAN)
    } else {
        (0.0, value)
    }
}

/// The line of `count` samples with these sums.
fn line([sum_x, sum_y, sum_xy, sum_x2]: [f64; 4], count: usize) -> (f64, f64) {
    let n = count as f64;
    let covariance = sum_xy - sum_x * sum_y / n;
    let variance = sum_x2 - sum_x * sum_x / n;
    let slope = covariance / variance;
    (slope, sum_y / n - slope * sum_x / n)
}

/// The sums of x, y, x * y and x * x, also where they overflow or something is not finite.
fn plain_sums(ts: &[i64], values: &[f64], origin: i64) -> [f64; 4] {
    let mut sums = [(0.0, 0.0); 4];
    for (&t, &y) in ts.iter().zip(values) {
        let x = (t - origin) as f64 / 1e3;
        for (sum, v) in sums.iter_mut().zip([x, y, x * y, x * x]) {
            *sum = kahan::add(v, sum.0, sum.1);
        }
    }
    sums.map(|(sum, lost)| sum + lost)
}

/// Times up to here are floats without rounding.
const EXACT_MAX: i64 = 1 << 53;

/// A time in milliseconds and a value.
type Point = (f64, f64);

/// As [`plain_sums`] of several windows at once. Right as long as it stays finite.
#[derive(Debug, Clone, Copy)]
struct LineSums {
    origins: [f64; LANES],
    sums: [[f64; LANES]; 4],
    lost: [[f64; LANES]; 4],
}

impl LineSums {
    fn new(origins: [f64; LANES]) -> Self {
        Self {
            origins,
            sums: Default::default(),
            lost: Default::default(),
        }
    }
}

impl Fold for LineSums {
    type Sample = Point;
    type Out = [f64; 4];

    #[inline]
    fn step(&mut self, points: &[Point; LANES], _: f64) {
        for (l, &point) in points.iter().enumerate() {
            self.step_lane(l, point, 0.0);
        }
    }

    #[inline]
    fn step_lane(&mut self, l: usize, (t, y): Point, _: f64) {
        let x = (t - self.origins[l]) / 1e3;
        for (k, v) in [x, y, x * y, x * x].into_iter().enumerate() {
            let sum = self.sums[k][l] + v;
            self.lost[k][l] += lost(self.sums[k][l], v, sum);
            self.sums[k][l] = sum;
        }
    }

    fn finish(&self, l: usize, _: f64) -> [f64; 4] {
        std::array::from_fn(|k| self.sums[k][l] + self.lost[k][l])
    }
}

/// Holt's linear method, with a smoothing factor for values and one for the trend.
pub(super) fn smoothing(
    input: &Windowed<'_>,
    value_factor: &ScalarColumn,
    trend_factor: &ScalarColumn,
    (out, remarks): (&mut Column, &Remarks<'_>),
) -> Result<(), Error> {
    for i in 0..input.windows.count() {
        if input.windows.floats(i).is_empty() && input.windows.hists(i).is_empty() {
            continue;
        }
        for (what, factor) in [
            ("smoothing", value_factor.at(i)),
            ("trend", trend_factor.at(i)),
        ] {
            if factor <= 0.0 || factor >= 1.0 {
                let letter = &what[..1];
                return Err(Error::execution(format!(
                    "invalid {what} factor. Expected: 0 < {letter}f < 1, got: {factor:.6}"
                )));
            }
        }
    }
    input.each_line(remarks, |i, _, values| {
        let (sf, tf) = (value_factor.at(i), trend_factor.at(i));
        let mut previous = 0.0;
        let mut smooth = values[0];
        let mut trend = values[1] - values[0];
        for (k, &v) in values.iter().enumerate().skip(1) {
            let x = sf * v;
            if k > 1 {
                let new = tf * (smooth - previous);
                trend = new + (1.0 - tf) * trend;
            }
            let y = (1.0 - sf) * (smooth + trend);
            (previous, smooth) = (smooth, x + y);
        }
        out.set_float(i, smooth);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn windows_side_by_side_have_the_sums_of_each_alone(
            gaps in prop::collection::vec(1..20_000i64, 2..80),
            start in -1_000_000i64..2_000_000_000_000,
            (width, step) in (2..30usize, 1..9usize),
            seed in any::<u64>(),
        ) {
            let mut t = start;
            let ts: Vec<i64> = gaps.iter().map(|gap| { t += gap; t }).collect();
            let value = |k: usize| f64::from_bits(seed.rotate_left(k as u32)) % 1e12;
            let values: Vec<f64> = (0..ts.len()).map(value).map(|v| if v.is_nan() { 1.5 } else { v }).collect();
            let points: Vec<Point> = ts.iter().map(|&t| t as f64).zip(values.iter().copied()).collect();
            let window = |i: usize| (i * step).min(ts.len())..(i * step + width).min(ts.len());
            let windows = (0..ts.len() / step).map(|i| (i, window(i)));
            let start = |lanes: &Lanes| {
                LineSums::new(lanes.each_ref().map(|(_, window)| ts[window.start] as f64))
            };
            fold::<LineSums>(&points, windows, start, |i, sums| {
                let window = window(i);
                let plain = plain_sums(&ts[window.clone()], &values[window.clone()], ts[window.start]);
                assert_eq!(sums.map(f64::to_bits), plain.map(f64::to_bits));
            });
        }

        #[test]
        fn runs_end_where_a_value_differs(values in prop::collection::vec(
            prop_oneof![Just(f64::NAN), Just(1.0), Just(2.0), Just(f64::INFINITY)], 0..40,
        )) {
            for (k, end) in runs(&values).into_iter().enumerate() {
                let same = values[k + 1..].iter().take_while(|v| **v == values[k]).count();
                let same = if values[k].is_nan() { 0 } else { same };
                prop_assert_eq!(end as usize, k + 1 + same);
            }
        }
    }
}
