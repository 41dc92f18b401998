//! Expressions broken into lines.

use super::{Node, Printer};
use crate::ast::Expr;

/// What is longer than this, in bytes, is broken into lines.
const MAX_LINE: usize = 100;

/// `expr` on indented lines, operators and closing parentheses on lines of their own, where it does
/// not fit into 100 bytes.
///
/// The expression is printed on one line first, and every part that fits is copied from there, so
/// that the time is linear in the length of the result.
pub fn pretty(expr: &Expr) -> String {
    let mut flat = Printer {
        nodes: Some(Vec::new()),
        ..Printer::default()
    };
    flat.expr(expr);
    let mut pretty = Pretty {
        flat: &flat.out,
        nodes: flat.nodes.as_deref().unwrap_or_default(),
        printer: Printer::default(),
        skip_indent: false,
    };
    pretty.expr(expr, 0);
    pretty.printer.out
}

struct Pretty<'a> {
    flat: &'a str,
    /// Nodes yet to come, parents first.
    nodes: &'a [Node],
    printer: Printer,
    /// The sign before the next part has indented it already.
    skip_indent: bool,
}

impl Pretty<'_> {
    fn indent(&mut self, level: usize) {
        if !std::mem::take(&mut self.skip_indent) {
            self.printer.out.extend(std::iter::repeat_n("  ", level));
        }
    }

    fn push(&mut self, text: &str) {
        self.printer.out.push_str(text);
    }

    fn expr(&mut self, expr: &Expr, level: usize) {
        let (node, below) = self.nodes.split_first().expect("each node was printed");
        let is_sign = matches!(expr, Expr::Unary(_));
        if !is_sign && node.end - node.start <= MAX_LINE || is_leaf(expr) {
            // Prometheus forgets to indent subqueries.
            if !matches!(expr, Expr::Subquery(_)) {
                self.indent(level);
            }
            self.skip_indent = false;
            self.printer.out.push_str(&self.flat[node.start..node.end]);
            self.nodes = &self.nodes[node.nodes..];
            return;
        }
        self.nodes = below;
        self.split(expr, level);
    }

    /// Prints an expression that does not fit on a line.
    fn split(&mut self, expr: &Expr, level: usize) {
        match expr {
            Expr::Aggregate(e) => {
                self.indent(level);
                self.printer.aggregate_head(e);
                self.push("(\n");
                if let Some(param) = &e.param {
                    self.expr(param, level + 1);
                    self.push(",\n");
                }
                self.expr(&e.expr, level + 1);
                self.close(level);
            }
            Expr::Binary(e) => {
                self.expr(&e.lhs, level + 1);
                self.push("\n");
                self.indent(level);
                self.printer.operator(e);
                self.push("\n");
                self.expr(&e.rhs, level + 1);
            }
            Expr::Call(e) => {
                self.indent(level);
                self.push(e.function.name);
                self.push("(\n");
                for (i, arg) in e.args.iter().enumerate() {
                    if i > 0 {
                        self.push(",\n");
                    }
                    self.expr(arg, level + 1);
                }
                self.close(level);
            }
            Expr::Paren(e) => {
                self.indent(level);
                self.push("(\n");
                self.expr(&e.expr, level + 1);
                self.close(level);
            }
            Expr::Subquery(e) => {
                self.expr(&e.expr, level);
                self.printer.subquery_suffix(e);
            }
            Expr::Unary(e) => {
                self.indent(level);
                self.push(e.op.as_str());
                self.skip_indent = true;
                self.expr(&e.expr, level);
            }
            Expr::Matrix(_) | Expr::Number(_) | Expr::String(_) | Expr::Vector(_) => {}
        }
    }

    fn close(&mut self, level: usize) {
        self.push("\n");
        self.indent(level);
        self.push(")");
    }
}

/// True for what has no parts to put on lines of their own.
fn is_leaf(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Matrix(_) | Expr::Number(_) | Expr::String(_) | Expr::Vector(_)
    )
}
