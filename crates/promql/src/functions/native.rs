//! Quantiles and fractions of native histograms.

use model::FloatHistogram;
use model::histogram::{Bucket, CUSTOM_BUCKETS_SCHEMA};
use model::logarithm::{exp2, log2};

/// What NaN among the observations did to a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NanEffect {
    None,
    /// The rank falls among the NaNs, so that the result is NaN.
    Result,
    /// Part of the ranks are NaNs, so that the result is higher than without them.
    Skew,
}

/// The `q` quantile.
pub(crate) fn quantile(q: f64, h: &FloatHistogram) -> (f64, NanEffect) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, NanEffect::None);
    }
    if q > 1.0 {
        return (f64::INFINITY, NanEffect::None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, NanEffect::None);
    }
    // NaN observations count, but are in no bucket, so ranks are good from below only.
    let has_nans = h.sum.is_nan();
    let forward = has_nans || q < 0.5;
    let (found, rank) = if forward {
        let rank = q * h.count;
        (find_rank(h.all(), rank), rank)
    } else {
        let rank = (1.0 - q) * h.count;
        (find_rank(h.all().rev(), rank), rank)
    };
    let result = if has_nans {
        NanEffect::Result
    } else {
        NanEffect::None
    };
    let (mut bucket, mut count) = found;
    let custom = h.schema == CUSTOM_BUCKETS_SCHEMA;
    if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, NanEffect::None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, NanEffect::None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        narrow_zero(&mut bucket, h);
    }
    // Rounding may have made it more.
    count = count.min(h.count);
    if count < rank {
        // Without NaNs the counts contradict each other, as those of a difference may.
        let fallback = if has_nans { f64::NAN } else { bucket.upper };
        return (fallback, result);
    }
    let rank = if forward {
        rank - (count - bucket.count)
    } else {
        count - rank
    };
    let fraction = rank / bucket.count;
    let effect = if has_nans {
        NanEffect::Skew
    } else {
        NanEffect::None
    };
    (interpolate(&bucket, fraction, custom), effect)
}

/// The first bucket at which the running count reaches `rank`, else the last, be it empty; and the
/// count. Without buckets it is one from zero to zero.
fn find_rank(buckets: impl Iterator<Item = Bucket<f64>>, rank: f64) -> (Bucket<f64>, f64) {
    let mut count = 0.0;
    let mut found = Bucket {
        lower: 0.0,
        upper: 0.0,
        lower_inclusive: false,
        upper_inclusive: false,
        count: 0.0,
        index: 0,
    };
    for bucket in buckets {
        found = bucket;
        count += bucket.count;
        if bucket.count != 0.0 && count >= rank {
            break;
        }
    }
    (found, count)
}

/// With buckets on one side only, the zero bucket is on that side too.
fn narrow_zero(bucket: &mut Bucket<f64>, h: &FloatHistogram) {
    match (h.negative_buckets.is_empty(), h.positive_buckets.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

/// The value that `fraction` of the observations in the bucket are below of.
fn interpolate(bucket: &Bucket<f64>, fraction: f64, linear: bool) -> f64 {
    if linear || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let lower = log2(bucket.lower.abs());
    let upper = log2(bucket.upper.abs());
    if bucket.lower > 0.0 {
        exp2(lower + (upper - lower) * fraction)
    } else {
        -exp2(upper + (lower - upper) * (1.0 - fraction))
    }
}

/// The share of observations between `lower` and `upper`, of all including NaNs; and whether there
/// are NaNs.
pub(crate) fn fraction(lower: f64, upper: f64, h: &FloatHistogram) -> (f64, bool) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    let has_nans = h.sum.is_nan();
    if lower >= upper {
        return (0.0, has_nans);
    }
    // NaNs are in no bucket.
    let total = if has_nans {
        h.all().map(|b| b.count).sum()
    } else {
        h.count
    };
    let rank = |v: f64| rank_of(v, h).map_or(total, |r| if r > total { total } else { r });
    ((rank(upper) - rank(lower)) / h.count, has_nans)
}

/// How many observations are below `v`; `None` when all in buckets are.
fn rank_of(v: f64, h: &FloatHistogram) -> Option<f64> {
    let custom = h.schema == CUSTOM_BUCKETS_SCHEMA;
    let mut rank = 0.0;
    for mut b in h.all() {
        let around_zero = b.lower <= 0.0 && b.upper >= 0.0;
        if around_zero {
            narrow_zero(&mut b, h);
        }
        if b.lower >= v {
            return Some(rank);
        }
        if b.upper > v {
            return Some(if b.lower == f64::NEG_INFINITY {
                // Nothing is known of the spread in a bucket without a start.
                b.count
            } else {
                rank + b.count * b.fraction_below(v, custom || around_zero)
            });
        }
        rank += b.count;
    }
    None
}
