//! Classic histograms, which are a series for each bucket, to and from custom-bucket ones.

use super::convert::to_deltas;
use super::schema::CUSTOM_BUCKETS_SCHEMA;
use super::{FloatHistogram, Histogram, Span};
use crate::sample::Value;

/// Why the series of a classic histogram do not make a histogram.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClassicError {
    /// A bucket has no bound.
    #[error("bucket boundary must not be NaN")]
    NanBound,
    /// A bucket holds less than nothing.
    #[error("bucket count must be non-negative: le={le}, count={count}")]
    NegativeBucket {
        /// The bound of the bucket.
        le: f64,
        /// Its count.
        count: f64,
    },
    /// There are less than no observations.
    #[error("count must be non-negative: count={0}")]
    NegativeCount(f64),
    /// A bucket has more than one with a higher bound.
    #[error("count is not cumulative: {higher} < {lower}")]
    NotCumulative {
        /// The count of the bucket with the lower bound.
        lower: f64,
        /// The count of the bucket with the higher bound.
        higher: f64,
    },
    /// The last bucket, which is to have all observations, does not.
    #[error("count mismatch: count={count} != le={le} count={bucket}")]
    CountMismatch {
        /// The count of observations.
        count: f64,
        /// The bound of the last bucket.
        le: f64,
        /// The count of the last bucket.
        bucket: f64,
    },
}

/// Collects the series of one classic histogram at one time and makes a native one of them, with
/// the bounds as custom buckets.
///
/// An error is kept until [`ClassicHistogram::convert`], and what comes after it is ignored.
#[derive(Debug, Clone, Default)]
pub struct ClassicHistogram {
    /// Bounds and cumulative counts, both ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    error: Option<ClassicError>,
}

impl ClassicHistogram {
    /// Adds the bucket that counts the observations up to `le`. Cheapest in ascending order; a
    /// bound that is there already is ignored.
    pub fn add_bucket(&mut self, le: f64, cumulative: f64) {
        if self.error.is_none() {
            self.error = self.insert(le, cumulative).err();
        }
    }

    fn insert(&mut self, le: f64, count: f64) -> Result<(), ClassicError> {
        if le.is_nan() {
            return Err(ClassicError::NanBound);
        }
        if count < 0.0 {
            return Err(ClassicError::NegativeBucket { le, count });
        }
        let at = match self.buckets.last() {
            Some(&(last, _)) if last < le => self.buckets.len(),
            _ => self.buckets.partition_point(|&(bound, _)| bound < le),
        };
        if self.buckets.get(at).is_some_and(|&(bound, _)| bound == le) {
            return Ok(());
        }
        let below = at.checked_sub(1).and_then(|i| self.buckets.get(i));
        if let Some(&(_, lower)) = below.filter(|&&(_, lower)| count < lower) {
            return Err(ClassicError::NotCumulative {
                lower,
                higher: count,
            });
        }
        if let Some(&(_, higher)) = self.buckets.get(at).filter(|&&(_, higher)| count > higher) {
            return Err(ClassicError::NotCumulative {
                lower: count,
                higher,
            });
        }
        self.buckets.insert(at, (le, count));
        Ok(())
    }

    /// Sets the count of all observations. Without it the count of the last bucket is taken.
    pub fn set_count(&mut self, count: f64) {
        if self.error.is_none() && count < 0.0 {
            self.error = Some(ClassicError::NegativeCount(count));
        }
        self.count = Some(count);
    }

    /// Sets the sum of all observations.
    pub fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.count = None;
        self.sum = 0.0;
        self.error = None;
    }

    /// The histogram: with integer counts if all of them are whole numbers, else with float counts.
    ///
    /// # Errors
    ///
    /// Returns the first thing that was wrong with the buckets or the count, or that they
    /// contradict each other.
    pub fn convert(&mut self) -> Result<Value, ClassicError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let count = match (self.count, self.buckets.last()) {
            (Some(count), _) => count,
            (None, Some(&(_, last))) => last,
            (None, None) => 0.0,
        };
        if self
            .buckets
            .last()
            .is_none_or(|&(le, _)| le != f64::INFINITY)
        {
            self.buckets.push((f64::INFINITY, count));
        }
        let (le, last) = *self.buckets.last().expect("the bucket +Inf is there");
        let custom_values = (self.buckets[..self.buckets.len() - 1].iter())
            .map(|&(le, _)| le)
            .collect();
        if last != count {
            return Err(ClassicError::CountMismatch {
                count,
                le,
                bucket: last,
            });
        }
        let span = Span {
            offset: 0,
            length: u32::try_from(self.buckets.len())
                .expect("fewer than 2^32 buckets fit in memory"),
        };
        let whole: Option<Vec<i64>> = self
            .buckets
            .iter()
            .map(|&(_, count)| to_whole(count))
            .collect();
        if let Some(cumulative) = whole {
            let mut histogram = Histogram {
                schema: CUSTOM_BUCKETS_SCHEMA,
                count: cumulative.last().map_or(0, |count| count.cast_unsigned()),
                sum: self.sum,
                positive_spans: vec![span],
                // Counts are deltas of cumulative counts, buckets those of counts.
                positive_buckets: to_deltas(to_deltas(cumulative)),
                custom_values,
                ..Histogram::default()
            };
            histogram.compact(INTEGER_EMPTY_MAX);
            return Ok(Value::Histogram(Box::new(histogram)));
        }
        let mut below = 0.0;
        let positive_buckets = (self.buckets.iter())
            .map(|&(_, cumulative)| cumulative - std::mem::replace(&mut below, cumulative))
            .collect();
        let mut histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![span],
            positive_buckets,
            custom_values,
            ..FloatHistogram::default()
        };
        histogram.compact(0);
        Ok(Value::FloatHistogram(Box::new(histogram)))
    }
}

/// Empty buckets in a row that are cheaper in a chunk than a span more; Prometheus' choice.
const INTEGER_EMPTY_MAX: usize = 2;

/// The count as an integer, if it is one and fits.
fn to_whole(count: f64) -> Option<i64> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    (count.fract() == 0.0 && count < END).then_some(count as i64)
}

impl FloatHistogram {
    /// The buckets of a custom-bucket histogram as a classic histogram has them: each bound with
    /// the count of observations up to it, ending with `+Inf`.
    pub fn classic_buckets(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let mut buckets = self.positive().peekable();
        let mut cumulative = 0.0;
        let bounds = self.custom_values.iter().copied().chain([f64::INFINITY]);
        bounds.map(move |le| {
            while let Some(bucket) = buckets.next_if(|bucket| bucket.upper <= le) {
                cumulative += bucket.count;
            }
            (le, cumulative)
        })
    }
}
