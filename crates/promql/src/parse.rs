//! From text to syntax tree.
//!
//! A hand-written scanner and a precedence climber, linear in the length of the text. The language is
//! that of Prometheus 3.14; a refused text gets Prometheus' message and position, so that users and
//! tests find what they know. Prometheus' parser is generated from a grammar: where its error
//! recovery shows (which construct an error is said to be "in"), the parser keeps the innermost
//! construct with a message of its own in a field.
//!
//! Limits bound the length of a text, how deep it nests (the parser's own recursion) and how high
//! the tree grows (the recursion of everybody else), so that no text can exhaust a stack.

mod call;
mod check;
mod duration;
mod error;
mod expr;
mod lexer;
mod lookout;
mod number;
pub(crate) mod quote;
mod selector;
pub mod series;
mod token;

use model::matcher::Matcher;

use crate::ast::{Expr, PosRange};

pub use error::ParseError;
pub use lookout::literal_pattern;

/// What may be written, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Syntax that must be enabled.
    pub features: Features,
    /// Bounds on a text.
    pub limits: Limits,
}

impl Options {
    /// All syntax, default limits.
    pub const fn all_features() -> Self {
        Self {
            features: Features::ALL,
            limits: Limits::DEFAULT,
        }
    }
}

/// Syntax that must be enabled, by Prometheus' names. (`promql-duration-expr` is always on.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// `promql-experimental-functions`: functions and aggregators that may yet change.
    pub experimental_functions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    pub binop_fill_modifiers: bool,
    /// The dialect of SOFALookout: dots in metric names, sets of values (`=~|`, `!~|`), and functions
    /// of its own.
    pub lookout: bool,
}

impl Features {
    /// All that Prometheus has.
    pub const ALL: Self = Self {
        experimental_functions: true,
        extended_range_selectors: true,
        binop_fill_modifiers: true,
        lookout: false,
    };

    /// Enables the feature that Prometheus calls `name`; false when it is not one of the language.
    pub fn enable(&mut self, name: &str) -> bool {
        match name {
            "promql-experimental-functions" => self.experimental_functions = true,
            "promql-extended-range-selectors" => self.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => self.binop_fill_modifiers = true,
            "promql-duration-expr" => {}
            _ => return false,
        }
        true
    }
}

/// For texts that somebody took already, who may enable more, speak SOFALookout's dialect, and whose
/// limits may be higher.
pub const GIVEN: Options = Options {
    features: Features {
        lookout: true,
        ..Features::ALL
    },
    limits: Limits::HIGHEST,
};

/// Bounds on a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a text.
    pub max_length: u32,
    /// How many operands may be begun inside each other: parentheses, arguments, right operands.
    pub max_nesting: u32,
    /// How many nodes may stand above each other, which for `a + b + c` is one per operator.
    pub max_height: u32,
    /// They are flags of the process, which errors name: `query.max-length`, `query.max-nesting` and
    /// `query.max-operators`.
    pub are_flags: bool,
}

impl Limits {
    /// Beyond what people write, and safe on a stack of 1 MiB.
    pub const DEFAULT: Self = Self {
        max_length: 16 << 10,
        max_nesting: 100,
        max_height: 1000,
        are_flags: false,
    };

    /// What may be allowed at most where threads have stacks of 4 MiB.
    pub const HIGHEST: Self = Self {
        max_length: 16 << 20,
        max_nesting: 250,
        max_height: 4000,
        are_flags: false,
    };

    /// The flag of one of them in parentheses, for an error, if it is one.
    pub(crate) fn flag(&self, name: &str) -> String {
        match self.are_flags {
            true => format!(" (--query.{name})"),
            false => String::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Parses an expression and checks its types.
///
/// # Errors
/// When the text is not an expression, or has the wrong types, or exceeds a limit.
pub fn parse_expr(input: &str, options: Options) -> Result<Expr, ParseError> {
    check_length(input, options.limits)?;
    let mut expr = expr::Parser::new(input, options).parse_whole_expr()?;
    check::check(&mut expr, input)?;
    Ok(expr)
}

/// Parses a series selector, as in the `match[]` parameter of the HTTP API. Unlike in an expression,
/// all its matchers may accept empty values.
///
/// # Errors
/// When the text is not a selector, or exceeds a limit.
pub fn parse_selector(input: &str, options: Options) -> Result<Vec<Matcher>, ParseError> {
    check_length(input, options.limits)?;
    expr::Parser::new(input, options).parse_whole_selector()
}

fn check_length(input: &str, limits: Limits) -> Result<(), ParseError> {
    // Positions are 32 bits wide.
    let max = limits.max_length.min(u32::MAX - 1);
    if input.len() <= max as usize {
        return Ok(());
    }
    let pos = PosRange::new(max, max);
    let len = input.len();
    let flag = limits.flag("max-length");
    let message = format!("the query is too long: {len} bytes, and the limit is {max}{flag}");
    Err(ParseError::limit(input, pos, message))
}
