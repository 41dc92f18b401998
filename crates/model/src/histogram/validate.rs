//! What makes a histogram valid. Checked where histograms come in; nothing else here relies on it
//! for more than its result.

use super::schema::{is_custom_schema, is_exponential_schema};
use super::{FloatHistogram, Histogram, Span};
use crate::ErrorKind;

/// The side of a histogram that a rule was broken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Buckets above zero; all buckets of a histogram with custom ones.
    Positive,
    /// Buckets below zero.
    Negative,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        })
    }
}

/// The rule a histogram breaks.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidHistogram {
    /// The schema is neither exponential in -4 to 8 nor that of custom buckets.
    #[error("histogram has schema {0}, it must be between -4 and 8, or -53 for custom buckets")]
    Schema(i32),
    /// A span starts before the one ahead of it ends, or before the first custom bucket.
    #[error("{side} span {number} of the histogram has the negative offset {offset}")]
    NegativeOffset {
        /// Which side the span is on.
        side: Side,
        /// Its number, counted from 1.
        number: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans and buckets contradict each other.
    #[error("{side} spans of the histogram need {spans} buckets, it has {buckets}")]
    BucketNumber {
        /// Which side the spans are on.
        side: Side,
        /// Buckets according to the spans.
        spans: u64,
        /// Buckets that are there.
        buckets: usize,
    },
    /// A bucket holds less than nothing.
    #[error("{side} bucket {number} of the histogram has the negative count {count}")]
    NegativeBucket {
        /// Which side the bucket is on.
        side: Side,
        /// Its number, counted from 1.
        number: usize,
        /// Its count.
        count: f64,
    },
    /// The zero bucket holds less than nothing.
    #[error("zero bucket of the histogram has the negative count {0}")]
    NegativeZeroBucket(f64),
    /// The count of observations is below zero.
    #[error("histogram has the negative count {0}")]
    NegativeCount(f64),
    /// The sum is NaN, so that some observations may be in no bucket, but there are too few.
    #[error(
        "histogram has {buckets} observations in its buckets, its count {count} must be at least that"
    )]
    CountTooSmall {
        /// Observations in buckets.
        buckets: u64,
        /// The count of observations.
        count: u64,
    },
    /// The buckets hold more or less observations than there are.
    #[error(
        "histogram has {buckets} observations in its buckets, its count {count} must be equal to that"
    )]
    CountMismatch {
        /// Observations in buckets.
        buckets: u64,
        /// The count of observations.
        count: u64,
    },
    /// A custom bound is not greater than the one before.
    #[error("custom bounds of the histogram must ascend, {current} follows {previous}")]
    BoundsNotAscending {
        /// A bound.
        previous: f64,
        /// The bound after it.
        current: f64,
    },
    /// A custom bound is NaN or the last one infinite.
    #[error("custom bounds of the histogram must be finite numbers, the bound +Inf is implied")]
    BoundNotFinite,
    /// Spans go beyond the last custom bucket.
    #[error("{bounds} custom bounds of the histogram are too few for spans over {buckets} buckets")]
    TooFewBounds {
        /// Bounds that are listed.
        bounds: usize,
        /// Buckets that spans and the gaps between them take up.
        buckets: u64,
    },
    /// Custom buckets come with a zero bucket or negative buckets.
    #[error("histogram with custom buckets must not have {0}")]
    NotWithCustomBuckets(&'static str),
    /// Custom bounds are listed, but the schema is exponential.
    #[error("histogram with an exponential schema must not have custom bounds")]
    UnexpectedBounds,
}

impl InvalidHistogram {
    /// What the caller should do: refuse the histogram.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl FloatHistogram {
    /// Checks everything but the count against the sum of buckets, which rounding may tell apart.
    ///
    /// # Errors
    ///
    /// Returns the first rule that is broken.
    pub fn validate(&self) -> Result<(), InvalidHistogram> {
        if is_custom_schema(self.schema) {
            check_bounds(
                &self.custom_values,
                &self.positive_spans,
                self.positive_buckets.len(),
            )?;
            check_absent("observations in a zero bucket", self.zero_count == 0.0)?;
            check_absent("a zero threshold", self.zero_threshold == 0.0)?;
            check_absent("negative spans", self.negative_spans.is_empty())?;
            check_absent("negative buckets", self.negative_buckets.is_empty())?;
        } else if is_exponential_schema(self.schema) {
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
            check_buckets(Side::Negative, &self.negative_buckets)?;
            if self.zero_count < 0.0 {
                return Err(InvalidHistogram::NegativeZeroBucket(self.zero_count));
            }
            if !self.custom_values.is_empty() {
                return Err(InvalidHistogram::UnexpectedBounds);
            }
        } else {
            return Err(InvalidHistogram::Schema(self.schema));
        }
        if self.count < 0.0 {
            return Err(InvalidHistogram::NegativeCount(self.count));
        }
        check_buckets(Side::Positive, &self.positive_buckets)
    }
}

