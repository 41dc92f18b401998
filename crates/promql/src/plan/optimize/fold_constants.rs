//! Computes what depends on numbers only.

use crate::exec::apply_scalar;
use crate::plan::ScalarNode;
use crate::plan::walk::Rewrite;

pub(super) struct FoldConstants;

impl Rewrite for FoldConstants {
    fn scalar(&mut self, node: &mut ScalarNode) {
        let value = match node {
            ScalarNode::Neg(inner) => number(inner).map(|v| -v),
            ScalarNode::StepInvariant(inner) => number(inner),
            ScalarNode::Binary(op, pair) => match (number(&pair.0), number(&pair.1)) {
                (Some(a), Some(b)) => Some(apply_scalar(*op, a, b)),
                _ => None,
            },
            ScalarNode::Number(_) | ScalarNode::Time | ScalarNode::FromVector(_) => None,
        };
        if let Some(value) = value {
            *node = ScalarNode::Number(value);
        }
    }
}

fn number(node: &ScalarNode) -> Option<f64> {
    match node {
        ScalarNode::Number(v) => Some(*v),
        _ => None,
    }
}
