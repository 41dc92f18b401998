//! Buckets with their bounds, and the iterators over them.

use std::fmt;

use super::layout::Indices;
use super::schema::{bound, is_custom_schema};
use super::{FloatHistogram, Histogram};
use crate::float::{G, Text, push_g};
use crate::logarithm::log2;

/// One bucket: how many observations fell between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket<C> {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// True when an observation equal to the lower bound is counted here.
    pub lower_inclusive: bool,
    /// True when an observation equal to the upper bound is counted here.
    pub upper_inclusive: bool,
    /// Observations in the bucket.
    pub count: C,
    /// Place within the schema, counted apart for positive and negative buckets; 0 for the zero
    /// bucket.
    pub index: i32,
}

impl<C> Bucket<C> {
    /// The zero bucket for a zero threshold.
    fn zero(threshold: f64, count: C) -> Self {
        Self {
            lower: -threshold,
            upper: threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count,
            index: 0,
        }
    }

    /// Share of the bucket's width, 0 to 1, that lies below `v`, where `lower < v < upper` and both
    /// bounds are finite.
    ///
    /// Custom buckets and the zero bucket are `linear`: observations are taken to be spread evenly.
    /// In others they are taken to be spread evenly over the logarithm of their absolute value.
    pub fn fraction_below(&self, v: f64, linear: bool) -> f64 {
        if linear {
            return (v - self.lower) / (self.upper - self.lower);
        }
        let lower = log2(self.lower.abs());
        let upper = log2(self.upper.abs());
        let at = log2(v.abs());
        if v > 0.0 {
            (at - lower) / (upper - lower)
        } else {
            1.0 - (at - upper) / (lower - upper)
        }
    }

    /// Appends `(lower,upper]:` with the brackets that say which bounds belong to the bucket.
    pub(super) fn push_bounds(&self, out: &mut impl Text) {
        out.push_text(if self.lower_inclusive { "[" } else { "(" });
        push_g(out, self.lower);
        out.push_text(",");
        push_g(out, self.upper);
        out.push_text(if self.upper_inclusive { "]:" } else { "):" });
    }
}

impl fmt::Display for Bucket<f64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_bounds(&mut text);
        write!(f, "{text}{}", G(self.count))
    }
}

impl fmt::Display for Bucket<u64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_bounds(&mut text);
        write!(f, "{text}{}", self.count)
    }
}

/// Turns indices of positive or of negative buckets to buckets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale<'a> {
    schema: i32,
    positive: bool,
    custom_values: &'a [f64],
}

impl<'a> Scale<'a> {
    pub(super) fn positive(schema: i32, custom_values: &'a [f64]) -> Self {
        Self {
            schema,
            positive: true,
            custom_values,
        }
    }

    pub(super) fn negative(schema: i32) -> Self {
        Self {
            schema,
            positive: false,
            custom_values: &[],
        }
    }

    pub(super) fn bucket<C>(&self, index: i32, count: C) -> Bucket<C> {
        let outer = bound(index, self.schema, self.custom_values);
        let inner = bound(index.wrapping_sub(1), self.schema, self.custom_values);
        let (lower, upper) = if self.positive {
            (inner, outer)
        } else {
            (-outer, -inner)
        };
        let custom = is_custom_schema(self.schema);
        Bucket {
            lower,
            upper,
            lower_inclusive: if custom { index == 0 } else { lower < 0.0 },
            upper_inclusive: custom || upper > 0.0,
            count,
            index,
        }
    }
}

/// The positive or the negative buckets of a float histogram, starting next to the zero bucket;
/// `rev()` starts far from it. Buckets without observations are included if they are stored.
#[derive(Debug, Clone)]
pub struct Buckets<'a> {
    indices: Indices<'a>,
    counts: std::slice::Iter<'a, f64>,
    scale: Scale<'a>,
}

impl<'a> Buckets<'a> {
    fn new(spans: &'a [super::Span], counts: &'a [f64], scale: Scale<'a>) -> Self {
        let indices = Indices::new(spans, counts.len());
        let counts = counts[..indices.len()].iter();
        Self {
            indices,
            counts,
            scale,
        }
    }
}

impl Iterator for Buckets<'_> {
    type Item = Bucket<f64>;

    fn next(&mut self) -> Option<Bucket<f64>> {
        let index = self.indices.next()?;
        Some(self.scale.bucket(index, *self.counts.next()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indices.size_hint()
    }
}

impl DoubleEndedIterator for Buckets<'_> {
    fn next_back(&mut self) -> Option<Bucket<f64>> {
        let index = self.indices.next_back()?;
        Some(self.scale.bucket(index, *self.counts.next_back()?))
    }
}

