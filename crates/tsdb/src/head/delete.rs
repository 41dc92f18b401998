//! Deleting samples of the head: they are hidden until their block is cut, which leaves them out.

use std::sync::Arc;

use model::{Matcher, TimeRange};

use super::Head;
use crate::batch::{CommitPoint, WriteError};
use crate::block::Interval;
use crate::wal::RefTombstone;

impl Head {
    /// Deletes the samples in `range` that the head has of the series that all matchers accept.
    /// Samples that come later are not deleted. Returns how far the logs must be durable for it to
    /// be.
    ///
    /// # Errors
    /// As [`Head::append`].
    pub fn delete(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<CommitPoint, WriteError> {
        let mut logs = self.logs()?.lock()?;
        let mut stones = Vec::new();
        for entry in self.index.select(matchers) {
            let state = entry.state.lock();
            let Some(covered) = state.samples.time_range() else {
                continue;
            };
            let both = covered.intersect(range);
            if !both.is_empty() && !state.is_dropped {
                stones.push(RefTombstone {
                    series: entry.series.0,
                    min: both.min,
                    max: both.max - 1,
                });
            }
        }
        logs.wal_rows.tombstones(&stones);
        let at = logs.write()?;
        let mut deleted = self.deleted.write();
        for RefTombstone { series, min, max } in stones {
            let intervals = deleted.entry(crate::batch::SeriesRef(series)).or_default();
            Arc::make_mut(intervals).add(Interval { min, max });
        }
        Ok(at)
    }
}
