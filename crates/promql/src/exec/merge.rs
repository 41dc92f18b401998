//! Puts fragments of series together.

use model::Labels;

use crate::columns::{StepSeries, StepValue};
use crate::error::Error;
use crate::value::MatrixSeries;

use super::distinct::SAME_LABELSET;
use super::{BoxedOperator, Context, Held, InOrder, Operator, labels};

/// Whole series, in the order in which their first fragments came. Reads all of its input before
/// it yields the first.
pub(crate) struct Merged<'q> {
    input: Option<BoxedOperator<'q>>,
    series: Kept<'q>,
}

impl<'q> Merged<'q> {
    pub(crate) fn new(input: BoxedOperator<'q>, ctx: &'q Context<'q>) -> Self {
        Self {
            input: Some(input),
            series: Kept::new(Vec::new(), ctx),
        }
    }
}

impl Operator for Merged<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if let Some(input) = self.input.take() {
            self.series = Kept::new(collect(input, self.series.ctx)?, self.series.ctx);
        }
        Ok(self.series.pop(out))
    }
}

/// Series that are accounted for and wait to be asked for.
pub(crate) struct Kept<'q> {
    series: std::vec::IntoIter<StepSeries>,
    ctx: &'q Context<'q>,
}

impl<'q> Kept<'q> {
    pub(crate) fn new(series: Vec<StepSeries>, ctx: &'q Context<'q>) -> Self {
        let series = series.into_iter();
        Self { series, ctx }
    }

    /// Moves the next series into `out`, which accounts for it from then on; false when there is none.
    pub(crate) fn pop(&mut self, out: &mut StepSeries) -> bool {
        let Some(series) = self.series.next() else {
            return false;
        };
        release(&series, self.ctx);
        *out = series;
        true
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if self.series.len() > 0 {
            let series = std::mem::take(&mut self.series);
            self.ctx.executor.discard(Box::new(series));
        }
    }
}

/// Reads all series of `input`, fragments put together; accounts for their memory.
pub(crate) fn collect(
    input: BoxedOperator<'_>,
    ctx: &Context<'_>,
) -> Result<Vec<StepSeries>, Error> {
    collect_as(input, ctx, |series| {
        acquire(series, ctx)?;
        Ok(std::mem::take(series))
    })
}

/// As [`collect`], each series that has values in the form that `keep` gives it, which accounts for
/// it.
pub(crate) fn collect_as<F: Fragment>(
    mut input: BoxedOperator<'_>,
    ctx: &Context<'_>,
    keep: impl Fn(&mut StepSeries) -> Result<F, Error>,
) -> Result<Vec<F>, Error> {
    let mut whole = Held::new(InOrder::default(), ctx);
    let mut series = StepSeries::default();
    while input.next(&mut series)? {
        ctx.tracker.check()?;
        if !series.column.is_absent() {
            let kept: F = keep(&mut series)?;
            if let Err((first, rest)) = whole.insert(labels::hash(kept.labels()), kept)
                && !first.join(rest)
            {
                return Err(Error::execution(SAME_LABELSET));
            }
        }
    }
    Ok(whole.into_inner().items)
}

/// Accounts for a series that is kept.
pub(crate) fn acquire(series: &StepSeries, ctx: &Context<'_>) -> Result<(), Error> {
    let bytes = series.column.heap_bytes() + series.labels.heap_bytes();
    ctx.tracker
        .acquire(series.column.sample_count(), bytes as u64)
}

/// Accounts for a series that is let go.
pub(crate) fn release(series: &StepSeries, ctx: &Context<'_>) {
    let bytes = series.column.heap_bytes() + series.labels.heap_bytes();
    ctx.tracker
        .release(series.column.sample_count(), bytes as u64);
}

/// A series, or a part of one that has no step in common with the others.
pub(crate) trait Fragment: Send + 'static {
    /// What tells to which series it belongs.
    fn labels(&self) -> &Labels;

    /// Takes over what `other` has; false when they have a step in common.
    #[must_use]
    fn join(&mut self, other: Self) -> bool;
}

impl Fragment for StepSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn join(&mut self, other: Self) -> bool {
        let is_disjoint = !self.column.present().intersects(&other.column.present());
        if is_disjoint {
            self.column.merge(&other.column);
        }
        is_disjoint
    }
}

impl Fragment for MatrixSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn join(&mut self, other: Self) -> bool {
        self.points.merge(&other.points)
    }
}

/// At the one step of an instant query.
impl Fragment for (Labels, StepValue) {
    fn labels(&self) -> &Labels {
        &self.0
    }

    fn join(&mut self, _: Self) -> bool {
        false
    }
}
