//! Copies matchers across joins: only series that match on both sides count, so a condition on a
//! label that is matched on holds for both.
//!
//! Series that cannot be part of the result are then not read. If two of them would clash on the
//! "one" side, that error is not found; ADR 0046 says why that is right.

use model::Matcher;

use crate::ast::{BinaryOp, VectorMatching};
use crate::exec::labels::is_reserved;
use crate::plan::walk::Rewrite;
use crate::plan::{BinaryNode, Selector, VectorNode};

pub(super) struct PropagateMatchers;

impl Rewrite for PropagateMatchers {
    fn vector(&mut self, node: &mut VectorNode) {
        let VectorNode::Binary(b) = node else { return };
        let BinaryNode {
            op,
            lhs,
            rhs,
            matching,
            ..
        } = &mut **b;
        if *op == BinaryOp::Or || matching.fill_left.is_some() || matching.fill_right.is_some() {
            return;
        }
        let (Some(lhs), Some(rhs)) = (lhs.selector_of_series(), rhs.selector_of_series()) else {
            return;
        };
        copy(lhs, rhs, matching);
        // What `unless` has on its right only takes away.
        if *op != BinaryOp::Unless {
            copy(rhs, lhs, matching);
        }
    }
}

fn copy(from: &Selector, to: &mut Selector, matching: &VectorMatching) {
    let is_matched = |m: &Matcher| {
        // Functions drop the labels that name a metric, on one side and not the other.
        !is_reserved(m.name()) && matching.labels.iter().any(|l| l == m.name()) == matching.on
    };
    for matcher in from.matchers.iter().filter(|m| is_matched(m)) {
        if !to.matchers.contains(matcher) {
            to.matchers.push(matcher.clone());
        }
    }
}
