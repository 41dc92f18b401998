//! Aggregations that fold series into groups: sum, avg, min, max, count, group, stddev, stdvar.

use model::kahan;

use crate::annotations::Note;
use crate::ast::AggregateOp;
use crate::columns::{Bitmap, Column, StepSeries};
use crate::error::Error;

use super::hist_fold::HistFold;
use super::{Groups, Input};

pub(super) fn run(mut input: Input<'_>) -> Result<Vec<StepSeries>, Error> {
    let (steps, op) = (input.steps.count, input.node.op);
    let mut groups: Groups<Fold> = Groups::default();
    let mut series = StepSeries::default();
    while input.operator.next(&mut series)? {
        input.ctx.tracker.check()?;
        let known = groups.items.len();
        let (index, group) = groups.of(&series, &input.filter, || Fold::new(op, steps));
        if index == known {
            input
                .ctx
                .tracker
                .acquire(steps as u64, group.state.heap_bytes())?;
        }
        group.state.floats(&series.column);
        if !series.column.hists.is_empty() {
            group.state.hists(&series, &input);
        }
    }
    let mut results = Vec::with_capacity(groups.items.len());
    for group in groups.items {
        input
            .ctx
            .tracker
            .release(steps as u64, group.state.heap_bytes());
        let column = group.state.finish(&input);
        if !column.is_absent() {
            results.push(StepSeries {
                labels: group.labels,
                drop_name: group.drop_name,
                column,
            });
        }
    }
    Ok(results)
}

/// One group: columns over steps.
struct Fold {
    op: AggregateOp,
    /// The sum, the extreme, or the sum of squares; the mean so far where `is_running`.
    values: Vec<f64>,
    /// What rounding lost of the sum; the mean of a variance.
    extra: Vec<f64>,
    /// Number of values, where the operation needs it.
    counts: Vec<f64>,
    /// Steps with a value.
    seen: Bitmap,
    /// Steps at which an average would overflow as a sum, so that it is a running mean.
    is_running: Bitmap,
    hists: Option<Box<HistFold>>,
}

impl Fold {
    fn new(op: AggregateOp, steps: usize) -> Self {
        let column = |wanted: bool, v: f64| if wanted { vec![v; steps] } else { Vec::new() };
        use AggregateOp as A;
        // Negative zero is what every float can be added to without a change.
        let first = if op == A::Sum || op == A::Avg {
            -0.0
        } else {
            0.0
        };
        Self {
            op,
            values: column(op != A::Count, first),
            extra: column(matches!(op, A::Sum | A::Avg | A::Stddev | A::Stdvar), 0.0),
            counts: column(matches!(op, A::Count | A::Avg | A::Stddev | A::Stdvar), 0.0),
            seen: Bitmap::zeros(steps),
            is_running: Bitmap::zeros(if op == A::Avg { steps } else { 0 }),
            hists: None,
        }
    }

    fn heap_bytes(&self) -> u64 {
        let columns = self.values.capacity() + self.extra.capacity() + self.counts.capacity();
        (columns * 8 + self.seen.heap_bytes() * 2) as u64
    }

    /// Folds the floats of a series in.
    fn floats(&mut self, column: &Column) {
        if self.op == AggregateOp::Sum && column.valid.all() {
            for ((sum, lost), &v) in self
                .values
                .iter_mut()
                .zip(&mut self.extra)
                .zip(&column.floats)
            {
                (*sum, *lost) = kahan::add(v, *sum, *lost);
            }
            self.seen.fill(column.len());
            return;
        }
        for i in column.valid.ones() {
            let v = column.floats[i];
            let is_first = !self.seen.get(i);
            self.fold(i, v, is_first);
        }
        self.seen.union(&column.valid);
    }

    #[inline]
    fn fold(&mut self, i: usize, v: f64, is_first: bool) {
        match self.op {
            AggregateOp::Sum => {
                (self.values[i], self.extra[i]) = kahan::add(v, self.values[i], self.extra[i]);
            }
            AggregateOp::Avg => self.fold_avg(i, v),
            AggregateOp::Count => self.counts[i] += 1.0,
            AggregateOp::Min => {
                if is_first || self.values[i].is_nan() || v < self.values[i] {
                    self.values[i] = v;
                }
            }
            AggregateOp::Max => {
                if is_first || self.values[i].is_nan() || v > self.values[i] {
                    self.values[i] = v;
                }
            }
            AggregateOp::Stddev | AggregateOp::Stdvar if is_first => {
                self.counts[i] = 1.0;
                self.extra[i] = v;
                self.values[i] = if v.is_finite() { 0.0 } else { f64::NAN };
            }
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                self.counts[i] += 1.0;
                let delta = v - self.extra[i];
                self.extra[i] += delta / self.counts[i];
                self.values[i] += delta * (v - self.extra[i]);
            }
            _ => self.values[i] = 1.0,
        }
    }

    fn fold_avg(&mut self, i: usize, v: f64) {
        self.counts[i] += 1.0;
        let count = self.counts[i];
        if !self.is_running.get(i) {
            let (sum, lost) = kahan::add(v, self.values[i], self.extra[i]);
            if count == 1.0 || !sum.is_infinite() {
                (self.values[i], self.extra[i]) = (sum, lost);
                return;
            }
            self.is_running.set(i);
            self.values[i] /= count - 1.0;
            self.extra[i] /= count - 1.0;
        }
        let share = (count - 1.0) / count;
        (self.values[i], self.extra[i]) =
            kahan::add(v / count, share * self.values[i], share * self.extra[i]);
    }

    /// Folds the histograms of a series in.
    fn hists(&mut self, series: &StepSeries, input: &Input<'_>) {
        let op = self.op;
        for (i, h) in series.column.hists.iter().enumerate() {
            let Some(h) = h else { continue };
            match op {
                AggregateOp::Sum | AggregateOp::Avg => {
                    let fold = self
                        .hists
                        .get_or_insert_with(|| Box::new(HistFold::new(op, series.column.len())));
                    fold.add(i, h, series.labels.metric_name(), input);
                }
                AggregateOp::Count => {
                    self.counts[i] += 1.0;
                    self.seen.set(i);
                }
                AggregateOp::Group => {
                    self.values[i] = 1.0;
                    self.seen.set(i);
                }
                _ => {
                    let note = Note::IgnoredInAggregation { op: op.as_str() };
                    input.ctx.notes.add(note, input.node.input_pos);
                }
            }
        }
    }

    fn finish(mut self, input: &Input<'_>) -> Column {
        for i in self.seen.ones() {
            let (value, extra) = (self.values.get(i), self.extra.get(i));
            let (value, extra) = (value.copied().unwrap_or(0.0), extra.copied().unwrap_or(0.0));
            let result = match self.op {
                AggregateOp::Sum => value + extra,
                AggregateOp::Avg if self.is_running.get(i) => value + extra,
                AggregateOp::Avg => value / self.counts[i] + extra / self.counts[i],
                AggregateOp::Stdvar => value / self.counts[i],
                AggregateOp::Stddev => (value / self.counts[i]).sqrt(),
                _ => continue,
            };
            self.values[i] = result;
        }
        let floats = if self.op == AggregateOp::Count {
            self.counts
        } else {
            self.values
        };
        let mut column = Column {
            floats,
            valid: self.seen,
            hists: Vec::new(),
        };
        if let Some(hists) = self.hists {
            hists.finish(&mut column, input);
        }
        column
    }
}
