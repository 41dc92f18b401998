//! Compensated summation (Neumaier's variant of Kahan's), as Prometheus adds samples up.

/// Adds `value` to `sum` and what was lost by rounding to `compensation`; returns both.
///
/// The total is `sum + compensation`. Once the sum is infinite nothing is compensated.
#[inline]
#[must_use]
pub fn add(value: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + value;
    let compensation = if total.is_infinite() {
        0.0
    } else if sum.abs() >= value.abs() {
        compensation + ((sum - total) + value)
    } else {
        compensation + ((value - total) + sum)
    };
    (total, compensation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let (sum, compensation) = values.iter().fold((0.0, 0.0), |(sum, compensation), &v| {
            add(v, sum, compensation)
        });
        sum + compensation
    }

    #[test]
    fn keeps_what_plain_addition_loses() {
        assert_eq!([5.0, 1e100, 1.0, -1e100].iter().sum::<f64>(), 0.0);
        assert_eq!(sum(&[5.0, 1e100, 1.0, -1e100]), 6.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
    }

    #[test]
    fn infinity_stays_infinite() {
        assert_eq!(sum(&[1.0, f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
    }
}
