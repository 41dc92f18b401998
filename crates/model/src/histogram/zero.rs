//! The zero bucket: widening it until two histograms agree on its width.

use super::layout::Indices;
use super::schema::{exponential_bound, is_exponential_schema};
use super::{Buckets, FloatHistogram, Span, layout};
use crate::kahan;

/// How many of the first buckets end within the zero threshold.
pub(super) fn buckets_within_zero(
    spans: &[Span],
    buckets: usize,
    schema: i32,
    threshold: f64,
) -> usize {
    if !is_exponential_schema(schema) {
        return 0;
    }
    Indices::new(spans, buckets)
        .take_while(|&index| exponential_bound(index, schema) <= threshold)
        .count()
}

/// What a zero bucket becomes with a greater threshold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widened {
    pub(super) count: f64,
    pub(super) threshold: f64,
    /// What the count lost by rounding, beside what it had lost before.
    pub(super) compensation: f64,
}

impl Widened {
    /// Takes in the buckets that begin within the threshold, which must be those of one side from
    /// zero outwards. If the threshold falls into a populated bucket, returns that bucket's end,
    /// which it has to be raised to.
    fn absorb(&mut self, buckets: Buckets<'_>, compensations: Option<&[f64]>) -> Option<f64> {
        for (i, bucket) in buckets.enumerate() {
            let (begin, end) = if bucket.upper > 0.0 {
                (bucket.lower, bucket.upper)
            } else {
                (-bucket.upper, -bucket.lower)
            };
            if begin >= self.threshold {
                return None;
            }
            self.add(bucket.count);
            if let Some(&compensation) = compensations.and_then(|all| all.get(i)) {
                self.add(compensation);
            }
            if end > self.threshold {
                return (bucket.count != 0.0).then_some(end);
            }
        }
        None
    }

    fn add(&mut self, count: f64) {
        (self.count, self.compensation) = kahan::add(count, self.count, self.compensation);
    }
}

impl FloatHistogram {
    /// What the zero bucket would be with a threshold that is not smaller. If that falls into a
    /// populated bucket, it is raised to the end of the bucket.
    pub(super) fn zero_for_threshold(&self, threshold: f64, lost: Option<&Self>) -> Widened {
        let mut zero = Widened {
            count: self.zero_count,
            threshold,
            compensation: lost.map_or(0.0, |lost| lost.zero_count),
        };
        if threshold == self.zero_threshold {
            return zero;
        }
        loop {
            zero.count = self.zero_count;
            let positive = lost.map(|lost| lost.positive_buckets.as_slice());
            if let Some(end) = zero.absorb(self.positive(), positive) {
                zero.threshold = end;
            }
            let negative = lost.map(|lost| lost.negative_buckets.as_slice());
            match zero.absorb(self.negative(), negative) {
                // More positive buckets may be within the threshold now. The compensation is not
                // reset, as in Prometheus, which is off by less than what compensates.
                Some(end) => zero.threshold = end,
                None => return zero,
            }
        }
    }

    /// Widens the zero bucket, together with that of the compensation, to include the one of
    /// `other` and to end between populated buckets in both. Returns what the zero bucket of
    /// `other` would then be.
    pub(super) fn reconcile_zero(&mut self, other: &Self, mut lost: Option<&mut Self>) -> Widened {
        let mut theirs = Widened {
            count: other.zero_count,
            threshold: other.zero_threshold,
            compensation: 0.0,
        };
        loop {
            if self.zero_threshold > theirs.threshold {
                theirs = other.zero_for_threshold(self.zero_threshold, None);
            }
            if theirs.threshold > self.zero_threshold {
                let ours = self.zero_for_threshold(theirs.threshold, lost.as_deref());
                self.zero_count = ours.count;
                self.zero_threshold = ours.threshold;
                if let Some(lost) = lost.as_deref_mut() {
                    lost.zero_count = ours.compensation;
                }
                self.drop_buckets_in_zero(lost.as_deref_mut());
            } else {
                // Equal, or one of them is NaN.
                return theirs;
            }
        }
    }

    /// Drops the buckets that are part of the zero bucket now, and empty ones with them.
    fn drop_buckets_in_zero(&mut self, lost: Option<&mut Self>) {
        let positive = (self.positive())
            .take_while(|bucket| bucket.lower < self.zero_threshold)
            .count();
        let negative = (self.negative())
            .take_while(|bucket| bucket.upper > -self.zero_threshold)
            .count();
        self.positive_buckets[..positive].fill(0.0);
        self.negative_buckets[..negative].fill(0.0);
        let Some(lost) = lost else {
            self.compact(0);
            return;
        };
        lost.positive_buckets
            .resize(self.positive_buckets.len(), 0.0);
        lost.negative_buckets
            .resize(self.negative_buckets.len(), 0.0);
        lost.positive_buckets[..positive].fill(0.0);
        lost.negative_buckets[..negative].fill(0.0);
        let sides = [
            (
                &mut self.positive_spans,
                &mut self.positive_buckets,
                &mut lost.positive_buckets,
            ),
            (
                &mut self.negative_spans,
                &mut self.negative_buckets,
                &mut lost.negative_buckets,
            ),
        ];
        for (spans, counts, lost) in sides {
            let pairs = counts.iter().copied().zip(lost.iter().copied());
            if let Some((compacted, pairs)) = layout::compact(spans, pairs, 0) {
                *spans = compacted;
                (*counts, *lost) = pairs.into_iter().unzip();
            }
        }
    }
}
