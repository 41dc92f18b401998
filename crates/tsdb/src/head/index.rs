//! Labels to series of the head: an inverted index in memory.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use model::{Labels, Matcher};

/// The number of a series in a head, from zero.
pub type SeriesId = u32;

/// Which series have which labels. Series without samples are not in it.
#[derive(Debug, Default)]
pub struct HeadIndex {
    /// By series, those left out included.
    labels: Vec<Labels>,
    /// All series that are in the index, ascending.
    all: Vec<SeriesId>,
    /// By label name, then value: series, ascending.
    postings: HashMap<Box<str>, BTreeMap<Box<str>, Vec<SeriesId>>, ahash::RandomState>,
}

impl HeadIndex {
    /// Indexes those series of `labels` for which `has_samples` is true.
    pub fn build(labels: Vec<Labels>, has_samples: impl Fn(SeriesId) -> bool) -> Self {
        let mut index = Self::default();
        for (id, labels) in (0..).zip(&labels) {
            if !has_samples(id) {
                continue;
            }
            index.all.push(id);
            for (name, value) in labels {
                let values = match index.postings.get_mut(name) {
                    Some(values) => values,
                    None => index.postings.entry(name.into()).or_default(),
                };
                match values.get_mut(value) {
                    Some(series) => series.push(id),
                    None => drop(values.insert(value.into(), vec![id])),
                }
            }
        }
        index.labels = labels;
        index
    }

    /// Number of series in the index.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True when there is no series.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The labels of a series.
    pub fn labels(&self, series: SeriesId) -> &Labels {
        &self.labels[series as usize]
    }

    /// All label names, ascending.
    pub fn label_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.postings.keys().map(|name| &**name).collect();
        names.sort_unstable();
        names
    }

    /// All values of a label, ascending.
    pub fn label_values(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.postings.get(name).into_iter();
        values.flat_map(|values| values.keys().map(|value| &**value))
    }

    /// How many series have the label `name` with this value.
    pub fn series_count(&self, name: &str, value: &str) -> usize {
        let values = self.postings.get(name);
        values.and_then(|v| v.get(value)).map_or(0, Vec::len)
    }

    /// The series that all matchers accept, ascending. Without matchers, all series.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<SeriesId> {
        // Matchers that need the label come first, for they make the result small.
        let (optional, required): (Vec<_>, Vec<_>) =
            matchers.iter().partition(|m| m.matches_empty());
        let mut found: Option<Vec<SeriesId>> = None;
        for matcher in required {
            let accepted = self.with_value(matcher);
            found = Some(match found {
                Some(found) => intersection(&found, &accepted),
                None => accepted,
            });
        }
        let mut found = found.unwrap_or_else(|| self.all.clone());
        for matcher in optional {
            found = difference(&found, &self.with_value(&matcher.inverse()));
        }
        found
    }

    /// Series that have the label, with a value that the matcher accepts.
    fn with_value(&self, matcher: &Matcher) -> Vec<SeriesId> {
        let Some(values) = self.postings.get(matcher.name()) else {
            return Vec::new();
        };
        // The set is that of refused values for negative matchers.
        let set = (!matcher.op().is_negative())
            .then(|| matcher.set_matches())
            .flatten();
        let mut lists: Vec<&[SeriesId]> = match set {
            Some(set) => set
                .iter()
                .filter_map(|value| values.get(value).map(Vec::as_slice))
                .collect(),
            None => values
                .iter()
                .filter(|(value, _)| matcher.matches(value))
                .map(|(_, series)| series.as_slice())
                .collect(),
        };
        match lists.len() {
            0 => Vec::new(),
            1 => lists.remove(0).to_vec(),
            _ => {
                let mut all = lists.concat();
                all.sort_unstable();
                all
            }
        }
    }
}

/// What is in both ascending lists.
fn intersection(a: &[SeriesId], b: &[SeriesId]) -> Vec<SeriesId> {
    let mut b = b.iter().peekable();
    a.iter()
        .copied()
        .filter(|x| {
            while b.next_if(|y| *y < x).is_some() {}
            b.peek() == Some(&x)
        })
        .collect()
}

/// What is in the first ascending list, but not in the second.
fn difference(a: &[SeriesId], b: &[SeriesId]) -> Vec<SeriesId> {
    let mut b = b.iter().peekable();
    a.iter()
        .copied()
        .filter(|x| {
            while b.next_if(|y| *y < x).is_some() {}
            b.peek() != Some(&x)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use model::matcher::MatchOp;
    use proptest::prelude::*;

    use super::*;

    fn any_matcher() -> impl Strategy<Value = Matcher> {
        let op = prop_oneof![
            Just(MatchOp::Equal),
            Just(MatchOp::NotEqual),
            Just(MatchOp::Regex),
            Just(MatchOp::NotRegex)
        ];
        let value = prop_oneof![
            Just(""),
            Just("1"),
            Just("1|2"),
            Just("2|"),
            Just(".*"),
            Just(".+")
        ];
        (op, "[abc]", value).prop_map(|(op, name, value)| Matcher::new(op, &name, value).unwrap())
    }

    proptest! {
        #[test]
        fn selects_what_the_matchers_accept(
            series in prop::collection::vec(prop::collection::vec(("[ab]", "[123]"), 0..3), 0..20),
            matchers in prop::collection::vec(any_matcher(), 0..4),
        ) {
            let labels: Vec<_> = series.into_iter().map(Labels::from_pairs).collect();
            let has_samples = |id: SeriesId| id % 5 != 3;
            let index = HeadIndex::build(labels.clone(), has_samples);
            let expected: Vec<_> = (0..)
                .zip(&labels)
                .filter(|(id, labels)| {
                    let value = |m: &Matcher| labels.get(m.name()).unwrap_or_default().to_owned();
                    has_samples(*id) && matchers.iter().all(|m| m.matches(&value(m)))
                })
                .map(|(id, _)| id)
                .collect();
            prop_assert_eq!(index.select(&matchers), expected);
        }
    }
}
