//! `deriv`, `predict_linear` and `double_exponential_smoothing`: lines through the floats of a
//! window.

use model::kahan;

use crate::columns::Column;
use crate::error::Error;
use crate::exec::ScalarColumn;

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

pub(super) fn deriv(
    input: &Windowed<'_>,
    out: &mut Column,
    remarks: &Remarks<'_>,
) -> Result<(), Error> {
    input.each_line(remarks, |i, ts, values| {
        // A time near the samples keeps the sums small and so precise.
        out.set_float(i, regress(ts, values, ts[0]).0);
        Ok(())
    })
}

pub(super) fn predict(
    input: &Windowed<'_>,
    ahead: &ScalarColumn,
    out: &mut Column,
    remarks: &Remarks<'_>,
) -> Result<(), Error> {
    input.each_line(remarks, |i, ts, values| {
        let (slope, intercept) = regress(ts, values, input.windows.step(i));
        out.set_float(i, slope * ahead.at(i) + intercept);
        Ok(())
    })
}

/// Slope (per second) and value at `origin` of the least-squares line.
fn regress(ts: &[i64], values: &[f64], origin: i64) -> (f64, f64) {
    let initial = values[0];
    if values.iter().skip(1).all(|&v| v == initial) {
        return if initial.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, initial)
        };
    }
    let zero = (0.0, 0.0);
    let (mut sum_x, mut sum_y, mut sum_xy, mut sum_x2) = (zero, zero, zero, zero);
    for (&t, &y) in ts.iter().zip(values) {
        let x = (t - origin) as f64 / 1e3;
        sum_x = kahan::add(x, sum_x.0, sum_x.1);
        sum_y = kahan::add(y, sum_y.0, sum_y.1);
        sum_xy = kahan::add(x * y, sum_xy.0, sum_xy.1);
        sum_x2 = kahan::add(x * x, sum_x2.0, sum_x2.1);
    }
    let n = values.len() as f64;
    let [sum_x, sum_y, sum_xy, sum_x2] = [sum_x, sum_y, sum_xy, sum_x2].map(|(s, c)| s + c);
    let covariance = sum_xy - sum_x * sum_y / n;
    let variance = sum_x2 - sum_x * sum_x / n;
    let slope = covariance / variance;
    (slope, sum_y / n - slope * sum_x / n)
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
