//! Native histograms: exponential (schemas -4 to 8) and custom buckets (schema -53).
//!
//! A histogram stores runs of populated buckets as spans. Integer histograms hold bucket counts
//! as deltas to the bucket before; float histograms hold them as they are. Bucket `i` of an
//! exponential schema has the upper bound `2^(i * 2^-schema)` ([`schema`]); negative buckets mirror
//! the positive ones. Custom bucket `i` has the upper bound `custom_values[i]`.
//!
//! Storage and ingestion deal with both kinds: [`Histogram::validate`], [`Histogram::compact`],
//! [`Histogram::reduce_resolution`], [`ClassicHistogram`]. PromQL computes with float histograms
//! alone ([`Histogram::to_float_into`]):
//!
//! | for | use |
//! |---|---|
//! | quantiles, fractions, JSON | [`FloatHistogram::all`], `all().rev()`, `positive()`, `negative()`, `zero()` |
//! | operators `*` `/` and unary minus | [`FloatHistogram::mul`], [`FloatHistogram::div`] |
//! | operators `+` `-`, `rate` | [`FloatHistogram::add`], [`FloatHistogram::sub`] |
//! | operators `==` `!=`, `changes` | [`FloatHistogram::equals`] |
//! | operators `</` and `>/` | [`FloatHistogram::keep_below`], [`FloatHistogram::keep_above`] |
//! | `sum`, `avg` and their `_over_time` | [`FloatHistogram::kahan_add`] |
//! | `rate`, `increase`, `resets` | [`FloatHistogram::detect_reset`], [`FloatHistogram::reduce_resolution`] |
//! | results | [`FloatHistogram::compact`] with 0 |
//!
//! Results equal those of Prometheus 3.14's `model/histogram` to the last bit; so floats are added
//! in its order. Histograms that break the rules of [`Histogram::validate`] yield senseless results,
//! but never panic.

mod arithmetic;
mod bucket;
mod classic;
mod convert;
mod layout;
mod merge;
mod reset;
pub mod schema;
#[cfg(test)]
mod tests;
mod text;
mod trim;
mod validate;
mod zero;

pub use arithmetic::{MixedSchemas, Reconciled};
pub use bucket::{AllBuckets, Bucket, Buckets, IntegerBuckets};
pub use classic::{ClassicError, ClassicHistogram};
pub use convert::CannotReduce;
pub use layout::Indices;
pub use schema::{CUSTOM_BUCKETS_SCHEMA, is_custom_schema};
pub use validate::{InvalidHistogram, Side};

/// A run of consecutive buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Gap to the end of the span before; for the first span, the index of its first bucket.
    pub offset: i32,
    /// Number of buckets in the run.
    pub length: u32,
}

/// What the producer or the storage knows about a counter reset before this sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum CounterResetHint {
    /// Nothing is known; compare with the sample before.
    #[default]
    Unknown = 0,
    /// A reset happened between the sample before and this one.
    Reset = 1,
    /// No reset happened.
    NotReset = 2,
    /// A gauge histogram, for which resets do not exist.
    Gauge = 3,
}

/// A native histogram with integer counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Counter reset information.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution: bucket bounds grow by `2^(2^-schema)`; [`CUSTOM_BUCKETS_SCHEMA`] for listed bounds.
    pub schema: i32,
    /// Width of the zero bucket, `[-zero_threshold, zero_threshold]`.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// Sum of all observations; the stale NaN marks staleness.
    pub sum: f64,
    /// Runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Positive bucket counts, each as the delta to the bucket before.
    pub positive_buckets: Vec<i64>,
    /// Negative bucket counts, each as the delta to the bucket before.
    pub negative_buckets: Vec<i64>,
    /// Upper bounds of custom buckets, ascending, without the implied `+Inf`.
    pub custom_values: Vec<f64>,
}

/// A native histogram with float counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FloatHistogram {
    /// Counter reset information.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution: bucket bounds grow by `2^(2^-schema)`; [`CUSTOM_BUCKETS_SCHEMA`] for listed bounds.
    pub schema: i32,
    /// Width of the zero bucket, `[-zero_threshold, zero_threshold]`.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations; the stale NaN marks staleness.
    pub sum: f64,
    /// Runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Positive bucket counts.
    pub positive_buckets: Vec<f64>,
    /// Negative bucket counts.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, ascending, without the implied `+Inf`.
    pub custom_values: Vec<f64>,
}
