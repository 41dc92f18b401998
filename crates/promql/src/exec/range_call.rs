//! Functions of range vectors.

use model::Labels;

use crate::annotations::Note;
use crate::ast::{FunctionId, PosRange};
use crate::columns::{StepSeries, Steps, hist_weight};
use crate::error::Error;
use crate::functions::range::{Remarks, Windowed, Windows, evaluate};
use crate::limits::Pace;
use crate::plan::{RangeNode, ScalarNode, Selector, VectorNode};

use super::batch::{Batches, Work};
use super::distinct::{DropName, Names};
use super::ranges::read;
use super::scan::select;
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
    let evaluator = Evaluator {
        func: *func,
        args: eval_args(args, steps, ctx)?,
        node: input,
        note_pos: *note_pos,
        ctx,
    };
    let job = move || Job {
        series: RangeSeries::default(),
        windows: Windows::new(input, steps, ctx.options.lookback_ms),
    };
    let feed = match &**input {
        RangeNode::Matrix { selector, .. } => {
            let set = select(selector, ctx)?;
            Feed::Selector {
                selector,
                batches: Batches::new(set, job, ctx),
            }
        }
        RangeNode::Subquery(_) => Feed::Subquery {
            source: range_source(input, steps, ctx)?,
            job: Box::new(job()),
        },
    };
    let call = Box::new(RangeCall { evaluator, feed });
    Ok(match keeps_name(*func) {
        true => call,
        false => Box::new(DropName::new(call, Names::of_range(input), true, ctx)),
    })
}

/// True for functions whose results are samples as they were, or are not seen, and for one of the
/// Lookout dialect.
pub(crate) const fn keeps_name(func: FunctionId) -> bool {
    matches!(
        func,
        FunctionId::LastOverTime
            | FunctionId::FirstOverTime
            | FunctionId::AbsentOverTime
            | FunctionId::Sum2OverTime
    )
}

fn eval_args(
    args: &[ScalarNode],
    steps: Steps,
    ctx: &Context<'_>,
) -> Result<Vec<ScalarColumn>, Error> {
    args.iter().map(|a| eval_scalar(a, steps, ctx)).collect()
}

struct RangeCall<'q> {
    evaluator: Evaluator<'q>,
    feed: Feed<'q>,
}

/// Where the samples come from.
enum Feed<'q> {
    Selector {
        selector: &'q Selector,
        batches: Batches<'q, Job>,
    },
    Subquery {
        source: Box<dyn RangeSource + 'q>,
        job: Box<Job>,
    },
}

/// The memory that the evaluation of one series works in.
struct Job {
    series: RangeSeries,
    windows: Windows,
}

impl Work for Job {
    fn heap_bytes(&self) -> usize {
        self.series.samples.heap_bytes() + self.windows.heap_bytes()
    }
}

/// What the evaluations of all series share.
struct Evaluator<'q> {
    func: FunctionId,
    args: Vec<ScalarColumn>,
    node: &'q RangeNode,
    note_pos: PosRange,
    ctx: &'q Context<'q>,
}

impl Operator for RangeCall<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        let evaluator = &self.evaluator;
        match &mut self.feed {
            Feed::Selector { selector, batches } => batches.next(out, &|job, series, out| {
                Ok(read(selector, series, &mut job.series)? && evaluator.evaluate(job, out)?)
            }),
            Feed::Subquery { source, job } => {
                while source.next(&mut job.series)? {
                    if evaluator.evaluate(job, out)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

impl Evaluator<'_> {
    /// Evaluates the series of `job` at all steps; false when no step has a value.
    fn evaluate(&self, job: &mut Job, out: &mut StepSeries) -> Result<bool, Error> {
        let Job { series, windows } = job;
        out.column.reset(windows.count());
        windows.fit(&series.samples);
        self.record(series, windows);
        let remarks = Remarks {
            notes: &self.ctx.notes,
            name: series.labels.metric_name(),
            pos: self.note_pos,
        };
        let pace = Pace::new(&self.ctx.tracker);
        let input = Windowed {
            samples: &series.samples,
            windows,
            pace: &pace,
        };
        evaluate(self.func, &input, &self.args, &mut out.column, &remarks)?;
        if out.column.is_absent() {
            return Ok(false);
        }
        self.suspect_counter(&series.labels, out);
        out.labels = std::mem::take(&mut series.labels);
        out.drop_name = series.drop_name;
        Ok(true)
    }

    /// Counts the samples that the windows look at.
    fn record(&self, series: &RangeSeries, windows: &Windows) {
        let hists = &series.samples.hists;
        let size = |i| {
            let weights = windows.hists(i).map(|k| hist_weight(&hists[k]));
            windows.floats(i).len() as u64 + weights.sum::<u64>()
        };
        let steps = 0..windows.count();
        self.ctx.stats.add_samples(if hists.is_empty() {
            windows.float_count()
        } else {
            steps.clone().map(size).sum()
        });
        if self.ctx.stats.wants_steps() {
            self.ctx.stats.add_steps(steps.map(size));
        }
    }

    /// Remarks on rates of what does not look like a counter.
    fn suspect_counter(&self, labels: &Labels, out: &StepSeries) {
        let is_rate = matches!(self.func, FunctionId::Rate | FunctionId::Increase);
        let name = labels.metric_name();
        if !is_rate || name.is_empty() || !out.column.valid.any() {
            return;
        }
        let name = name.to_owned();
        let pos = self.node.pos();
        if self.ctx.options.type_and_unit_labels {
            let kind = labels.get("__type__").unwrap_or_default();
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
