//! Durations in brackets and after `offset`.

use super::expr::{Context, Parser, Result, pos};
use super::token::{Keyword, Kind, Token};
use crate::ast::{BinaryOp, Duration, DurationExpr, DurationOp, NumberLiteral, PosRange};

const OFFSET: Context = Context {
    inside: "offset",
    expected: "number, duration, step(), or range()",
};
const RANGE: Context = Context {
    inside: "subquery or range selector",
    expected: "number, duration, step(), or range()",
};
const AFTER_RANGE: Context = Context {
    inside: "subquery or range",
    expected: "\":\" or \"]\"",
};
const STEP: Context = Context {
    inside: "subquery selector",
    expected: "number, duration, step(), range(), or \"]\"",
};
const AFTER_STEP: Context = Context {
    inside: "subquery selector",
    expected: "\"]\"",
};

/// Signs bind as tightly as multiplication.
const SIGN_PRECEDENCE: u8 = BinaryOp::Mul.precedence() + 1;

impl Parser<'_> {
    /// Range and, in a subquery, step (`Some(None)` for the default one), up to the closing bracket.
    pub(super) fn range_and_step(&mut self) -> Result<(Duration, Option<Option<Duration>>)> {
        let outer = std::mem::replace(&mut self.context, RANGE);
        self.duration_operators = 0;
        let range = self.positive_duration()?;
        self.context = AFTER_RANGE;
        let mut step = None;
        if self.accept(Kind::Colon)?.is_some() {
            self.context = STEP;
            step = Some(None);
            if self.peek()?.kind != Kind::RightBracket {
                step = Some(Some(self.positive_duration()?));
                self.context = AFTER_STEP;
            }
        }
        self.expect(Kind::RightBracket)?;
        self.context = outer;
        Ok((range, step))
    }

    fn positive_duration(&mut self) -> Result<Duration> {
        let expr = self.duration_expr(0)?;
        // Prometheus has met the next token when it decides that the duration ends here.
        self.peek()?;
        match expr {
            DurationExpr::Number(number) if number.value <= 0.0 => {
                Err(self.error(number.pos, "duration must be greater than 0"))
            }
            expr => Ok(fixed_or_expr(expr)),
        }
    }

    /// The duration after `offset`. Unless in parentheses it ends before the first operator, which
    /// then belongs to the expression around.
    pub(super) fn offset_duration(&mut self) -> Result<Duration> {
        let outer = std::mem::replace(&mut self.context, OFFSET);
        self.duration_operators = 0;
        let first = self.peek()?;
        let sign = sign(first.kind);
        if sign.is_some() {
            self.take();
        }
        let expr = match (sign, self.peek()?.kind) {
            (Some(_), Kind::Op(BinaryOp::Add | BinaryOp::Sub)) => {
                let operand = self.duration_expr(SIGN_PRECEDENCE)?;
                let lhs = self.signed_duration(first, operand)?;
                self.duration_operators(lhs, 0)?
            }
            (Some(_), _) => {
                let token = self.peek()?;
                let operand = match self.number(token)? {
                    // Only the signed number is checked for its range.
                    Some(number) => DurationExpr::Number(number),
                    None => self.duration_operand()?,
                };
                self.signed_duration(first, operand)?
            }
            (None, Kind::LeftParen) => self.duration_expr(0)?,
            (None, _) => self.duration_operand()?,
        };
        self.context = outer;
        if let DurationExpr::Number(number) = &expr
            && number.value.is_nan()
        {
            return Err(self.error(number.pos, "duration out of range"));
        }
        Ok(fixed_or_expr(expr))
    }

    fn duration_expr(&mut self, min_precedence: u8) -> Result<DurationExpr> {
        self.enter()?;
        let token = self.peek()?;
        let lhs = if sign(token.kind).is_some() {
            self.take();
            let operand = self.duration_expr(SIGN_PRECEDENCE)?;
            self.signed_duration(token, operand)?
        } else {
            self.duration_operand()?
        };
        let expr = self.duration_operators(lhs, min_precedence)?;
        self.leave();
        Ok(expr)
    }

    /// Operators and right operands after `lhs`.
    fn duration_operators(
        &mut self,
        mut lhs: DurationExpr,
        min_precedence: u8,
    ) -> Result<DurationExpr> {
        loop {
            let token = self.peek()?;
            let Kind::Op(op) = token.kind else { break };
            let Some(duration_op) = duration_op(op).filter(|_| op.precedence() >= min_precedence)
            else {
                break;
            };
            self.take();
            self.duration_operators = self.above(self.duration_operators)?;
            let tighter = u8::from(!op.is_right_associative());
            let rhs = self.duration_expr(op.precedence() + tighter)?;
            self.peek()?;
            if let DurationExpr::Number(NumberLiteral { value: 0.0, .. }) = rhs {
                match op {
                    BinaryOp::Div => return Err(self.error(pos(token), "division by zero")),
                    BinaryOp::Mod => return Err(self.error(pos(token), "modulo by zero")),
                    _ => {}
                }
            }
            lhs = DurationExpr::Binary {
                op: duration_op,
                pos: lhs.pos().to(rhs.pos()),
                lhs: Box::new(lhs),
                rhs: Box::new(rhs),
            };
        }
        Ok(lhs)
    }

    /// A number, a function or parentheses.
    fn duration_operand(&mut self) -> Result<DurationExpr> {
        let token = self.peek()?;
        if let Some(number) = self.number(token)? {
            self.check_range(&number, number.pos)?;
            return Ok(DurationExpr::Number(number));
        }
        self.take();
        match token.kind {
            Kind::Keyword(Keyword::Step) => Ok(DurationExpr::Step(self.no_arguments(token)?)),
            Kind::Keyword(Keyword::Range) => Ok(DurationExpr::Range(self.no_arguments(token)?)),
            Kind::Keyword(Keyword::MinOf) => self.two_arguments(token, DurationOp::MinOf),
            Kind::Keyword(Keyword::MaxOf) => self.two_arguments(token, DurationOp::MaxOf),
            Kind::LeftParen => {
                let expr = self.duration_expr(0)?;
                let close = self.expect(Kind::RightParen)?;
                Ok(match expr {
                    DurationExpr::Paren { .. } => expr,
                    expr => DurationExpr::Paren {
                        expr: Box::new(expr),
                        pos: pos(token).to(pos(close)),
                    },
                })
            }
            _ => Err(self.unexpected(token)),
        }
    }

    /// Where `name` and its empty parentheses stand.
    fn no_arguments(&mut self, name: Token) -> Result<PosRange> {
        self.expect(Kind::LeftParen)?;
        let close = self.expect(Kind::RightParen)?;
        Ok(pos(name).to(pos(close)))
    }

    fn two_arguments(&mut self, name: Token, op: DurationOp) -> Result<DurationExpr> {
        self.expect(Kind::LeftParen)?;
        let lhs = self.duration_expr(0)?;
        self.expect(Kind::Comma)?;
        let rhs = self.duration_expr(0)?;
        let close = self.expect(Kind::RightParen)?;
        Ok(DurationExpr::Binary {
            op,
            lhs: Box::new(lhs),
            rhs: Box::new(rhs),
            pos: pos(name).to(pos(close)),
        })
    }

    fn signed_duration(
        &mut self,
        sign_token: Token,
        operand: DurationExpr,
    ) -> Result<DurationExpr> {
        let is_minus = sign(sign_token.kind) == Some(true);
        let whole = pos(sign_token).to(operand.pos());
        Ok(match operand {
            DurationExpr::Number(mut number) => {
                if is_minus {
                    number.value = -number.value;
                }
                number.pos = whole;
                self.check_range(&number, pos(sign_token))?;
                DurationExpr::Number(number)
            }
            expr if is_minus => DurationExpr::Neg {
                expr: Box::new(expr),
                pos: whole,
            },
            expr => expr,
        })
    }

    /// Durations are 64 bits of nanoseconds. (What an expression makes of `NaN` shows later.)
    fn check_range(&self, number: &NumberLiteral, at: PosRange) -> Result<()> {
        if number.value.abs() > i64::MAX as f64 / 1e9 {
            return Err(self.error(at, "duration out of range"));
        }
        Ok(())
    }
}

fn fixed_or_expr(expr: DurationExpr) -> Duration {
    match expr {
        DurationExpr::Number(number) => Duration::Fixed((number.value * 1e9).round() as i64),
        expr => Duration::Expr(Box::new(expr)),
    }
}

/// For a sign: true when it is minus.
fn sign(kind: Kind) -> Option<bool> {
    match kind {
        Kind::Op(BinaryOp::Add) => Some(false),
        Kind::Op(BinaryOp::Sub) => Some(true),
        _ => None,
    }
}

fn duration_op(op: BinaryOp) -> Option<DurationOp> {
    Some(match op {
        BinaryOp::Add => DurationOp::Add,
        BinaryOp::Sub => DurationOp::Sub,
        BinaryOp::Mul => DurationOp::Mul,
        BinaryOp::Div => DurationOp::Div,
        BinaryOp::Mod => DurationOp::Mod,
        BinaryOp::Pow => DurationOp::Pow,
        _ => return None,
    })
}
