//! From one form of a histogram to another: copies, floats, resolutions, compaction, equality.

use super::layout::{self, spans_match};
use super::schema::is_custom_schema;
use super::validate::{Side, check_spans};
use super::{FloatHistogram, Histogram, InvalidHistogram, Span};

/// Why a histogram cannot be brought to a lower resolution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CannotReduce {
    /// Only exponential schemas have resolutions, and they cannot be raised.
    #[error("cannot reduce the resolution of a histogram from schema {from} to schema {to}")]
    Schema {
        /// The schema of the histogram.
        from: i32,
        /// The schema asked for.
        to: i32,
    },
    /// Spans and buckets contradict each other.
    #[error("cannot reduce the resolution of an invalid histogram")]
    Invalid(#[from] InvalidHistogram),
}

/// How many times the resolution halves from one schema to another.
fn steps_down(from: i32, to: i32) -> Result<u32, CannotReduce> {
    if is_custom_schema(from) || is_custom_schema(to) || to >= from {
        return Err(CannotReduce::Schema { from, to });
    }
    Ok(from.abs_diff(to))
}

impl Histogram {
    /// The same histogram with float counts.
    pub fn to_float(&self) -> FloatHistogram {
        let mut to = FloatHistogram::default();
        self.to_float_into(&mut to);
        to
    }

    /// Makes `to` the same histogram with float counts, using the memory it has.
    pub fn to_float_into(&self, to: &mut FloatHistogram) {
        to.counter_reset_hint = self.counter_reset_hint;
        to.schema = self.schema;
        to.zero_threshold = self.zero_threshold;
        to.zero_count = self.zero_count as f64;
        to.count = self.count as f64;
        to.sum = self.sum;
        to.positive_spans.clone_from(&self.positive_spans);
        to.negative_spans.clone_from(&self.negative_spans);
        to_float_counts(&self.positive_buckets, &mut to.positive_buckets);
        to_float_counts(&self.negative_buckets, &mut to.negative_buckets);
        to.custom_values.clone_from(&self.custom_values);
    }

    /// Drops empty buckets; see [`FloatHistogram::compact`].
    pub fn compact(&mut self, empty_max: usize) -> &mut Self {
        compact_deltas(
            &mut self.positive_spans,
            &mut self.positive_buckets,
            empty_max,
        );
        compact_deltas(
            &mut self.negative_spans,
            &mut self.negative_buckets,
            empty_max,
        );
        self
    }

    /// Merges buckets so that the histogram has the lower `schema`.
    ///
    /// # Errors
    ///
    /// Returns an error if the histogram is not exponential, `schema` is not an exponential schema
    /// below its own, or spans contradict buckets; the histogram is then as it was.
    pub fn reduce_resolution(&mut self, schema: i32) -> Result<(), CannotReduce> {
        let by = steps_down(self.schema, schema)?;
        check_spans(
            Side::Positive,
            &self.positive_spans,
            self.positive_buckets.len(),
        )?;
        check_spans(
            Side::Negative,
            &self.negative_spans,
            self.negative_buckets.len(),
        )?;
        reduce_deltas(&mut self.positive_spans, &mut self.positive_buckets, by);
        reduce_deltas(&mut self.negative_spans, &mut self.negative_buckets, by);
        self.schema = schema;
        Ok(())
    }

    /// True when the data are the same: floats bit by bit, so that NaN equals itself, and layouts
    /// apart from spans without buckets. The counter reset hint is not compared.
    pub fn equals(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.count == other.count
            && self.sum.to_bits() == other.sum.to_bits()
            && self.zero_threshold == other.zero_threshold
            && self.zero_count == other.zero_count
            && (!is_custom_schema(self.schema) || self.custom_values == other.custom_values)
            && spans_match(&self.negative_spans, &other.negative_spans)
            && self.negative_buckets == other.negative_buckets
            && spans_match(&self.positive_spans, &other.positive_spans)
            && self.positive_buckets == other.positive_buckets
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        size_of_val(self.positive_spans.as_slice())
            + size_of_val(self.negative_spans.as_slice())
            + size_of_val(self.positive_buckets.as_slice())
            + size_of_val(self.negative_buckets.as_slice())
            + size_of_val(self.custom_values.as_slice())
    }
}

impl FloatHistogram {
    /// Makes `to` equal to this histogram, using the memory it has.
    pub fn copy_into(&self, to: &mut Self) {
        to.counter_reset_hint = self.counter_reset_hint;
        to.schema = self.schema;
        to.zero_threshold = self.zero_threshold;
        to.zero_count = self.zero_count;
        to.count = self.count;
        to.sum = self.sum;
        to.positive_spans.clone_from(&self.positive_spans);
        to.negative_spans.clone_from(&self.negative_spans);
        to.positive_buckets.clone_from(&self.positive_buckets);
        to.negative_buckets.clone_from(&self.negative_buckets);
        to.custom_values.clone_from(&self.custom_values);
    }

