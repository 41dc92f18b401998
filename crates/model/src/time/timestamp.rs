//! Timestamps as Prometheus' HTTP API reads and writes them.

use std::fmt;

use super::civil::{Civil, days_from_civil, days_in_month};

/// Earliest instant that Prometheus' API knows, which it writes in a form that only it reads.
pub const MIN_TIME_MS: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
/// Latest instant that Prometheus' API knows.
pub const MAX_TIME_MS: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;

const MIN_TIME_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// A string that is no timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse {} to a valid timestamp", crate::labels::quoted(.0))]
pub struct TimestampError(pub String);

/// Milliseconds since the Unix epoch from what an API user wrote: seconds, with a fraction that is
/// rounded to milliseconds, or RFC 3339, with a fraction that is cut to milliseconds.
///
/// # Errors
/// For anything else, NaN and infinities among it, and for instants that do not fit.
pub fn parse_timestamp(s: &str) -> Result<i64, TimestampError> {
    let error = || TimestampError(s.to_owned());
    if let Ok(seconds) = s.parse::<f64>() {
        return seconds_to_ms(seconds).ok_or_else(error);
    }
    match s {
        MIN_TIME_TEXT => Ok(MIN_TIME_MS),
        MAX_TIME_TEXT => Ok(MAX_TIME_MS),
        _ => parse_rfc3339(s.as_bytes()).ok_or_else(error),
    }
}

/// Whole seconds and fraction are converted apart, as Prometheus does, for equal rounding.
fn seconds_to_ms(seconds: f64) -> Option<i64> {
    let (whole, fraction) = (seconds.trunc(), seconds.fract());
    // NaN and what would overflow fail the comparison.
    let fits = whole.abs() < (i64::MAX / 1000) as f64;
    fits.then(|| whole as i64 * 1000 + (fraction * 1000.0).round() as i64)
}

