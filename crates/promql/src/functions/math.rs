//! Functions of one number.

use model::logarithm;
use model::time::Civil;

use crate::ast::FunctionId as F;

/// The function of one float that `func` is, if it is one.
pub(crate) fn unary(func: F) -> Option<fn(f64) -> f64> {
    Some(match func {
        F::Abs => f64::abs,
        F::Ceil => f64::ceil,
        F::Floor => f64::floor,
        F::Exp => f64::exp,
        F::Sqrt => f64::sqrt,
        F::Ln => logarithm::ln,
        F::Log2 => logarithm::log2,
        F::Log10 => logarithm::log10,
        F::Sin => f64::sin,
        F::Cos => f64::cos,
        F::Tan => f64::tan,
        F::Asin => f64::asin,
        F::Acos => f64::acos,
        F::Atan => f64::atan,
        F::Sinh => f64::sinh,
        F::Cosh => f64::cosh,
        F::Tanh => f64::tanh,
        F::Asinh => f64::asinh,
        F::Acosh => f64::acosh,
        F::Atanh => f64::atanh,
        F::Rad => |v| v * std::f64::consts::PI / 180.0,
        F::Deg => |v| v * 180.0 / std::f64::consts::PI,
        F::Sgn => sign,
        F::Year => |v| date(v).year as f64,
        F::Month => |v| f64::from(date(v).month),
        F::DayOfMonth => |v| f64::from(date(v).day),
        F::DayOfWeek => |v| f64::from(date(v).day_of_week),
        F::DayOfYear => |v| f64::from(date(v).day_of_year()),
        F::DaysInMonth => |v| f64::from(date(v).days_in_month()),
        F::Hour => |v| f64::from(date(v).hour),
        F::Minute => |v| f64::from(date(v).minute),
        _ => return None,
    })
}

/// Zero and NaN have no sign.
fn sign(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// Seconds after which the Gregorian calendar repeats: 400 years.
const CALENDAR_SECONDS: i128 = 146_097 * 86_400;
/// The first second that Go's calendar knows; it takes earlier ones for as many after the last.
const GO_FIRST_SECOND: i128 = -9_223_372_028_715_321_600;

/// The date of a time in seconds, as Prometheus on x86 sees it: NaN and what does not fit into an
/// integer is the least integer.
fn date(v: f64) -> Civil {
    let limit = 2f64.powi(63);
    let seconds = if (-limit..limit).contains(&v) {
        v as i64
    } else {
        i64::MIN
    };
    let mut seconds = i128::from(seconds);
    if seconds < GO_FIRST_SECOND {
        seconds += 1 << 64;
    }
    let mut date = Civil::from_unix_seconds(seconds.rem_euclid(CALENDAR_SECONDS) as i64);
    date.year += 400 * seconds.div_euclid(CALENDAR_SECONDS) as i64;
    date
}

/// The multiple of `to_nearest` next to `v`, halves rounded up.
pub(crate) fn round(v: f64, to_nearest: f64) -> f64 {
    // Dividing by the inverse is less often off than multiplying.
    let inverse = 1.0 / to_nearest;
    (v * inverse + 0.5).floor() / inverse
}

/// As Go's `math.Max`: infinity wins over NaN, NaN over everything else.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// As Go's `math.Min`: negative infinity wins over NaN, NaN over everything else.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_what_is_no_time_are_those_of_go() {
        for v in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let date = date(v);
            assert_eq!((date.day_of_year(), date.hour), (339, 15), "{v}");
        }
        assert_eq!(date(-1.0).year, 1969);
        assert_eq!(date(951_782_400.5).day_of_year(), 60);
    }

    #[test]
    fn infinity_wins_over_nan() {
        assert_eq!(max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert_eq!(min(f64::NEG_INFINITY, f64::NAN), f64::NEG_INFINITY);
        assert!(max(f64::NAN, 1.0).is_nan() && min(1.0, f64::NAN).is_nan());
    }
}
