//! Series as they are shown, in the order of what is shown.
//!
//! A TSDB gives series in order of their own labels. Adding the same external labels to all of them
//! changes the order of two series only when the labels of one are the beginning of the other's:
//! `{a}` comes before `{a, b}`, but `{a, b, c}` before `{a, c}`. So it is enough to hold back series
//! whose labels the next series begins with, a handful at any time. Only where external labels hide
//! labels that series have, or replica labels are taken off series, anything may change, and all
//! labels have to be sorted.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::vec;

use model::stop::{self, Pace};
use model::{Labels, LabelsBuilder, Stop};
use tsdb::Result;
use tsdb::db::{Found, Selection};

/// What reading and showing a series counts for.
const SERIES_WORK: usize = 1024;

/// How a tenant's series are shown.
#[derive(Debug, Clone)]
pub(super) struct Appearance {
    /// What is added.
    external: Labels,
    /// Names of what is taken off.
    without: Vec<String>,
}

impl Appearance {
    /// Adds `external` and then takes off `without`.
    pub(super) fn new(external: &Labels, without: &[String]) -> Self {
        let kept = |(name, _): &(&str, &str)| !without.iter().any(|w| w == name);
        Self {
            external: Labels::from_pairs(external.iter().filter(kept)),
            without: without.to_vec(),
        }
    }

    /// Names of labels that change the order of series in any way when some of them have such.
    pub(super) fn mixing(&self) -> impl Iterator<Item = &str> {
        let external = self.external.iter().map(|(name, _)| name);
        external.chain(self.without.iter().map(String::as_str))
    }

    fn show(&self, own: &Labels) -> Labels {
        if self.external.is_empty() && self.without.is_empty() {
            return own.clone();
        }
        let mut shown = LabelsBuilder::from_labels(own);
        for name in &self.without {
            shown.delete(name);
        }
        for (name, value) in &self.external {
            shown.set(name, value);
        }
        shown.labels()
    }
}

/// A series as it is shown, and where its chunks are.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) labels: Labels,
    pub(super) found: Found,
}

/// The series of one tenant in the order in which they are shown. Where series look alike, they
/// follow each other.
#[derive(Debug)]
pub(super) enum Ordered {
    /// As they are.
    Plain(Selection),
    /// One after the other.
    Streamed(HoldBack),
    /// All had to be read before the first.
    Sorted(vec::IntoIter<Shown>),
}

/// Holds back series whose place is not certain yet.
#[derive(Debug)]
pub(super) struct HoldBack {
    selection: Selection,
    appearance: Appearance,
    /// The labels of each are the beginning of those of the next.
    held: Vec<Shown>,
    ready: VecDeque<Shown>,
}

impl Ordered {
    /// Orders what was selected; `mixed` when any order may come out of it, with what may end the
    /// sorting that needs.
    pub(super) fn new(
        selection: Selection,
        mut appearance: Appearance,
        mixed: Option<&Stop>,
    ) -> Result<Self> {
        let Some(stop) = mixed else {
            // No series has what is to be taken off.
            appearance.without.clear();
            if appearance.external.is_empty() {
                return Ok(Self::Plain(selection));
            }
            return Ok(Self::Streamed(HoldBack {
                selection,
                appearance,
                held: Vec::new(),
                ready: VecDeque::new(),
            }));
        };
        let shown = selection.map(|found| {
            found.map(|found| Shown {
                labels: appearance.show(found.labels()),
                found,
            })
        });
        let pace = Pace::new(stop);
        let mut all: Vec<Shown> = Vec::new();
        for next in shown {
            pace.spend(SERIES_WORK)?;
            all.push(next?);
        }
        stop::sort_by(&mut all, &pace, |a, b| a.labels.cmp(&b.labels))?;
        Ok(Self::Sorted(all.into_iter()))
    }

    fn next(&mut self) -> Result<Option<Shown>> {
        match self {
            Self::Plain(selection) => Ok(selection.next().transpose()?.map(|found| Shown {
                labels: found.labels().clone(),
                found,
            })),
            Self::Streamed(hold_back) => hold_back.next(),
            Self::Sorted(rest) => Ok(rest.next()),
        }
    }
}

impl HoldBack {
    fn next(&mut self) -> Result<Option<Shown>> {
        while self.ready.is_empty() {
            match self.selection.next().transpose()? {
                Some(found) => self.take(found),
                None if self.held.is_empty() => return Ok(None),
                None => self.finish(),
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Takes a series in; what is certain to come before it, and all that follow, is ready.
    fn take(&mut self, found: Found) {
        let labels = self.appearance.show(found.labels());
        let own = found.labels().as_encoded();
        let is_due = |held: &Shown| {
            held.labels < labels || !own.starts_with(held.found.labels().as_encoded())
        };
        let mut due: Vec<Shown> = self.held.extract_if(.., |held| is_due(held)).collect();
        due.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.ready.extend(due);
        self.held.push(Shown { labels, found });
    }

    /// Nothing follows: all is ready.
    fn finish(&mut self) {
        self.held.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.ready.extend(self.held.drain(..));
    }
}

/// The series of several tenants, in the order in which they are shown.
#[derive(Debug)]
pub(super) struct Merged {
    sources: Vec<Ordered>,
    /// Labels that are next in each source; the least are on top.
    heap: BinaryHeap<Reverse<(Labels, usize)>>,
    /// Where the chunks of what is next are.
    next: Vec<Option<Found>>,
}

impl Merged {
    /// Merges what each source has.
    pub(super) fn new(sources: Vec<Ordered>) -> Result<Self> {
        let mut merged = Self {
            heap: BinaryHeap::with_capacity(sources.len()),
            next: sources.iter().map(|_| None).collect(),
            sources,
        };
        for i in 0..merged.sources.len() {
            merged.load(i)?;
        }
        Ok(merged)
    }

    fn load(&mut self, i: usize) -> Result<()> {
        if let Some(Shown { labels, found }) = self.sources[i].next()? {
            self.next[i] = Some(found);
            self.heap.push(Reverse((labels, i)));
        }
        Ok(())
    }

    /// The next series.
    pub(super) fn next(&mut self) -> Result<Option<Shown>> {
        let Some(Reverse((labels, i))) = self.heap.pop() else {
            return Ok(None);
        };
        let found = self.next[i].take().expect("the heap has what is next");
        self.load(i)?;
        Ok(Some(Shown { labels, found }))
    }
}

#[cfg(test)]
mod tests;
