//! `increase2` of the Lookout dialect: what a counter grew by between the first and the last sample of
//! a window, resets made up for, and nothing extrapolated.

use crate::columns::Column;

use super::Windowed;

pub(super) fn increase(input: &Windowed<'_>, out: &mut Column) {
    let values = &input.samples.values;
    let is_reset = |k: &usize| values[*k] < values[*k - 1];
    let resets: Vec<usize> = (1..values.len()).filter(is_reset).collect();
    for (i, window) in input.float_windows() {
        if window.len() < 2 {
            continue;
        }
        let (first, last) = (window.start, window.end - 1);
        let from = resets.partition_point(|k| *k <= first);
        let to = resets.partition_point(|k| *k <= last);
        let lost: f64 = resets[from..to].iter().map(|k| values[*k - 1]).sum();
        out.set_float(i, values[last] - values[first] + lost);
    }
}
