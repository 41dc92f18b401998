//! The syntax tree of a PromQL expression.
//!
//! Every node knows the bytes of the query it was written in ([`PosRange`]). A tree that came out of
//! [`crate::parse`] is well typed, and its height is bounded by the parser's limits, so code that walks
//! it may recurse. Nodes are boxed inside [`Expr`], which keeps an `Expr` at three words.

mod duration;
mod function;
mod lookout;
mod op;

use model::matcher::Matcher;

pub use duration::{Duration, DurationContext, DurationError, DurationExpr, DurationOp};
pub use function::{FUNCTIONS, Function, FunctionId, Variadic};
pub use op::{AggregateOp, BinaryOp, UnaryOp, ValueType};

/// A range of bytes of the query text, `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PosRange {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl PosRange {
    /// The range `start..end`.
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// From the start of this range to the end of `last`.
    #[must_use]
    pub const fn to(self, last: Self) -> Self {
        Self {
            start: self.start,
            end: last.end,
        }
    }

    /// Line and column of the start in `query`, both from 1, the column in bytes. When the position
    /// is beyond the text the query is another one; then `None`.
    pub fn line_col(self, query: &str) -> Option<(usize, usize)> {
        let before = query.as_bytes().get(..self.start as usize)?;
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let line_start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |newline| newline + 1);
        Some((line, before.len() - line_start + 1))
    }
}

/// A PromQL expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `sum by (job) (x)`
    Aggregate(Box<Aggregate>),
    /// `a / on (job) b`
    Binary(Box<Binary>),
    /// `rate(x[5m])`
    Call(Box<Call>),
    /// `x[5m]`
    Matrix(Box<MatrixSelector>),
    /// `1.5`, `5m`
    Number(NumberLiteral),
    /// `(x)`
    Paren(Box<Paren>),
    /// `"text"`
    String(Box<StringLiteral>),
    /// `rate(x[5m])[1h:1m]`
    Subquery(Box<Subquery>),
    /// `-x`
    Unary(Box<Unary>),
    /// `x{job="a"}`
    Vector(Box<VectorSelector>),
}

impl Expr {
    /// Where the expression stands in the query.
    pub fn pos(&self) -> PosRange {
        match self {
            Self::Aggregate(e) => e.pos,
            Self::Binary(e) => e.pos,
            Self::Call(e) => e.pos,
            Self::Matrix(e) => e.pos,
            Self::Number(e) => e.pos,
            Self::Paren(e) => e.pos,
            Self::String(e) => e.pos,
            Self::Subquery(e) => e.pos,
            Self::Unary(e) => e.pos,
            Self::Vector(e) => e.pos,
        }
    }

    /// The type of the value that the expression evaluates to.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Aggregate(_) | Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Number(_) => ValueType::Scalar,
            Self::String(_) => ValueType::String,
            Self::Call(e) => e.function.return_type,
            Self::Binary(e) => e.value_type,
            Self::Paren(e) => e.value_type,
            Self::Unary(e) => e.value_type,
        }
    }

    /// The direct children, in the order Prometheus lists them: of an aggregation the expression
    /// comes before the parameter.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        let (first, second, rest): (Option<&Self>, Option<&Self>, &[Self]) = match self {
            Self::Aggregate(e) => (Some(&e.expr), e.param.as_ref(), &[]),
            Self::Binary(e) => (Some(&e.lhs), Some(&e.rhs), &[]),
            Self::Call(e) => (None, None, &e.args),
            Self::Paren(e) => (Some(&e.expr), None, &[]),
            Self::Subquery(e) => (Some(&e.expr), None, &[]),
            Self::Unary(e) => (Some(&e.expr), None, &[]),
            Self::Matrix(_) | Self::Number(_) | Self::String(_) | Self::Vector(_) => {
                (None, None, &[])
            }
        };
        first.into_iter().chain(second).chain(rest)
    }

    /// Calls `visit` for this expression and all below it, parents first; the selectors inside range
    /// selectors are reached through their [`Expr::Matrix`].
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        let mut pending = vec![self];
        while let Some(expr) = pending.pop() {
            visit(expr);
            let below = pending.len();
            pending.extend(expr.children());
            pending[below..].reverse();
        }
    }

    /// The matchers of each selector, in the order written.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut selectors: Vec<&[Matcher]> = Vec::new();
        self.walk(&mut |expr| match expr {
            Self::Vector(selector) => selectors.push(&selector.matchers),
            Self::Matrix(matrix) => selectors.push(&matrix.selector.matchers),
            _ => {}
        });
        selectors
    }

    /// The expression without the parentheses around it.
    pub fn unwrap_parens(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }
}

/// An aggregation over the series of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The aggregator.
    pub op: AggregateOp,
    /// The vector that is aggregated.
    pub expr: Expr,
    /// First argument of the aggregators that take one ([`AggregateOp::has_param`]).
    pub param: Option<Expr>,
    /// Labels of the `by` or `without` clause, as written.
    pub grouping: Vec<String>,
    /// True for `without`; false for `by` and when there is no clause.
    pub without: bool,
    /// Where it stands.
    pub pos: PosRange,
}

