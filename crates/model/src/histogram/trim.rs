//! Trimming: the operators `</` and `>/`, which drop the observations above or below a value.
//!
//! A bucket that the value falls into is split by interpolation. The sum of what is left is
//! estimated from the middles of its buckets, as the real one cannot be known.

use super::bucket::Scale;
use super::layout::Indices;
use super::schema::is_custom_schema;
use super::{Bucket, FloatHistogram, Span};

/// Which observations are kept.
#[derive(Debug, Clone, Copy)]
enum Keep {
    Below(f64),
    Above(f64),
}

/// What is left of a bucket: how many observations, and where they are on average.
#[derive(Debug, Clone, Copy)]
struct Rest {
    count: f64,
    middle: f64,
}

/// What is left so far, in all buckets.
#[derive(Debug, Default)]
struct Trimmed {
    count: f64,
    sum: f64,
    /// True when a bucket lost something.
    any: bool,
}

impl Trimmed {
    fn keep(&mut self, rest: Rest) {
        self.count += rest.count;
        self.sum += rest.middle * rest.count;
    }
}

impl FloatHistogram {
    /// Drops the observations above `limit`, as `histogram </ limit` does. Count and sum become
    /// those of what is left, unless that is everything.
    pub fn keep_below(&mut self, limit: f64) -> &mut Self {
        self.trim(Keep::Below(limit))
    }

    /// Drops the observations below `limit`, as `histogram >/ limit` does. Count and sum become
    /// those of what is left, unless that is everything.
    pub fn keep_above(&mut self, limit: f64) -> &mut Self {
        self.trim(Keep::Above(limit))
    }

    fn trim(&mut self, keep: Keep) -> &mut Self {
        let mut trimmed = Trimmed::default();
        let linear = is_custom_schema(self.schema);
        let positive = TrimmedSide {
            keep,
            middle: Middle {
                linear,
                positive: true,
            },
            scale: Scale::positive(self.schema, &self.custom_values),
        };
        let has_positive = positive.trim(
            &self.positive_spans,
            &mut self.positive_buckets,
            &mut trimmed,
        );
        let negative = TrimmedSide {
            keep,
            middle: Middle {
                linear,
                positive: false,
            },
            scale: Scale::negative(self.schema),
        };
        let has_negative = negative.trim(
            &self.negative_spans,
            &mut self.negative_buckets,
            &mut trimmed,
        );
        if self.zero_count > 0.0 {
            let mut zero = self.zero();
            // Observations have the sign of the other buckets, if all those have one.
            match (has_negative, has_positive) {
                (true, false) => zero.upper = 0.0,
                (false, true) => zero.lower = 0.0,
                _ => {}
            }
            let rest = keep.rest_of_zero(&zero);
            trimmed.any |= self.zero_count != rest.count;
            self.zero_count = rest.count;
            trimmed.keep(rest);
        }
        if trimmed.any {
            self.count = trimmed.count;
            self.sum = trimmed.sum;
            self.compact(0);
        }
        self
    }
}

/// How the positive or the negative buckets are trimmed.
struct TrimmedSide<'a> {
    keep: Keep,
    middle: Middle,
    scale: Scale<'a>,
}

