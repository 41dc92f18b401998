//! From label matchers to postings.
//!
//! A series that lacks a label is matched as if the label's value were empty. So a matcher that
//! refuses the empty value selects the union of the postings of the values that it accepts; one
//! that accepts it selects everything but the union of the values that it refuses. Sets of strings
//! that a regular expression stands for are looked up, prefixes narrow the values that are tried.

use std::collections::BTreeSet;

use model::{MatchOp, Matcher};

use super::{Postings, Reader, SeriesEntry, SeriesRef, postings::UnionBuilder};
use crate::error::Result;

impl Reader {
    /// The series that all of `matchers` select; without matchers, all series.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`].
    pub fn postings_for_matchers(&self, matchers: &[Matcher]) -> Result<Postings> {
        let must_be_set = |name: &str| {
            matchers
                .iter()
                .any(|m| m.name() == name && !m.matches_empty())
        };
        let mut kept = Vec::new();
        let mut dropped = Vec::new();
        for matcher in matchers {
            if !matcher.matches_empty() {
                let postings = self.accepted(matcher)?;
                if postings.len_max() == 0 {
                    return Ok(postings);
                }
                kept.push(postings);
            } else if is_anything(matcher) {
                continue;
            } else if !matcher.op().is_negative() && must_be_set(matcher.name()) {
                // Series without the label are out already, by another matcher.
                kept.push(self.accepted(matcher)?);
            } else {
                dropped.push(self.accepted(&matcher.inverse())?);
            }
        }
        if kept.is_empty() {
            kept.push(self.all_postings()?);
        }
        Ok(Postings::intersect(kept).without(Postings::union(dropped)))
    }

    /// The names of the labels of the series that all of `matchers` select, in ascending order.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`].
    pub fn label_names_matching(&self, matchers: &[Matcher]) -> Result<Vec<String>> {
        if matchers.is_empty() {
            return Ok(self.label_names().map(str::to_owned).collect());
        }
        let mut symbols = BTreeSet::new();
        let mut entry = SeriesEntry::default();
        for series in self.postings_for_matchers(matchers)? {
            self.series(series, &mut entry)?;
            symbols.extend(entry.labels.iter().map(|(name, _)| *name));
        }
        self.texts(symbols)
    }

    /// The values that the label `name` has in the series that all of `matchers` select, in
    /// ascending order.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`].
    pub fn label_values_matching(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut values = self.label_values(name, "")?;
        if matchers.is_empty() {
            while let Some(entry) = values.next()? {
                found.push(entry.value.to_owned());
            }
            return Ok(found);
        }
        let selected: Vec<u32> = self.postings_for_matchers(matchers)?.map(|s| s.0).collect();
        // Read the series or the postings, whichever are fewer.
        if selected.len() <= self.label_value_count(name) {
            return self.values_of(name, &selected);
        }
        while let Some(entry) = values.next()? {
            if self.postings_at(entry.postings)?.meet(&selected) {
                found.push(entry.value.to_owned());
            }
        }
        Ok(found)
    }

    /// The values that a label has in some series, read from the series.
    fn values_of(&self, name: &str, selected: &[u32]) -> Result<Vec<String>> {
        let Some((name, _)) = self.names.iter().find(|(_, n)| **n == *name) else {
            return Ok(Vec::new());
        };
        let mut symbols = BTreeSet::new();
        let mut entry = SeriesEntry::default();
        for &series in selected {
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

    /// The series that have the label with a value that `matcher` accepts.
    fn accepted(&self, matcher: &Matcher) -> Result<Postings> {
        match (matcher.op().is_negative(), matcher.set_matches()) {
            (false, Some(values)) => self.postings_of_values(matcher.name(), values),
            // What is known of a negative matcher is what it refuses.
            (false, None) => self.postings_that_match(matcher, matcher.prefix()),
            (true, _) => self.postings_that_match(matcher, ""),
        }
    }

    fn postings_of_values(&self, name: &str, values: &[Box<str>]) -> Result<Postings> {
        let lists = values
            .iter()
            .filter(|value| !value.is_empty())
            .map(|value| self.postings(name, value))
            .collect::<Result<Vec<_>>>()?;
        Ok(Postings::union(lists))
    }

    fn postings_that_match(&self, matcher: &Matcher, prefix: &str) -> Result<Postings> {
        let mut values = self.label_values(matcher.name(), prefix)?;
        let mut union = UnionBuilder::default();
        while let Some(entry) = values.next()? {
            if matcher.matches(entry.value) {
                self.add_postings_at(entry.postings, &mut union)?;
            }
        }
        Ok(union.finish())
    }
}

/// True for the matcher that accepts every value, and so needs no look at the index.
fn is_anything(matcher: &Matcher) -> bool {
    matcher.op() == MatchOp::Regex && matcher.value() == ".*"
}
