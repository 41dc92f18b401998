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
