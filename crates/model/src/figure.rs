//! Figures that a part counts of itself, on their way to `/metrics`.

mod histogram;
mod quantiles;

pub use histogram::{Histogram, Tally};
pub use quantiles::Quantiles;

/// Names and values of the labels of one figure.
pub type LabelPairs<'a> = &'a [(&'a str, &'a str)];

/// The value of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// It only grows.
    Counter(f64),
    /// It goes up and down.
    Gauge(f64),
    /// How often something was observed, and the sum of all observations.
    Summary {
        /// Quantiles of what was observed of late, none where they are not known.
        quantiles: &'a [(f64, f64)],
        /// The number of observations.
        count: u64,
        /// Their sum.
        sum: f64,
    },
    /// A distribution.
    Histogram {
        /// Upper bounds, the last of which is infinity, with the number of observations up to each.
        buckets: &'a [(f64, u64)],
        /// The sum of all observations.
        sum: f64,
    },
}

/// One figure.
#[derive(Debug, Clone, Copy)]
pub struct Figure<'a> {
    /// Name of the family.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Names and values of its labels.
    pub labels: LabelPairs<'a>,
    /// Its value.
    pub value: Value<'a>,
}
