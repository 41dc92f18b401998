//! Native histograms as a target's rules want them.

use model::histogram::{CannotReduce, InvalidHistogram, is_custom_schema};
use model::{FloatHistogram, Histogram};

use super::super::error::Error;
use super::super::rules::SampleRules;

/// The coarsest and the finest resolution that are stored.
const SCHEMA_MIN: i32 = -4;
const SCHEMA_MAX: i32 = 8;

const REDUCIBLE: &str = "checked to be valid, exponential and finer";

/// What both kinds of native histograms have.
pub(super) trait Native {
    fn validate(&self) -> Result<(), InvalidHistogram>;
    fn schema(&self) -> i32;
    fn buckets(&self) -> usize;
    /// Merges buckets, which are valid and finer than that.
    fn reduce(&mut self, schema: i32) -> Result<(), CannotReduce>;
}

impl Native for Histogram {
    fn validate(&self) -> Result<(), InvalidHistogram> {
        Self::validate(self)
    }

    fn schema(&self) -> i32 {
        self.schema
    }

    fn buckets(&self) -> usize {
        self.positive_buckets.len() + self.negative_buckets.len()
    }

    fn reduce(&mut self, schema: i32) -> Result<(), CannotReduce> {
        self.reduce_resolution(schema)
    }
}

impl Native for FloatHistogram {
    fn validate(&self) -> Result<(), InvalidHistogram> {
        Self::validate(self)
    }

    fn schema(&self) -> i32 {
        self.schema
    }

    fn buckets(&self) -> usize {
        self.positive_buckets.len() + self.negative_buckets.len()
    }

    fn reduce(&mut self, schema: i32) -> Result<(), CannotReduce> {
        self.reduce_resolution(schema)
    }
}

/// Checks a histogram and brings it to the resolution that the rules allow.
pub(super) fn fit(histogram: &mut impl Native, rules: &SampleRules) -> Result<(), Error> {
    // What is too fine to be valid may be reduced to what is not.
    let schema = histogram.schema();
    if rules.schema_max < SCHEMA_MAX && schema > SCHEMA_MAX {
        let reduced = histogram.reduce(rules.schema_max);
        reduced.or_else(|_| histogram.validate())?;
    }
    histogram.validate()?;
    let limit = rules.limits.histogram_buckets;
    let too_many = |histogram: &dyn Native| limit > 0 && histogram.buckets() as u64 > limit;
    if is_custom_schema(histogram.schema()) {
        return if too_many(histogram) {
            Err(Error::BucketLimit)
        } else {
            Ok(())
        };
    }
    if histogram.schema() > rules.schema_max {
        histogram.reduce(rules.schema_max).expect(REDUCIBLE);
    }
    while too_many(histogram) {
        let schema = histogram.schema();
        if schema <= SCHEMA_MIN {
            return Err(Error::BucketLimit);
        }
        histogram.reduce(schema - 1).expect(REDUCIBLE);
    }
    Ok(())
}
