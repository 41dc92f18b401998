//! Durations as Prometheus writes them: `1h30m`, `90d`, `250ms`.

use std::fmt;
use std::str::FromStr;

/// A signed length of time in milliseconds, written as Prometheus writes durations.
///
/// Units are `y` (365 days), `w`, `d`, `h`, `m`, `s` and `ms`, each at most once, largest first.
/// Parsing takes no sign; [`DurationMs::parse_signed`] takes a leading `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct DurationMs(pub i64);

/// Why a string is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing there.
    #[error("empty duration string")]
    Empty,
    /// Not numbers with units, or units not in order from largest to smallest.
    #[error("not a valid duration string: {}", crate::labels::quoted(.0))]
    Malformed(String),
    /// A number with a unit that does not exist.
    #[error("unknown unit {} in duration {}", crate::labels::quoted(.unit), crate::labels::quoted(.duration))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole string.
        duration: String,
    },
    /// More than about 292 years, what Prometheus can hold.
    #[error("duration out of range")]
    OutOfRange,
}

/// Units from the largest, with their length in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * DAY_MS),
    ("w", 7 * DAY_MS),
    ("d", DAY_MS),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Prometheus counts nanoseconds in 63 bits.
const NANOS_PER_MS: u64 = 1_000_000;
const MAX_MS: u64 = i64::MAX as u64 / NANOS_PER_MS;

impl DurationMs {
    /// Parses a duration that may start with `-`.
    ///
    /// # Errors
    /// As parsing without the sign.
    pub fn parse_signed(s: &str) -> Result<Self, DurationError> {
        match s.strip_prefix('-') {
            Some(rest) => rest.parse().map(|Self(ms)| Self(-ms)),
            None => s.parse(),
        }
    }
}

impl FromStr for DurationMs {
    type Err = DurationError;

    fn from_str(s: &str) -> Result<Self, DurationError> {
        match s {
            "0" => return Ok(Self(0)),
            "" => return Err(DurationError::Empty),
            _ => {}
        }
        let malformed = || DurationError::Malformed(s.to_owned());
        let mut total = 0u64;
        let mut units_left = UNITS.as_slice();
        let mut rest = s;
        while !rest.is_empty() {
            let (digits, after) = split_while(rest, |b| b.is_ascii_digit());
            let (unit, after) = split_while(after, |b| !b.is_ascii_digit());
            let count: u64 = digits.parse().map_err(|_| malformed())?;
            if unit.is_empty() {
                return Err(malformed());
            }
            if !UNITS.iter().any(|&(u, _)| u == unit) {
                return Err(DurationError::UnknownUnit {
                    unit: unit.to_owned(),
                    duration: s.to_owned(),
                });
            }
            let position = units_left
                .iter()
                .position(|&(u, _)| u == unit)
                .ok_or_else(malformed)?;
            total = count
                .checked_mul(units_left[position].1)
                .and_then(|ms| ms.checked_add(total))
                .filter(|&ms| ms <= MAX_MS)
                .ok_or(DurationError::OutOfRange)?;
            units_left = &units_left[position + 1..];
            rest = after;
        }
        Ok(Self(total as i64))
    }
}

fn split_while(s: &str, accept: impl Fn(&u8) -> bool) -> (&str, &str) {
    let len = s.bytes().take_while(accept).count();
    s.split_at(len)
}

/// Years and weeks are printed only when nothing smaller is left, so `90d` stays `90d`.
impl fmt::Display for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut left = self.0.unsigned_abs();
        for (unit, ms) in UNITS {
            let only_when_exact = matches!(unit, "y" | "w");
            if left < ms || (only_when_exact && !left.is_multiple_of(ms)) {
                continue;
            }
            write!(f, "{}{unit}", left / ms)?;
            left %= ms;
        }
        Ok(())
    }
}

impl<'de> serde::Deserialize<'de> for DurationMs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let s = String::deserialize(deserializer)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_and_prints() {
        const H: i64 = 3_600_000;
        for (input, ms, printed) in [
            ("0", 0, "0s"),
            ("0w", 0, "0s"),
            ("0s", 0, "0s"),
            ("324ms", 324, "324ms"),
            ("3s", 3_000, "3s"),
            ("5m", 300_000, "5m"),
            ("1h", H, "1h"),
            ("4d", 96 * H, "4d"),
            ("4d1h", 97 * H, "4d1h"),
            ("14d", 336 * H, "2w"),
            ("3w", 504 * H, "3w"),
            ("3w2d1h", 553 * H, "23d1h"),
            ("10y", 87_600 * H, "10y"),
            ("90m", 90 * 60_000, "1h30m"),
            ("1y2w3d4h5m6s7ms", 33_019_506_007, "382d4h5m6s7ms"),
            ("106751d", 106_751 * 24 * H, "106751d"),
        ] {
            let parsed: DurationMs = input.parse().unwrap();
            assert_eq!((parsed.0, parsed.to_string().as_str()), (ms, printed));
        }
    }

    #[test]
    fn refuses_with_the_words_of_prometheus() {
        for (input, error) in [
            ("", "empty duration string"),
            ("1", r#"not a valid duration string: "1""#),
            ("00", r#"not a valid duration string: "00""#),
            ("1y1m1d", r#"not a valid duration string: "1y1m1d""#),
            ("5m1h", r#"not a valid duration string: "5m1h""#),
            ("5m1m", r#"not a valid duration string: "5m1m""#),
            ("-1w", r#"not a valid duration string: "-1w""#),
            ("1.5d", r#"unknown unit "." in duration "1.5d""#),
            ("d", r#"not a valid duration string: "d""#),
            ("294y", "duration out of range"),
            ("200y10400w", "duration out of range"),
            ("107675d", "duration out of range"),
            ("2584200h", "duration out of range"),
            (
                "99999999999999999999s",
                r#"not a valid duration string: "99999999999999999999s""#,
            ),
            ("5é", r#"unknown unit "é" in duration "5é""#),
        ] {
            let got = input.parse::<DurationMs>().unwrap_err().to_string();
            assert_eq!(got, error, "{input:?}");
        }
    }

    #[test]
    fn signed_durations_take_one_minus() {
        assert_eq!(DurationMs::parse_signed("-5m"), Ok(DurationMs(-300_000)));
        assert_eq!(DurationMs(-300_000).to_string(), "-5m");
        assert!(DurationMs::parse_signed("--5m").is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(ms in -(MAX_MS as i64)..=MAX_MS as i64) {
            let printed = DurationMs(ms).to_string();
            prop_assert_eq!(DurationMs::parse_signed(&printed), Ok(DurationMs(ms)));
        }

        #[test]
        fn no_input_panics(s in "[-0-9a-z.é]{0,12}") {
            let _ = DurationMs::parse_signed(&s);
        }
    }
}
