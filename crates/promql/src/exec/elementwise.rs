//! Functions of each value by itself.

use std::sync::Arc;

use model::FloatHistogram;

use crate::ast::FunctionId as F;
use crate::columns::{Column, StepSeries, Steps};
use crate::error::Error;
use crate::functions::{hist_stats, math};
use crate::plan::ScalarNode;

use super::distinct::{DropName, Names};
use super::{BoxedOperator, Context, Operator, ScalarColumn, eval_scalar};

/// Changes the column of each series.
struct Elementwise<'q, C> {
    input: BoxedOperator<'q>,
    change: C,
    ctx: &'q Context<'q>,
}

impl<C: FnMut(&mut Column)> Operator for Elementwise<'_, C> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        while self.input.next(out)? {
            self.ctx.tracker.check()?;
            (self.change)(&mut out.column);
            if !out.column.is_absent() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// An operator that changes columns and drops names.
fn changed<'q>(
    (input, names): (BoxedOperator<'q>, Names),
    steps: Steps,
    ctx: &'q Context<'q>,
    change: impl FnMut(&mut Column) + 'q,
) -> BoxedOperator<'q> {
    let changed = Box::new(Elementwise { input, change, ctx });
    Box::new(DropName::new(changed, names, steps.count == 1, ctx))
}

/// Replaces floats, and drops histograms, which functions of floats do not see.
fn map_floats(column: &mut Column, f: impl Fn(usize, f64) -> f64) {
    column.drop_hists();
    if column.valid.all() {
        for (i, v) in column.floats.iter_mut().enumerate() {
            *v = f(i, *v);
        }
    } else {
        for i in column.valid.ones() {
            column.floats[i] = f(i, column.floats[i]);
        }
    }
}

/// Replaces histograms by floats, and drops floats.
fn map_hists(column: &mut Column, f: impl Fn(&FloatHistogram) -> f64) {
    let hists = std::mem::take(&mut column.hists);
    column.valid.reset(column.floats.len());
    for (i, h) in hists.iter().enumerate() {
        if let Some(h) = h {
            column.set_float(i, f(h));
        }
    }
}

/// The operator of `func` over `input`, of whose names that is known.
pub(crate) fn build<'q>(
    func: F,
    args: &'q [ScalarNode],
    input: (BoxedOperator<'q>, Names),
    steps: Steps,
    ctx: &'q Context<'q>,
) -> Result<BoxedOperator<'q>, Error> {
    if let Some(f) = math::unary(func) {
        return Ok(changed(input, steps, ctx, move |c| {
            map_floats(c, |_, v| f(v))
        }));
    }
    if let Some(f) = hist_stats::unary(func) {
        return Ok(changed(input, steps, ctx, move |c| map_hists(c, f)));
    }
    // The optional argument of round is 1.
    let mut args = args.iter().map(|a| eval_scalar(a, steps, ctx));
    let mut arg = || args.next().unwrap_or(Ok(ScalarColumn::Constant(1.0)));
    Ok(match func {
        F::Round => {
            let nearest = arg()?;
            changed(input, steps, ctx, move |c| {
                map_floats(c, |i, v| math::round(v, nearest.at(i)));
            })
        }
        F::ClampMin => {
            let min = arg()?;
            changed(input, steps, ctx, move |c| {
                map_floats(c, |i, v| math::max(min.at(i), v))
            })
        }
        F::ClampMax => {
            let max = arg()?;
            changed(input, steps, ctx, move |c| {
                map_floats(c, |i, v| math::min(max.at(i), v))
            })
        }
        F::Clamp => {
            let (min, max) = (arg()?, arg()?);
            changed(input, steps, ctx, move |c| {
                map_floats(c, |i, v| math::max(min.at(i), math::min(max.at(i), v)));
                for i in 0..c.len() {
                    if max.at(i) < min.at(i) {
                        c.clear(i);
                    }
                }
            })
        }
        F::Timestamp => changed(input, steps, ctx, move |c| {
            let present = c.present();
            c.drop_hists();
            for i in present.ones() {
                c.set_float(i, steps.at(i) as f64 / 1000.0);
            }
        }),
        // Only selectors know start timestamps.
        F::StartTimestamp => changed(input, steps, ctx, move |c| c.reset(steps.count)),
        _ => return Err(Error::execution("not a function of single values")),
    })
}

/// The operator of a minus sign before `input`, of whose names that is known.
pub(crate) fn negate<'q>(
    (input, names): (BoxedOperator<'q>, Names),
    ctx: &'q Context<'q>,
) -> BoxedOperator<'q> {
    let change = |column: &mut Column| {
        for v in &mut column.floats {
            *v = -*v;
        }
        for h in column.hists.iter_mut().flatten() {
            let mut negative = FloatHistogram::clone(h);
            negative.mul(-1.0);
            *h = Arc::new(negative);
        }
    };
    let negated = Box::new(Elementwise { input, change, ctx });
    Box::new(DropName::new(negated, names, false, ctx))
}
