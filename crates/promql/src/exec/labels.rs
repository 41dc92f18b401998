//! Work on label sets: dropping names, matching, hashing.

use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder};
use twox_hash::{XxHash3_128, XxHash64};

use crate::columns::StepSeries;

/// The labels that name a metric and go when its values change their meaning.
const RESERVED: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// True for the labels that go with the metric name.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// The labels without those that name the metric.
pub(crate) fn drop_reserved(labels: &Labels) -> Labels {
    if labels.iter().any(|(n, _)| is_reserved(n)) {
        Labels::from_sorted(labels.iter().filter(|(n, _)| !is_reserved(n)))
    } else {
        labels.clone()
    }
}

/// Drops the metric name of `series` now, or marks it to be dropped at the end (`delayed`).
pub(crate) fn drop_name(series: &mut StepSeries, delayed: bool) {
    if delayed {
        series.drop_name = true;
    } else {
        series.labels = drop_reserved(&series.labels);
    }
}

/// The hash of a label set; wide enough that two sets with one hash are taken for equal.
pub(crate) fn hash(labels: &Labels) -> u128 {
    hash_pairs(labels.iter())
}

/// The hash of labels in order of names.
pub(crate) fn hash_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u128 {
    let mut buffer = Vec::with_capacity(256);
    for (name, value) in pairs {
        for text in [name, value] {
            buffer.extend_from_slice(&(text.len() as u32).to_le_bytes());
            buffer.extend_from_slice(text.as_bytes());
        }
    }
    XxHash3_128::oneshot(&buffer)
}

/// The hash that decides which series `limit_ratio` keeps: over the bytes in which Prometheus holds
/// labels in memory, which are names and values, each after its length. A length is one byte, or
/// from 255 on `0xff` and three bytes, lowest first.
pub(crate) fn ratio_hash(labels: &Labels) -> u64 {
    let mut buffer = Vec::with_capacity(256);
    for (name, value) in labels.iter() {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(len) if len < 0xff => buffer.push(len),
                _ => {
                    buffer.push(0xff);
                    buffer.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
                }
            }
            buffer.extend_from_slice(text.as_bytes());
        }
    }
    XxHash64::oneshot(0, &buffer)
}

/// Which labels of a series take part in grouping or matching.
#[derive(Debug, Clone)]
pub(crate) struct LabelFilter {
    /// Sorted.
    names: Vec<String>,
    /// Only these; else all but these and the metric name.
    only: bool,
}

impl LabelFilter {
    /// Only `names` (`by`, `on`), or all others but the metric name (`without`, `ignoring`).
    pub(crate) fn new(names: &[String], only: bool) -> Self {
        let mut names = names.to_vec();
        names.sort_unstable();
        names.dedup();
        Self { names, only }
    }

    /// True when the label takes part.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        let listed = self
            .names
            .binary_search_by(|n| n.as_str().cmp(name))
            .is_ok();
        if self.only {
            listed
        } else {
            !listed && name != METRIC_NAME
        }
    }

    /// The hash of the labels that take part.
    pub(crate) fn hash(&self, labels: &Labels) -> u128 {
        hash_pairs(labels.iter().filter(|(n, _)| self.keeps(n)))
    }

    /// The labels that take part.
    pub(crate) fn apply(&self, labels: &Labels) -> Labels {
        Labels::from_sorted(labels.iter().filter(|(n, _)| self.keeps(n)))
    }
}

/// `labels` with `name` set to `value`, an empty value deleting it.
pub(crate) fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.set(name, value);
    builder.labels()
}
