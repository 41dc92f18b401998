//! Expressions: a precedence climber with one token of lookahead.
//!
//! The next token is scanned only when it is needed, so that of two mistakes the one is reported
//! that Prometheus' parser meets first.

use super::lexer::Lexer;
use super::number::parse_number;
use super::quote;
use super::token::{Keyword, Kind, Token};
use super::{Options, ParseError};
use crate::ast::{
    Binary, BinaryOp, Cardinality, Expr, NumberLiteral, Paren, PosRange, StringLiteral, Unary,
    UnaryOp, ValueType, VectorMatching,
};

pub(super) type Result<T> = std::result::Result<T, ParseError>;

/// The construct that an unexpected token is said to be in, and what was expected there instead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) inside: &'static str,
    pub(super) expected: &'static str,
}

const NO_CONTEXT: Context = Context {
    inside: "",
    expected: "",
};

/// An expression and how many nodes stand above each other in it.
pub(super) struct Tree {
    pub(super) expr: Expr,
    pub(super) height: u32,
}

/// The parser of one text.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    pub(super) lexer: Lexer<'a>,
    lookahead: Option<Token>,
    pub(super) options: Options,
    pub(super) context: Context,
    nesting: u32,
    /// Operators in the duration expression being parsed, which bound its height.
    pub(super) duration_operators: u32,
    /// End of the last token taken.
    pub(super) last_end: u32,
    /// The first selector that selects everything. It is an error only when the rest is fine, but
    /// comes before one about limits.
    pub(super) unselective: Option<ParseError>,
}

/// Powers bind tighter than signs.
const SIGN_PRECEDENCE: u8 = BinaryOp::Pow.precedence();

impl<'a> Parser<'a> {
    pub(super) fn new(input: &'a str, options: Options) -> Self {
        Self {
            lexer: Lexer::new(input, options.features.lookout),
            lookahead: None,
            options,
            context: NO_CONTEXT,
            nesting: 0,
            duration_operators: 0,
            last_end: 0,
            unselective: None,
        }
    }

    /// An expression that is the whole text.
    pub(super) fn parse_whole_expr(&mut self) -> Result<Expr> {
        if self.peek()?.kind == Kind::Eof {
            return Err(self.error(PosRange::default(), "no expression found in input"));
        }
        let tree = self.expr(0)?;
        match self.peek()? {
            token if token.kind == Kind::Eof => Ok(tree.expr),
            token => Err(self.unexpected(token)),
        }
    }

    pub(super) fn peek(&mut self) -> Result<Token> {
        match self.lookahead {
            Some(token) => Ok(token),
            None => {
                let token = self.lexer.next_token()?;
                self.lookahead = Some(token);
                Ok(token)
            }
        }
    }

    /// Takes the token that was peeked at.
    pub(super) fn take(&mut self) {
        if let Some(token) = self.lookahead.take() {
            self.last_end = token.end;
        }
    }

    /// Takes the next token if it is of `kind`.
    pub(super) fn accept(&mut self, kind: Kind) -> Result<Option<Token>> {
        let token = self.peek()?;
        if token.kind != kind {
            return Ok(None);
        }
        self.take();
        Ok(Some(token))
    }

    /// Takes the next token, which must be of `kind`.
    pub(super) fn expect(&mut self, kind: Kind) -> Result<Token> {
        match self.accept(kind)? {
            Some(token) => Ok(token),
            None => Err(self.unexpected_next()?),
        }
    }

    pub(super) fn expect_keyword(&mut self, keyword: Keyword) -> Result<bool> {
        Ok(self.accept(Kind::Keyword(keyword))?.is_some())
    }

    #[cold]
    pub(super) fn error(&self, pos: PosRange, message: impl Into<String>) -> ParseError {
        ParseError::new(self.lexer.input(), pos, message)
    }

    #[cold]
    pub(super) fn unexpected(&self, token: Token) -> ParseError {
        self.unexpected_in(token, self.context)
    }

    #[cold]
    pub(super) fn unexpected_in(&self, token: Token, context: Context) -> ParseError {
        let mut message = format!("unexpected {}", token.describe(self.lexer.text(token)));
        for (word, what) in [(" in ", context.inside), (", expected ", context.expected)] {
            if !what.is_empty() {
                message.push_str(word);
                message.push_str(what);
            }
        }
        self.error(pos(token), message)
    }

    /// The error that the next token is unexpected (or cannot be scanned).
    #[cold]
    pub(super) fn unexpected_next(&mut self) -> Result<ParseError> {
        let token = self.peek()?;
        Ok(self.unexpected(token))
    }

    /// Counts one more operand begun inside another.
    pub(super) fn enter(&mut self) -> Result<()> {
        self.nesting += 1;
        let max = self.options.limits.max_nesting;
        if self.nesting <= max {
            return Ok(());
        }
        let message = format!(
            "the expression nests too deep: {} levels or more, and the limit is {max}{}",
            self.nesting,
            self.options.limits.flag("max-nesting")
        );
        Err(self.limit(message))
    }

