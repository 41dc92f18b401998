//! Puts fragments of series together.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::columns::StepSeries;
use crate::error::Error;

use super::distinct::SAME_LABELSET;
use super::{BoxedOperator, Context, Held, Operator, labels};

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
    collect_changed(input, ctx, |_| ())
}

/// As [`collect`], with each series changed by `change` first.
pub(crate) fn collect_changed(
    mut input: BoxedOperator<'_>,
    ctx: &Context<'_>,
    change: impl Fn(&mut StepSeries),
) -> Result<Vec<StepSeries>, Error> {
    let mut merge = Held::new(MergeSet::default(), ctx);
    let mut series = StepSeries::default();
    while input.next(&mut series)? {
        ctx.tracker.check()?;
        if !series.column.is_absent() {
            change(&mut series);
            acquire(&series, ctx)?;
            merge.add(std::mem::take(&mut series))?;
        }
    }
    Ok(merge.into_inner().series)
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

/// Series by label set.
#[derive(Default)]
pub(crate) struct MergeSet {
    by_labels: HashMap<u128, usize>,
    pub(crate) series: Vec<StepSeries>,
}

impl MergeSet {
    /// Adds a series or a fragment of one.
    pub(crate) fn add(&mut self, series: StepSeries) -> Result<(), Error> {
        match self.by_labels.entry(labels::hash(&series.labels)) {
            Entry::Vacant(slot) => {
                slot.insert(self.series.len());
                self.series.push(series);
            }
            Entry::Occupied(slot) => {
                let whole = &mut self.series[*slot.get()];
                if whole.column.present().intersects(&series.column.present()) {
                    return Err(Error::execution(SAME_LABELSET));
                }
                whole.column.merge(&series.column);
            }
        }
        Ok(())
    }
}
