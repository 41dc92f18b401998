//! Subqueries: an expression evaluated at steps of its own, its values taken for samples.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use crate::columns::{StepSeries, Steps};
use crate::error::Error;
use crate::plan::SubqueryNode;

use super::{BoxedOperator, Context, Merged, RangeSeries, RangeSource, vector};

/// Turns series over steps into series of samples.
pub(crate) struct Subquery<'q> {
    input: BoxedOperator<'q>,
    steps: Steps,
    series: StepSeries,
    ctx: &'q Context<'q>,
}

impl<'q> Subquery<'q> {
    /// The subquery with the samples that the windows of `steps` look at.
    pub(crate) fn new(
        node: &'q SubqueryNode,
        steps: Steps,
        ctx: &'q Context<'q>,
    ) -> Result<Self, Error> {
        let steps = node.inner_steps(steps);
        if steps.count > ctx.options.limits.subquery_steps_max {
            return Err(Error::TooManySteps {
                limit: ctx.options.limits.subquery_steps_max,
            });
        }
        // Fail before a column of so many steps is made, not after.
        let column_bytes = steps.count as u64 * 8;
        ctx.tracker.acquire(0, column_bytes)?;
        ctx.tracker.release(0, column_bytes);
        // Windows look at whole series.
        let input = Box::new(Merged::new(vector(&node.input, steps, ctx)?, ctx));
        Ok(Self {
            input,
            steps,
            series: StepSeries::default(),
            ctx,
        })
    }
}

impl RangeSource for Subquery<'_> {
    fn next(&mut self, out: &mut RangeSeries) -> Result<bool, Error> {
        if self.steps.count == 0 {
            return Ok(false);
        }
        self.ctx.tracker.check()?;
        if !self.input.next(&mut self.series)? {
            return Ok(false);
        }
        out.labels = std::mem::take(&mut self.series.labels);
        out.drop_name = self.series.drop_name;
        out.samples.clear();
        let column = &self.series.column;
        for i in column.valid.ones() {
            out.samples
                .push_float(self.steps.at(i), column.floats[i], 0);
        }
        for (i, h) in column.hists.iter().enumerate() {
            if let Some(h) = h {
                out.samples.push_hist(self.steps.at(i), forget_resets(h), 0);
            }
        }
        Ok(true)
    }
}

/// The subquery may leave samples out and show others twice, so hints about the sample before
/// would mislead; resets are then found by comparing, as those of floats are.
fn forget_resets(h: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match h.counter_reset_hint {
        CounterResetHint::Unknown | CounterResetHint::Gauge => Arc::clone(h),
        CounterResetHint::Reset | CounterResetHint::NotReset => {
            let mut h = FloatHistogram::clone(h);
            h.counter_reset_hint = CounterResetHint::Unknown;
            Arc::new(h)
        }
    }
}
