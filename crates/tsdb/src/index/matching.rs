//! From label matchers to postings.
//!
//! A series that lacks a label is matched as if the label's value were empty. So a matcher that
//! refuses the empty value selects the union of the postings of the values that it accepts; one
//! that accepts it selects everything but the union of the values that it refuses. Sets of strings
//! that a regular expression stands for are looked up, prefixes narrow the values that are tried.

use std::collections::BTreeSet;

use model::stop::Pace;
use model::{MatchOp, Matcher, Stop};

use super::{ListAt, Postings, Reader, SeriesEntry, SeriesRef, postings::UnionBuilder};
use crate::error::Result;

/// What finding or adding a list counts for, in nanoseconds or so.
const LIST_WORK: usize = 1024;
/// Nanoseconds or so that an entry of a series takes.
const SERIES_WORK: usize = 500;

/// The postings lists that decide what matchers select: known from the offset table, before any is
/// read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PostingsPlan {
    /// A series must be in a list of every group; without groups, none is selected.
    pub kept: Vec<ListGroup>,
    /// A series must be in no list of any group.
    pub dropped: Vec<ListGroup>,
}

/// Postings lists of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListGroup {
    /// Which of the matchers asks for the group; `None` for the list of all series.
    pub matcher: Option<usize>,
    /// The lists.
    pub lists: Vec<ListAt>,
}

impl Reader {
    /// The series that all of `matchers` select; without matchers, all series.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`].
    pub fn postings_for_matchers(&self, matchers: &[Matcher]) -> Result<Postings> {
        self.postings_at_pace(matchers, &Pace::new(&Stop::never()))
    }

    /// As [`Reader::postings_for_matchers`], for who may stop waiting for it.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`], [`crate::Error::Stopped`].
    pub fn postings_at_pace(&self, matchers: &[Matcher], pace: &Pace<'_>) -> Result<Postings> {
        self.planned_postings(&self.plan_postings(matchers, pace)?, pace)
    }

    /// Which postings lists tell what all of `matchers` select. Reads the offset table only.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`], [`crate::Error::Stopped`].
    pub fn plan_postings(&self, matchers: &[Matcher], pace: &Pace<'_>) -> Result<PostingsPlan> {
        let must_be_set = |name: &str| {
            matchers
                .iter()
                .any(|m| m.name() == name && !m.matches_empty())
        };
        let mut plan = PostingsPlan::default();
        for (i, matcher) in matchers.iter().enumerate() {
            let group = |lists| ListGroup {
                matcher: Some(i),
                lists,
            };
            if !matcher.matches_empty() {
                let lists = self.accepted(matcher, pace)?;
                if lists.is_empty() {
                    return Ok(PostingsPlan::default());
                }
                plan.kept.push(group(lists));
            } else if is_anything(matcher) {
                continue;
            } else if !matcher.op().is_negative() && must_be_set(matcher.name()) {
                // Series without the label are out already, by another matcher.
                plan.kept.push(group(self.accepted(matcher, pace)?));
            } else {
                plan.dropped
                    .push(group(self.accepted(&matcher.inverse(), pace)?));
            }
        }
        if plan.kept.is_empty() {
            let all = self.parts.table.find(&*self.source, "", "")?;
            plan.kept.push(ListGroup {
                matcher: None,
                lists: all.into_iter().collect(),
            });
        }
        Ok(plan)
    }

    /// The series that a plan selects.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`], [`crate::Error::Stopped`].
    pub fn planned_postings(&self, plan: &PostingsPlan, pace: &Pace<'_>) -> Result<Postings> {
        let mut kept = Vec::with_capacity(plan.kept.len());
        for group in &plan.kept {
            let postings = self.postings_of(group, pace)?;
            if postings.len_max() == 0 {
                return Ok(postings);
            }
            kept.push(postings);
        }
        let mut dropped = Vec::with_capacity(plan.dropped.len());
        for group in &plan.dropped {
            dropped.push(self.postings_of(group, pace)?);
        }
        Ok(Postings::intersect_at_pace(kept, pace)?.without(Postings::union(dropped)))
    }

    /// The series of any list of a group.
    fn postings_of(&self, group: &ListGroup, pace: &Pace<'_>) -> Result<Postings> {
        if let [list] = &group.lists[..] {
            return self.postings_at(list.offset);
        }
        let mut union = UnionBuilder::default();
        for list in &group.lists {
            let added = self.add_postings_at(list.offset, &mut union)?;
            pace.spend(LIST_WORK + added)?;
        }
        Ok(union.finish())
    }

