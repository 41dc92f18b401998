//! Numbers as Go's `strconv.ParseFloat` reads them, less the forms that Prometheus shuts out.
//!
//! Accepted: decimals with at least one digit, an optional sign, point and exponent; `inf` and
//! `infinity` with an optional sign and `nan` without, in any case. Not accepted: hexadecimal,
//! underscores, and numbers too large for a float (`1e999`). Too small is zero.

use model::sample::NORMAL_NAN_BITS;

/// The value of a sample; every NaN is the one that arithmetic yields.
pub fn parse_value(s: &[u8]) -> Option<f64> {
    match fast_float2::parse::<f64, _>(s) {
        Ok(v) if v.is_finite() => Some(v),
        Ok(_) => parse_special(s),
        Err(_) => None,
    }
}

/// `inf` and `nan` as Go takes them; `None` for a decimal that overflowed.
fn parse_special(s: &[u8]) -> Option<f64> {
    let (sign, word) = match s {
        [b'+', rest @ ..] => (Some(1.0), rest),
        [b'-', rest @ ..] => (Some(-1.0), rest),
        _ => (None, s),
    };
    if word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity") {
        Some(f64::INFINITY * sign.unwrap_or(1.0))
    } else if word.eq_ignore_ascii_case(b"nan") && sign.is_none() {
        Some(f64::from_bits(NORMAL_NAN_BITS))
    } else {
        None
    }
}

/// OpenMetrics' timestamp: finite seconds.
pub fn parse_seconds(s: &[u8]) -> Option<f64> {
    parse_value(s).filter(|seconds| seconds.is_finite())
}

/// Seconds as milliseconds, cut towards zero as Prometheus does, at the ends of the range of `i64`.
pub fn seconds_to_ms(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

/// The text format's timestamp: whole milliseconds, digits only.
pub fn parse_ms(s: &[u8]) -> Option<i64> {
    if s.is_empty() {
        return None;
    }
    s.iter().try_fold(0i64, |ms, b| {
        let digit = b.is_ascii_digit().then(|| i64::from(b - b'0'))?;
        ms.checked_mul(10)?.checked_add(digit)
    })
}

/// A number as JSON writes it: no plus sign, no leading zeros, nothing but digits around its point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plain {
    value: f64,
    /// It, when it has neither sign, point nor exponent.
    whole: Option<i64>,
}

impl Plain {
    /// Its value.
    #[inline]
    pub(crate) const fn value(self) -> f64 {
        self.value
    }

    /// It, when it has neither sign, point nor exponent and fits.
    #[inline]
    pub(crate) const fn whole(self) -> Option<i64> {
        self.whole
    }
}

/// Powers of ten that are floats, exactly.
static TENS: [f64; 16] = [
    1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];
/// Decimals of which any number is an integer that a float holds exactly.
const EXACT_DIGITS: usize = 15;

/// The number that `s` begins with, up to the first byte that is part of none, and its length. What
/// comes out is what [`parse_value`] yields. Nothing for what is no such number, for one too large
/// for a float, and for zero with a sign and no point, which readers take for different zeros.
#[inline]
pub(crate) fn plain(s: &[u8]) -> Option<(Plain, usize)> {
    let is_negative = s.first() == Some(&b'-');
    let whole_at = usize::from(is_negative);
    let mut mantissa = 0_u64;
    let mut at = digits(s, whole_at, &mut mantissa);
    let whole = at - whole_at;
    if whole == 0 || (whole > 1 && s[whole_at] == b'0') {
        return None;
    }
    let mut decimals = 0;
    let is_whole = s.get(at) != Some(&b'.');
    if !is_whole {
        let from = at + 1;
        at = digits(s, from, &mut mantissa);
        decimals = at - from;
        if decimals == 0 {
            return None;
        }
    }
    let ends = match s.get(at) {
        Some(b'e' | b'E') => return with_exponent(s, at),
        Some(b'+' | b'-' | b'.') => return None,
        _ => at,
    };
    let value = if whole + decimals <= EXACT_DIGITS {
        // Both are exact, so that the quotient is the float next to the number.
        let value = mantissa as f64 / TENS[decimals];
        if is_negative { -value } else { value }
    } else {
        parse_value(&s[..ends])?
    };
    let is_small = whole <= EXACT_DIGITS;
    if is_whole && is_negative && value == 0.0 {
        return None;
    }
    let plain = Plain {
        value,
        whole: (is_whole && is_small && !is_negative).then_some(mantissa as i64),
    };
    Some((plain, ends))
}

/// Goes behind the digits at `at`; their value is of worth when they are few.
#[inline]
fn digits(s: &[u8], at: usize, value: &mut u64) -> usize {
    let mut end = at;
    while let Some(digit @ b'0'..=b'9') = s.get(end) {
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        end += 1;
    }
    end
}

/// As [`plain`], given where the exponent begins.
#[cold]
fn with_exponent(s: &[u8], at: usize) -> Option<(Plain, usize)> {
    let sign = matches!(s.get(at + 1), Some(b'+' | b'-'));
    let from = at + 1 + usize::from(sign);
    let end = digits(s, from, &mut 0);
    if end == from || matches!(s.get(end), Some(b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    let value = parse_value(&s[..end])?;
    Some((Plain { value, whole: None }, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_go_takes() {
        for (s, v) in [
            ("1", 1.0),
            ("+1", 1.0),
            ("-1.", -1.0),
            (".5", 0.5),
            ("1e5", 1e5),
            ("1E+5", 1e5),
            ("1e-400", 0.0),
            ("0000000000000000000000000000000000000000001.2e-1", 0.12),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("1.7976931348623157e308", f64::MAX),
            ("inf", f64::INFINITY),
            ("+Inf", f64::INFINITY),
            ("-INFINITY", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse_value(s.as_bytes()), Some(v), "{s}");
        }
        assert_eq!(parse_value(b"-0").map(f64::to_bits), Some(1 << 63));
        for s in ["NaN", "nan", "NAN"] {
            assert_eq!(
                parse_value(s.as_bytes()).map(f64::to_bits),
                Some(NORMAL_NAN_BITS),
                "{s}"
            );
        }
    }

    #[test]
    fn refuses_what_go_or_prometheus_refuses() {
        for s in [
            "", "+", ".", "-.", "e5", "1e", "1e+", "1_2", "0x1", "0x1p-3", "0X1P-3", "0b1", "0o1",
            "1e999", "-1e999", "-nan", "+NaN", "infi", "nano", "in", "1 ", " 1", "1z", "1.1.1",
            "++1", "1e5e5", "--1",
        ] {
            assert_eq!(parse_value(s.as_bytes()), None, "{s}");
        }
    }

    #[test]
    fn timestamps() {
        for s in ["NaN", "Inf", "-Inf", ""] {
            assert_eq!(parse_seconds(s.as_bytes()), None, "{s}");
        }
        for (seconds, ms) in [
            (1.5e3, 1_500_000),
            (-1.1, -1100),
            (0.0019, 1),
            (12_345_678_901_234_567_890.0, i64::MAX),
        ] {
            assert_eq!(seconds_to_ms(seconds), ms, "{seconds}");
        }
        assert_eq!(parse_ms(b"1395066363000"), Some(1_395_066_363_000));
        for s in ["", "-1", "1.5", "9223372036854775808"] {
            assert_eq!(parse_ms(s.as_bytes()), None, "{s}");
        }
    }
}
