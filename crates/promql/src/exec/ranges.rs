//! Range vectors: series with all the samples that the windows of a range function may look at.

use model::Labels;

use crate::columns::{Samples, Steps};
use crate::error::Error;
use crate::plan::{RangeNode, Selector};
use crate::source::{Series, SeriesSet};

use super::scan::{finish, select};
use super::{Context, subquery};

/// One series of a range vector, stale markers left out.
#[derive(Debug, Clone, Default)]
pub(crate) struct RangeSeries {
    pub(crate) labels: Labels,
    pub(crate) drop_name: bool,
    pub(crate) samples: Samples,
}

/// Yields the series of a range vector, one at a time.
pub(crate) trait RangeSource {
    /// Replaces `out` by the next series; false when there is none.
    fn next(&mut self, out: &mut RangeSeries) -> Result<bool, Error>;
}

/// The series of `node`, with the samples for all of `steps`.
pub(crate) fn range_source<'q>(
    node: &'q RangeNode,
    steps: Steps,
    ctx: &'q Context<'q>,
) -> Result<Box<dyn RangeSource + 'q>, Error> {
    Ok(match node {
        RangeNode::Matrix { selector, .. } => Box::new(MatrixScan {
            selector,
            ctx,
            set: None,
        }),
        RangeNode::Subquery(s) => Box::new(subquery::Subquery::new(s, steps, ctx)?),
    })
}

/// Reads the series of a range selector.
struct MatrixScan<'q> {
    selector: &'q Selector,
    ctx: &'q Context<'q>,
    set: Option<Box<dyn SeriesSet>>,
}

impl RangeSource for MatrixScan<'_> {
    fn next(&mut self, out: &mut RangeSeries) -> Result<bool, Error> {
        let set = match &mut self.set {
            Some(set) => set,
            None => self.set.insert(select(self.selector, self.ctx)?),
        };
        loop {
            self.ctx.tracker.check()?;
            let next = set.next().map_err(|e| self.ctx.tracker.failed(e));
            let Some(mut series) = next? else {
                finish(&mut **set, self.ctx);
                return Ok(false);
            };
            self.ctx.stats.add_series();
            if read(self.selector, &mut *series, out)? {
                return Ok(true);
            }
        }
    }
}

/// Reads the samples of `series` into `out`; false when there are none.
pub(crate) fn read(
    selector: &Selector,
    series: &mut dyn Series,
    out: &mut RangeSeries,
) -> Result<bool, Error> {
    out.samples.clear();
    series.read(selector.range, &mut out.samples)?;
    if !selector.hints.start_timestamps {
        out.samples.drop_starts();
    }
    out.samples.drop_stale();
    if selector.hints.histogram_stats {
        out.samples.reduce_to_stats();
    }
    if out.samples.is_empty() {
        return Ok(false);
    }
    out.labels = series.take_labels();
    out.drop_name = false;
    Ok(true)
}
