//! Samples: a value at a time.

use crate::histogram::{FloatHistogram, Histogram};

/// Bits of the NaN that marks a series as stale from its timestamp on.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Bits of the NaN that arithmetic yields.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// The stale marker as a float.
pub const STALE_NAN: f64 = f64::from_bits(STALE_NAN_BITS);

/// True for the stale marker, and for no other NaN.
pub const fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// What a sample holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A plain number.
    Float(f64),
    /// A native histogram with integer counts.
    Histogram(Box<Histogram>),
    /// A native histogram with float counts.
    FloatHistogram(Box<FloatHistogram>),
}

/// A value at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// The value at that time.
    pub value: Value,
}
