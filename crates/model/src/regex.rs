//! Regular expressions as Prometheus 3 has them: the syntax of Go's RE2, `^(?s:...)$`.

use std::fmt;
use std::sync::Arc;

/// Why a regular expression was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// Not in the syntax of RE2.
    #[error("error parsing regexp: {message}: `{fragment}`")]
    Syntax {
        /// What is wrong.
        message: &'static str,
        /// The part of the expression that is wrong.
        fragment: String,
    },
    /// Fine, but its automaton would take more memory than one expression may have.
    #[error(
        "regular expression is too large: its automaton needs more than {limit} bytes; split it or repeat less"
    )]
    TooLarge {
        /// Most bytes an automaton may take.
        limit: usize,
    },
}

/// A compiled regular expression that matches whole strings. Cloning is cheap.
#[derive(Clone)]
pub struct Regex {
    inner: Arc<Inner>,
}

struct Inner {
    regex: regex::Regex,
}

impl Regex {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// When Go's RE2 would refuse the pattern, or when it is too large.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let regex =
            regex::Regex::new(&format!("^(?s:{pattern})$")).map_err(|_| RegexError::Syntax {
                message: "invalid expression",
                fragment: pattern.to_owned(),
            })?;
        Ok(Self {
            inner: Arc::new(Inner { regex }),
        })
    }

    /// True when the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.inner.regex.is_match(value)
    }

    /// All strings that match, sorted, when they are few.
    pub fn set_matches(&self) -> Option<&[Box<str>]> {
        None
    }

    /// What every match starts with.
    pub fn prefix(&self) -> &str {
        ""
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regex").finish_non_exhaustive()
    }
}
