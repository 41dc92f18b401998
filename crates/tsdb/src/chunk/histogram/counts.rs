//! What integer and float histograms differ in.

use std::fmt;

use model::histogram::CannotReduce;
use model::{CounterResetHint, Span};

use super::CounterReset;
use super::layout::Layout;
use crate::chunk::Encoding;
use crate::chunk::bits::{BitReader, BitWriter};
use crate::error::Corruption;

/// The parts of a histogram that both kinds have alike.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    pub(super) hint: CounterResetHint,
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) sum: f64,
    /// Runs of positive and of negative buckets.
    pub(super) spans: [&'a [Span]; 2],
    /// Number of positive and of negative bucket counts.
    pub(super) buckets: [usize; 2],
    pub(super) custom_values: &'a [f64],
}

impl Shape<'_> {
    /// The layout of a chunk that starts with this histogram.
    pub(super) fn layout(&self) -> Layout {
        Layout {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            spans: self.spans.map(<[Span]>::to_vec),
            custom_values: self.custom_values.to_vec(),
        }
    }
}

/// The running state of a chunk's counts: what the next sample is coded against. Reading and writing
/// share it.
///
/// Buckets are those of the positive side followed by those of the negative side.
pub trait Counts: Clone + Default + fmt::Debug {
    /// The histograms that are coded.
    type Histogram: Clone + Default;
    /// A bucket's count as a number of observations.
    type Count: Copy + PartialOrd + Default;

    /// The chunk's encoding.
    const ENCODING: Encoding;
    /// Fewest bits that a bucket of the first sample takes.
    const FIRST_BUCKET_BITS: usize;
    /// Header of a chunk that follows one of another schema, threshold or staleness.
    const AFTER_DIFFERENT: CounterReset;
    /// Header of a counter chunk that a gauge chunk made necessary.
    const AFTER_GAUGES: CounterReset;

    /// The parts that both kinds have alike.
    fn shape(histogram: &Self::Histogram) -> Shape<'_>;
    /// An empty histogram with the stale sum and the hint of `shape`.
    fn stale(shape: &Shape<'_>) -> Self::Histogram;
    /// The counts of the positive and of the negative buckets.
    fn absolute_of(histogram: &Self::Histogram) -> [Vec<Self::Count>; 2];
    /// Replaces the buckets of one side.
    fn set_buckets(
        histogram: &mut Self::Histogram,
        side: usize,
        spans: Vec<Span>,
        values: &[Self::Count],
    );

    /// Brings the histogram to a coarser schema.
    fn reduce(histogram: &mut Self::Histogram, schema: i32) -> Result<(), CannotReduce>;

    /// Time of the last sample.
    fn time(&self) -> i64;
    /// Sum of the last sample.
    fn sum(&self) -> f64;
    /// The last sample's bucket counts, of which the first `split` are positive.
    fn absolute(&self, split: usize) -> [Vec<Self::Count>; 2];
    /// True when `histogram` has fewer observations than the last sample.
    fn count_shrinks(&self, histogram: &Self::Histogram) -> bool;
    /// True when the zero bucket of `histogram` has fewer observations than the last sample's.
    fn zero_count_shrinks(&self, histogram: &Self::Histogram) -> bool;
    /// True when any bucket of `histogram`, which has the same layout, has fewer observations.
    fn buckets_shrink(&self, histogram: &Self::Histogram) -> bool;

    /// Writes a chunk's first sample.
    fn write_first(writer: &mut BitWriter, t: i64, histogram: &Self::Histogram) -> Self;
    /// Writes a further sample, which has the chunk's layout.
    fn write_next(&mut self, writer: &mut BitWriter, t: i64, histogram: &Self::Histogram);
    /// Reads a chunk's first sample of `buckets` buckets.
    fn read_first(reader: &mut BitReader<'_>, buckets: usize) -> Result<Self, Corruption>;
    /// Reads a further sample.
    fn read_next(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption>;
    /// Makes `histogram` the last sample read, in the chunk's own resolution.
    fn fill(&self, layout: &Layout, hint: CounterResetHint, histogram: &mut Self::Histogram);
}
