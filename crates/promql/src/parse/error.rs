//! Why a text was refused, and where.

use std::fmt;

use model::ErrorKind;

use crate::ast::PosRange;

/// Why a text was refused. Prints as Prometheus does: `1:5: parse error: ...`.
#[derive(Clone, PartialEq, Eq)]
pub struct ParseError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    pos: PosRange,
    /// Line and column, unless the text is empty.
    line_col: Option<(usize, usize)>,
    message: String,
    kind: ErrorKind,
}

impl ParseError {
    /// An error at `pos` of `input`.
    #[cold]
    pub(super) fn new(input: &str, pos: PosRange, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            pos,
            line_col: pos.line_col(input).filter(|_| !input.is_empty()),
            message: message.into(),
            kind: ErrorKind::Invalid,
        }))
    }

    /// An error at `pos` of `input` because of a limit, which the message names.
    #[cold]
    pub(super) fn limit(input: &str, pos: PosRange, message: impl Into<String>) -> Self {
        let mut error = Self::new(input, pos, message);
        error.0.kind = ErrorKind::Exhausted;
        error
    }

    /// The offending bytes of the text.
    pub fn pos(&self) -> PosRange {
        self.0.pos
    }

    /// Line and column of the offending text, from 1; `None` when the text is empty.
    pub fn line_col(&self) -> Option<(usize, usize)> {
        self.0.line_col
    }

    /// What is wrong, without the position.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// [`ErrorKind::Exhausted`] when a limit was reached, else [`ErrorKind::Invalid`].
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.line_col {
            Some((line, column)) => write!(f, "{line}:{column}")?,
            None => f.write_str("unknown position")?,
        }
        write!(f, ": parse error: {}", self.0.message)
    }
}

impl fmt::Debug for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ParseError {}
