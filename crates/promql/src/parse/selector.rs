//! Selectors: names, matchers, grouping labels, and what may follow a selector.

use model::labels::METRIC_NAME;
use model::matcher::{MatchOp, Matcher};

use super::expr::{Context, Parser, Result, Tree, is_metric_name, pos};
use super::token::{Keyword, Kind, Token};
use super::{lookout, quote};
use crate::ast::{
    At, BinaryOp, Duration, Expr, MatrixSelector, PosRange, RangeExtension, Subquery,
    VectorSelector,
};

const fn in_matching(expected: &'static str) -> Context {
    Context {
        inside: "label matching",
        expected,
    }
}

const fn in_grouping(expected: &'static str) -> Context {
    Context {
        inside: "grouping opts",
        expected,
    }
}

const AT: Context = Context {
    inside: "@",
    expected: "timestamp",
};

impl Parser<'_> {
    /// A selector that is the whole text.
    pub(super) fn parse_whole_selector(&mut self) -> Result<Vec<Matcher>> {
        let token = self.peek()?;
        let name = is_metric_name(token.kind).then_some(token);
        if name.is_some() {
            self.take();
        } else if token.kind != Kind::LeftBrace {
            return Err(self.unexpected(token));
        }
        let selector = self.vector_selector(name)?;
        match self.peek()? {
            token if token.kind == Kind::Eof => Ok(selector.matchers),
            token => Err(self.unexpected(token)),
        }
    }

    /// A selector whose `name`, if it has one, was taken.
    pub(super) fn selector(&mut self, name: Option<Token>) -> Result<Tree> {
        let selector = self.vector_selector(name)?;
        Ok(Tree {
            expr: Expr::Vector(Box::new(selector)),
            height: 1,
        })
    }

    fn vector_selector(&mut self, name: Option<Token>) -> Result<VectorSelector> {
        let start = match name {
            Some(name) => pos(name),
            None => pos(self.peek()?),
        };
        let mut matchers = Vec::new();
        let mut end = start;
        if self.peek()?.kind == Kind::LeftBrace {
            matchers = self.matchers()?;
            end = PosRange::new(0, self.last_end);
        }
        let mut name = name.map_or("", |name| self.lexer.text(name));
        if name.contains('.') {
            // As if it had been written in quotes inside the braces, which everybody can read.
            matchers.insert(0, Matcher::equal(METRIC_NAME, name));
            name = "";
        } else if !name.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let selector = VectorSelector {
            name: name.to_owned(),
            matchers,
            offset: Duration::ZERO,
            at: None,
            extension: None,
            pos: start.to(end),
        };
        if self.unselective.is_none() && !selector.is_selective() {
            self.unselective = Some(super::check::unselective(&selector, self.lexer.input()));
        }
        Ok(selector)
    }

    /// Matchers in braces.
    fn matchers(&mut self) -> Result<Vec<Matcher>> {
        self.expect(Kind::LeftBrace)?;
        let mut matchers = Vec::new();
        loop {
            if self.accept(Kind::RightBrace)?.is_some() {
                return Ok(matchers);
            }
            matchers.push(self.matcher()?);
            if self.accept(Kind::Comma)?.is_none() {
                break;
            }
        }
        let token = self.peek()?;
        if token.kind != Kind::RightBrace {
            return Err(self.unexpected_in(token, in_matching("\",\" or \"}\"")));
        }
        self.take();
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<Matcher> {
        let name = self.peek()?;
        let is_quoted = name.kind == Kind::String;
        if !is_quoted && name.kind != Kind::Identifier {
            return Err(self.unexpected_in(name, in_matching("identifier or \"}\"")));
        }
        self.take();
        let operator = self.peek()?;
        let op = match operator.kind {
            Kind::Equal => MatchOp::Equal,
            Kind::Op(BinaryOp::Ne) => MatchOp::NotEqual,
            Kind::EqualRegex => MatchOp::Regex,
            Kind::NotRegex => MatchOp::NotRegex,
            kind if let Some(op) = lookout::set_op(kind) => op,
            // A string alone is the metric name.
            _ if is_quoted => return Ok(Matcher::equal(METRIC_NAME, &self.unquote(name)?)),
            _ => {
                let context = in_matching("label matching operator");
                return Err(self.unexpected_in(operator, context));
            }
        };
        self.take();
        let value = self.peek()?;
        if value.kind != Kind::String {
            return Err(self.unexpected_in(value, in_matching("string")));
        }
        self.take();
        let mut text = self.unquote(value)?;
        if lookout::set_op(operator.kind).is_some() {
            text = lookout::set_pattern(&text);
        }
        let matcher = if is_quoted {
            Matcher::new(op, &self.unquote(name)?, &text)
        } else {
            Matcher::new(op, self.lexer.text(name), &text)
        };
        matcher.map_err(|error| self.error(pos(name).to(pos(value)), error.to_string()))
    }

    /// The value of a string token that is matched with label values, which are UTF-8.
    fn unquote(&self, token: Token) -> Result<String> {
        String::from_utf8(quote::unquote(self.lexer.text(token))).map_err(|error| {
            let value = quote::quoted(error.as_bytes());
            let message = format!("no label can be matched with {value}: it is not valid UTF-8");
            self.error(pos(token), message)
        })
    }

    /// Labels in parentheses.
    pub(super) fn grouping_labels(&mut self) -> Result<Vec<String>> {
        let token = self.peek()?;
        if token.kind != Kind::LeftParen {
            return Err(self.unexpected_in(token, in_grouping("\"(\"")));
        }
        self.take();
        let mut labels = Vec::new();
        loop {
            // Also after a comma, but not right at a second one.
            if self.accept(Kind::RightParen)?.is_some() {
                return Ok(labels);
            }
            labels.push(self.grouping_label()?);
            let token = self.peek()?;
            match token.kind {
                Kind::Comma | Kind::RightParen => {}
                _ => return Err(self.unexpected_in(token, in_grouping("\",\" or \")\""))),
            }
            self.accept(Kind::Comma)?;
        }
    }

    fn grouping_label(&mut self) -> Result<String> {
        let token = self.peek()?;
        let text = self.lexer.text(token);
        let label = match token.kind {
            Kind::String => quote::unquote(text),
            Kind::Op(BinaryOp::Atan2) => text.into(),
            // An oversight of Prometheus' grammar, which users would miss if we allowed it.
            Kind::Keyword(Keyword::Without) => {
                return Err(self.unexpected_in(token, in_grouping("label")));
            }
            Kind::Keyword(_) => text.into(),
            kind if is_metric_name(kind) => text.into(),
            _ => return Err(self.unexpected_in(token, in_grouping("label"))),
        };
        self.take();
        match String::from_utf8(label) {
            Ok(label) if !label.is_empty() => Ok(label),
            other => {
                let label = other.map_or_else(|error| error.into_bytes(), String::into_bytes);
                let label = quote::quoted(&label);
                let message = format!("invalid label name for grouping: {label}");
                Err(self.error(pos(token), message))
            }
        }
    }

    /// What follows an expression to select from it: `token`, the next one, begins it.
    pub(super) fn postfix(&mut self, mut tree: Tree, token: Token) -> Result<Tree> {
        self.take();
        match token.kind {
            Kind::LeftBracket => return self.range(tree, token),
            Kind::At => self.at(&mut tree.expr)?,
            Kind::Keyword(Keyword::Anchored) => {
                self.extension(&mut tree.expr, RangeExtension::Anchored)?;
            }
            Kind::Keyword(Keyword::Smoothed) => {
                self.extension(&mut tree.expr, RangeExtension::Smoothed)?;
            }
            _ => self.offset(&mut tree.expr)?,
        }
        Ok(tree)
    }

    /// A range or subquery after its bracket, `open`, was taken.
    fn range(&mut self, tree: Tree, open: Token) -> Result<Tree> {
        let (range, step) = self.range_and_step()?;
        let end = self.last_end;
        let Some(step) = step else {
            return self.matrix(tree, range, PosRange::new(open.start, end));
        };
        Ok(Tree {
            height: self.above(tree.height)?,
            expr: Expr::Subquery(Box::new(Subquery {
                pos: PosRange::new(tree.expr.pos().start, end),
                expr: tree.expr,
                range,
                step,
                offset: Duration::ZERO,
                at: None,
            })),
        })
    }

    /// A range selector; `brackets` is where its brackets stand.
    fn matrix(&mut self, tree: Tree, range: Duration, brackets: PosRange) -> Result<Tree> {
        let selector = match tree.expr {
            Expr::Vector(selector) => *selector,
            _ => return Err(self.error(brackets, "ranges only allowed for vector selectors")),
        };
        if !selector.offset.is_zero() {
            return Err(self.error(brackets, "no offset modifiers allowed before range"));
        }
        if selector.at.is_some() {
            return Err(self.error(brackets, "no @ modifiers allowed before range"));
        }
        Ok(Tree {
            height: self.above(tree.height)?,
            expr: Expr::Matrix(Box::new(MatrixSelector {
                pos: PosRange::new(selector.pos.start, brackets.end),
                selector,
                range,
            })),
        })
    }

    /// An `offset` after its keyword was taken.
    fn offset(&mut self, expr: &mut Expr) -> Result<()> {
        let duration = self.offset_duration()?;
        let end = self.last_end;
        let expr_pos = expr.pos();
        let Some(modifiers) = modifiers(expr) else {
            return Err(self.error(expr_pos, misplaced("offset")));
        };
        if !modifiers.offset.is_zero() {
            return Err(self.error(expr_pos, "offset may not be set multiple times"));
        }
        *modifiers.offset = duration;
        modifiers.pos.end = end;
        Ok(())
    }

    /// An `@` modifier after its sign was taken.
    fn at(&mut self, expr: &mut Expr) -> Result<()> {
        let outer = std::mem::replace(&mut self.context, AT);
        let preprocessor = match self.peek()?.kind {
            Kind::Keyword(Keyword::Start) => Some(At::Start),
            Kind::Keyword(Keyword::End) => Some(At::End),
            _ => None,
        };
        let expr_pos = expr.pos();
        let at = match preprocessor {
            Some(at) => {
                self.take();
                self.expect(Kind::LeftParen)?;
                self.expect(Kind::RightParen)?;
                at
            }
            None => {
                let seconds = self.signed_number()?;
                // The bounds are those of seconds in 64 bits, although milliseconds are kept.
                if seconds.is_nan() || seconds.abs() >= i64::MAX as f64 {
                    let mut value = String::new();
                    crate::print::push_fixed(&mut value, seconds, 6);
                    let message = format!("timestamp out of bounds for @ modifier: {value}");
                    return Err(self.error(expr_pos, message));
                }
                At::Timestamp((seconds * 1000.0).round() as i64)
            }
        };
        self.context = outer;
        let end = self.last_end;
        let Some(modifiers) = modifiers(expr) else {
            return Err(self.error(expr_pos, misplaced("@")));
        };
        if modifiers.at.is_some() {
            let message = "@ <timestamp> may not be set multiple times";
            return Err(self.error(expr_pos, message));
        }
        *modifiers.at = Some(at);
        modifiers.pos.end = end;
        Ok(())
    }

    /// `anchored` or `smoothed`. Like in Prometheus they do not count to the selector's position.
    fn extension(&mut self, expr: &mut Expr, extension: RangeExtension) -> Result<()> {
        let name = extension.as_str();
        let expr_pos = expr.pos();
        if !self.options.features.extended_range_selectors {
            let message = format!("{name} modifier is experimental and not enabled");
            return Err(self.error(expr_pos, message));
        }
        let selector = match expr {
            Expr::Vector(selector) => &mut **selector,
            Expr::Matrix(matrix) => &mut matrix.selector,
            Expr::Subquery(_) => {
                let message = format!("{name} modifier is not supported for subqueries");
                return Err(self.error(expr_pos, message));
            }
            _ => {
                let message = format!("{name} modifier not implemented");
                return Err(self.error(expr_pos, message));
            }
        };
        if selector.extension.is_some_and(|other| other != extension) {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(self.error(expr_pos, message));
        }
        selector.extension = Some(extension);
        Ok(())
    }
}

fn misplaced(modifier: &str) -> String {
    format!(
        "{modifier} modifier must be preceded by an instant vector selector or range vector \
         selector or a subquery"
    )
}

/// The fields that the modifiers `offset` and `@` set.
struct Modifiers<'e> {
    offset: &'e mut Duration,
    at: &'e mut Option<At>,
    pos: &'e mut PosRange,
}

fn modifiers(expr: &mut Expr) -> Option<Modifiers<'_>> {
    Some(match expr {
        Expr::Vector(e) => Modifiers {
            offset: &mut e.offset,
            at: &mut e.at,
            pos: &mut e.pos,
        },
        Expr::Matrix(e) => Modifiers {
            offset: &mut e.selector.offset,
            at: &mut e.selector.at,
            pos: &mut e.pos,
        },
        Expr::Subquery(e) => Modifiers {
            offset: &mut e.offset,
            at: &mut e.at,
            pos: &mut e.pos,
        },
        _ => return None,
    })
}