impl Histogram {
    /// Checks all rules. Observations of NaN are in no bucket, so if the sum is NaN the count may
    /// exceed what is in the buckets.
    ///
    /// # Errors
    ///
    /// Returns the first rule that is broken.
    pub fn validate(&self) -> Result<(), InvalidHistogram> {
        let mut negative = 0;
        if is_custom_schema(self.schema) {
            check_bounds(
                &self.custom_values,
                &self.positive_spans,
                self.positive_buckets.len(),
            )?;
            check_absent("observations in a zero bucket", self.zero_count == 0)?;
            check_absent("a zero threshold", self.zero_threshold == 0.0)?;
            check_absent("negative spans", self.negative_spans.is_empty())?;
            check_absent("negative buckets", self.negative_buckets.is_empty())?;
        } else if is_exponential_schema(self.schema) {
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
            negative = sum_of_deltas(Side::Negative, &self.negative_buckets)?;
            if !self.custom_values.is_empty() {
                return Err(InvalidHistogram::UnexpectedBounds);
            }
        } else {
            return Err(InvalidHistogram::Schema(self.schema));
        }
        let positive = sum_of_deltas(Side::Positive, &self.positive_buckets)?;
        let buckets = negative
            .wrapping_add(positive)
            .wrapping_add(self.zero_count);
        let count = self.count;
        if self.sum.is_nan() {
            if buckets > count {
                return Err(InvalidHistogram::CountTooSmall { buckets, count });
            }
        } else if buckets != count {
            return Err(InvalidHistogram::CountMismatch { buckets, count });
        }
        Ok(())
    }
}

fn check_absent(what: &'static str, absent: bool) -> Result<(), InvalidHistogram> {
    if absent {
        Ok(())
    } else {
        Err(InvalidHistogram::NotWithCustomBuckets(what))
    }
}

pub(super) fn check_spans(
    side: Side,
    spans: &[Span],
    buckets: usize,
) -> Result<(), InvalidHistogram> {
    for (i, span) in spans.iter().enumerate().skip(1) {
        check_offset(side, i, *span)?;
    }
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed != buckets as u64 {
        return Err(InvalidHistogram::BucketNumber {
            side,
            spans: needed,
            buckets,
        });
    }
    Ok(())
}

fn check_offset(side: Side, i: usize, span: Span) -> Result<(), InvalidHistogram> {
    if span.offset < 0 {
        return Err(InvalidHistogram::NegativeOffset {
            side,
            number: i + 1,
            offset: span.offset,
        });
    }
    Ok(())
}

fn check_bounds(bounds: &[f64], spans: &[Span], buckets: usize) -> Result<(), InvalidHistogram> {
    if bounds.iter().any(|bound| bound.is_nan()) || bounds.last() == Some(&f64::INFINITY) {
        return Err(InvalidHistogram::BoundNotFinite);
    }
    if let Some(pair) = bounds.windows(2).find(|pair| pair[1] <= pair[0]) {
        return Err(InvalidHistogram::BoundsNotAscending {
            previous: pair[0],
            current: pair[1],
        });
    }
    if let Some(first) = spans.first() {
        check_offset(Side::Positive, 0, *first)?;
    }
    check_spans(Side::Positive, spans, buckets)?;
    let covered: u64 = (spans.iter())
        .map(|span| u64::from(span.length) + u64::from(span.offset.unsigned_abs()))
        .sum();
    if covered > bounds.len() as u64 + 1 {
        return Err(InvalidHistogram::TooFewBounds {
            bounds: bounds.len(),
            buckets: covered,
        });
    }
    Ok(())
}

fn check_buckets(side: Side, buckets: &[f64]) -> Result<(), InvalidHistogram> {
    match buckets.iter().position(|&count| count < 0.0) {
        Some(i) => Err(InvalidHistogram::NegativeBucket {
            side,
            number: i + 1,
            count: buckets[i],
        }),
        None => Ok(()),
    }
}

fn sum_of_deltas(side: Side, deltas: &[i64]) -> Result<u64, InvalidHistogram> {
    let mut count = 0_i64;
    let mut sum = 0_u64;
    for (i, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        if count < 0 {
            return Err(InvalidHistogram::NegativeBucket {
                side,
                number: i + 1,
                count: count as f64,
            });
        }
        sum = sum.wrapping_add(count.cast_unsigned());
    }
    Ok(sum)
}
