//! Label matchers: `name="value"`, `!=`, `=~` and `!~`.
//!
//! A label that a series does not have is matched as if its value were empty. Regular expressions
//! are those of [`crate::regex`]: Go's RE2 syntax, anchored at both ends, `.` matching newlines.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::labels::{is_legacy_label_name, quote_into};
use crate::regex::{Regex, RegexError};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`: the value is exactly this.
    Equal,
    /// `!=`: the value is anything else.
    NotEqual,
    /// `=~`: the whole value matches the regular expression.
    Regex,
    /// `!~`: the whole value does not match the regular expression.
    NotRegex,
}

impl MatchOp {
    /// The operator as PromQL writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }

    /// True for `!=` and `!~`.
    pub const fn is_negative(self) -> bool {
        matches!(self, Self::NotEqual | Self::NotRegex)
    }

    /// True for `=~` and `!~`.
    pub const fn is_regex(self) -> bool {
        matches!(self, Self::Regex | Self::NotRegex)
    }

    /// The operator that accepts exactly what this one refuses.
    #[must_use]
    pub const fn inverse(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Regex => Self::NotRegex,
            Self::NotRegex => Self::Regex,
        }
    }
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a matcher cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// The value of a `=~` or `!~` matcher is not a regular expression; prints as Go does.
    #[error(transparent)]
    Regex(#[from] RegexError),
}

/// A condition on the value of one label. Cloning is cheap.
///
/// Two matchers are equal when they are written alike.
#[derive(Clone)]
pub struct Matcher {
    inner: Arc<Inner>,
}

struct Inner {
    name: Box<str>,
    op: MatchOp,
    value: Box<str>,
    /// Present for the two regex operators.
    regex: Option<Regex>,
    /// Whether the empty value matches, which is asked most often.
    matches_empty: bool,
}

impl Matcher {
    /// A matcher on the label `name`.
    ///
    /// # Errors
    /// When `op` is a regex operator and `value` is not a regular expression, or too large a one.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, MatcherError> {
        let regex = if op.is_regex() {
            Some(Regex::new(value)?)
        } else {
            None
        };
        Ok(Self::with_regex(op, name, value, regex))
    }

    /// The matcher `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self::with_regex(MatchOp::Equal, name, value, None)
    }

    /// The matcher `name!="value"`.
    pub fn not_equal(name: &str, value: &str) -> Self {
        Self::with_regex(MatchOp::NotEqual, name, value, None)
    }

    fn with_regex(op: MatchOp, name: &str, value: &str, regex: Option<Regex>) -> Self {
        let accepts_empty = match &regex {
            Some(regex) => regex.is_match(""),
            None => value.is_empty(),
        };
        let inner = Inner {
            name: name.into(),
            op,
            value: value.into(),
            matches_empty: accepts_empty != op.is_negative(),
            regex,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The matcher that accepts exactly the values that this one refuses.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let inner = &*self.inner;
        Self::with_regex(
            inner.op.inverse(),
            &inner.name,
            &inner.value,
            inner.regex.clone(),
        )
    }

    /// The label it looks at.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.inner.op
    }

    /// What it compares with: a string, or the regular expression as written.
    pub fn value(&self) -> &str {
        &self.inner.value
    }

    /// True when a series whose label has this value (empty: does not have it) is selected.
    pub fn matches(&self, value: &str) -> bool {
        if value.is_empty() {
            return self.inner.matches_empty;
        }
        let accepted = match &self.inner.regex {
            Some(regex) => regex.is_match(value),
            None => *self.inner.value == *value,
        };
        accepted != self.inner.op.is_negative()
    }

    /// What [`Matcher::matches`] counts for at a [`crate::stop::Pace`]. Most expressions take a
    /// thousandth of it for a byte, but there are such as take all of it.
    pub fn work(&self, value: &str) -> usize {
        match &self.inner.regex {
            Some(_) => 64 + value.len() * 1024,
            None => 16,
        }
    }

    /// True when series without the label are selected.
    pub fn matches_empty(&self) -> bool {
        self.inner.matches_empty
    }

    /// The complete set of values that a `=` or `=~` matcher accepts, or for `!=` and `!~` the
    /// complete set that it refuses; sorted, without duplicates. `None` when the regular
    /// expression does not stand for a small set of strings.
    pub fn set_matches(&self) -> Option<&[Box<str>]> {
        match &self.inner.regex {
            Some(regex) => regex.set_matches(),
            None => Some(std::slice::from_ref(&self.inner.value)),
        }
    }

    /// What every value that a `=` or `=~` matcher accepts starts with (for `!=` and `!~`: every
    /// value that it refuses); empty when nothing is known.
    pub fn prefix(&self) -> &str {
        match &self.inner.regex {
            Some(regex) => regex.prefix(),
            None => &self.inner.value,
        }
    }

    fn key(&self) -> (&str, MatchOp, &str) {
        (self.name(), self.op(), self.value())
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner) || self.key() == other.key()
    }
}

impl Eq for Matcher {}

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Ord for Matcher {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Matcher {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Prints as PromQL does: `name=~"value"`, with the name in quotes when it needs them.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(self.name().len() + self.value().len() + 8);
        if is_legacy_label_name(self.name()) {
            out.push_str(self.name());
        } else {
            quote_into(&mut out, self.name());
        }
        out.push_str(self.op().as_str());
        quote_into(&mut out, self.value());
        f.write_str(&out)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
