//! Variations of an expression that must give the same result.

use crate::ast::{At, Expr, FunctionId};

/// Functions whose result depends on the time of evaluation even when all selectors are pinned.
fn depends_on_time(function: FunctionId) -> bool {
    matches!(
        function,
        FunctionId::DaysInMonth
            | FunctionId::DayOfMonth
            | FunctionId::DayOfWeek
            | FunctionId::DayOfYear
            | FunctionId::Hour
            | FunctionId::Minute
            | FunctionId::Month
            | FunctionId::Year
            | FunctionId::PredictLinear
            | FunctionId::Time
            | FunctionId::Timestamp
            | FunctionId::Start
            | FunctionId::End
            | FunctionId::Step
            | FunctionId::Range
    )
}

/// `expr` with every selector and subquery pinned to `t` (milliseconds) that is not pinned yet; what
/// is inside a pinned subquery is left alone. `None` when the result depends on time all the same.
pub(super) fn pinned(expr: &Expr, t: i64) -> Option<Expr> {
    let mut free = false;
    expr.walk(&mut |e| {
        if let Expr::Call(call) = e {
            free |= depends_on_time(call.function.id);
        }
    });
    if free {
        return None;
    }
    let mut pinned = expr.clone();
    pin(&mut pinned, t);
    Some(pinned)
}

fn pin(expr: &mut Expr, t: i64) {
    let pin_at = |at: &mut Option<At>| match at {
        Some(At::Timestamp(_)) => {}
        _ => *at = Some(At::Timestamp(t)),
    };
    match expr {
        Expr::Vector(selector) => pin_at(&mut selector.at),
        Expr::Matrix(matrix) => pin_at(&mut matrix.selector.at),
        Expr::Subquery(subquery) => pin_at(&mut subquery.at),
        Expr::Aggregate(e) => {
            pin(&mut e.expr, t);
            if let Some(param) = &mut e.param {
                pin(param, t);
            }
        }
        Expr::Binary(e) => {
            pin(&mut e.lhs, t);
            pin(&mut e.rhs, t);
        }
        Expr::Call(e) => e.args.iter_mut().for_each(|arg| pin(arg, t)),
        Expr::Paren(e) => pin(&mut e.expr, t),
        Expr::Unary(e) => pin(&mut e.expr, t),
        Expr::Number(_) | Expr::String(_) => {}
    }
}

/// The times at which an expression pinned to `t` is evaluated beside `t` itself.
pub(super) fn other_times(t: i64) -> Vec<i64> {
    if t == 0 {
        vec![-1000, 0, 1000]
    } else {
        vec![-10 * t, 0, t / 5, t, 10 * t]
    }
}
