//! Labels to series of the head: an inverted index in memory.
//!
//! Series are listed by their position, which counts up as they are made; lists of positions are
//! therefore ascending without sorting. Removing series gives those that stay new positions, and
//! the index a new generation. Readers copy the lists that they need under a short lock and compare
//! values with regular expressions outside of it.

use std::sync::Arc;

use hashbrown::HashMap;
use model::stop::{Pace, Stopped};
use model::{Labels, Matcher, Stop};
use parking_lot::RwLock;

use super::entry::Entry;
use crate::batch::SeriesRef;

/// The position of a series in the index.
type Position = u32;

/// Series by the value of one label.
type Values = HashMap<Arc<str>, Vec<Position>, ahash::RandomState>;

/// Which series have which labels.
#[derive(Debug, Default)]
pub(super) struct Index(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By position, with ascending references.
    entries: Vec<Arc<Entry>>,
    names: HashMap<Box<str>, Values, ahash::RandomState>,
    /// The reference given last.
    last: u64,
    /// Series that were ever added.
    created: u64,
    /// How often positions have changed.
    generation: u64,
}

/// What looking at one position counts for at a [`Pace`], where it is sorted, and where the list of a
/// value is looked up.
const POSITION_WORK: usize = 2;
const SORTED_WORK: usize = 16;
const LOOKUP_WORK: usize = 64;

/// Why series were not found.
#[derive(Debug)]
enum Unfinished {
    /// The positions that were being read have changed.
    Changed,
    /// Nobody waits for them any more.
    Stopped(Stopped),
}

impl From<Stopped> for Unfinished {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

/// How many values a label has, and how many series have each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelCounts {
    /// The label.
    pub name: String,
    /// Each value with its number of series, in no order.
    pub values: Vec<(Arc<str>, usize)>,
}

impl Inner {
    fn insert(&mut self, entry: &Arc<Entry>) {
        let position = Position::try_from(self.entries.len())
            .expect("memory ends long before four billion series");
        self.entries.push(Arc::clone(entry));
        self.created += 1;
        for (name, value) in &entry.labels {
            let values = match self.names.get_mut(name) {
                Some(values) => values,
                None => self.names.entry(name.into()).or_default(),
            };
            match values.get_mut(value) {
                Some(positions) => positions.push(position),
                None => drop(values.insert(value.into(), vec![position])),
            }
        }
    }
}

impl Index {
    /// Makes a series with the next reference, unless there are `max` already.
    pub(super) fn create(&self, labels: &str, max: usize) -> Option<Arc<Entry>> {
        let labels = Labels::from_encoded(labels);
        let mut inner = self.0.write();
        if inner.entries.len() >= max {
            return None;
        }
        inner.last += 1;
        let entry = Arc::new(Entry::new(SeriesRef(inner.last), labels));
        inner.insert(&entry);
        Some(entry)
    }

    /// Adds series that a log knows, in ascending order of their references. Further references
    /// come after `last`.
    pub(super) fn adopt(&self, entries: &[Arc<Entry>], last: u64) {
        let mut inner = self.0.write();
        inner.entries.reserve(entries.len());
        entries.iter().for_each(|entry| inner.insert(entry));
        inner.last = inner.last.max(last);
    }

    /// The highest reference so far.
    pub(super) fn last(&self) -> u64 {
        self.0.read().last
    }

    /// Number of series.
    pub(super) fn len(&self) -> usize {
        self.0.read().entries.len()
    }

    /// Number of series that were ever added.
    pub(super) fn created(&self) -> u64 {
        self.0.read().created
    }

