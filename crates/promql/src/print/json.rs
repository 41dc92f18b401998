//! Expressions as JSON trees: what Prometheus' `/api/v1/parse_query` answers.

use model::float::push_plain;
use model::matcher::Matcher;
use serde_json::{Value, json};

use crate::ast::{
    At, Duration, DurationExpr, Expr, Function, NumberLiteral, RangeExtension, Subquery, ValueType,
    Variadic, VectorMatching, VectorSelector,
};

/// The tree of `expr`. Bytes of strings that are not UTF-8 become replacement characters.
pub fn to_json(expr: &Expr) -> Value {
    // Apart from making the node, so that the recursion takes little stack.
    let mut children = Vec::new();
    for child in expr.children() {
        children.push(to_json(child));
    }
    node(expr, children)
}

/// The node of `expr`, given those of its children.
fn node(expr: &Expr, children: Vec<Value>) -> Value {
    let mut children = children.into_iter();
    match expr {
        Expr::Aggregate(e) => json!({
            "type": "aggregation",
            "op": e.op.as_str(),
            "expr": children.next(),
            "param": children.next(),
            "grouping": e.grouping,
            "without": e.without,
        }),
        Expr::Binary(e) => json!({
            "type": "binaryExpr",
            "op": e.op.as_str(),
            "lhs": children.next(),
            "rhs": children.next(),
            "matching": e.matching.as_ref().map(matching),
            "bool": e.return_bool,
        }),
        Expr::Call(e) => json!({
            "type": "call",
            "func": function(e.function),
            "args": children.collect::<Vec<_>>(),
        }),
        Expr::Matrix(e) => {
            let mut tree = selector(&e.selector, "matrixSelector");
            let (range, range_expr) = duration(&e.range);
            tree["range"] = range;
            tree["rangeExpr"] = range_expr;
            tree
        }
        Expr::Number(e) => json!({"type": "numberLiteral", "val": number(e)}),
        Expr::Paren(_) => json!({"type": "parenExpr", "expr": children.next()}),
        Expr::String(e) => json!({
            "type": "stringLiteral",
            "val": String::from_utf8_lossy(&e.value),
        }),
        Expr::Subquery(e) => subquery(e, children.next()),
        Expr::Unary(e) => json!({
            "type": "unaryExpr",
            "op": e.op.as_str(),
            "expr": children.next(),
        }),
        Expr::Vector(e) => selector(e, "vectorSelector"),
    }
}

fn matching(matching: &VectorMatching) -> Value {
    json!({
        "card": matching.cardinality.as_str(),
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
    })
}

fn function(function: &Function) -> Value {
    let variadic = match function.variadic {
        Variadic::No => json!(0),
        Variadic::UpTo(more) => json!(more),
        Variadic::Unbounded => json!(-1),
    };
    let arg_types = function.arg_types.iter().copied();
    json!({
        "name": function.name,
        "argTypes": arg_types.map(ValueType::as_str).collect::<Vec<_>>(),
        "variadic": variadic,
        "returnType": function.return_type.as_str(),
    })
}

fn selector(e: &VectorSelector, node: &str) -> Value {
    let (offset, offset_expr) = duration(&e.offset);
    let (timestamp, start_or_end) = at(e.at);
    json!({
        "type": node,
        "name": e.name,
        "offset": offset,
        "offsetExpr": offset_expr,
        "matchers": e.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "timestamp": timestamp,
        "startOrEnd": start_or_end,
        "anchored": e.extension == Some(RangeExtension::Anchored),
        "smoothed": e.extension == Some(RangeExtension::Smoothed),
    })
}

fn matcher(m: &Matcher) -> Value {
    json!({"name": m.name(), "value": m.value(), "type": m.op().as_str()})
}

fn subquery(e: &Subquery, expr: Option<Value>) -> Value {
    let (range, range_expr) = duration(&e.range);
    let (offset, offset_expr) = duration(&e.offset);
    let (step, step_expr) = duration(e.step.as_ref().unwrap_or(&Duration::ZERO));
    let (timestamp, start_or_end) = at(e.at);
    json!({
        "type": "subquery",
        "expr": expr,
        "range": range,
        "rangeExpr": range_expr,
        "offset": offset,
        "offsetExpr": offset_expr,
        "step": step,
        "stepExpr": step_expr,
        "timestamp": timestamp,
        "startOrEnd": start_or_end,
    })
}

/// Timestamp in milliseconds, and `start` or `end`.
fn at(at: Option<At>) -> (Value, Value) {
    match at {
        None => (Value::Null, Value::Null),
        Some(At::Timestamp(millis)) => (json!(millis), Value::Null),
        Some(At::Start) => (Value::Null, json!("start")),
        Some(At::End) => (Value::Null, json!("end")),
    }
}

/// Milliseconds (0 for an expression), and the expression.
fn duration(duration: &Duration) -> (Value, Value) {
    match duration {
        Duration::Fixed(nanos) => (json!(nanos / 1_000_000), Value::Null),
        Duration::Expr(expr) => (json!(0), duration_expr(expr, false)),
    }
}

/// `wrapped` says that the expression stands in parentheses.
fn duration_expr(expr: &DurationExpr, wrapped: bool) -> Value {
    let (op, lhs, rhs) = match expr {
        // Parentheses are a property of operators; around a number they are one of a plus sign.
        DurationExpr::Number(_) if wrapped => ("+", Value::Null, duration_expr(expr, false)),
        DurationExpr::Number(e) => {
            return json!({
                "type": "numberLiteral",
                "val": number(e),
                "duration": e.is_duration,
            });
        }
        DurationExpr::Step(_) => ("step", Value::Null, Value::Null),
        DurationExpr::Range(_) => ("range", Value::Null, Value::Null),
        DurationExpr::Neg { expr, .. } => ("-", Value::Null, duration_expr(expr, false)),
        DurationExpr::Paren { expr, .. } => return duration_expr(expr, true),
        DurationExpr::Binary { op, lhs, rhs, .. } => (
            op.as_str(),
            duration_expr(lhs, false),
            duration_expr(rhs, false),
        ),
    };
    json!({"type": "durationExpr", "op": op, "lhs": lhs, "rhs": rhs, "wrapped": wrapped})
}

fn number(e: &NumberLiteral) -> String {
    let mut out = String::new();
    push_plain(&mut out, e.value);
    out
}
