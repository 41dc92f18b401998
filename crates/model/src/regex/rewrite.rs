//! Rewriting strings: capture groups and templates that refer to them.

use std::borrow::Cow;
use std::sync::Arc;

use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, meta};
use regex_syntax::hir::HirKind;

use super::shape::between_anchors;
use super::{Regex, RegexError, anchored, compile, syntax};
use crate::unicode::is_letter_or_digit;

/// A regular expression that matches whole strings and tells what its groups matched. Cloning is
/// cheap.
#[derive(Debug, Clone)]
pub struct CaptureRegex {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    regex: Regex,
    /// Names of the groups, by index.
    names: Vec<Option<Box<str>>>,
    /// Absent when every group matches the whole string.
    groups: Option<meta::Regex>,
}

impl CaptureRegex {
    /// Compiles `pattern`, in the syntax of [`Regex`].
    ///
    /// # Errors
    /// As [`Regex::new`].
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let parsed = syntax::parse(&anchored(pattern), true)?;
        let whole = match (between_anchors(&parsed.hir), parsed.names.len()) {
            (None, _) => false,
            (Some(_), 1) => true,
            // `(.*)`
            (Some([one]), 2) => matches!(one.kind(), HirKind::Capture(_)),
            _ => false,
        };
        let groups = if whole {
            None
        } else {
            Some(compile(&parsed.hir, WhichCaptures::All)?)
        };
        let inner = Inner {
            regex: Regex::new(pattern)?,
            names: parsed.names,
            groups,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// True when the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.inner.regex.is_match(value)
    }

    /// What the groups match in `value`; `None` when the whole of `value` does not match.
    pub fn captures<'a>(&'a self, value: &'a str) -> Option<Captures<'a>> {
        let shape = &self.inner.regex.shape;
        let ends = match &self.inner.groups {
            None if shape.is_match(value) => None,
            Some(groups) if shape.may_match(value) => {
                let mut ends = vec![None; self.inner.names.len() * 2];
                groups.search_slots(&Input::new(value), &mut ends)?;
                Some(ends)
            }
            _ => return None,
        };
        Some(Captures {
            names: &self.inner.names,
            value,
            ends,
        })
    }
}

/// What the groups of an expression matched.
#[derive(Debug)]
pub struct Captures<'a> {
    names: &'a [Option<Box<str>>],
    value: &'a str,
    /// Start and end of each group; absent when all are the whole value.
    ends: Option<Vec<Option<NonMaxUsize>>>,
}

impl<'a> Captures<'a> {
    /// What the group with this index matched, the whole match for 0; `None` when there is no
    /// such group or it took no part in the match.
    pub fn get(&self, index: usize) -> Option<&'a str> {
        if index >= self.names.len() {
            return None;
        }
        match &self.ends {
            None => Some(self.value),
            Some(ends) => Some(&self.value[ends[index * 2]?.get()..ends[index * 2 + 1]?.get()]),
        }
    }

    /// What the first group with this name that took part in the match matched.
    pub fn named(&self, name: &str) -> Option<&'a str> {
        let has_name = |i: &usize| self.names[*i].as_deref() == Some(name);
        (0..self.names.len())
            .filter(has_name)
            .find_map(|i| self.get(i))
    }
}

/// A replacement text with references to groups, in the syntax of Go's `Regexp.Expand`: `$1`,
/// `${1}`, `$name`, `${name}`, and `$$` for a dollar sign. A name is as long as possible, so that
/// `$1x` is the group `1x`. A `$` that starts no reference stands for itself, and a group that
/// does not exist is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Index(usize),
    Name(String),
}

impl Template {
    /// Reads a template; there is none that is wrong.
    pub fn new(template: &str) -> Self {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            text.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                text.push('$');
                rest = after;
            } else if let Some((reference, after)) = reference(rest) {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(reference);
                rest = after;
            } else {
                text.push('$');
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Self { pieces }
    }

    /// The text, when there is no reference in it.
    pub fn as_text(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with what the groups matched put in.
    pub fn expand<'t>(&'t self, captures: &Captures<'t>) -> Cow<'t, str> {
        let piece = |piece: &'t Piece| match piece {
            Piece::Text(text) => text,
            Piece::Index(index) => captures.get(*index).unwrap_or_default(),
            Piece::Name(name) => captures.named(name).unwrap_or_default(),
        };
        match &*self.pieces {
            [] => Cow::Borrowed(""),
            [one] => Cow::Borrowed(piece(one)),
            many => Cow::Owned(many.iter().map(piece).collect()),
        }
    }
}

/// Reads what follows a `$`.
fn reference(s: &str) -> Option<(Piece, &str)> {
    let (braced, s) = match s.strip_prefix('{') {
        Some(s) => (true, s),
        None => (false, s),
    };
    let len = s.find(|c| !is_name_character(c)).unwrap_or(s.len());
    let (name, mut after) = s.split_at(len);
    if braced {
        after = after.strip_prefix('}')?;
    }
    if name.is_empty() {
        return None;
    }
    let is_number =
        name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    let piece = match name.parse() {
        Ok(index) if is_number => Piece::Index(index),
        _ => Piece::Name(name.to_owned()),
    };
    Some((piece, after))
}

fn is_name_character(c: char) -> bool {
    c == '_' || is_letter_or_digit(c)
}
