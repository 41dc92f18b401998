//! Functions of one number.

use promql::ast::FunctionId as F;

pub(super) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

pub(super) fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

pub(super) fn round(v: f64, to: f64) -> f64 {
    let inverse = 1.0 / to;
    (v * inverse + 0.5).floor() / inverse
}

/// What the function computes; `None` when it is not one of numbers.
pub(super) fn function(f: F) -> Option<fn(f64) -> f64> {
    Some(match f {
        F::Abs => f64::abs,
        F::Ceil => f64::ceil,
        F::Floor => f64::floor,
        F::Sqrt => f64::sqrt,
        F::Exp => f64::exp,
        F::Ln => f64::ln,
        F::Log2 => model::logarithm::log2,
        F::Log10 => model::logarithm::log10,
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
        F::Deg => |v| v * 180.0 / std::f64::consts::PI,
        F::Rad => |v| v * std::f64::consts::PI / 180.0,
        F::Sgn => |v| match v {
            v if v > 0.0 => 1.0,
            v if v < 0.0 => -1.0,
            v => v,
        },
        _ => return None,
    })
}

/// The quantile of the values: between the two nearest ranks; NaN is less than all others.
pub(super) fn quantile(q: f64, mut values: Vec<f64>) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    let rank_of_nan = |v: &f64| u8::from(!v.is_nan());
    values.sort_by(|a, b| {
        let by_value = a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
        rank_of_nan(a).cmp(&rank_of_nan(b)).then(by_value)
    });
    let rank = q * (values.len() - 1) as f64;
    let lower = rank.floor();
    let upper = (lower + 1.0).min((values.len() - 1) as f64);
    let weight = rank - lower;
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}
