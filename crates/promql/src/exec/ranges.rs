//! Range vectors: series with all the samples that the windows of a range function may look at.

use model::{Labels, TimeRange};

use crate::ast::RangeExtension;
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
    let range = samples_range(node, steps, ctx.options.lookback_ms);
    Ok(match node {
        RangeNode::Matrix { selector, .. } => Box::new(MatrixScan {
            selector,
            range,
            ctx,
            set: None,
        }),
        RangeNode::Subquery(s) => Box::new(subquery::Subquery::new(s, range, ctx)?),
    })
}

/// The range that holds every sample that a window may need.
pub(crate) fn samples_range(node: &RangeNode, steps: Steps, lookback: i64) -> TimeRange {
    let (behind, ahead) = match node {
        RangeNode::Matrix { selector, .. } => match selector.extension {
            None => (0, 0),
            Some(RangeExtension::Anchored) => (lookback, 0),
            Some(RangeExtension::Smoothed) => (lookback, lookback),
        },
        RangeNode::Subquery(_) => (0, 0),
    };
    let first = node.reference(steps.start).saturating_sub(node.range_ms());
    TimeRange::closed(
        first.saturating_sub(behind).saturating_add(1),
        node.reference(steps.end()).saturating_add(ahead),
    )
}

/// Reads the series of a range selector.
struct MatrixScan<'q> {
    selector: &'q Selector,
    range: TimeRange,
    ctx: &'q Context<'q>,
    set: Option<Box<dyn SeriesSet>>,
}

impl RangeSource for MatrixScan<'_> {
    fn next(&mut self, out: &mut RangeSeries) -> Result<bool, Error> {
        let set = match &mut self.set {
            Some(set) => set,
            None => self
                .set
                .insert(select(self.selector, self.range, self.ctx)?),
        };
        loop {
            self.ctx.tracker.check()?;
            let Some(mut series) = set.next()? else {
                finish(&mut **set, self.ctx);
                return Ok(false);
            };
            self.ctx.stats.add_series();
            if read(self.selector, self.range, &mut *series, out)? {
                return Ok(true);
            }
        }
    }
}

/// Reads the samples of `series` in `range` into `out`; false when there are none.
pub(crate) fn read(
    selector: &Selector,
    range: TimeRange,
    series: &mut dyn Series,
    out: &mut RangeSeries,
) -> Result<bool, Error> {
    out.samples.clear();
    series.read(range, &mut out.samples)?;
    if !selector.hints.start_timestamps {
        out.samples.drop_starts();
    }
    out.samples.drop_stale();
    if selector.hints.histogram_stats {
        out.samples.resolve_resets();
    }
    if out.samples.is_empty() {
        return Ok(false);
    }
    out.labels = series.labels().clone();
    out.drop_name = false;
    Ok(true)
}