    pub(super) fn leave(&mut self) {
        self.nesting -= 1;
    }

    /// The height of a node above children as high as `below`.
    pub(super) fn above(&mut self, below: u32) -> Result<u32> {
        let max = self.options.limits.max_height;
        if below < max {
            return Ok(below + 1);
        }
        let message = format!(
            "the expression is too high: {} operators and calls or more stand above each other, and \
             the limit is {max}{}; group them with parentheses",
            u64::from(below) + 1,
            self.options.limits.flag("max-operators")
        );
        Err(self.limit(message))
    }

    #[cold]
    fn limit(&mut self, message: String) -> ParseError {
        let at = self.lookahead.map_or(self.last_end, |token| token.start);
        let limit = ParseError::limit(self.lexer.input(), PosRange::new(at, at), message);
        self.unselective.take().unwrap_or(limit)
    }

    /// An expression whose operators all bind at least as tightly as `min_precedence`.
    pub(super) fn expr(&mut self, min_precedence: u8) -> Result<Tree> {
        self.enter()?;
        let mut tree = self.operand()?;
        loop {
            let token = self.peek()?;
            tree = match token.kind {
                Kind::Op(op) if op.precedence() >= min_precedence => self.binary(tree, op)?,
                Kind::LeftBracket
                | Kind::At
                | Kind::Keyword(Keyword::Offset | Keyword::Anchored | Keyword::Smoothed) => {
                    self.postfix(tree, token)?
                }
                _ => break,
            };
        }
        self.leave();
        Ok(tree)
    }

    /// The operator `op`, which is the next token, its modifiers and right operand.
    fn binary(&mut self, lhs: Tree, op: BinaryOp) -> Result<Tree> {
        self.take();
        let (return_bool, matching) = self.binary_modifiers()?;
        let tighter = u8::from(!op.is_right_associative());
        let rhs = self.expr(op.precedence() + tighter)?;
        let height = self.above(lhs.height.max(rhs.height))?;
        let pos = lhs.expr.pos().to(rhs.expr.pos());
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills && !self.options.features.binop_fill_modifiers {
            let message = "binop fill modifiers are experimental and not enabled";
            return Err(self.error(pos, message));
        }
        let (lhs, rhs) = (lhs.expr, rhs.expr);
        let is_scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
        let value_type = if is_scalar(&lhs) && is_scalar(&rhs) {
            ValueType::Scalar
        } else {
            ValueType::Vector
        };
        let binary = Binary {
            op,
            lhs,
            rhs,
            // Checks need it; that of types takes it away where it has no meaning.
            matching: Some(matching),
            return_bool,
            value_type,
            pos,
        };
        Ok(Tree {
            expr: Expr::Binary(Box::new(binary)),
            height,
        })
    }

