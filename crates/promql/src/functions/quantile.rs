//! Quantiles of plain numbers.

use std::cmp::Ordering;

/// NaN sorts before all other numbers.
pub(crate) fn order(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
    }
}

/// The `q` quantile of `values`, which it sorts: the mean of the two values around the rank,
/// weighted by their distance from it.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    values.sort_unstable_by(order);
    quantile_of_sorted(q, values)
}

/// As [`quantile`], of values sorted by [`order`].
pub(crate) fn quantile_of_sorted(q: f64, values: &[f64]) -> f64 {
    quantile_of_least(q, values, values.len())
}

/// As [`quantile_of_sorted`], of `count` values of which `values` are the least: as many as the rank
/// and one more.
pub(crate) fn quantile_of_least(q: f64, values: &[f64], count: usize) -> f64 {
    if count == 0 || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let last = (count - 1) as f64;
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolates_between_ranks() {
        let mut values = [4.0, 1.0, 3.0, 2.0];
        for (q, expected) in [
            (0.0, 1.0),
            (0.5, 2.5),
            (1.0, 4.0),
            (-0.1, f64::NEG_INFINITY),
            (1.1, f64::INFINITY),
        ] {
            assert_eq!(quantile(q, &mut values), expected, "{q}");
        }
        assert!(quantile(f64::NAN, &mut values).is_nan());
        assert!(quantile(0.5, &mut []).is_nan());
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
    }
}
