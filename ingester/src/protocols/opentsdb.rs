//! OpenTSDB: `POST /api/put` and the lines of `put`, on one port.
//!
//! [`decode`] reads the JSON and [`line`] the lines; [`handler`] and [`telnet`] put them on the
//! network. A connection whose first byte is a capital letter is HTTP, any other is lines.
//!
//! Where OpenTSDB itself is narrow, [`Options::strict`] says whether we are too: it demands a tag
//! and a time, takes at most eight tags and only letters, digits and `-_./`. Otherwise such points
//! are taken, because clients in use send them.
//!
//! Source of the formats: OpenTSDB 2.4's documentation and source, and what collectd, netdata and
//! the Python clients send.

pub mod decode;
pub mod handler;
pub mod line;
pub mod telnet;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::protocols::names::Names;
use crate::protocols::points::Reason;
use crate::receive::LabelLimits;

/// Tags of a point where [`Options::strict`] is set: OpenTSDB's `tsd.storage.max_tags`.
const STRICT_TAGS_MAX: usize = 8;
/// The largest time that OpenTSDB takes, in milliseconds: 13 digits.
const TIMESTAMP_MAX: i64 = 9_999_999_999_999;

/// How points are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Takes only what OpenTSDB takes.
    pub strict: bool,
    /// What becomes of metric names.
    pub names: Names,
    /// What labels may be like.
    pub labels: LabelLimits,
    /// How long lines wait for a storage that takes nothing, or for a rate to be kept.
    pub wait_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            strict: false,
            names: Names::default(),
            labels: LabelLimits::default(),
            wait_max: Duration::from_secs(60),
        }
    }
}

/// Milliseconds of a time in seconds, or in milliseconds when it does not fit 32 bits.
fn timestamp_ms(timestamp: i64) -> Result<i64, Reason> {
    match timestamp {
        1..=0xffff_ffff => Ok(timestamp * 1000),
        0x1_0000_0000..=TIMESTAMP_MAX => Ok(timestamp),
        _ => Err(Reason::InvalidTimestamp),
    }
}

/// True when OpenTSDB takes `text` as the name of a metric, or a key or value of a tag.
fn is_strict_text(text: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    !text.is_empty() && text.chars().all(allowed)
}

/// Checks a point against what OpenTSDB itself demands.
fn check_strict<'a>(
    metric: &str,
    tags: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) -> Result<(), Reason> {
    match tags.len() {
        0 => return Err(Reason::NoLabels),
        n if n > STRICT_TAGS_MAX => return Err(Reason::TooManyLabels),
        _ => {}
    }
    let is_taken = |(key, value): (&str, &str)| is_strict_text(key) && is_strict_text(value);
    if is_strict_text(metric) && { tags }.all(is_taken) {
        Ok(())
    } else {
        Err(Reason::InvalidCharacter)
    }
}
