//! Binary operators on two vectors.

mod join;
mod set;

use crate::columns::Steps;
use crate::error::Error;
use crate::plan::BinaryNode;

use super::{BoxedOperator, Context, vector};

/// The operator of `node`.
pub(crate) fn build<'q>(
    node: &'q BinaryNode,
    steps: Steps,
    ctx: &'q Context<'q>,
) -> Result<BoxedOperator<'q>, Error> {
    let lhs = vector(&node.lhs, steps, ctx)?;
    let rhs = vector(&node.rhs, steps, ctx)?;
    Ok(if node.op.is_set() {
        Box::new(set::SetOperator::new(node, lhs, rhs, ctx))
    } else {
        Box::new(join::Join::new(node, (lhs, rhs), steps, ctx))
    })
}
