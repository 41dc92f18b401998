//! Puts fragments of series together.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::columns::StepSeries;
use crate::error::Error;

use super::distinct::SAME_LABELSET;
use super::{BoxedOperator, Context, Operator, labels};

/// Whole series, in the order in which their first fragments came. Reads all of its input before
/// it yields the first.
pub(crate) struct Merged<'q> {
    input: Option<BoxedOperator<'q>>,
    series: std::vec::IntoIter<StepSeries>,
    ctx: &'q Context<'q>,
}

impl<'q> Merged<'q> {
    pub(crate) fn new(input: BoxedOperator<'q>, ctx: &'q Context<'q>) -> Self {
        Self {
            input: Some(input),
            series: Vec::new().into_iter(),
            ctx,
        }
    }
}

impl Operator for Merged<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if let Some(input) = self.input.take() {
            self.series = collect(input, self.ctx)?.into_iter();
        }
        let Some(series) = self.series.next() else {
            return Ok(false);
        };
        release(&series, self.ctx);
        *out = series;
        Ok(true)
    }
}

/// Reads all series of `input`, fragments put together; accounts for their memory.
pub(crate) fn collect(
    mut input: BoxedOperator<'_>,
    ctx: &Context<'_>,
) -> Result<Vec<StepSeries>, Error> {
    let mut merge = MergeSet::default();
    let mut series = StepSeries::default();
    while input.next(&mut series)? {
        ctx.tracker.check()?;
        if !series.column.is_absent() {
            acquire(&series, ctx)?;
            merge.add(std::mem::take(&mut series))?;
        }
    }
    Ok(merge.series)
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