    /// Drops empty buckets at the ends of spans and wherever more than `empty_max` are in a row;
    /// where fewer separate two others, the two come to share a span. With 0, what is left are
    /// populated buckets in as few spans as possible.
    pub fn compact(&mut self, empty_max: usize) -> &mut Self {
        compact_counts(
            &mut self.positive_spans,
            &mut self.positive_buckets,
            empty_max,
        );
        compact_counts(
            &mut self.negative_spans,
            &mut self.negative_buckets,
            empty_max,
        );
        self
    }

    /// Merges buckets so that the histogram has the lower `schema`.
    ///
    /// # Errors
    ///
    /// Returns an error if the histogram is not exponential, `schema` is not an exponential schema
    /// below its own, or spans contradict buckets; the histogram is then as it was.
    pub fn reduce_resolution(&mut self, schema: i32) -> Result<(), CannotReduce> {
        let by = steps_down(self.schema, schema)?;
        check_spans(
            Side::Positive,
            &self.positive_spans,
            self.positive_buckets.len(),
        )?;
        check_spans(
            Side::Negative,
            &self.negative_spans,
            self.negative_buckets.len(),
        )?;
        reduce_counts(&mut self.positive_spans, &mut self.positive_buckets, by);
        reduce_counts(&mut self.negative_spans, &mut self.negative_buckets, by);
        self.schema = schema;
        Ok(())
    }

    /// A copy with the lower `schema`, or a plain copy if that is no exponential schema below this
    /// histogram's.
    #[must_use]
    pub fn at_schema(&self, schema: i32) -> Self {
        let mut copy = self.clone();
        if let Ok(by) = steps_down(self.schema, schema) {
            reduce_counts(&mut copy.positive_spans, &mut copy.positive_buckets, by);
            reduce_counts(&mut copy.negative_spans, &mut copy.negative_buckets, by);
            copy.schema = schema;
        }
        copy
    }

    /// True when the data are the same: counts and sum bit by bit, so that NaN equals itself, and
    /// layouts apart from spans without buckets. The counter reset hint is not compared.
    pub fn equals(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && (!is_custom_schema(self.schema) || self.custom_values == other.custom_values)
            && spans_match(&self.negative_spans, &other.negative_spans)
            && same_bits(&self.negative_buckets, &other.negative_buckets)
            && spans_match(&self.positive_spans, &other.positive_spans)
            && same_bits(&self.positive_buckets, &other.positive_buckets)
    }

    /// Bytes a histogram counts as where PromQL limits the samples of a query; Prometheus' number
    /// for the same histogram, from which it takes one sample to be 16 bytes.
    pub fn size_bytes(&self) -> usize {
        const STRUCT_BYTES: usize = 168;
        STRUCT_BYTES
            + 8 * (self.positive_spans.len()
                + self.negative_spans.len()
                + self.positive_buckets.len()
                + self.negative_buckets.len()
                + self.custom_values.len())
    }

    /// True when a count, the sum, a bucket or a custom bound is infinite, as after an overflow.
    pub fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
            .chain(&self.custom_values)
            .any(|v| v.is_infinite())
    }
}

/// Deltas are added up as floats, since Prometheus does so, which differs beyond 2^53.
fn to_float_counts(deltas: &[i64], counts: &mut Vec<f64>) {
    counts.clear();
    counts.extend(deltas.iter().scan(0.0, |count, &delta| {
        *count += delta as f64;
        Some(*count)
    }));
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn compact_counts(spans: &mut Vec<Span>, counts: &mut Vec<f64>, empty_max: usize) {
    if let Some(compacted) = layout::compact(spans, counts.iter().copied(), empty_max) {
        (*spans, *counts) = compacted;
    }
}

fn compact_deltas(spans: &mut Vec<Span>, deltas: &mut Vec<i64>, empty_max: usize) {
    let counts = to_counts(deltas);
    if let Some((compacted, counts)) = layout::compact(spans, counts.iter().copied(), empty_max) {
        *spans = compacted;
        *deltas = to_deltas(counts);
    }
}

pub(super) fn reduce_counts(spans: &mut Vec<Span>, counts: &mut Vec<f64>, by: u32) {
    (*spans, *counts) = layout::reduce(spans, counts.iter().copied(), by, |sum, count| {
        *sum += count
    });
}

fn reduce_deltas(spans: &mut Vec<Span>, deltas: &mut Vec<i64>, by: u32) {
    let counts = to_counts(deltas);
    let (reduced, counts) = layout::reduce(spans, counts.iter().copied(), by, |sum, count| {
        *sum = sum.wrapping_add(count);
    });
    *spans = reduced;
    *deltas = to_deltas(counts);
}

fn to_counts(deltas: &[i64]) -> Vec<i64> {
    let mut count = 0_i64;
    deltas
        .iter()
        .map(|&delta| {
            count = count.wrapping_add(delta);
            count
        })
        .collect()
}

pub(super) fn to_deltas(mut counts: Vec<i64>) -> Vec<i64> {
    let mut last = 0_i64;
    for count in &mut counts {
        let delta = count.wrapping_sub(last);
        last = *count;
        *count = delta;
    }
    counts
}
