//! A part of time, some of whose ends move with the clock.

use std::fmt;
use std::str::FromStr;

use model::TimeRange;
use model::time::{DurationMs, Rfc3339, parse_timestamp};

/// One end of a part of time, as Thanos' flags take it: `2024-01-02T03:04:05Z`, or `-6w` for what
/// was that long ago (`6w` for what is that far ahead).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeBound {
    /// A fixed time in milliseconds since the Unix epoch.
    At(i64),
    /// Milliseconds before now; negative for what is to come.
    Ago(i64),
}

/// A text that is no [`TimeBound`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a time such as 2024-01-02T03:04:05Z nor a duration such as -6w")]
pub struct TimeBoundError(String);

impl FromStr for TimeBound {
    type Err = TimeBoundError;

    fn from_str(s: &str) -> Result<Self, TimeBoundError> {
        match DurationMs::parse_signed(s) {
            Ok(ahead) => Ok(Self::Ago(-ahead.0)),
            Err(_) => parse_timestamp(s)
                .map(Self::At)
                .map_err(|_| TimeBoundError(s.to_owned())),
        }
    }
}

impl fmt::Display for TimeBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(ms) => Rfc3339(*ms).fmt(f),
            Self::Ago(ms) if *ms > 0 => write!(f, "-{}", DurationMs(*ms)),
            Self::Ago(ms) => DurationMs(-ms).fmt(f),
        }
    }
}

impl TimeBound {
    fn at(self, now_ms: i64) -> i64 {
        match self {
            Self::At(ms) => ms,
            Self::Ago(ms) => now_ms.saturating_sub(ms),
        }
    }
}

/// A part of time; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBounds {
    /// The first millisecond.
    pub min: TimeBound,
    /// The last millisecond.
    pub max: TimeBound,
}

impl TimeBounds {
    /// All of time.
    pub const ALL: Self = Self {
        min: TimeBound::At(i64::MIN),
        max: TimeBound::At(i64::MAX),
    };

    /// The part of time as it is at `now_ms`.
    pub fn range(&self, now_ms: i64) -> TimeRange {
        let (min, max) = (self.min.at(now_ms), self.max.at(now_ms));
        TimeRange::new(min, max.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_fixed_or_move() {
        for (text, bound, at) in [
            ("1970-01-01T00:00:10Z", TimeBound::At(10_000), 10_000),
            ("-1h", TimeBound::Ago(3_600_000), 1_400_000),
            ("1s", TimeBound::Ago(-1000), 5_001_000),
        ] {
            assert_eq!(text.parse(), Ok(bound), "{text}");
            assert_eq!(bound.to_string(), text);
            assert_eq!(bound.at(5_000_000), at, "{text}");
        }
        assert!("yesterday".parse::<TimeBound>().is_err());
        let thanos_defaults = ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"];
        assert!(
            thanos_defaults
                .iter()
                .all(|s| s.parse::<TimeBound>().is_ok())
        );
    }
}
