//! The rules of one histogram: its buckets in their order, and its count and sum beside them.

use super::family::LabelKey;
use crate::exposition::number;

/// One histogram, or gauge histogram, of the open family at one time.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// Labels and time; `None` before the first sample.
    of: Option<(LabelKey, Option<f64>)>,
    last_bound: Option<f64>,
    last_count: f64,
    count: Option<f64>,
    has_sum: bool,
    has_gsum: bool,
    negative_gsum: bool,
    negative_bucket: bool,
}

impl Buckets {
    /// Takes the next sample of the family.
    pub(super) fn add(
        &mut self,
        group: &[(String, String)],
        seconds: Option<f64>,
        suffix: &str,
        labels: &[(String, String)],
        value: f64,
    ) -> Result<(), String> {
        let same = |(g, s): &(Vec<_>, _)| g == group && *s == seconds;
        if !self.of.as_ref().is_some_and(same) {
            std::mem::take(self).finish()?;
            self.of = Some((group.to_vec(), seconds));
        }
        match suffix {
            "_bucket" => self.bucket(labels, value)?,
            "_count" | "_gcount" => self.count = Some(value),
            "_sum" => self.has_sum = true,
            "_gsum" => {
                self.has_gsum = true;
                self.negative_gsum = value < 0.0;
            }
            _ => {}
        }
        Ok(())
    }

    fn bucket(&mut self, labels: &[(String, String)], count: f64) -> Result<(), String> {
        let bound = labels
            .iter()
            .find(|(name, _)| name == "le")
            .and_then(|(_, le)| number::parse_value(le.as_bytes()))
            .ok_or("the label \"le\" is missing")?;
        if self.last_bound.is_some_and(|last| bound <= last) {
            return Err("buckets must be in ascending order".to_owned());
        }
        if count < self.last_count {
            return Err("counts of buckets must not descend".to_owned());
        }
        self.negative_bucket |= bound < 0.0;
        self.last_bound = Some(bound);
        self.last_count = count;
        Ok(())
    }

    /// The rules that only the whole histogram shows.
    pub(super) fn finish(self) -> Result<(), String> {
        if self.of.is_none() {
            return Ok(());
        }
        let sum = self.has_sum || self.has_gsum;
        let broken = if self.last_bound != Some(f64::INFINITY) {
            "a histogram must have a bucket +Inf"
        } else if self.count.is_some_and(|count| count != self.last_count) {
            "the count of a histogram is that of its bucket +Inf"
        } else if sum && self.count.is_none() {
            "a histogram with a sum must have a count"
        } else if !sum && self.count.is_some() {
            "a histogram with a count must have a sum"
        } else if self.negative_bucket && self.has_sum {
            "a histogram with negative buckets has no sum"
        } else if !self.negative_bucket && self.negative_gsum {
            "the sum cannot be negative without negative buckets"
        } else {
            return Ok(());
        };
        Err(broken.to_owned())
    }
}
