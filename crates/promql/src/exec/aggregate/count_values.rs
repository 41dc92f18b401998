//! `count_values`: how many series of a group have each value, as a series per value.

use hashbrown::HashMap;
use model::float::push_plain;

use crate::columns::{Column, StepSeries, StepValue};
use crate::error::Error;
use crate::exec::Held;
use crate::exec::labels::{LabelFilter, with_label};
use crate::limits::{Holding, Pace};

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
    let mut groups = Held::new(Groups::<Column>::default(), input.ctx);
    let mut held = Holding::new(&input.ctx.tracker);
    let mut series = StepSeries::default();
    let pace = Pace::new(&input.ctx.tracker);
    // What a run of one value belongs to, which spares most look-ups.
    let mut last: Option<(StepValue, usize)> = None;
    // What a float of a series belongs to, by the labels that decide it and the float's bits; spares
    // writing numbers into labels again and again.
    let mut known_floats: HashMap<(u128, u64), usize> = HashMap::new();
    while input.operator.next(&mut series)? {
        input.ctx.tracker.check()?;
        last = None;
        let labels = filter.hash(&series.labels);
        for i in series.column.present().ones() {
            // A new value is formatted and looked up.
            pace.spend(256)?;
            let Some(value) = series.column.get(i) else {
                continue;
            };
            let index = match &last {
                Some((v, index)) if same(v, &value) => *index,
                _ => {
                    let float = match &value {
                        StepValue::Float(v) => Some((labels, v.to_bits())),
                        StepValue::Histogram(_) => None,
                    };
                    if let Some(&index) = float.and_then(|key| known_floats.get(&key)) {
                        last = Some((value, index));
                        add(&mut groups.items[index].state, i);
                        continue;
                    }
                    let valued = StepSeries {
                        labels: with_label(&series.labels, label, &text(&value)),
                        drop_name: false,
                        column: Column::default(),
                    };
                    let known = groups.items.len();
                    let (index, _) = groups.of(&valued, &filter, || Column::absent(steps));
                    if index == known {
                        held.add(1, steps as u64 * 8)?;
                    }
                    if let Some(key) = float {
                        known_floats.insert(key, index);
                    }
                    last = Some((value, index));
                    index
                }
            };
            add(&mut groups.items[index].state, i);
        }
    }
    drop(last);
    let groups = groups.into_inner().items.into_iter();
    Ok(groups
        .map(|g| StepSeries {
            labels: g.labels,
            // As in Prometheus, which does not pass the mark on here.
            drop_name: false,
            column: g.state,
        })
        .collect())
}

/// Counts one more at step `i`.
fn add(column: &mut Column, i: usize) {
    let count = column.float(i).unwrap_or(0.0);
    column.set_float(i, count + 1.0);
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
