//! Time ranges, durations, timestamps and dates. Instants are `i64` milliseconds since the Unix
//! epoch everywhere.

mod civil;
mod duration;
mod timestamp;

use std::fmt;

pub use civil::{Civil, days_in_month, is_leap_year};
pub use duration::{DurationError, DurationMs};
pub use timestamp::{
    JsonSeconds, MAX_TIME_MS, MIN_TIME_MS, Rfc3339, TimestampError, parse_timestamp,
};

/// A half-open range of time `[min, max)` in milliseconds since the Unix epoch.
///
/// Prometheus' APIs speak of closed ranges; they are converted once, at the API edge, with
/// [`TimeRange::closed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First millisecond inside the range.
    pub min: i64,
    /// First millisecond after the range.
    pub max: i64,
}

impl Default for TimeRange {
    /// All of time.
    fn default() -> Self {
        Self::ALL
    }
}

impl TimeRange {
    /// Everything that fits into a timestamp, but for the very last millisecond.
    pub const ALL: Self = Self {
        min: i64::MIN,
        max: i64::MAX,
    };

    /// The half-open range `[min, max)`.
    pub const fn new(min: i64, max: i64) -> Self {
        Self { min, max }
    }

    /// The range that holds both ends, `[min, max]`.
    pub const fn closed(min: i64, max: i64) -> Self {
        Self {
            min,
            max: max.saturating_add(1),
        }
    }

    /// True when no instant is inside.
    pub const fn is_empty(self) -> bool {
        self.min >= self.max
    }

    /// True when `t` is inside.
    pub const fn contains(self, t: i64) -> bool {
        self.min <= t && t < self.max
    }

    /// True when the two ranges share an instant.
    pub const fn overlaps(self, other: Self) -> bool {
        self.min < other.max && other.min < self.max
    }

    /// The instants inside both; empty when they do not overlap.
    pub fn intersect(self, other: Self) -> Self {
        Self {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        }
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.min, self.max)
    }
}