    fn binary_modifiers(&mut self) -> Result<(bool, VectorMatching)> {
        let mut matching = VectorMatching::default();
        let return_bool = self.expect_keyword(Keyword::Bool)?;
        matching.on = self.expect_keyword(Keyword::On)?;
        if matching.on || self.expect_keyword(Keyword::Ignoring)? {
            matching.labels = self.grouping_labels()?;
            let many_left = self.expect_keyword(Keyword::GroupLeft)?;
            if many_left || self.expect_keyword(Keyword::GroupRight)? {
                matching.cardinality = if many_left {
                    Cardinality::ManyToOne
                } else {
                    Cardinality::OneToMany
                };
                // Labels may be left out, but then operand or `fill` must follow.
                if !starts_expr(self.peek()?.kind) || self.peek()?.kind == Kind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        if self.expect_keyword(Keyword::Fill)? {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
        } else if self.expect_keyword(Keyword::FillLeft)? {
            matching.fill_left = Some(self.fill_value()?);
            if self.expect_keyword(Keyword::FillRight)? {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.expect_keyword(Keyword::FillRight)? {
            matching.fill_right = Some(self.fill_value()?);
            if self.expect_keyword(Keyword::FillLeft)? {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok((return_bool, matching))
    }

    fn fill_value(&mut self) -> Result<f64> {
        self.expect(Kind::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(Kind::RightParen)?;
        Ok(value)
    }

    /// A number or duration with at most one sign.
    pub(super) fn signed_number(&mut self) -> Result<f64> {
        let sign = self.peek()?;
        let is_minus = sign.kind == Kind::Op(BinaryOp::Sub);
        if is_minus || sign.kind == Kind::Op(BinaryOp::Add) {
            self.take();
        }
        let token = self.peek()?;
        let Some(number) = self.number(token)? else {
            return Err(self.unexpected(token));
        };
        Ok(if is_minus {
            -number.value
        } else {
            number.value
        })
    }

    /// Takes the next token, `token`, if it is a number or duration.
    pub(super) fn number(&mut self, token: Token) -> Result<Option<NumberLiteral>> {
        let text = self.lexer.text(token);
        let value = match token.kind {
            Kind::Number => parse_number(text),
            Kind::Duration => match text.parse::<model::time::DurationMs>() {
                Ok(duration) => Ok(duration.0 as f64 / 1000.0),
                Err(error) => Err(error.to_string()),
            },
            _ => return Ok(None),
        };
        self.take();
        let pos = pos(token);
        Ok(Some(NumberLiteral {
            value: value.map_err(|message| self.error(pos, message))?,
            is_duration: token.kind == Kind::Duration,
            pos,
        }))
    }

    fn operand(&mut self) -> Result<Tree> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration => {
                let number = self.number(token)?;
                let number = number.map(Expr::Number);
                Ok(Tree {
                    expr: number.expect("the token is a number"),
                    height: 1,
                })
            }
            Kind::String => {
                self.take();
                let literal = StringLiteral {
                    value: quote::unquote(self.lexer.text(token)).into(),
                    pos: pos(token),
                };
                Ok(Tree {
                    expr: Expr::String(Box::new(literal)),
                    height: 1,
                })
            }
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => self.signed(),
            Kind::LeftParen => self.paren(),
            Kind::LeftBrace => self.selector(None),
            Kind::MetricIdentifier => {
                self.take();
                self.selector(Some(token))
            }
            Kind::Identifier => self.selector_or_call(token, true),
            Kind::Keyword(keyword) if keyword.is_function() => self.selector_or_call(token, true),
            Kind::Aggregate(op) => {
                self.take();
                match self.peek()?.kind {
                    Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without) => {
                        self.aggregate(op, token)
                    }
                    _ => self.selector(Some(token)),
                }
            }
            kind if is_metric_name(kind) => self.selector_or_call(token, false),
            _ => Err(self.unexpected(token)),
        }
    }

    fn selector_or_call(&mut self, name: Token, may_be_function: bool) -> Result<Tree> {
        self.take();
        if may_be_function && self.peek()?.kind == Kind::LeftParen {
            self.call(name)
        } else {
            self.selector(Some(name))
        }
    }

    /// One or more signs and their operand.
    fn signed(&mut self) -> Result<Tree> {
        let mut signs = Vec::new();
        loop {
            let token = self.peek()?;
            let op = match token.kind {
                Kind::Op(BinaryOp::Add) => UnaryOp::Plus,
                Kind::Op(BinaryOp::Sub) => UnaryOp::Minus,
                _ => break,
            };
            self.take();
            signs.push((op, token));
        }
        let mut tree = self.expr(SIGN_PRECEDENCE)?;
        for (op, token) in signs.into_iter().rev() {
            let pos = pos(token).to(tree.expr.pos());
            if let Expr::Number(number) = &mut tree.expr {
                if op == UnaryOp::Minus {
                    number.value = -number.value;
                }
                number.pos = pos;
                continue;
            }
            tree.height = self.above(tree.height)?;
            tree.expr = Expr::Unary(Box::new(Unary {
                op,
                value_type: tree.expr.value_type(),
                expr: tree.expr,
                pos,
            }));
        }
        Ok(tree)
    }

    fn paren(&mut self) -> Result<Tree> {
        let open = self.expect(Kind::LeftParen)?;
        let tree = self.expr(0)?;
        let close = self.expect(Kind::RightParen)?;
        Ok(Tree {
            height: self.above(tree.height)?,
            expr: Expr::Paren(Box::new(Paren {
                value_type: tree.expr.value_type(),
                expr: tree.expr,
                pos: pos(open).to(pos(close)),
            })),
        })
    }
}

/// The bytes of a token.
pub(super) const fn pos(token: Token) -> PosRange {
    PosRange::new(token.start, token.end)
}

/// True for tokens that may be metric names: words without a meaning, and most with one.
pub(super) const fn is_metric_name(kind: Kind) -> bool {
    match kind {
        Kind::Identifier
        | Kind::MetricIdentifier
        | Kind::Aggregate(_)
        | Kind::Op(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) => true,
        Kind::Keyword(keyword) => !matches!(
            keyword,
            Keyword::Bool
                | Keyword::On
                | Keyword::Ignoring
                | Keyword::GroupLeft
                | Keyword::GroupRight
        ),
        _ => false,
    }
}

/// True for tokens that an expression may begin with.
pub(super) const fn starts_expr(kind: Kind) -> bool {
    is_metric_name(kind)
        || matches!(
            kind,
            Kind::Number
                | Kind::Duration
                | Kind::String
                | Kind::LeftParen
                | Kind::LeftBrace
                | Kind::Op(BinaryOp::Add | BinaryOp::Sub)
        )
}
