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

/// The date of a time in seconds; NaN and what is out of range saturate.
fn date(v: f64) -> Civil {
    Civil::from_unix_seconds(v as i64)
}

/// The multiple of `to_nearest` next to `v`, halves rounded up.
pub(crate) fn round(v: f64, to_nearest: f64) -> f64 {
    // Dividing by the inverse is less often off than multiplying.
    let inverse = 1.0 / to_nearest;
    (v * inverse + 0.5).floor() / inverse
}

/// As Go's `math.Max`: NaN when either is NaN.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// As Go's `math.Min`: NaN when either is NaN.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}
