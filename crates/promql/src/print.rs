//! From syntax tree to text: [`Expr`] displays on one line, as Prometheus prints it, and [`pretty`]
//! breaks what is longer than 100 bytes into indented lines, as `promtool promql format` does.
//!
//! A printed expression parses to the same tree, positions apart.

mod json;
mod pretty;

use std::fmt;
use std::fmt::Write as _;

use model::float::{push_g, push_plain};
use model::labels::{METRIC_NAME, is_legacy_label_name, quote_into};
use model::matcher::MatchOp;
use model::time::DurationMs;

use crate::ast::{
    Aggregate, At, Binary, Cardinality, Duration, DurationExpr, DurationOp, Expr, MatrixSelector,
    NumberLiteral, RangeExtension, Subquery, VectorMatching, VectorSelector,
};
use crate::parse::quote;

pub use json::to_json;
pub use pretty::pretty;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer::default();
        printer.expr(self);
        f.write_str(&printer.out)
    }
}

impl fmt::Display for VectorSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer::default();
        printer.selector(self);
        f.write_str(&printer.out)
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer::default();
        printer.duration_expr(self);
        f.write_str(&printer.out)
    }
}

/// Appends `v` with `digits` after the point.
pub(crate) fn push_fixed(out: &mut String, v: f64, digits: usize) {
    if v.is_finite() {
        write!(out, "{v:.digits$}").expect("writing to a String");
    } else {
        push_plain(out, v);
    }
}

/// Where a node stands in the printed text.
struct Node {
    start: usize,
    end: usize,
    /// Nodes from this one to the next that is not below it.
    nodes: usize,
}

#[derive(Default)]
struct Printer {
    out: String,
    /// All nodes so far, parents first, when they are asked for.
    nodes: Option<Vec<Node>>,
}

impl Printer {
    fn expr(&mut self, expr: &Expr) {
        let start = self.out.len();
        let index = self.nodes.as_mut().map(|nodes| {
            nodes.push(Node {
                start,
                end: start,
                nodes: 1,
            });
            nodes.len() - 1
        });
        match expr {
            Expr::Aggregate(e) => {
                self.aggregate_head(e);
                self.out.push('(');
                if let Some(param) = &e.param {
                    self.expr(param);
                    self.out.push_str(", ");
                }
                self.expr(&e.expr);
                self.out.push(')');
            }
            Expr::Binary(e) => {
                self.expr(&e.lhs);
                self.out.push(' ');
                self.operator(e);
                self.out.push(' ');
                self.expr(&e.rhs);
            }
            Expr::Call(e) => {
                self.out.push_str(e.function.name);
                self.out.push('(');
                for (i, arg) in e.args.iter().enumerate() {
                    if i > 0 {
                        self.out.push_str(", ");
                    }
                    self.expr(arg);
                }
                self.out.push(')');
            }
            Expr::Matrix(e) => self.matrix(e),
            Expr::Number(e) => self.number(e),
            Expr::Paren(e) => {
                self.out.push('(');
                self.expr(&e.expr);
                self.out.push(')');
            }
            Expr::String(e) => quote::quote_into(&mut self.out, &e.value),
            Expr::Subquery(e) => {
                self.expr(&e.expr);
                self.subquery_suffix(e);
            }
            Expr::Unary(e) => {
                self.out.push_str(e.op.as_str());
                self.expr(&e.expr);
            }
            Expr::Vector(e) => self.selector(e),
        }
        if let (Some(nodes), Some(index)) = (&mut self.nodes, index) {
            let count = nodes.len() - index;
            nodes[index].end = self.out.len();
            nodes[index].nodes = count;
        }
    }

    /// The aggregator and its clause, with a space behind a clause.
    fn aggregate_head(&mut self, e: &Aggregate) {
        self.out.push_str(e.op.as_str());
        if e.without || !e.grouping.is_empty() {
            self.clause(if e.without { "without" } else { "by" }, &e.grouping);
            self.out.push(' ');
        }
    }

