//! Removes sorting by labels where the order cannot be seen.
//!
//! Sums depend on the order of their terms, if only in the last bit, and sorting by value drops
//! histograms; so little is left to remove. In range queries a sort yields a warning, and stays.

use crate::ast::AggregateOp;
use crate::plan::walk::Rewrite;
use crate::plan::{SortOrder, VectorNode};

pub(super) struct EliminateSorts {
    is_instant: bool,
}

impl EliminateSorts {
    pub(super) const fn new(is_instant: bool) -> Self {
        Self { is_instant }
    }
}

impl Rewrite for EliminateSorts {
    fn vector(&mut self, node: &mut VectorNode) {
        if !self.is_instant {
            return;
        }
        match node {
            VectorNode::Absent { input, .. } => remove(input),
            VectorNode::Aggregate(a)
                if matches!(
                    a.op,
                    AggregateOp::Count | AggregateOp::Group | AggregateOp::Quantile
                ) =>
            {
                remove(&mut a.input);
            }
            VectorNode::Sort {
                input,
                order: SortOrder::Labels { .. },
                ..
            } => remove(input),
            _ => {}
        }
    }
}

/// Replaces sorts by labels by what they sort.
fn remove(node: &mut VectorNode) {
    while let VectorNode::Sort {
        input,
        order: SortOrder::Labels { .. },
        ..
    } = node
    {
        let nothing = VectorNode::FromScalar(crate::plan::ScalarNode::Time);
        let inner = std::mem::replace(&mut **input, nothing);
        *node = inner;
    }
}