fn parse_rfc3339(s: &[u8]) -> Option<i64> {
    let (date_time, rest) = s.split_at_checked(19)?;
    let number = |from: usize, to: usize| digits(&date_time[from..to]);
    let punctuation = [4, 7, 10, 13, 16].map(|i| date_time[i]);
    if punctuation != *b"--T::" {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let year = i64::from(year);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (millis, zone) = fraction_ms(rest)?;
    let seconds = days_from_civil(year, month, day) * 86_400
        + i64::from(hour * 3600 + minute * 60 + second)
        - zone_seconds(zone)?;
    Some(seconds * 1000 + millis)
}

/// The fraction at the front of `s`, if there is one, and what follows it.
fn fraction_ms(s: &[u8]) -> Option<(i64, &[u8])> {
    // Go reads a comma as well.
    let [b'.' | b',', fraction @ ..] = s else {
        return Some((0, s));
    };
    let len = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let millis = (0..3).fold(0, |ms, i| {
        ms * 10
            + if i < len {
                i64::from(fraction[i] - b'0')
            } else {
                0
            }
    });
    Some((millis, &fraction[len..]))
}

/// Seconds east of UTC, from `Z` or `+hh:mm`.
fn zone_seconds(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 24 || minutes > 60 {
                return None;
            }
            let seconds = i64::from(hours * 3600 + minutes * 60);
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn digits(s: &[u8]) -> Option<u32> {
    s.iter().try_fold(0, |n, b| {
        b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0'))
    })
}

/// Prints milliseconds since the Unix epoch as RFC 3339 in UTC, with a fraction only when there is
/// one, without trailing zeros: `2024-02-29T12:34:56.7Z`.
#[derive(Debug, Clone, Copy)]
pub struct Rfc3339(pub i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = Civil::from_unix_seconds(self.0.div_euclid(1000));
        let sign = if c.year < 0 { "-" } else { "" };
        let (year, month, day) = (c.year.abs(), c.month, c.day);
        let (hour, minute, second) = (c.hour, c.minute, c.second);
        write!(
            f,
            "{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        match self.0.rem_euclid(1000) {
            0 => {}
            ms if ms % 100 == 0 => write!(f, ".{}", ms / 100)?,
            ms if ms % 10 == 0 => write!(f, ".{:02}", ms / 10)?,
            ms => write!(f, ".{ms:03}")?,
        }
        f.write_str("Z")
    }
}

/// Prints milliseconds since the Unix epoch as seconds, as Prometheus' JSON answers do: no
/// fraction or one of three digits.
#[derive(Debug, Clone, Copy)]
pub struct JsonSeconds(pub i64);

impl fmt::Display for JsonSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let ms = self.0.unsigned_abs();
        write!(f, "{}", ms / 1000)?;
        match ms % 1000 {
            0 => Ok(()),
            fraction => write!(f, ".{fraction:03}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses() {
        for (input, ms) in [
            ("0", Some(0)),
            ("123", Some(123_000)),
            ("123.123", Some(123_123)),
            ("123.1235", Some(123_124)),
            ("-1.5", Some(-1_500)),
            ("1543578564.705", Some(1_543_578_564_705)),
            ("1e3", Some(1_000_000)),
            ("2015-06-03T13:21:58.555Z", Some(1_433_337_718_555)),
            ("2015-06-03T14:21:58.555+01:00", Some(1_433_337_718_555)),
            ("2015-06-03T13:21:58.5559Z", Some(1_433_337_718_555)),
            ("1969-12-31T23:59:59.9Z", Some(-100)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
            ("-292273086-05-16T16:47:06Z", Some(MIN_TIME_MS)),
            ("292277025-08-18T07:12:54.999999999Z", Some(MAX_TIME_MS)),
            ("2023-02-29T00:00:00Z", None),
            ("2015-06-03T13:21:58", None),
            ("2015-06-03T13:21:58.Z", None),
            ("2015-06-03T24:00:00Z", None),
            ("2015-06-03 13:21:58Z", None),
            ("2015-06-03T13:21:58+0100", None),
            ("+015-06-03T13:21:58Z", None),
            ("NaN", None),
            ("Inf", None),
            ("1e300", None),
            ("", None),
            ("foo", None),
            ("30s", None),
        ] {
            assert_eq!(parse_timestamp(input).ok(), ms, "{input:?}");
        }
        assert_eq!(
            parse_timestamp("foo").unwrap_err().to_string(),
            r#"cannot parse "foo" to a valid timestamp"#
        );
    }

    #[test]
    fn prints() {
        for (ms, rfc3339, json) in [
            (0, "1970-01-01T00:00:00Z", "0"),
            (1, "1970-01-01T00:00:00.001Z", "0.001"),
            (1_500, "1970-01-01T00:00:01.5Z", "1.500"),
            (-100, "1969-12-31T23:59:59.9Z", "-0.100"),
            (
                1_709_210_096_780,
                "2024-02-29T12:34:56.78Z",
                "1709210096.780",
            ),
            (
                MIN_TIME_MS,
                "-292273086-05-16T16:47:06Z",
                "-9223309901257974",
            ),
            (
                i64::MIN,
                "-292275055-05-16T16:47:04.192Z",
                "-9223372036854775.808",
            ),
        ] {
            assert_eq!(Rfc3339(ms).to_string(), rfc3339);
            assert_eq!(JsonSeconds(ms).to_string(), json);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(ms in -62_167_219_200_000i64..253_402_300_800_000) {
            prop_assert_eq!(parse_timestamp(&Rfc3339(ms).to_string()), Ok(ms));
            prop_assert_eq!(parse_timestamp(&JsonSeconds(ms).to_string()), Ok(ms));
        }

        #[test]
        fn no_input_panics(s in ".{0,40}", t in "[0-9TZ:.+,-]{18,30}") {
            let _ = (parse_timestamp(&s), parse_timestamp(&t));
        }
    }
}