impl ExactSizeIterator for Buckets<'_> {}

/// The positive or the negative buckets of an integer histogram, starting next to the zero bucket.
#[derive(Debug, Clone)]
pub struct IntegerBuckets<'a> {
    indices: Indices<'a>,
    deltas: std::slice::Iter<'a, i64>,
    count: i64,
    scale: Scale<'a>,
}

impl Iterator for IntegerBuckets<'_> {
    type Item = Bucket<u64>;

    fn next(&mut self) -> Option<Bucket<u64>> {
        let index = self.indices.next()?;
        self.count = self.count.wrapping_add(*self.deltas.next()?);
        Some(self.scale.bucket(index, self.count.cast_unsigned()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indices.size_hint()
    }
}

impl ExactSizeIterator for IntegerBuckets<'_> {}

/// All buckets of a float histogram from the lowest to the highest; `rev()` starts with the highest.
///
/// The zero bucket is there if it is populated. A bucket that overlaps it is cut at the zero
/// threshold.
#[derive(Debug, Clone)]
pub struct AllBuckets<'a> {
    negative: Buckets<'a>,
    zero: Option<Bucket<f64>>,
    positive: Buckets<'a>,
    zero_threshold: f64,
}

impl AllBuckets<'_> {
    fn cut(&self, mut bucket: Bucket<f64>) -> Bucket<f64> {
        if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
            bucket.lower = self.zero_threshold;
        } else if bucket.upper < 0.0 && bucket.upper > -self.zero_threshold {
            bucket.upper = -self.zero_threshold;
        }
        bucket
    }
}

impl Iterator for AllBuckets<'_> {
    type Item = Bucket<f64>;

    fn next(&mut self) -> Option<Bucket<f64>> {
        if let Some(bucket) = self.negative.next_back() {
            return Some(self.cut(bucket));
        }
        if let Some(zero) = self.zero.take() {
            return Some(zero);
        }
        let bucket = self.positive.next()?;
        Some(self.cut(bucket))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.negative.len() + usize::from(self.zero.is_some()) + self.positive.len();
        (left, Some(left))
    }
}

impl DoubleEndedIterator for AllBuckets<'_> {
    fn next_back(&mut self) -> Option<Bucket<f64>> {
        if let Some(bucket) = self.positive.next_back() {
            return Some(self.cut(bucket));
        }
        if let Some(zero) = self.zero.take() {
            return Some(zero);
        }
        let bucket = self.negative.next()?;
        Some(self.cut(bucket))
    }
}

impl ExactSizeIterator for AllBuckets<'_> {}

impl FloatHistogram {
    /// The positive buckets, and all buckets of a histogram with custom ones, in ascending order.
    pub fn positive(&self) -> Buckets<'_> {
        Buckets::new(
            &self.positive_spans,
            &self.positive_buckets,
            Scale::positive(self.schema, &self.custom_values),
        )
    }

    /// The negative buckets in descending order, so from zero outwards.
    pub fn negative(&self) -> Buckets<'_> {
        Buckets::new(
            &self.negative_spans,
            &self.negative_buckets,
            Scale::negative(self.schema),
        )
    }

    /// The zero bucket, populated or not. One with custom buckets has none, which shows as a bucket
    /// of no width without observations.
    pub fn zero(&self) -> Bucket<f64> {
        Bucket::zero(self.zero_threshold, self.zero_count)
    }

    /// All buckets in ascending order.
    pub fn all(&self) -> AllBuckets<'_> {
        AllBuckets {
            negative: self.negative(),
            zero: (self.zero_count > 0.0).then(|| self.zero()),
            positive: self.positive(),
            zero_threshold: self.zero_threshold,
        }
    }
}

impl Histogram {
    /// The positive buckets, and all buckets of a histogram with custom ones, in ascending order.
    pub fn positive(&self) -> IntegerBuckets<'_> {
        IntegerBuckets {
            indices: Indices::new(&self.positive_spans, self.positive_buckets.len()),
            deltas: self.positive_buckets.iter(),
            count: 0,
            scale: Scale::positive(self.schema, &self.custom_values),
        }
    }

    /// The negative buckets in descending order, so from zero outwards.
    pub fn negative(&self) -> IntegerBuckets<'_> {
        IntegerBuckets {
            indices: Indices::new(&self.negative_spans, self.negative_buckets.len()),
            deltas: self.negative_buckets.iter(),
            count: 0,
            scale: Scale::negative(self.schema),
        }
    }

    /// The zero bucket, populated or not.
    pub fn zero(&self) -> Bucket<u64> {
        Bucket::zero(self.zero_threshold, self.zero_count)
    }
}