impl TrimmedSide<'_> {
    /// Trims each bucket; returns whether any was populated.
    fn trim(&self, spans: &[Span], counts: &mut [f64], trimmed: &mut Trimmed) -> bool {
        let mut populated = false;
        for (index, count) in Indices::new(spans, counts.len()).zip(counts) {
            if *count == 0.0 {
                continue;
            }
            populated = true;
            let bucket = self.scale.bucket(index, *count);
            let rest = self.rest_of(&bucket);
            if let Some(rest) = rest {
                trimmed.keep(rest);
            }
            let left = rest.map_or(0.0, |rest| rest.count);
            trimmed.any |= rest.is_none() || left != *count;
            *count = left;
        }
        populated
    }

    /// What is left of a populated bucket; `None` if it is on the wrong side of the limit.
    fn rest_of(&self, bucket: &Bucket<f64>) -> Option<Rest> {
        let &Bucket {
            lower,
            upper,
            count,
            ..
        } = bucket;
        let (whole, split) = match self.keep {
            Keep::Below(limit) => (upper <= limit, lower < limit),
            Keep::Above(limit) => (lower >= limit, upper > limit),
        };
        if whole {
            let middle = self.middle.of(lower, upper);
            Some(Rest { count, middle })
        } else if split {
            Some(self.split(bucket))
        } else {
            None
        }
    }

    /// What is left of a bucket that the limit is within.
    fn split(&self, bucket: &Bucket<f64>) -> Rest {
        let &Bucket {
            lower,
            upper,
            count,
            ..
        } = bucket;
        if lower == f64::NEG_INFINITY {
            return self.keep.rest_of_lowest(upper, count);
        }
        if upper == f64::INFINITY {
            return self.keep.rest_of_highest(count);
        }
        let below = |limit: f64| {
            if limit <= lower {
                0.0
            } else if limit >= upper {
                count
            } else {
                count * bucket.fraction_below(limit, self.middle.linear)
            }
        };
        match self.keep {
            Keep::Below(limit) => Rest {
                count: below(limit),
                middle: self.middle.of(lower, limit),
            },
            Keep::Above(limit) => Rest {
                count: count - below(limit),
                middle: self.middle.of(limit, upper),
            },
        }
    }
}

/// Where the observations in an interval are taken to be on average.
#[derive(Debug, Clone, Copy)]
struct Middle {
    linear: bool,
    positive: bool,
}

impl Middle {
    fn of(self, lower: f64, upper: f64) -> f64 {
        if lower.is_infinite() {
            return match upper {
                _ if upper.is_infinite() => 0.0,
                _ if upper > 0.0 => upper / 2.0,
                _ => upper,
            };
        }
        if upper.is_infinite() {
            return lower;
        }
        if self.linear {
            return (lower + upper) / 2.0;
        }
        let geometric = (lower * upper).abs().sqrt();
        if self.positive { geometric } else { -geometric }
    }
}

impl Keep {
    /// What is left of the bucket that begins at `-Inf`, with the limit within it.
    fn rest_of_lowest(self, upper: f64, count: f64) -> Rest {
        let is_open = upper == f64::INFINITY;
        match self {
            // A positive bound means that observations are taken to be positive.
            Self::Below(limit) if limit > 0.0 && upper > 0.0 && !is_open => Rest {
                count: count * limit / upper,
                middle: limit / 2.0,
            },
            Self::Below(limit) if upper <= 0.0 => Rest {
                count,
                middle: limit,
            },
            Self::Above(limit) if limit >= 0.0 && upper > limit && !is_open => Rest {
                count: count * (1.0 - limit / upper),
                middle: (limit + upper) / 2.0,
            },
            // Where in the bucket the observations are is anybody's guess.
            Self::Below(_) | Self::Above(_) => Rest {
                count: 0.0,
                middle: 0.0,
            },
        }
    }

    /// What is left of the bucket that ends at `+Inf`, with the limit within it.
    fn rest_of_highest(self, count: f64) -> Rest {
        match self {
            Self::Above(limit) => Rest {
                count,
                middle: limit,
            },
            Self::Below(_) => Rest {
                count: 0.0,
                middle: 0.0,
            },
        }
    }

    /// What is left of the zero bucket, where observations are spread evenly.
    fn rest_of_zero(self, zero: &Bucket<f64>) -> Rest {
        let &Bucket {
            lower,
            upper,
            count,
            ..
        } = zero;
        let all = Rest {
            count,
            middle: (lower + upper) / 2.0,
        };
        let none = Rest {
            count: 0.0,
            middle: 0.0,
        };
        match self {
            Self::Below(limit) if limit <= lower => none,
            Self::Below(limit) if limit >= upper => all,
            Self::Below(limit) => Rest {
                count: count * ((limit - lower) / (upper - lower)),
                middle: (lower + limit) / 2.0,
            },
            Self::Above(limit) if limit <= lower => all,
            Self::Above(limit) if limit >= upper => none,
            Self::Above(limit) => Rest {
                count: count * ((upper - limit) / (upper - lower)),
                middle: (limit + upper) / 2.0,
            },
        }
    }
}
