//! Copies matchers across joins: only series that match on both sides count, so a condition on a
//! label that is matched on holds for both. It is carried through what keeps the label: functions,
//! aggregations by it, and other operators on two vectors.
//!
//! Series that cannot be part of the result are then not read. If two of them would clash on the
//! "one" side, that error is not found; ADR 0046 says why that is right.

use model::Matcher;

use crate::ast::{AggregateOp, BinaryOp, VectorMatching};
use crate::exec::labels::is_reserved;
use crate::plan::walk::{Origin, Rewrite};
use crate::plan::{
    AggregateNode, AggregateParam, BinaryNode, HistogramCall, RelabelRule, VectorNode,
};

pub(super) struct PropagateMatchers;

impl Rewrite for PropagateMatchers {
    fn vector(&mut self, node: &mut VectorNode) {
        let VectorNode::Binary(b) = node else { return };
        if b.op == BinaryOp::Or || fills(&b.matching) {
            return;
        }
        copy(&mut b.lhs, &mut b.rhs, &b.matching);
        // What `unless` has on its right only takes away.
        if b.op != BinaryOp::Unless {
            copy(&mut b.rhs, &mut b.lhs, &b.matching);
        }
    }
}

fn copy(from: &mut VectorNode, to: &mut VectorNode, matching: &VectorMatching) {
    let mut matchers = Vec::new();
    hold_for(from, &mut matchers);
    for matcher in &matchers {
        if is_matched(matching, matcher.name()) {
            demand(to, matcher);
        }
    }
}

const fn fills(matching: &VectorMatching) -> bool {
    matching.fill_left.is_some() || matching.fill_right.is_some()
}

fn is_matched(matching: &VectorMatching, label: &str) -> bool {
    // Functions drop the labels that name a metric, on one side and not the other.
    !is_reserved(label) && matching.labels.iter().any(|l| l == label) == matching.on
}

/// What an aggregation makes of a label: true when its groups have it as their series do.
fn groups_by(node: &AggregateNode, label: &str) -> bool {
    let is_counted = matches!(&node.param, AggregateParam::Label(name) if name == label);
    !is_counted && node.grouping.iter().any(|l| l == label) != node.without
}

/// True when aggregation leaves series as they are.
const fn picks(op: AggregateOp) -> bool {
    matches!(
        op,
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
    )
}

/// The label that a histogram function or a relabelling writes or takes away.
fn overwrites(node: &VectorNode, label: &str) -> bool {
    match node {
        VectorNode::Relabel { rule, .. } => match rule {
            RelabelRule::Replace { target, .. } | RelabelRule::Join { target, .. } => {
                target == label
            }
        },
        VectorNode::Histogram { call, .. } => match call {
            HistogramCall::Quantiles { label: written, .. } => written == label || label == "le",
            HistogramCall::Quantile { .. } | HistogramCall::Fraction { .. } => label == "le",
            HistogramCall::Ranges { .. } => label == "_bucket",
        },
        _ => false,
    }
}

/// Adds the matchers that accept all series which `node`, which is only read, yields.
fn hold_for(node: &mut VectorNode, out: &mut Vec<Matcher>) {
    let before = out.len();
    let keep = |out: &mut Vec<Matcher>, is_kept: &dyn Fn(&str) -> bool| {
        let added = out.split_off(before);
        out.extend(added.into_iter().filter(|m| is_kept(m.name())));
    };
    match node {
        VectorNode::Aggregate(a) => {
            hold_for(&mut a.input, out);
            keep(out, &|label| picks(a.op) || groups_by(a, label));
        }
        VectorNode::Binary(b) => match b.op {
            BinaryOp::Or => {}
            BinaryOp::And | BinaryOp::Unless => hold_for(&mut b.lhs, out),
            _ if fills(&b.matching) => {}
            _ => {
                hold_for(&mut b.lhs, out);
                keep(out, &|label| is_matched(&b.matching, label));
            }
        },
        _ => match node.origin() {
            Origin::Selector(selector) => out.extend(selector.matchers.iter().cloned()),
            Origin::Node(input) => {
                hold_for(input, out);
                keep(out, &|label| !overwrites(node, label));
            }
            Origin::Own => {}
        },
    }
}

/// Takes series away that `matcher` refuses in what `node` yields, as far below as that is the same.
fn demand(node: &mut VectorNode, matcher: &Matcher) {
    let label = matcher.name();
    match node {
        // Groups are whole or not there at all.
        VectorNode::Aggregate(a) if groups_by(a, label) => demand(&mut a.input, matcher),
        VectorNode::Aggregate(_) => {}
        VectorNode::Binary(b) => demand_of_binary(b, matcher),
        _ if overwrites(node, label) => {}
        _ => match node.origin() {
            Origin::Selector(selector) if selector.matchers.contains(matcher) => {}
            Origin::Selector(selector) => selector.matchers.push(matcher.clone()),
            Origin::Node(input) => demand(input, matcher),
            Origin::Own => {}
        },
    }
}

fn demand_of_binary(b: &mut BinaryNode, matcher: &Matcher) {
    if fills(&b.matching) {
        return;
    }
    let is_matched = is_matched(&b.matching, matcher.name());
    match b.op {
        BinaryOp::Or => {}
        BinaryOp::And | BinaryOp::Unless => {
            demand(&mut b.lhs, matcher);
            if is_matched {
                demand(&mut b.rhs, matcher);
            }
        }
        _ if is_matched => {
            demand(&mut b.lhs, matcher);
            demand(&mut b.rhs, matcher);
        }
        _ => {}
    }
}
