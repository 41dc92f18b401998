//! Histogram chunks: one bucket layout for all samples, counts as differences.
//!
//! Payload: sample count (u16), a byte whose top two bits are the [`CounterReset`] header, then
//! bits: the layout, then per sample its time, counts, sum and buckets. Both kinds of histograms
//! share everything but how counts are coded, which [`Counts`] holds.
//!
//! An encoder keeps Prometheus' promise that inside a chunk of counter histograms no counter reset
//! happens and all samples share schema, zero threshold, custom bounds and buckets. A histogram
//! with new buckets makes the chunk be recoded to the wider layout; one that lacks buckets which
//! the chunk has, but never used, is widened itself; one that breaks the promise starts a new
//! chunk, whose header says whether because of a reset.

mod counts;
mod encoder;
mod float;
mod integer;
mod layout;
mod samples;
mod spans;

pub use encoder::GenericEncoder;
pub use samples::GenericSamples;

use model::CounterResetHint;

pub(crate) use self::counts::Counts;
use self::float::FloatCounts;
use self::integer::IntegerCounts;
use super::header_count;
use crate::error::Corruption;

/// Bytes before the bit stream: sample count and counter reset header.
const HEADER_LEN: usize = 3;

/// Builds chunks of histograms with integer counts.
pub type Encoder = GenericEncoder<IntegerCounts>;
/// Builds chunks of histograms with float counts.
pub type FloatEncoder = GenericEncoder<FloatCounts>;
/// Decodes a chunk of histograms with integer counts.
pub type Samples<'a> = GenericSamples<'a, IntegerCounts>;
/// Decodes a chunk of histograms with float counts.
pub type FloatSamples<'a> = GenericSamples<'a, FloatCounts>;

/// What a chunk's header says about a counter reset before its first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum CounterReset {
    /// Nothing is known.
    #[default]
    Unknown = 0b00,
    /// None happened.
    NotReset = 0b01,
    /// One happened.
    Reset = 0b10,
    /// The chunk holds gauge histograms.
    Gauge = 0b11,
}

impl CounterReset {
    const fn from_header(byte: u8) -> Self {
        match byte >> 6 {
            0b00 => Self::Unknown,
            0b01 => Self::NotReset,
            0b10 => Self::Reset,
            _ => Self::Gauge,
        }
    }

    const fn as_header(self) -> u8 {
        (self as u8) << 6
    }

    /// The hint of a sample in a chunk with this header.
    ///
    /// The first sample of a counter chunk is always unknown: the chunk that the header compares
    /// with may be gone, or another may have come between since.
    const fn hint(self, is_first: bool) -> CounterResetHint {
        match (self, is_first) {
            (Self::Gauge, _) => CounterResetHint::Gauge,
            (_, false) => CounterResetHint::NotReset,
            (_, true) => CounterResetHint::Unknown,
        }
    }
}

/// The sample count in a payload's header, checked against the payload's size.
///
/// # Errors
/// When the header is cut short or promises more than the payload can hold.
pub fn count(data: &[u8]) -> Result<u16, Corruption> {
    // The layout takes eleven bits or more; time, counts and sum 67, and later four.
    header_count(data, HEADER_LEN, 78, 4)
}

/// What a payload's header says about a counter reset before its first sample.
///
/// # Errors
/// When the header is cut short.
pub fn counter_reset(data: &[u8]) -> Result<CounterReset, Corruption> {
    match data {
        [_, _, byte, ..] => Ok(CounterReset::from_header(*byte)),
        _ => Err(Corruption::new(
            data.len(),
            "a counter reset header of one byte",
        )),
    }
}

#[cfg(test)]
mod tests;
