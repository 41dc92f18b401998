//! `count_values`: how many series of a group have each value, as a series per value.

use model::float::push_plain;

use crate::columns::{Column, StepSeries, StepValue};
use crate::error::Error;
use crate::exec::labels::{LabelFilter, with_label};
use crate::limits::Pace;

use super::{Groups, Input};

pub(super) fn run(mut input: Input<'_>, label: &str) -> Result<Vec<StepSeries>, Error> {
    let steps = input.steps.count;
    let filter = if input.node.without {
        input.filter.clone()
    } else {
        let mut kept = input.node.grouping.clone();
        kept.push(label.to_owned());
        LabelFilter::new(&kept, true)
    };
    let mut groups: Groups<Column> = Groups::new();
    let mut series = StepSeries::default();
    let pace = Pace::new(&input.ctx.tracker);
    // What a run of one value belongs to, which spares most look-ups.
    let mut last: Option<(StepValue, usize)> = None;
    while input.operator.next(&mut series)? {
        input.ctx.tracker.check()?;
        last = None;
        for i in series.column.present().ones() {
            // A new value is formatted and looked up.
            pace.spend(256)?;
            let Some(value) = series.column.get(i) else {
                continue;
            };
            let index = match &last {
                Some((v, index)) if same(v, &value) => *index,
                _ => {
                    let valued = StepSeries {
                        labels: with_label(&series.labels, label, &text(&value)),
                        drop_name: false,
                        column: Column::default(),
                    };
                    let known = groups.groups.len();
                    let (index, _) = groups.of(&valued, &filter, || Column::absent(steps));
                    if index == known {
                        input.ctx.tracker.acquire(1, steps as u64 * 8)?;
                    }
                    last = Some((value, index));
                    index
                }
            };
            let column = &mut groups.groups[index].state;
            let count = column.float(i).unwrap_or(0.0);
            column.set_float(i, count + 1.0);
        }
    }
    drop(last);
    input.ctx.tracker.release(
        groups.groups.len() as u64,
        (groups.groups.len() * steps * 8) as u64,
    );
    Ok(groups
        .groups
        .into_iter()
        .map(|g| StepSeries {
            labels: g.labels,
            // As in Prometheus, which does not pass the mark on here.
            drop_name: false,
            column: g.state,
        })
        .collect())
}

fn same(a: &StepValue, b: &StepValue) -> bool {
    match (a, b) {
        (StepValue::Float(a), StepValue::Float(b)) => a.to_bits() == b.to_bits(),
        (StepValue::Histogram(a), StepValue::Histogram(b)) => std::sync::Arc::ptr_eq(a, b),
        _ => false,
    }
}

fn text(value: &StepValue) -> String {
    match value {
        StepValue::Float(v) => {
            let mut text = String::new();
            push_plain(&mut text, *v);
            text
        }
        StepValue::Histogram(h) => h.to_string(),
    }
}
