//! `quantile`: needs all values of a group at a step at once.

use crate::annotations::Note;
use crate::columns::{Column, StepSeries};
use crate::error::Error;
use crate::exec::{Held, ScalarColumn};
use crate::functions::quantile::quantile;
use crate::limits::{Holding, Pace};

use super::{Groups, Input};

pub(super) fn run(mut input: Input<'_>, q: &ScalarColumn) -> Result<Vec<StepSeries>, Error> {
    for i in 0..input.steps.count {
        let got = q.at(i);
        if !(0.0..=1.0).contains(&got) {
            input
                .ctx
                .notes
                .add(Note::InvalidQuantile { got }, input.node.param_pos);
        }
    }
    let mut groups = Held::new(Groups::<Vec<Column>>::default(), input.ctx);
    let mut series = StepSeries::default();
    let mut held = Holding::new(&input.ctx.tracker);
    while input.operator.next(&mut series)? {
        input.ctx.tracker.check()?;
        if series.column.hists.iter().any(Option::is_some) {
            let note = Note::IgnoredInAggregation { op: "quantile" };
            input.ctx.notes.add(note, input.node.input_pos);
            series.column.drop_hists();
        }
        let (_, group) = groups.of(&series, &input.filter, Vec::new);
        held.add_column(&series.column)?;
        group.state.push(std::mem::take(&mut series.column));
    }
    let mut results = Vec::with_capacity(groups.items.len());
    let mut values = Vec::new();
    let pace = Pace::new(&input.ctx.tracker);
    for group in &mut groups.items {
        let mut column = Column::absent(input.steps.count);
        for i in 0..input.steps.count {
            // A value takes longer to sort than to look at.
            pace.spend(group.state.len() * 32)?;
            values.clear();
            values.extend(group.state.iter().filter_map(|c| c.float(i)));
            if !values.is_empty() {
                column.set_float(i, quantile(q.at(i), &mut values));
            }
        }
        if !column.is_absent() {
            results.push(StepSeries {
                labels: std::mem::take(&mut group.labels),
                drop_name: group.drop_name,
                column,
            });
        }
    }
    drop(groups.into_inner());
    Ok(results)
}