    /// All series, in ascending order of their references.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.0.read().entries.clone()
    }

    /// Removes the series for which `is_gone` is true, and returns them.
    pub(super) fn remove(&self, is_gone: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        const GONE: Position = Position::MAX;
        let mut inner = self.0.write();
        let (mut moved, mut gone) = (Vec::new(), Vec::new());
        let entries = std::mem::take(&mut inner.entries);
        moved.reserve(entries.len());
        for entry in entries {
            if is_gone(&entry) {
                moved.push(GONE);
                gone.push(entry);
            } else {
                moved.push(inner.entries.len() as Position);
                inner.entries.push(entry);
            }
        }
        if gone.is_empty() {
            return gone;
        }
        inner.generation += 1;
        inner.names.retain(|_, values| {
            values.retain(|_, positions| {
                positions.retain_mut(|position| {
                    *position = moved[*position as usize];
                    *position != GONE
                });
                !positions.is_empty()
            });
            !values.is_empty()
        });
        gone
    }

    /// All label names, ascending.
    pub(super) fn label_names(&self) -> Vec<String> {
        let inner = self.0.read();
        let mut names: Vec<String> = inner.names.keys().map(|n| n.to_string()).collect();
        drop(inner);
        names.sort_unstable();
        names
    }

    /// All values of a label, ascending.
    pub(super) fn label_values(&self, name: &str) -> Vec<Arc<str>> {
        let inner = self.0.read();
        let values = inner.names.get(name);
        let mut values: Vec<Arc<str>> =
            values.map_or_else(Vec::new, |v| v.keys().cloned().collect());
        drop(inner);
        values.sort_unstable();
        values
    }

    /// How many series have each label.
    pub(super) fn counts(&self) -> Vec<LabelCounts> {
        let inner = self.0.read();
        let names = inner.names.iter();
        names
            .map(|(name, values)| LabelCounts {
                name: name.to_string(),
                values: values
                    .iter()
                    .map(|(v, p)| (Arc::clone(v), p.len()))
                    .collect(),
            })
            .collect()
    }

    /// The series that all matchers accept, in ascending order of their references. Without
    /// matchers, all series.
    pub(super) fn select(&self, matchers: &[Matcher]) -> Vec<Arc<Entry>> {
        self.select_at_pace(matchers, &Pace::new(&Stop::never()))
            .expect("nobody asks for a stop")
    }

    /// As [`Index::select`], for who may stop waiting for it.
    pub(super) fn select_at_pace(
        &self,
        matchers: &[Matcher],
        pace: &Pace<'_>,
    ) -> Result<Vec<Arc<Entry>>, Stopped> {
        loop {
            match self.try_select(matchers, pace) {
                Ok(found) => return Ok(found),
                Err(Unfinished::Stopped(stopped)) => return Err(stopped),
                Err(Unfinished::Changed) => {}
            }
        }
    }

    fn try_select(
        &self,
        matchers: &[Matcher],
        pace: &Pace<'_>,
    ) -> Result<Vec<Arc<Entry>>, Unfinished> {
        let generation = self.0.read().generation;
        // Matchers that need the label come first, for they make the result small.
        let (optional, required): (Vec<_>, Vec<_>) =
            matchers.iter().partition(|m| m.matches_empty());
        let mut found: Option<Vec<Position>> = None;
        for matcher in required {
            let accepted = self.with_value(matcher, (generation, pace))?;
            found = Some(match found {
                Some(found) => intersection(&found, &accepted, pace)?,
                None => accepted,
            });
        }
        let mut found = match found {
            Some(found) => found,
            None => (0..self.len() as Position).collect(),
        };
        for matcher in optional {
            if found.is_empty() {
                break;
            }
            let refused = self.with_value(&matcher.inverse(), (generation, pace))?;
            found = difference(&found, &refused, pace)?;
        }
        pace.spend(found.len() * POSITION_WORK)?;
        let inner = self.0.read();
        if inner.generation != generation {
            return Err(Unfinished::Changed);
        }
        let entries = found
            .iter()
            .map(|p| Arc::clone(&inner.entries[*p as usize]));
        Ok(entries.collect())
    }

    /// Series that have the label, with a value that the matcher accepts.
    fn with_value(
        &self,
        matcher: &Matcher,
        (generation, pace): (u64, &Pace<'_>),
    ) -> Result<Vec<Position>, Unfinished> {
        // The set is that of refused values for negative matchers.
        let set = (!matcher.op().is_negative())
            .then(|| matcher.set_matches())
            .flatten();
        if let Some(set) = set {
            return self.union(matcher.name(), set, (generation, pace));
        }
        let inner = self.0.read();
        let values = inner.names.get(matcher.name());
        let mut values: Vec<Arc<str>> =
            values.map_or_else(Vec::new, |v| v.keys().cloned().collect());
        drop(inner);
        // What is not looked at any more is not kept either.
        values.retain(|value| pace.goes_on(matcher.work(value)) && matcher.matches(value));
        pace.finish()?;
        self.union(matcher.name(), &values, (generation, pace))
    }

    /// Series that have one of some values of a label, ascending.
    fn union<V: AsRef<str>>(
        &self,
        name: &str,
        accepted: &[V],
        (generation, pace): (u64, &Pace<'_>),
    ) -> Result<Vec<Position>, Unfinished> {
        let inner = self.0.read();
        if inner.generation != generation {
            return Err(Unfinished::Changed);
        }
        let Some(values) = inner.names.get(name) else {
            return Ok(Vec::new());
        };
        let mut lists: Vec<&Vec<Position>> = Vec::new();
        for value in accepted {
            pace.spend(LOOKUP_WORK)?;
            lists.extend(values.get(value.as_ref()));
        }
        Ok(match lists[..] {
            [] => Vec::new(),
            [one] => one.clone(),
            _ => merged(&lists, inner.entries.len(), pace)?,
        })
    }
}

/// What is in some of several ascending lists of numbers below `end`, which share none.
fn merged(lists: &[&Vec<Position>], end: usize, pace: &Pace<'_>) -> Result<Vec<Position>, Stopped> {
    let total: usize = lists.iter().map(|l| l.len()).sum();
    if total < end / 64 {
        pace.spend(total * SORTED_WORK)?;
        let mut all: Vec<Position> = lists.iter().flat_map(|l| l.iter().copied()).collect();
        all.sort_unstable();
        return Ok(all);
    }
    let mut bits = vec![0u64; end.div_ceil(64)];
    for list in lists {
        pace.spend(list.len() * POSITION_WORK)?;
        for position in *list {
            bits[*position as usize / 64] |= 1 << (position % 64);
        }
    }
    let mut all = Vec::with_capacity(total);
    for (word, mut rest) in (0..).zip(bits) {
        pace.spend(POSITION_WORK * rest.count_ones() as usize)?;
        while rest != 0 {
            all.push(word * 64 + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    Ok(all)
}

/// What is in both ascending lists.
fn intersection(a: &[Position], b: &[Position], pace: &Pace<'_>) -> Result<Vec<Position>, Stopped> {
    chosen(a, b, true, pace)
}

/// What is in the first ascending list, but not in the second.
fn difference(a: &[Position], b: &[Position], pace: &Pace<'_>) -> Result<Vec<Position>, Stopped> {
    chosen(a, b, false, pace)
}

/// What is in the first ascending list, and in the second or not.
fn chosen(
    a: &[Position],
    b: &[Position],
    in_both: bool,
    pace: &Pace<'_>,
) -> Result<Vec<Position>, Stopped> {
    const PART: usize = 1 << 12;
    let mut found = Vec::new();
    let mut b = b.iter().peekable();
    for part in a.chunks(PART) {
        let before = b.len();
        found.extend(part.iter().copied().filter(|x| {
            while b.next_if(|y| *y < x).is_some() {}
            (b.peek() == Some(&x)) == in_both
        }));
        pace.spend((part.len() + before - b.len()) * POSITION_WORK)?;
    }
    Ok(found)
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
            let index = Index::default();
            for labels in &labels {
                index.create(labels.as_encoded(), usize::MAX).unwrap();
            }
            let is_gone = |series: u64| series % 5 == 3;
            let expected = |with_all: bool| -> Vec<u64> {
                (1..)
                    .zip(&labels)
                    .filter(|(series, labels)| {
                        (with_all || !is_gone(*series)) && labels.match_all(&matchers)
                    })
                    .map(|(series, _)| series)
                    .collect()
            };
            let selected = || -> Vec<u64> {
                index.select(&matchers).iter().map(|e| e.series.0).collect()
            };
            prop_assert_eq!(selected(), expected(true));
            index.remove(|e| is_gone(e.series.0));
            prop_assert_eq!(selected(), expected(false));
            prop_assert_eq!(index.create("", usize::MAX).unwrap().series.0 as usize, labels.len() + 1);
        }
    }
}