/// Two operands and an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: Expr,
    /// Right operand.
    pub rhs: Expr,
    /// How series find each other; present when both operands are instant vectors.
    pub matching: Option<VectorMatching>,
    /// The `bool` modifier of a comparison: yield 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// [`ValueType::Scalar`] when both operands are scalars, else [`ValueType::Vector`].
    pub value_type: ValueType,
    /// Where it stands, operands included.
    pub pos: PosRange,
}

/// How many series of one side may match one of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// One to one, the default.
    OneToOne,
    /// `group_left`: many on the left, one on the right.
    ManyToOne,
    /// `group_right`: one on the left, many on the right.
    OneToMany,
    /// The set operators.
    ManyToMany,
}

impl Cardinality {
    /// As Prometheus names it: `one-to-one` and so on.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneToOne => "one-to-one",
            Self::ManyToOne => "many-to-one",
            Self::OneToMany => "one-to-many",
            Self::ManyToMany => "many-to-many",
        }
    }
}

/// How the series of two instant vectors find each other.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorMatching {
    /// How many may match.
    pub cardinality: Cardinality,
    /// Labels of the `on` or `ignoring` clause, as written.
    pub labels: Vec<String>,
    /// True for `on`; false for `ignoring` and when there is no clause.
    pub on: bool,
    /// Labels of the `group_left` or `group_right` clause: copied from the side that has one.
    pub include: Vec<String>,
    /// Value of a left series that is missing (`fill`, `fill_left`).
    pub fill_left: Option<f64>,
    /// Value of a right series that is missing (`fill`, `fill_right`).
    pub fill_right: Option<f64>,
}

impl Default for VectorMatching {
    fn default() -> Self {
        Self {
            cardinality: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        }
    }
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function, an entry of [`FUNCTIONS`].
    pub function: &'static Function,
    /// The arguments as written; optional ones may be missing.
    pub args: Vec<Expr>,
    /// Where it stands.
    pub pos: PosRange,
}

/// A selector of the samples of a range.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// What is selected; offset, `@` and `anchored` or `smoothed` are kept here.
    pub selector: VectorSelector,
    /// Width of the range.
    pub range: Duration,
    /// Where it stands, modifiers included.
    pub pos: PosRange,
}

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumberLiteral {
    /// The value; seconds when it was written as a duration.
    pub value: f64,
    /// True when it was written as a duration (`5m`), and is printed so.
    pub is_duration: bool,
    /// Where it stands, with its sign.
    pub pos: PosRange,
}

/// An expression in parentheses.
#[derive(Debug, Clone, PartialEq)]
pub struct Paren {
    /// What is inside.
    pub expr: Expr,
    /// Type of what is inside.
    pub value_type: ValueType,
    /// Where it stands, parentheses included.
    pub pos: PosRange,
}

/// A string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringLiteral {
    /// The bytes, escapes resolved; not always UTF-8 (`"\xff"`).
    pub value: Box<[u8]>,
    /// Where it stands, quotes included.
    pub pos: PosRange,
}

impl StringLiteral {
    /// The string, or `None` when it is not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }
}

/// An expression evaluated at several times.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// Width of the range.
    pub range: Duration,
    /// Time between two evaluations; `None` means the engine's default.
    pub step: Option<Duration>,
    /// How far back in time it looks; may be negative.
    pub offset: Duration,
    /// The `@` modifier.
    pub at: Option<At>,
    /// Where it stands, modifiers included.
    pub pos: PosRange,
}

/// A sign before an expression that is not a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// The sign.
    pub op: UnaryOp,
    /// The operand.
    pub expr: Expr,
    /// Type of the operand.
    pub value_type: ValueType,
    /// Where it stands, sign included.
    pub pos: PosRange,
}

/// A selector of series at an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The metric name when it is written outside the braces; else empty.
    pub name: String,
    /// All matchers in the order written; last the one of [`VectorSelector::name`].
    pub matchers: Vec<Matcher>,
    /// How far back in time it looks; may be negative.
    pub offset: Duration,
    /// The `@` modifier.
    pub at: Option<At>,
    /// `anchored` or `smoothed`.
    pub extension: Option<RangeExtension>,
    /// Where it stands, modifiers included (those after a range belong to the [`MatrixSelector`]).
    pub pos: PosRange,
}

impl VectorSelector {
    /// True when some matcher refuses the empty value, so that not every series is selected.
    pub fn is_selective(&self) -> bool {
        !self.name.is_empty() || self.matchers.iter().any(|m| !m.matches_empty())
    }
}

/// The `@` modifier: when to evaluate, whatever the evaluation time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// At this time, in milliseconds since the Unix epoch.
    Timestamp(i64),
    /// At the first step of the query.
    Start,
    /// At the last step of the query.
    End,
}

/// How a selector uses samples beyond the ends of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeExtension {
    /// `anchored`: the last sample before each end stands for the end.
    Anchored,
    /// `smoothed`: values at the ends are interpolated.
    Smoothed,
}

impl RangeExtension {
    /// The modifier as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

#[cfg(test)]
mod tests;
