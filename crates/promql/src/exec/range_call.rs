//! Functions of range vectors.

use crate::annotations::Note;
use crate::ast::{FunctionId, PosRange};
use crate::columns::{StepSeries, Steps, hist_weight};
use crate::error::Error;
use crate::functions::range::{Remarks, Windowed, Windows, evaluate};
use crate::plan::{RangeNode, ScalarNode, VectorNode};

use super::distinct::DropName;
use super::{
    BoxedOperator, Context, Operator, RangeSeries, RangeSource, ScalarColumn, eval_scalar,
    range_source,
};

/// The operator of a [`VectorNode::RangeCall`].
pub(crate) fn build<'q>(
    node: &'q VectorNode,
    steps: Steps,
    ctx: &'q Context<'q>,
) -> Result<BoxedOperator<'q>, Error> {
    let VectorNode::RangeCall {
        func,
        args,
        input,
        note_pos,
    } = node
    else {
        return Err(Error::execution("not a call of a range function"));
    };
    let call = RangeCall {
        func: *func,
        args: eval_args(args, steps, ctx)?,
        source: range_source(input, steps, ctx)?,
        node: input,
        note_pos: *note_pos,
        windows: Windows::new(input, steps, ctx.options.lookback_ms),
        series: RangeSeries::default(),
        ctx,
    };
    Ok(match func {
        FunctionId::LastOverTime | FunctionId::FirstOverTime | FunctionId::AbsentOverTime => {
            Box::new(call)
        }
        _ => Box::new(DropName::new(Box::new(call), true, ctx)),
    })
}

fn eval_args(
    args: &[ScalarNode],
    steps: Steps,
    ctx: &Context<'_>,
) -> Result<Vec<ScalarColumn>, Error> {
    args.iter().map(|a| eval_scalar(a, steps, ctx)).collect()
}

struct RangeCall<'q> {
    func: FunctionId,
    args: Vec<ScalarColumn>,
    source: Box<dyn RangeSource + 'q>,
    node: &'q RangeNode,
    note_pos: PosRange,
    windows: Windows,
    series: RangeSeries,
    ctx: &'q Context<'q>,
}

impl Operator for RangeCall<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        while self.source.next(&mut self.series)? {
            out.column.reset(self.windows.count());
            self.windows.fit(&self.series.samples);
            self.record();
            let remarks = Remarks {
                notes: &self.ctx.notes,
                name: self.series.labels.metric_name(),
                pos: self.note_pos,
            };
            let input = Windowed {
                samples: &self.series.samples,
                windows: &self.windows,
            };
            evaluate(self.func, &input, &self.args, &mut out.column, &remarks)?;
            if !out.column.is_absent() {
                self.suspect_counter(out);
                out.labels = std::mem::take(&mut self.series.labels);
                out.drop_name = self.series.drop_name;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl RangeCall<'_> {
    /// Counts the samples that the windows look at.
    fn record(&self) {
        let hists = &self.series.samples.hists;
        let size = |i| {
            let h = self
                .windows
                .hists(i)
                .map(|k| hist_weight(&hists[k]))
                .sum::<u64>();
            self.windows.floats(i).len() as u64 + h
        };
        let count = self.windows.count();
        self.ctx.stats.add_samples((0..count).map(size).sum());
        if self.ctx.stats.wants_steps() {
            self.ctx.stats.add_steps((0..count).map(size));
        }
    }

    /// Remarks on rates of what does not look like a counter.
    fn suspect_counter(&self, out: &StepSeries) {
        let is_rate = matches!(self.func, FunctionId::Rate | FunctionId::Increase);
        let name = self.series.labels.metric_name();
        if !is_rate || name.is_empty() || !out.column.valid.any() {
            return;
        }
        let name = name.to_owned();
        let pos = self.node.pos();
        if self.ctx.options.type_and_unit_labels {
            let kind = self.series.labels.get("__type__").unwrap_or_default();
            if !matches!(kind, "" | "unknown" | "counter" | "histogram") {
                let kind = kind.to_owned();
                self.ctx
                    .notes
                    .add(Note::PossibleNonCounterLabel { name, kind }, pos);
                return;
            }
            if matches!(kind, "counter" | "histogram") {
                return;
            }
        }
        let suffixes = ["_total", "_sum", "_count", "_bucket"];
        if !suffixes.iter().any(|s| name.ends_with(s)) {
            self.ctx.notes.add(Note::PossibleNonCounter { name }, pos);
        }
    }
}
