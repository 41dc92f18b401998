//! Quantiles and fractions of classic histograms: cumulative counts by upper bound.

/// One bucket: observations up to a bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ClassicBucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// Repairs that a histogram needed before it could be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Repair {
    /// Lowest and highest upper bound of the repaired buckets.
    pub(crate) buckets: (f64, f64),
    pub(crate) max_diff: f64,
}

/// Relative difference of counts that rounding explains.
const TOLERANCE: f64 = 1e-12;

/// Sorts buckets by bound and adds up those with one bound; false when there is no `+Inf` bucket.
fn tidy(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    true
}

/// The `q` quantile, and what had to be repaired. Takes the buckets in any order and leaves them
/// sorted.
pub(crate) fn quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Repair>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !tidy(buckets) {
        return (f64::NAN, None);
    }
    let repair = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last < 1 || observations == 0.0 {
        return (f64::NAN, None);
    }
    let mut rank = q * observations;
    let b = buckets[..last]
        .iter()
        .position(|b| b.count >= rank)
        .unwrap_or(last);
    if b == last {
        return (buckets[last - 1].upper, repair);
    }
    if b == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, repair);
    }
    let mut start = 0.0;
    let ClassicBucket {
        upper: end,
        mut count,
    } = buckets[b];
    if b > 0 {
        start = buckets[b - 1].upper;
        count -= buckets[b - 1].count;
        rank -= buckets[b - 1].count;
    }
    (start + (end - start) * (rank / count), repair)
}

/// Counts go up from bucket to bucket; where they do not, they are made to. What rounding explains
/// is no repair.
fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<Repair> {
    let mut repair: Option<Repair> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if is_almost(previous, count) {
            bucket.count = previous;
            continue;
        }
        if count < previous {
            bucket.count = previous;
            let diff = previous - count;
            let r = repair.get_or_insert(Repair {
                buckets: (bucket.upper, bucket.upper),
                max_diff: diff,
            });
            r.buckets.1 = bucket.upper;
            r.max_diff = r.max_diff.max(diff);
            continue;
        }
        previous = count;
    }
    repair
}

fn is_almost(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    let sum = a.abs() + b.abs();
    let diff = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < TOLERANCE * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < TOLERANCE
}

/// The share of observations between `lower` and `upper`.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !tidy(buckets) {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |v: f64| rank_of(v, buckets).map_or(total, |r| if r > total { total } else { r });
    (rank(upper) - rank(lower)) / total
}

/// How many observations are below `v`; `None` when all are.
fn rank_of(v: f64, buckets: &[ClassicBucket]) -> Option<f64> {
    let mut rank = 0.0;
    let mut low = f64::NEG_INFINITY;
    for (i, b) in buckets.iter().enumerate() {
        // The lowest bucket is taken to start at zero when it ends above.
        if i == 0 && b.upper > 0.0 {
            low = 0.0;
        }
        if low >= v {
            return Some(rank);
        }
        if b.upper > v {
            // The lowest bucket without a start has nothing below any value inside of it to give.
            return Some(if low == f64::NEG_INFINITY {
                b.count
            } else {
                rank + (b.count - rank) * (v - low) / (b.upper - low)
            });
        }
        rank = b.count;
        low = b.upper;
    }
    None
}
