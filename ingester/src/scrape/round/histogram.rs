//! Native histograms as a target's rules want them.

use model::histogram::{InvalidHistogram, is_custom_schema};
use model::{FloatHistogram, Histogram};

use super::super::error::Error;
use super::super::rules::SampleRules;

/// The coarsest resolution.
const SCHEMA_MIN: i32 = -4;

/// What both kinds of native histograms have.
pub(super) trait Native {
    fn validate(&self) -> Result<(), InvalidHistogram>;
    fn schema(&self) -> i32;
    fn buckets(&self) -> usize;
    /// Merges buckets; the schema is coarser than the histogram's.
    fn reduce(&mut self, schema: i32);
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

    fn reduce(&mut self, schema: i32) {
        self.reduce_resolution(schema)
            .expect("checked to be exponential and finer");
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

    fn reduce(&mut self, schema: i32) {
        self.reduce_resolution(schema)
            .expect("checked to be exponential and finer");
    }
}

/// Checks a histogram and brings it to the resolution that the rules allow.
pub(super) fn fit(histogram: &mut impl Native, rules: &SampleRules) -> Result<(), Error> {
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
        histogram.reduce(rules.schema_max);
    }
    while too_many(histogram) {
        let schema = histogram.schema();
        if schema <= SCHEMA_MIN {
            return Err(Error::BucketLimit);
        }
        histogram.reduce(schema - 1);
    }
    Ok(())
}
