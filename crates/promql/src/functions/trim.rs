//! The operators `</` and `>/`: native histograms without the observations above or below a value.

use model::FloatHistogram;
use model::histogram::{Bucket, CUSTOM_BUCKETS_SCHEMA};

/// What is cut off.
#[derive(Debug, Clone, Copy)]
struct Cut {
    at: f64,
    /// Observations above go; else those below.
    upper: bool,
    /// Observations are spread evenly over a bucket, not over its logarithm.
    linear: bool,
}

/// Count and sum of what is left.
#[derive(Debug, Default)]
struct Left {
    count: f64,
    sum: f64,
    /// Some bucket lost something.
    trimmed: bool,
}

impl Left {
    /// Takes in a bucket that had `before` observations and keeps `kept` around `middle`.
    fn take(&mut self, before: f64, (kept, middle): (f64, f64)) -> f64 {
        if kept != 0.0 {
            self.count += kept;
            self.sum += middle * kept;
        }
        self.trimmed |= kept != before;
        kept
    }
}

/// `h` without the observations above `at` (`upper`), or without those below.
///
/// Where a bucket holds observations on both sides, those in it are taken to be spread as quantiles
/// take them to be. The sum is estimated from the middles of the buckets, if anything was cut off.
pub(super) fn trim(h: &FloatHistogram, at: f64, upper: bool) -> FloatHistogram {
    let linear = h.schema == CUSTOM_BUCKETS_SCHEMA;
    let cut = Cut { at, upper, linear };
    let mut left = Left::default();
    let mut out = h.clone();
    for (count, bucket) in out.positive_buckets.iter_mut().zip(h.positive()) {
        if bucket.count != 0.0 {
            *count = left.take(bucket.count, cut.bucket(&bucket, true));
        }
    }
    for (count, bucket) in out.negative_buckets.iter_mut().zip(h.negative()) {
        if bucket.count != 0.0 {
            *count = left.take(bucket.count, cut.bucket(&bucket, false));
        }
    }
    if h.zero_count > 0.0 {
        let populated = |counts: &[f64]| counts.iter().any(|&c| c != 0.0);
        let sides = (
            populated(&h.negative_buckets),
            populated(&h.positive_buckets),
        );
        out.zero_count = left.take(h.zero_count, cut.zero(&h.zero(), sides));
    }
    if left.trimmed {
        out.count = left.count;
        out.sum = left.sum;
        out.compact(0);
    }
    out
}

impl Cut {
    /// How many observations a bucket keeps, and the middle of where they are.
    fn bucket(&self, b: &Bucket<f64>, positive: bool) -> (f64, f64) {
        let whole = if self.upper {
            b.upper <= self.at
        } else {
            b.lower >= self.at
        };
        if whole {
            return (b.count, middle(b.lower, b.upper, positive, self.linear));
        }
        let none = if self.upper {
            b.lower >= self.at
        } else {
            b.upper <= self.at
        };
        if none {
            return (0.0, 0.0);
        }
        if b.lower.is_infinite() || b.upper.is_infinite() {
            return self.unbounded(b);
        }
        let below = b.count * b.fraction_below(self.at, self.linear);
        if self.upper {
            (below, middle(b.lower, self.at, positive, self.linear))
        } else {
            (
                b.count - below,
                middle(self.at, b.upper, positive, self.linear),
            )
        }
    }

    /// A custom bucket without a lower or upper bound, with the value somewhere inside.
    ///
    /// Nothing is known about the spread in it, so it goes; but for the lowest bucket, which is
    /// taken to start at zero when it ends above, and for a cut below an observation without bound.
    fn unbounded(&self, b: &Bucket<f64>) -> (f64, f64) {
        let starts_at_zero = b.lower.is_infinite() && b.upper.is_finite() && b.upper > 0.0;
        match (b.lower.is_infinite(), self.upper) {
            (true, true) if self.at > 0.0 && starts_at_zero => {
                (b.count * self.at / b.upper, self.at / 2.0)
            }
            (true, true) if b.upper <= 0.0 => (b.count, self.at),
            (true, false) if self.at >= 0.0 && starts_at_zero => (
                b.count * (1.0 - self.at / b.upper),
                f64::midpoint(self.at, b.upper),
            ),
            (true, _) | (false, true) => (0.0, 0.0),
            (false, false) => (b.count, self.at),
        }
    }

    /// The zero bucket, which is one-sided when there are buckets on one side only.
    fn zero(&self, b: &Bucket<f64>, (negative, positive): (bool, bool)) -> (f64, f64) {
        let lower = if positive && !negative { 0.0 } else { b.lower };
        let upper = if negative && !positive { 0.0 } else { b.upper };
        let whole = if self.upper {
            self.at >= upper
        } else {
            self.at <= lower
        };
        let none = if self.upper {
            self.at <= lower
        } else {
            self.at >= upper
        };
        if none {
            (0.0, 0.0)
        } else if whole {
            (b.count, f64::midpoint(lower, upper))
        } else if self.upper {
            let share = (self.at - lower) / (upper - lower);
            (b.count * share, f64::midpoint(lower, self.at))
        } else {
            let share = (upper - self.at) / (upper - lower);
            (b.count * share, f64::midpoint(self.at, upper))
        }
    }
}

/// The middle of the observations between two bounds.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => f64::midpoint(lower, upper),
        (false, false) => {
            let geometric = (lower * upper).abs().sqrt();
            if positive { geometric } else { -geometric }
        }
    }
}
