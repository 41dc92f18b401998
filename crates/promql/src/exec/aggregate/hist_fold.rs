//! Sums and averages of native histograms over series.

use std::sync::Arc;

use model::FloatHistogram;

use crate::annotations::{HistogramOp, Note};
use crate::ast::AggregateOp;
use crate::columns::{Bitmap, Column};
use crate::functions::hist_sum::{HistMean, HistSum, Joined};

use super::Input;

/// The histograms of one group, over steps.
pub(super) struct HistFold {
    op: AggregateOp,
    cells: Vec<Option<Box<Cell>>>,
    /// Steps at which histograms could not be added up.
    impossible: Bitmap,
}

enum Cell {
    Sum(HistSum),
    Mean(HistMean),
}

impl HistFold {
    pub(super) fn new(op: AggregateOp, steps: usize) -> Self {
        let mut cells = Vec::new();
        cells.resize_with(steps, || None);
        Self {
            op,
            cells,
            impossible: Bitmap::zeros(steps),
        }
    }

    /// Takes the histogram of a series called `name` in.
    pub(super) fn add(&mut self, i: usize, h: &Arc<FloatHistogram>, name: &str, input: &Input<'_>) {
        if self.impossible.get(i) {
            return;
        }
        let joined = match &mut self.cells[i] {
            Some(cell) => match &mut **cell {
                Cell::Sum(sum) => sum.add(h),
                Cell::Mean(mean) => mean.add(h),
            },
            empty => {
                *empty = Some(Box::new(match self.op {
                    AggregateOp::Avg => Cell::Mean(HistMean::new(h)),
                    _ => Cell::Sum(HistSum::new(h)),
                }));
                Joined::Plain
            }
        };
        let note = match joined {
            Joined::Plain => return,
            Joined::Reconciled => Note::MismatchedCustomBuckets {
                op: HistogramOp::Aggregation,
            },
            Joined::Impossible => {
                self.impossible.set(i);
                Note::MixedExponentialCustom {
                    name: name.to_owned(),
                }
            }
        };
        input.ctx.notes.add(note, input.node.input_pos);
    }

    /// Puts the results into `column`, which has those of the floats. A step with both has none.
    pub(super) fn finish(self, column: &mut Column, input: &Input<'_>) {
        let note = |note| input.ctx.notes.add(note, input.node.input_pos);
        for (i, cell) in self.cells.into_iter().enumerate() {
            let Some(cell) = cell else { continue };
            if column.valid.get(i) {
                note(Note::MixedFloatsHistogramsAgg);
                column.clear(i);
                continue;
            }
            if self.impossible.get(i) {
                continue;
            }
            let (collides, h) = match *cell {
                Cell::Sum(sum) => (sum.collides(), sum.total()),
                Cell::Mean(mean) => (mean.collides(), mean.mean()),
            };
            if collides {
                note(Note::CounterResetCollision {
                    op: HistogramOp::Aggregation,
                });
            }
            column.set_hist(i, Arc::new(h));
        }
    }
}
