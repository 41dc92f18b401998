//! From label matchers to postings.
//!
//! A series that lacks a label is matched as if the label's value were empty. So a matcher that
//! refuses the empty value selects the union of the postings of the values that it accepts; one
//! that accepts it selects everything but the union of the values that it refuses. Sets of strings
//! that a regular expression stands for are looked up, prefixes narrow the values that are tried.

use model::{MatchOp, Matcher};

use super::{Postings, Reader, postings::UnionBuilder};
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
