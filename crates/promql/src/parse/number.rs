//! From the text of a number token to its value, by the rules of Go's `strconv`.

use super::quote::quoted;

/// The value of a number token: an integer in any base (`0x1f`, `0755`), else a decimal float.
///
/// # Errors
/// In Go's words, when it is neither.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    let fail = |why| {
        let text = quoted(text.as_bytes());
        Err(format!(
            "error parsing number: strconv.ParseFloat: parsing {text}: {why}"
        ))
    };
    let is_word = text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("nan");
    let digits = match strip_underscores(text) {
        Some(digits) if !text.starts_with("0x") && !text.starts_with("0X") => digits,
        _ => return fail("invalid syntax"),
    };
    match digits.parse::<f64>() {
        Ok(value) if value.is_infinite() && !is_word => fail("value out of range"),
        Ok(value) => Ok(value),
        Err(_) => fail("invalid syntax"),
    }
}

/// A non-negative integer that fits 63 bits, with Go's base prefixes.
fn parse_integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    // The numbers of nearly every query.
    if bytes.len() <= 18 && bytes[0] != b'0' && bytes.iter().all(u8::is_ascii_digit) {
        return text.parse().ok();
    }
    let digits = strip_underscores(text)?;
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (&*digits, 10),
    };
    i64::from_str_radix(digits, radix).ok()
}

/// The text without underscores; `None` unless each stands between two digits, or between the base
/// prefix and a digit.
fn strip_underscores(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    if !text.contains('_') {
        return Some(text.into());
    }
    let is_hex = text.starts_with("0x") || text.starts_with("0X");
    let bytes = text.as_bytes();
    let is_digit = |b: &u8| b.is_ascii_digit() || (is_hex && b.is_ascii_hexdigit());
    let well_placed = |i: usize| {
        let before = bytes[..i].last().is_some_and(is_digit) || (is_hex && i == 2);
        before && bytes.get(i + 1).is_some_and(is_digit)
    };
    (0..bytes.len())
        .all(|i| bytes[i] != b'_' || well_placed(i))
        .then(|| text.replace('_', "").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, value) in [
            ("0", 0.0),
            ("0755", 493.0),
            ("0899", 899.0),
            ("0x_1F", 31.0),
            ("1_000", 1000.0),
            ("1_000.5", 1000.5),
            ("1_0e3", 1e4),
            (".5", 0.5),
            ("5.", 5.0),
            ("5e-3", 0.005),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("iNf", f64::INFINITY),
        ] {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number("NaN").is_ok_and(f64::is_nan));
    }

    #[test]
    fn refuses_what_go_refuses() {
        let prefix = "error parsing number: strconv.ParseFloat: parsing";
        for (text, why) in [
            ("1e400", "value out of range"),
            ("1_", "invalid syntax"),
            ("0xfffffffffffffffff", "invalid syntax"),
        ] {
            assert_eq!(
                parse_number(text),
                Err(format!("{prefix} \"{text}\": {why}"))
            );
        }
    }
}
