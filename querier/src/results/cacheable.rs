//! Expressions whose values at a step do not depend on the range of the query, nor on samples after
//! the step.

use promql::ast::{AggregateOp, At, Duration, Expr, FunctionId, VectorSelector};

/// True when each step's value is a function of the samples up to that step, and of nothing else.
pub fn is_cacheable(expr: &Expr) -> bool {
    let mut is_cacheable = true;
    expr.walk(&mut |expr| is_cacheable &= is_fine(expr));
    is_cacheable
}

fn is_fine(expr: &Expr) -> bool {
    match expr {
        Expr::Vector(selector) => is_selector_fine(selector),
        Expr::Matrix(matrix) => is_selector_fine(&matrix.selector) && is_fixed(&matrix.range),
        Expr::Subquery(subquery) => {
            let step = subquery.step.as_ref();
            is_past(&subquery.offset, subquery.at)
                && is_fixed(&subquery.range)
                && step.is_none_or(is_fixed)
        }
        // Which series come first depends on which there are in the range.
        Expr::Aggregate(aggregate) => {
            !matches!(aggregate.op, AggregateOp::Limitk | AggregateOp::LimitRatio)
        }
        Expr::Call(call) => !matches!(
            call.function.id,
            FunctionId::Start | FunctionId::End | FunctionId::Range | FunctionId::Info
        ),
        _ => true,
    }
}

fn is_selector_fine(selector: &VectorSelector) -> bool {
    // Smoothing looks ahead.
    selector.extension.is_none() && is_past(&selector.offset, selector.at)
}

/// True for what looks back from the step.
fn is_past(offset: &Duration, at: Option<At>) -> bool {
    at.is_none() && offset.as_millis().is_some_and(|ms| ms >= 0)
}

/// True for what does not depend on the query's range.
const fn is_fixed(duration: &Duration) -> bool {
    matches!(duration, Duration::Fixed(_))
}

#[cfg(test)]
mod tests {
    use promql::parse::{Options, parse_expr};

    use super::*;

    #[test]
    fn what_depends_on_the_range_is_not_kept() {
        for (text, expected) in [
            ("up", true),
            ("sum by (job) (rate(x[5m] offset 1h)) / 2 > bool 1", true),
            ("max_over_time(rate(x[1m])[1h:1m])", true),
            ("time()", true),
            ("up @ 5", false),
            ("sum(up @ start())", false),
            ("rate(x[5m] offset -1m)", false),
            ("max_over_time(up[1h:1m] @ end())", false),
            ("max_over_time(up[1h:1m] offset -5s)", false),
        ] {
            let expr = parse_expr(text, Options::default()).unwrap();
            assert_eq!(is_cacheable(&expr), expected, "{text}");
        }
    }
}
