//! Plans as text, one node per line, inputs indented below.

use std::fmt::Write as _;

use model::TimeRange;

use crate::ast::Expr;
use crate::error::Error;
use crate::print::pretty;

use super::{Plan, PlanContext, RangeNode, ScalarNode, Selector, VectorNode, build, optimize};

/// `expr`, its plan, what each optimizer makes of that, and the plan that is run.
pub(crate) fn explain(expr: &Expr, context: PlanContext) -> Result<String, Error> {
    let mut out = String::from("expression\n");
    for text in pretty(expr).lines() {
        line(&mut out, 1, text);
    }
    let plan = build(expr, context)?;
    let mut before = shown(&plan);
    let _ = write!(out, "plan\n{before}");
    let plan = optimize::each(plan, context, |name, plan| {
        let after = shown(plan);
        if after == before {
            let _ = writeln!(out, "{name}: no change");
        } else {
            let _ = write!(out, "{name}\n{after}");
            before = after;
        }
    });
    let _ = write!(out, "optimized\n{}", shown(&plan));
    Ok(out)
}

fn shown(plan: &Plan) -> String {
    let mut out = String::new();
    match plan {
        Plan::Scalar(s) => scalar(&mut out, s, 1),
        Plan::Vector(v) => vector(&mut out, v, 1),
        Plan::Range(r) => range(&mut out, r, 1),
        Plan::String(s) => {
            let text = format!("string {:?}", String::from_utf8_lossy(s));
            line(&mut out, 1, &text);
        }
    }
    out
}

fn line(out: &mut String, depth: usize, text: &str) {
    let _ = writeln!(out, "{:indent$}{text}", "", indent = depth * 2);
}

fn scalar(out: &mut String, node: &ScalarNode, depth: usize) {
    match node {
        ScalarNode::Number(v) => line(out, depth, &format!("number {}", model::float::G(*v))),
        ScalarNode::Time => line(out, depth, "time"),
        ScalarNode::FromVector(v) => {
            line(out, depth, "scalar");
            vector(out, v, depth + 1);
        }
        ScalarNode::Neg(s) => {
            line(out, depth, "negate");
            scalar(out, s, depth + 1);
        }
        ScalarNode::Binary(op, pair) => {
            line(out, depth, &format!("binary {op:?}"));
            scalar(out, &pair.0, depth + 1);
            scalar(out, &pair.1, depth + 1);
        }
        ScalarNode::StepInvariant(s) => {
            line(out, depth, "once");
            scalar(out, s, depth + 1);
        }
    }
}

fn range(out: &mut String, node: &RangeNode, depth: usize) {
    match node {
        RangeNode::Matrix {
            selector: s,
            range_ms,
            ..
        } => {
            line(
                out,
                depth,
                &format!("samples {} over {range_ms} ms{}", selector(s), time(s)),
            );
        }
        RangeNode::Subquery(s) => {
            let text = format!(
                "subquery over {} ms every {} ms, offset {} ms, at {:?}",
                s.range_ms, s.step_ms, s.offset_ms, s.at
            );
            line(out, depth, &text);
            vector(out, &s.input, depth + 1);
        }
    }
}

fn selector(s: &Selector) -> String {
    let matchers: Vec<_> = s.matchers.iter().map(ToString::to_string).collect();
    let mut text = format!("{{{}}}", matchers.join(","));
    if s.offset_ms != 0 {
        let _ = write!(text, " offset {} ms", s.offset_ms);
    }
    if let Some(at) = s.at {
        let _ = write!(text, " at {at} ms");
    }
    if let Some(extension) = s.extension {
        let _ = write!(text, " {extension:?}");
    }
    if let Some(names) = &s.hints.projection {
        let _ = write!(text, " labels ({})", names.join(","));
    }
    if let Some(share) = &s.share {
        let filter: Vec<_> = share.filter.iter().map(ToString::to_string).collect();
        let _ = write!(text, " shared #{}", share.group);
        if !filter.is_empty() {
            let _ = write!(text, " {{{}}}", filter.join(","));
        }
    }
    text
}

/// The time that a selector looks at, once that is known.
fn time(s: &Selector) -> String {
    if s.range == TimeRange::ALL {
        return String::new();
    }
    format!(" in [{}, {})", s.range.min, s.range.max)
}

fn vector(out: &mut String, node: &VectorNode, depth: usize) {
    let below = depth + 1;
    line(out, depth, &node.title());
    match node {
        VectorNode::Selector(_) | VectorNode::SelectorTimes { .. } => {}
        VectorNode::FromScalar(s) => scalar(out, s, below),
        VectorNode::RangeCall { args, input, .. } => {
            args.iter().for_each(|a| scalar(out, a, below));
            range(out, input, below);
        }
        VectorNode::Map { args, input, .. } => {
            args.iter().for_each(|a| scalar(out, a, below));
            vector(out, input, below);
        }
        VectorNode::Neg(input)
        | VectorNode::Absent { input, .. }
        | VectorNode::Relabel { input, .. }
        | VectorNode::Sort { input, .. }
        | VectorNode::Histogram { input, .. }
        | VectorNode::StepInvariant(input) => vector(out, input, below),
        VectorNode::Info(i) => vector(out, &i.input, below),
        VectorNode::Aggregate(a) => {
            if let super::AggregateParam::Scalar(s) = &a.param {
                scalar(out, s, below);
            }
            vector(out, &a.input, below);
        }
        VectorNode::Binary(b) => {
            vector(out, &b.lhs, below);
            vector(out, &b.rhs, below);
        }
        VectorNode::BinaryScalar(b) => {
            scalar(out, &b.scalar, below);
            vector(out, &b.vector, below);
        }
    }
}

impl VectorNode {
    /// What the node does, in a few words.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Selector(s) => format!("latest {}{}", selector(s), time(s)),
            Self::SelectorTimes {
                selector: s,
                starts,
            } => {
                let what = if *starts { "start times" } else { "times" };
                format!("{what} {}{}", selector(s), time(s))
            }
            Self::FromScalar(_) => "vector".to_owned(),
            Self::RangeCall { func, .. } => format!("range function {func:?}"),
            Self::Map { func, .. } => format!("function {func:?}"),
            Self::Neg(_) => "negate".to_owned(),
            Self::Absent { labels, .. } => format!("absent {labels}"),
            Self::Relabel { rule, .. } => format!("relabel {rule:?}"),
            Self::Sort { order, .. } => format!("sort {order:?}"),
            Self::Histogram { .. } => "histogram function".to_owned(),
            Self::Info(i) => format!("info {:?}", i.matchers),
            Self::Aggregate(a) => {
                let clause = if a.without { "without" } else { "by" };
                format!("{} {clause} ({})", a.op, a.grouping.join(","))
            }
            Self::Binary(b) => {
                let matching = &b.matching;
                let clause = if matching.on { "on" } else { "ignoring" };
                format!(
                    "join {} {clause} ({}) {}",
                    b.op,
                    matching.labels.join(","),
                    matching.cardinality.as_str()
                )
            }
            Self::BinaryScalar(b) => {
                let side = if b.scalar_left { "left" } else { "right" };
                format!("{} with a scalar on the {side}", b.op)
            }
            Self::StepInvariant(_) => "once".to_owned(),
        }
    }
}
