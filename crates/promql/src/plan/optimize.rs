//! Rewrites of a plan that keep its meaning, each in a file of its own.

use super::Plan;

/// Applies all optimizers.
pub(crate) fn all(plan: Plan) -> Plan {
    plan
}