    /// The names of the labels of the series that all of `matchers` select, in ascending order.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`], [`crate::Error::Stopped`].
    pub fn label_names_matching(
        &self,
        matchers: &[Matcher],
        pace: &Pace<'_>,
    ) -> Result<Vec<String>> {
        if matchers.is_empty() {
            return Ok(self.label_names().map(str::to_owned).collect());
        }
        let mut symbols = BTreeSet::new();
        let mut entry = SeriesEntry::default();
        for series in self.postings_at_pace(matchers, pace)? {
            pace.spend(SERIES_WORK)?;
            self.series(series, &mut entry)?;
            symbols.extend(entry.labels.iter().map(|(name, _)| *name));
        }
        self.texts(symbols)
    }

    /// The values that the label `name` has in the series that all of `matchers` select, in
    /// ascending order.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`], [`crate::Error::Stopped`].
    pub fn label_values_matching(
        &self,
        name: &str,
        matchers: &[Matcher],
        pace: &Pace<'_>,
    ) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut values = self.label_values(name, "")?;
        if matchers.is_empty() {
            while let Some(entry) = values.next()? {
                pace.spend(LIST_WORK)?;
                found.push(entry.value.to_owned());
            }
            return Ok(found);
        }
        let selected: Vec<u32> = self
            .postings_at_pace(matchers, pace)?
            .map(|s| s.0)
            .collect();
        // Read the series or the postings, whichever are fewer.
        if selected.len() <= self.label_value_count(name) {
            return self.values_of(name, &selected, pace);
        }
        while let Some(entry) = values.next()? {
            pace.spend(LIST_WORK)?;
            if self.postings_at(entry.postings.offset)?.meet(&selected) {
                found.push(entry.value.to_owned());
            }
        }
        Ok(found)
    }

    /// The values that a label has in some series, read from the series.
    fn values_of(&self, name: &str, selected: &[u32], pace: &Pace<'_>) -> Result<Vec<String>> {
        let Some((name, _)) = self.parts.names.iter().find(|(_, n)| **n == *name) else {
            return Ok(Vec::new());
        };
        let mut symbols = BTreeSet::new();
        let mut entry = SeriesEntry::default();
        for &series in selected {
            pace.spend(SERIES_WORK)?;
            self.series(SeriesRef(series), &mut entry)?;
            let of_name = entry.labels.iter().filter(|(n, _)| n == name);
            symbols.extend(of_name.map(|(_, value)| *value));
        }
        self.texts(symbols)
    }

    /// The texts of symbols, whose order is that of the texts.
    fn texts(&self, symbols: BTreeSet<u32>) -> Result<Vec<String>> {
        symbols
            .into_iter()
            .map(|symbol| self.with_symbol(symbol, str::to_owned))
            .collect()
    }

    /// The lists of the values that `matcher` accepts.
    fn accepted(&self, matcher: &Matcher, pace: &Pace<'_>) -> Result<Vec<ListAt>> {
        match (matcher.op().is_negative(), matcher.set_matches()) {
            (false, Some(values)) => self.lists_of_values(matcher.name(), values, pace),
            // What is known of a negative matcher is what it refuses.
            (false, None) => self.lists_that_match(matcher, matcher.prefix(), pace),
            (true, _) => self.lists_that_match(matcher, "", pace),
        }
    }

    fn lists_of_values(
        &self,
        name: &str,
        values: &[Box<str>],
        pace: &Pace<'_>,
    ) -> Result<Vec<ListAt>> {
        let mut lists = Vec::with_capacity(values.len());
        for value in values.iter().filter(|value| !value.is_empty()) {
            pace.spend(LIST_WORK)?;
            lists.extend(self.parts.table.find(&*self.source, name, value)?);
        }
        Ok(lists)
    }

    fn lists_that_match(
        &self,
        matcher: &Matcher,
        prefix: &str,
        pace: &Pace<'_>,
    ) -> Result<Vec<ListAt>> {
        let mut values = self.label_values(matcher.name(), prefix)?;
        let mut lists = Vec::new();
        while let Some(entry) = values.next()? {
            pace.spend(matcher.work(entry.value))?;
            if matcher.matches(entry.value) {
                lists.push(entry.postings);
            }
        }
        Ok(lists)
    }
}

/// True for the matcher that accepts every value, and so needs no look at the index.
fn is_anything(matcher: &Matcher) -> bool {
    matcher.op() == MatchOp::Regex && matcher.value() == ".*"
}
