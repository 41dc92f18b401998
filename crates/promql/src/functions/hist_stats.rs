//! Numbers that sum up one native histogram.

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{FloatHistogram, kahan};

use crate::ast::FunctionId as F;

/// The function of one histogram that `func` is, if it is one.
pub(crate) fn unary(func: F) -> Option<fn(&FloatHistogram) -> f64> {
    Some(match func {
        F::HistogramCount => |h| h.count,
        F::HistogramSum => |h| h.sum,
        F::HistogramAvg => |h| h.sum / h.count,
        F::HistogramStdvar => variance,
        F::HistogramStddev => |h| variance(h).sqrt(),
        _ => return None,
    })
}

/// The variance of the observations, each taken to be in the middle of its bucket.
fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut variance, mut lost) = (0.0, 0.0);
    for bucket in h.all() {
        if bucket.count == 0.0 {
            continue;
        }
        let middle = if h.schema == CUSTOM_BUCKETS_SCHEMA {
            f64::midpoint(bucket.upper, bucket.lower)
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        (variance, lost) = kahan::add(bucket.count * delta * delta, variance, lost);
    }
    (variance + lost) / h.count
}
