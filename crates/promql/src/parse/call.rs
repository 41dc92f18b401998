//! Calls of functions and aggregations.

use super::expr::{Context, Parser, Result, Tree, pos, starts_expr};
use super::quote;
use super::token::{Keyword, Kind, Token};
use crate::ast::{Aggregate, AggregateOp, Call, Expr, Function, PosRange};

const AGGREGATION: Context = Context {
    inside: "aggregation",
    expected: "",
};

impl Parser<'_> {
    pub(super) fn call(&mut self, name: Token) -> Result<Tree> {
        let (args, height) = self.arguments()?;
        let text = self.lexer.text(name);
        let lookout = || Function::find_lookout(text).filter(|_| self.options.features.lookout);
        let Some(function) = Function::find(text).or_else(lookout) else {
            let message = format!(
                "unknown function with name {}",
                quote::quoted(text.as_bytes())
            );
            return Err(self.error(pos(name), message));
        };
        if function.is_experimental && !self.options.features.experimental_functions {
            let message = format!("function \"{text}\" is not enabled");
            return Err(self.error(pos(name), message));
        }
        let call = Call {
            function,
            args,
            pos: PosRange::new(name.start, self.last_end),
        };
        Ok(Tree {
            expr: Expr::Call(Box::new(call)),
            height: self.above(height)?,
        })
    }

    /// Arguments in parentheses, and the height of the highest.
    fn arguments(&mut self) -> Result<(Vec<Expr>, u32)> {
        self.expect(Kind::LeftParen)?;
        let (mut args, mut height) = (Vec::new(), 0);
        if self.accept(Kind::RightParen)?.is_some() {
            return Ok((args, height));
        }
        loop {
            let tree = self.expr(0)?;
            args.push(tree.expr);
            height = height.max(tree.height);
            let Some(comma) = self.accept(Kind::Comma)? else {
                break;
            };
            if !starts_expr(self.peek()?.kind) {
                let message = "trailing commas not allowed in function call args";
                return Err(self.error(pos(comma), message));
            }
        }
        self.expect(Kind::RightParen)?;
        Ok((args, height))
    }

    /// An aggregation whose `op` was taken as `name`.
    pub(super) fn aggregate(&mut self, op: AggregateOp, name: Token) -> Result<Tree> {
        let outer = std::mem::replace(&mut self.context, AGGREGATION);
        let mut modifier = self.aggregate_modifier()?;
        let (args, height) = self.arguments()?;
        let args_end = self.last_end;
        let mut end = args_end;
        if modifier.is_none() {
            modifier = self.aggregate_modifier()?;
            end = self.last_end.max(args_end);
        }
        self.context = outer;
        let (grouping, without) = modifier.unwrap_or_default();
        let pos = PosRange::new(name.start, end);
        let (param, expr) = self.aggregate_args(op, args, pos)?;
        Ok(Tree {
            height: self.above(height)?,
            expr: Expr::Aggregate(Box::new(Aggregate {
                op,
                expr,
                param,
                grouping,
                without,
                pos,
            })),
        })
    }

    /// The parameter and the vector among the arguments of an aggregation at `pos`.
    fn aggregate_args(
        &self,
        op: AggregateOp,
        args: Vec<Expr>,
        pos: PosRange,
    ) -> Result<(Option<Expr>, Expr)> {
        let (given, mut args) = (args.len(), args.into_iter());
        if given == 0 {
            let message = "no arguments for aggregate expression provided";
            return Err(self.error(pos, message));
        }
        if op.is_experimental() && !self.options.features.experimental_functions {
            let message = format!(
                "{op}() is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions"
            );
            return Err(self.error(pos, message));
        }
        let wanted = 1 + usize::from(op.has_param());
        let param = if op.has_param() { args.next() } else { None };
        match args.next() {
            Some(expr) if given == wanted => Ok((param, expr)),
            _ => {
                let message = format!(
                    "wrong number of arguments for aggregate expression provided, expected \
                     {wanted}, got {given}"
                );
                Err(self.error(pos, message))
            }
        }
    }

    /// A `by` or `without` clause, if there is one: its labels, and true for `without`.
    fn aggregate_modifier(&mut self) -> Result<Option<(Vec<String>, bool)>> {
        let without = self.expect_keyword(Keyword::Without)?;
        if without || self.expect_keyword(Keyword::By)? {
            Ok(Some((self.grouping_labels()?, without)))
        } else {
            Ok(None)
        }
    }
}
