//! How far in time an expression looks.

use model::TimeRange;
use promql::ast::{Duration, Expr, VectorSelector};
use promql::columns::Steps;

/// A range with all samples that `expr` may look at when it is evaluated at `steps`, for choosing
/// stores before there is a plan; `None` when only a plan can say. It is as large as if all
/// selectors and subqueries were inside of each other.
pub(crate) fn reach(expr: &Expr, steps: Steps, lookback_ms: i64) -> Option<TimeRange> {
    let last_step = i64::try_from(steps.count.checked_sub(1)?).ok()?;
    let mut reach = Some(Reach {
        back: lookback_ms,
        ahead: 0,
    });
    expr.walk(&mut |expr| reach = reach.and_then(|reach| reach.through(expr, lookback_ms)));
    let Reach { back, ahead } = reach?;
    let end = steps
        .start
        .checked_add(steps.step.checked_mul(last_step)?)?;
    Some(TimeRange::closed(
        steps.start.checked_sub(back)?,
        end.checked_add(ahead)?,
    ))
}

/// Milliseconds before and after a step.
#[derive(Debug, Clone, Copy)]
struct Reach {
    back: i64,
    ahead: i64,
}

impl Reach {
    fn through(self, expr: &Expr, lookback_ms: i64) -> Option<Self> {
        match expr {
            Expr::Vector(selector) => self.selector(selector, lookback_ms),
            Expr::Matrix(matrix) => self
                .selector(&matrix.selector, lookback_ms)?
                .back(matrix.range.as_millis()?),
            // Its own steps lie at multiples of its step, up to one before its range.
            Expr::Subquery(subquery) if subquery.at.is_none() => self
                .offset(&subquery.offset)?
                .back(subquery.range.as_millis()?),
            Expr::Subquery(_) => None,
            _ => Some(self),
        }
    }

    fn selector(self, selector: &VectorSelector, lookback_ms: i64) -> Option<Self> {
        if selector.at.is_some() {
            return None;
        }
        let reach = self.offset(&selector.offset)?;
        match selector.extension {
            // Anchors before the range, and after it when smoothed.
            Some(_) => reach.back(lookback_ms)?.ahead(lookback_ms),
            None => Some(reach),
        }
    }

    fn offset(self, offset: &Duration) -> Option<Self> {
        match offset.as_millis()? {
            ms if ms >= 0 => self.back(ms),
            ms => self.ahead(ms.checked_neg()?),
        }
    }

    fn back(self, ms: i64) -> Option<Self> {
        let back = self.back.checked_add(ms)?;
        Some(Self { back, ..self })
    }

    fn ahead(self, ms: i64) -> Option<Self> {
        let ahead = self.ahead.checked_add(ms)?;
        Some(Self { ahead, ..self })
    }
}

#[cfg(test)]
mod tests {
    use promql::parse::{Options, parse_expr};

    use super::*;

    #[test]
    fn everything_that_is_looked_at_is_inside() {
        const M: i64 = 60_000;
        let steps = Steps::range(1_000 * M, 1_100 * M, 10 * M);
        for (text, expected) in [
            ("up", Some((5 * M, 0))),
            ("1 + time()", Some((5 * M, 0))),
            ("rate(x[10m])", Some((15 * M, 0))),
            ("rate(x[10m] offset 1h)", Some((75 * M, 0))),
            ("rate(x[10m] offset -1h)", Some((15 * M, 60 * M))),
            (
                "max_over_time(rate(x[10m])[1h:1m] offset 2m) + y offset 1m",
                Some((78 * M, 0)),
            ),
            ("x @ 5", None),
            ("max_over_time(x[5m] @ end())", None),
            ("max_over_time(x[1h:1m] @ end())", None),
        ] {
            let expr = parse_expr(text, Options::default()).unwrap();
            let range = expected
                .map(|(back, ahead)| TimeRange::closed(1_000 * M - back, 1_100 * M + ahead));
            assert_eq!(reach(&expr, steps, 5 * M), range, "{text}");
        }
    }
}
