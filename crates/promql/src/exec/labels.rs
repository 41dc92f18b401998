//! Work on label sets: dropping names, matching, hashing.

use std::cmp::Ordering;

use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder};
use twox_hash::{XxHash3_128, XxHash64};

/// The labels that name a metric and go when its values change their meaning.
const RESERVED: [&str; 3] = [METRIC_NAME, "__type__", LAST_RESERVED];

/// The last of them in order of names.
pub(crate) const LAST_RESERVED: &str = "__unit__";

/// True for the labels that go with the metric name.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// The labels without those that name the metric.
pub(crate) fn drop_reserved(labels: &Labels) -> Labels {
    let mut rest = labels.iter();
    // The name mostly comes first, and nothing else is to go.
    let named = rest.next().is_some_and(|(n, _)| n == METRIC_NAME);
    if named && !has_reserved(rest.clone()) {
        return Labels::from_encoded(rest.as_encoded());
    }
    if !has_reserved(labels.iter()) {
        return labels.clone();
    }
    Labels::from_sorted(labels.iter().filter(|(n, _)| !is_reserved(n)))
}

/// True when one of `labels`, in order of names, goes with the metric name.
pub(crate) fn has_reserved<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    labels
        .map(|(name, _)| name)
        .take_while(|name| *name <= LAST_RESERVED)
        .any(is_reserved)
}

/// The hash of a label set; wide enough that two sets with one hash are taken for equal.
pub(crate) fn hash(labels: &Labels) -> u128 {
    XxHash3_128::oneshot(labels.as_encoded().as_bytes())
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

    /// The hash of the labels that take part: that of [`LabelFilter::apply`].
    pub(crate) fn hash(&self, labels: &Labels) -> u128 {
        let mut kept = String::with_capacity(labels.as_encoded().len());
        Labels::encode_sorted(self.kept(labels), &mut kept);
        XxHash3_128::oneshot(kept.as_bytes())
    }

    /// The labels that take part.
    pub(crate) fn apply(&self, labels: &Labels) -> Labels {
        Labels::from_sorted(self.kept(labels))
    }

    /// The labels that take part, in order of names.
    fn kept<'a>(&self, labels: &'a Labels) -> impl Iterator<Item = (&'a str, &'a str)> {
        // Both are sorted, so that one walk over them side by side is enough.
        let mut names = self.names.iter();
        let mut next = names.next();
        labels.iter().filter(move |(label, _)| {
            let listed = loop {
                match next.map(|name| name.as_str().cmp(label)) {
                    Some(Ordering::Less) => next = names.next(),
                    order => break order == Some(Ordering::Equal),
                }
            };
            match self.only {
                true => listed,
                false => !listed && *label != METRIC_NAME,
            }
        })
    }
}

/// `labels` with `name` set to `value`, an empty value deleting it.
pub(crate) fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.set(name, value);
    builder.labels()
}