    /// ` word (label, label)`
    fn clause(&mut self, word: &str, labels: &[String]) {
        self.out.push(' ');
        self.out.push_str(word);
        self.out.push_str(" (");
        for (i, label) in labels.iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            if is_legacy_label_name(label) {
                self.out.push_str(label);
            } else {
                quote_into(&mut self.out, label);
            }
        }
        self.out.push(')');
    }

    /// The operator and its modifiers.
    fn operator(&mut self, e: &Binary) {
        self.out.push_str(e.op.as_str());
        if e.return_bool {
            self.out.push_str(" bool");
        }
        let Some(matching) = &e.matching else { return };
        let group = match matching.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if !matching.labels.is_empty() || matching.on || group.is_some() {
            self.clause(
                if matching.on { "on" } else { "ignoring" },
                &matching.labels,
            );
        }
        if let Some(group) = group {
            self.clause(group, &matching.include);
        }
        self.fills(matching);
    }

    fn fills(&mut self, matching: &VectorMatching) {
        let both = matching
            .fill_left
            .filter(|_| matching.fill_left == matching.fill_right);
        let one_each = [
            ("fill_left", matching.fill_left),
            ("fill_right", matching.fill_right),
        ];
        let fills = if both.is_some() {
            &[("fill", both)][..]
        } else {
            &one_each[..]
        };
        for (word, value) in fills {
            if let Some(value) = value {
                self.out.push(' ');
                self.out.push_str(word);
                self.out.push_str(" (");
                push_g(&mut self.out, *value);
                self.out.push(')');
            }
        }
    }

    fn number(&mut self, e: &NumberLiteral) {
        if e.is_duration {
            if e.value < 0.0 {
                self.out.push('-');
            }
            self.millis((e.value.abs() * 1e9) as i64 / 1_000_000);
        } else {
            push_plain(&mut self.out, e.value);
        }
    }

    fn millis(&mut self, millis: i64) {
        write!(self.out, "{}", DurationMs(millis)).expect("writing to a String");
    }

    fn duration(&mut self, duration: &Duration) {
        match duration {
            Duration::Fixed(nanos) => {
                if *nanos < 0 {
                    self.out.push('-');
                }
                self.millis(nanos.saturating_abs() / 1_000_000);
            }
            Duration::Expr(expr) => self.duration_expr(expr),
        }
    }

    fn duration_expr(&mut self, expr: &DurationExpr) {
        match expr {
            DurationExpr::Number(number) => self.number(number),
            DurationExpr::Step(_) => self.out.push_str("step()"),
            DurationExpr::Range(_) => self.out.push_str("range()"),
            DurationExpr::Neg { expr, .. } => {
                self.out.push('-');
                self.duration_expr(expr);
            }
            DurationExpr::Paren { expr, .. } => {
                self.out.push('(');
                self.duration_expr(expr);
                self.out.push(')');
            }
            DurationExpr::Binary { op, lhs, rhs, .. } => self.duration_binary(*op, lhs, rhs),
        }
    }

    fn duration_binary(&mut self, op: DurationOp, lhs: &DurationExpr, rhs: &DurationExpr) {
        if op.is_function() {
            self.out.push_str(op.as_str());
            self.out.push('(');
            self.duration_expr(lhs);
            self.out.push_str(", ");
            self.duration_expr(rhs);
            self.out.push(')');
        } else {
            self.duration_expr(lhs);
            self.out.push(' ');
            self.out.push_str(op.as_str());
            self.out.push(' ');
            self.duration_expr(rhs);
        }
    }

    fn matrix(&mut self, e: &MatrixSelector) {
        self.name_and_matchers(&e.selector);
        self.out.push('[');
        self.duration(&e.range);
        self.out.push(']');
        self.extension(e.selector.extension);
        self.at(e.selector.at);
        self.offset(&e.selector.offset);
    }

    fn subquery_suffix(&mut self, e: &Subquery) {
        self.out.push('[');
        self.duration(&e.range);
        self.out.push(':');
        if let Some(step) = e.step.as_ref().filter(|step| !step.is_zero()) {
            self.duration(step);
        }
        self.out.push(']');
        self.at(e.at);
        self.offset(&e.offset);
    }

    fn selector(&mut self, e: &VectorSelector) {
        self.name_and_matchers(e);
        self.at(e.at);
        self.extension(e.extension);
        self.offset(&e.offset);
    }

    fn name_and_matchers(&mut self, e: &VectorSelector) {
        self.out.push_str(&e.name);
        let mut matchers: Vec<String> = e
            .matchers
            .iter()
            .filter(|m| {
                let is_name = m.name() == METRIC_NAME && m.op() == MatchOp::Equal;
                !is_name || m.value() != e.name || e.name.is_empty()
            })
            .map(ToString::to_string)
            .collect();
        if matchers.is_empty() && !e.name.is_empty() {
            return;
        }
        // Without name and matchers, as in `info(x, {})`, there must be the braces at least.
        matchers.sort_unstable();
        self.out.push('{');
        for (i, matcher) in matchers.iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.out.push_str(matcher);
        }
        self.out.push('}');
    }

    fn extension(&mut self, extension: Option<RangeExtension>) {
        if let Some(extension) = extension {
            self.out.push(' ');
            self.out.push_str(extension.as_str());
        }
    }

    fn at(&mut self, at: Option<At>) {
        match at {
            None => {}
            Some(At::Start) => self.out.push_str(" @ start()"),
            Some(At::End) => self.out.push_str(" @ end()"),
            Some(At::Timestamp(millis)) => {
                self.out.push_str(" @ ");
                push_fixed(&mut self.out, millis as f64 / 1000.0, 3);
            }
        }
    }

    fn offset(&mut self, offset: &Duration) {
        if !offset.is_zero() {
            self.out.push_str(" offset ");
            self.duration(offset);
        }
    }
}
