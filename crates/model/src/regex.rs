//! Regular expressions as Prometheus 3 has them: Go's RE2 syntax, compiled as `^(?s:...)$`, so
//! that a whole string has to match and `.` matches newlines.
//!
//! [`Regex`] answers whether a string matches. Most expressions in queries stand for a few
//! strings, or for strings with some prefix, suffix or part; `shape` finds those, and they never
//! become an automaton. The others run on one in time linear in the string.
//!
//! [`CaptureRegex`] and [`Template`] are for rewriting: relabelling and `label_replace`.

mod draft;
mod fixed;
mod fold;
mod needle;
mod rewrite;
mod set;
mod shape;
mod syntax;

use std::fmt;
use std::sync::Arc;

use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::hir::Hir;

use shape::Shape;

pub use rewrite::{CaptureRegex, Captures, Template};

/// Most bytes that the automaton of one expression may take.
const AUTOMATON_BYTES_MAX: usize = 16 << 20;

/// Why a regular expression was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// Not in the syntax of RE2; says so as Go does.
    #[error("error parsing regexp: {message}: `{fragment}`")]
    Syntax {
        /// What is wrong.
        message: &'static str,
        /// The part of the expression that is wrong.
        fragment: String,
    },
    /// Valid, but its automaton would take more memory than one expression may have.
    #[error(
        "regular expression is too large: its automaton needs more than {limit} bytes; split it or repeat less"
    )]
    TooLarge {
        /// Most bytes an automaton may take.
        limit: usize,
    },
}

/// A regular expression that matches whole strings. Cloning is cheap.
#[derive(Clone)]
pub struct Regex {
    shape: Arc<Shape>,
}

impl Regex {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// When Go's RE2 refuses the pattern, or when it is too large.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        Self::of(pattern, parse_anchored)
    }

    /// Compiles `pattern` as relabelling does: it is anchored first, so that it need not be an
    /// expression by itself, and error messages speak of the anchored one.
    ///
    /// # Errors
    /// As [`Regex::new`].
    pub fn rewriting(pattern: &str) -> Result<Self, RegexError> {
        Self::of(pattern, |pattern| syntax::parse(&anchored(pattern), false))
    }

    fn of(
        pattern: &str,
        parse: impl FnOnce(&str) -> Result<syntax::Parsed, RegexError>,
    ) -> Result<Self, RegexError> {
        let shape = if is_literal(pattern) {
            Shape::literal(pattern)
        } else {
            Shape::of(&parse(pattern)?.hir)?
        };
        Ok(Self {
            shape: Arc::new(shape),
        })
    }

    /// True when the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.shape.is_match(value)
    }

    /// All strings that match, sorted and without duplicates; `None` when they are not known to
    /// be few.
    pub fn set_matches(&self) -> Option<&[Box<str>]> {
        self.shape.set_matches()
    }

    /// What every string that matches starts with; empty when nothing is known.
    pub fn prefix(&self) -> &str {
        self.shape.prefix()
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shape.fmt(f)
    }
}

/// Parses `pattern` as matchers do: it must be an expression by itself, and is anchored then.
fn parse_anchored(pattern: &str) -> Result<syntax::Parsed, RegexError> {
    let Ok(parsed) = syntax::parse(&anchored(pattern), false) else {
        // Fine by itself when what it leaves open is a quotation.
        syntax::parse(pattern, false)?;
        return syntax::parse(&anchored(&format!("{pattern}\\E")), false);
    };
    // Only `)` can make sense within our parentheses and none without.
    if pattern.contains(')') {
        syntax::parse(pattern, false)?;
    }
    Ok(parsed)
}

/// The expression that Prometheus compiles for rewriting, and that Go's error messages speak of there.
fn anchored(pattern: &str) -> String {
    format!("^(?s:{pattern})$")
}

/// True when no character of `pattern` has a special meaning.
fn is_literal(pattern: &str) -> bool {
    !pattern.bytes().any(|b| {
        matches!(
            b,
            b'\\' | b'.' | b'+' | b'*' | b'?' | b'(' | b')' | b'|' | b'[' | b'{' | b'^' | b'$'
        )
    })
}

fn compile(hir: &Hir, captures: WhichCaptures) -> Result<meta::Regex, RegexError> {
    let config = meta::Config::new()
        .nfa_size_limit(Some(AUTOMATON_BYTES_MAX))
        .which_captures(captures)
        // Anchored searches have no use for one, and it costs more to build than it saves.
        .auto_prefilter(false)
        .onepass(matches!(captures, WhichCaptures::All));
    let built = meta::Builder::new().configure(config).build_from_hir(hir);
    built.map_err(|_| RegexError::TooLarge {
        limit: AUTOMATON_BYTES_MAX,
    })
}

#[cfg(test)]
mod tests;
