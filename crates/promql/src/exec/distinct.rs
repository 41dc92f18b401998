//! Makes sure that no label set has two values at one step.
//!
//! Series become equal when a function drops their names. In a range query, series that became
//! equal are one series if they have no step in common, and an error if they have.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::columns::{Bitmap, StepSeries};
use crate::error::Error;

use super::labels;
use super::{BoxedOperator, Context, Operator};

/// What Prometheus says when two series are one.
pub(crate) const SAME_LABELSET: &str = "vector cannot contain metrics with the same labelset";

/// Remembers the steps of each label set seen.
#[derive(Debug, Default)]
pub(crate) struct StepGuard {
    seen: HashMap<u128, Bitmap>,
    /// Two series with one label set are an error even if they share no step.
    strict: bool,
}

impl StepGuard {
    /// A guard; a strict one refuses equal series even if they share no step.
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            seen: HashMap::new(),
            strict,
        }
    }

    /// Fails when a step of `series` was seen before for its labels.
    pub(crate) fn admit(&mut self, series: &StepSeries) -> Result<(), Error> {
        let present = if self.strict {
            Bitmap::default()
        } else {
            series.column.present()
        };
        match self.seen.entry(labels::hash(&series.labels)) {
            Entry::Vacant(slot) => {
                slot.insert(present);
            }
            Entry::Occupied(slot) if self.strict || slot.get().intersects(&present) => {
                return Err(Error::execution(SAME_LABELSET));
            }
            Entry::Occupied(mut slot) => slot.get_mut().union(&present),
        }
        Ok(())
    }
}

/// Drops metric names, or marks them to be dropped, and guards against equal series.
pub(crate) struct DropName<'q> {
    input: BoxedOperator<'q>,
    guard: Option<StepGuard>,
    ctx: &'q Context<'q>,
}

impl<'q> DropName<'q> {
    /// Guards with `strict` as [`StepGuard::new`] does.
    pub(crate) fn new(input: BoxedOperator<'q>, strict: bool, ctx: &'q Context<'q>) -> Self {
        // Names that are dropped at the end are checked at the end.
        let guard = (!ctx.options.delayed_name_removal).then(|| StepGuard::new(strict));
        Self { input, guard, ctx }
    }
}

impl Operator for DropName<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if !self.input.next(out)? {
            return Ok(false);
        }
        labels::drop_name(out, self.ctx.options.delayed_name_removal);
        if let Some(guard) = &mut self.guard {
            guard.admit(out)?;
        }
        Ok(true)
    }
}
