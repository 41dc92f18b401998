//! Tells sources which labels an aggregation looks at.

use model::labels::METRIC_NAME;

use crate::ast::AggregateOp;
use crate::plan::VectorNode;
use crate::plan::walk::Rewrite;

pub(super) struct ProjectLabels;

impl Rewrite for ProjectLabels {
    fn vector(&mut self, node: &mut VectorNode) {
        let VectorNode::Aggregate(a) = node else {
            return;
        };
        let folds = matches!(
            a.op,
            AggregateOp::Sum
                | AggregateOp::Avg
                | AggregateOp::Min
                | AggregateOp::Max
                | AggregateOp::Count
                | AggregateOp::Group
                | AggregateOp::Stddev
                | AggregateOp::Stdvar
                | AggregateOp::Quantile
        );
        if !folds || a.without {
            return;
        }
        if let Some(selector) = a.input.selector_of_series() {
            // Annotations name the metric, and look at its type.
            let mut names = vec![METRIC_NAME.to_owned(), "__type__".into(), "__unit__".into()];
            names.extend(a.grouping.iter().cloned());
            names.sort_unstable();
            names.dedup();
            selector.hints.projection = Some(names);
        }
    }
}
