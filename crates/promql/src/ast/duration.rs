//! Durations: fixed ones, and arithmetic on them that needs the query's step and range.

use super::{NumberLiteral, PosRange};

/// A duration where the syntax takes one: a range, a subquery step, an offset.
#[derive(Debug, Clone, PartialEq)]
pub enum Duration {
    /// Known when parsed, in nanoseconds.
    Fixed(i64),
    /// Known only with the step and range of the query.
    Expr(Box<DurationExpr>),
}

impl Duration {
    /// No duration: what an offset is when none is written.
    pub const ZERO: Self = Self::Fixed(0);

    /// True for [`Duration::ZERO`].
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Milliseconds of a fixed duration, truncated as Prometheus does; `None` for an expression.
    pub fn as_millis(&self) -> Option<i64> {
        match self {
            Self::Fixed(nanos) => Some(nanos / 1_000_000),
            Self::Expr(_) => None,
        }
    }

    /// Milliseconds of a range or step, which must be greater than zero once an expression is
    /// evaluated. (A fixed one was checked when parsed.)
    ///
    /// # Errors
    /// When the expression divides by zero, or is not positive, or out of range.
    pub fn positive_millis(&self, context: DurationContext) -> Result<i64, DurationError> {
        self.resolve(context, false)
    }

    /// Milliseconds of an offset, which may be negative.
    ///
    /// # Errors
    /// When the expression divides by zero or is out of range.
    pub fn offset_millis(&self, context: DurationContext) -> Result<i64, DurationError> {
        self.resolve(context, true)
    }

    fn resolve(
        &self,
        context: DurationContext,
        allow_negative: bool,
    ) -> Result<i64, DurationError> {
        let expr = match self {
            Self::Fixed(nanos) => return Ok(nanos / 1_000_000),
            Self::Expr(expr) => expr,
        };
        let seconds = expr.seconds(context)?;
        if seconds <= 0.0 && !allow_negative {
            return Err(DurationError::NotPositive(expr.pos()));
        }
        let millis = (seconds * 1000.0).trunc();
        // Beyond these the duration does not fit into nanoseconds, Prometheus' unit.
        if millis.is_nan() || millis.abs() >= i64::MAX as f64 / 1e6 {
            return Err(DurationError::OutOfRange(expr.pos()));
        }
        Ok(millis as i64)
    }
}

/// What duration expressions may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationContext {
    /// `step()`: time between two steps of the query, in milliseconds; 0 for an instant query.
    pub step_ms: i64,
    /// `range()`: end minus start of the query, in milliseconds.
    pub range_ms: i64,
}

/// Why a duration expression has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A range or step came out as zero or less.
    #[error("duration must be greater than 0")]
    NotPositive(PosRange),
    /// Not a duration that fits into 64 bits of nanoseconds.
    #[error("duration is out of range")]
    OutOfRange(PosRange),
    /// The right side of `/` came out as zero.
    #[error("division by zero")]
    DivisionByZero(PosRange),
    /// The right side of `%` came out as zero.
    #[error("modulo by zero")]
    ModuloByZero(PosRange),
}

impl DurationError {
    /// Where the offending part stands in the query.
    pub const fn pos(self) -> PosRange {
        match self {
            Self::NotPositive(pos)
            | Self::OutOfRange(pos)
            | Self::DivisionByZero(pos)
            | Self::ModuloByZero(pos) => pos,
        }
    }
}

/// An operator between durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min_of(a, b)`
    MinOf,
    /// `max_of(a, b)`
    MaxOf,
}

impl DurationOp {
    /// The operator or function name as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::MinOf => "min_of",
            Self::MaxOf => "max_of",
        }
    }

    /// True for `min_of` and `max_of`.
    pub const fn is_function(self) -> bool {
        matches!(self, Self::MinOf | Self::MaxOf)
    }

    fn apply(self, lhs: f64, rhs: f64, pos: PosRange) -> Result<f64, DurationError> {
        Ok(match self {
            Self::Add => lhs + rhs,
            Self::Sub => lhs - rhs,
            Self::Mul => lhs * rhs,
            Self::Div if rhs == 0.0 => return Err(DurationError::DivisionByZero(pos)),
            Self::Div => lhs / rhs,
            Self::Mod if rhs == 0.0 => return Err(DurationError::ModuloByZero(pos)),
            Self::Mod => lhs % rhs,
            Self::Pow => lhs.powf(rhs),
            // Go's Min and Max yield NaN when either side is NaN.
            Self::MinOf | Self::MaxOf if lhs.is_nan() || rhs.is_nan() => f64::NAN,
            Self::MinOf => lhs.min(rhs),
            Self::MaxOf => lhs.max(rhs),
        })
    }
}

/// Arithmetic on durations, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// `5m`, `300`
    Number(NumberLiteral),
    /// `step()`
    Step(PosRange),
    /// `range()`
    Range(PosRange),
    /// A minus sign before anything but a number; plus signs leave no node.
    Neg {
        /// The operand.
        expr: Box<Self>,
        /// Where it stands, sign included.
        pos: PosRange,
    },
    /// Parentheses; never directly around parentheses.
    Paren {
        /// What is inside.
        expr: Box<Self>,
        /// Where it stands, parentheses included.
        pos: PosRange,
    },
    /// Two operands and an operator or function.
    Binary {
        /// The operator.
        op: DurationOp,
        /// Left operand or first argument.
        lhs: Box<Self>,
        /// Right operand or second argument.
        rhs: Box<Self>,
        /// Where it stands, operands included.
        pos: PosRange,
    },
}

impl DurationExpr {
    /// Where it stands in the query.
    pub const fn pos(&self) -> PosRange {
        match self {
            Self::Number(number) => number.pos,
            Self::Step(pos)
            | Self::Range(pos)
            | Self::Neg { pos, .. }
            | Self::Paren { pos, .. }
            | Self::Binary { pos, .. } => *pos,
        }
    }

    /// The value in seconds.
    ///
    /// # Errors
    /// On division or modulo by zero.
    pub fn seconds(&self, context: DurationContext) -> Result<f64, DurationError> {
        match self {
            Self::Number(number) => Ok(number.value),
            Self::Step(_) => Ok(context.step_ms as f64 / 1000.0),
            Self::Range(_) => Ok(context.range_ms as f64 / 1000.0),
            Self::Neg { expr, .. } => Ok(-expr.seconds(context)?),
            Self::Paren { expr, .. } => expr.seconds(context),
            Self::Binary { op, lhs, rhs, pos } => {
                op.apply(lhs.seconds(context)?, rhs.seconds(context)?, *pos)
            }
        }
    }
}
