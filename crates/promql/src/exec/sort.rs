//! `sort` and its kin. Only the results of instant queries have an order to give.

use std::cmp::Ordering;

use model::Labels;

use crate::annotations::Note;
use crate::ast::PosRange;
use crate::columns::{StepSeries, Steps};
use crate::error::Error;
use crate::limits::Pace;
use crate::plan::SortOrder;

use super::merge::{self, Kept};
use super::{BoxedOperator, Context, Held, Operator};

/// The operator that sorts `input`.
pub(crate) fn build<'q>(
    order: &'q SortOrder,
    input: BoxedOperator<'q>,
    (pos, steps): (PosRange, Steps),
    ctx: &'q Context<'q>,
) -> BoxedOperator<'q> {
    if steps.count > 1 {
        ctx.notes.add(Note::SortInRangeQuery, pos);
    }
    Box::new(Sort {
        input: Some(input),
        order,
        sorted: Kept::new(Vec::new(), ctx),
        ctx,
    })
}

struct Sort<'q> {
    input: Option<BoxedOperator<'q>>,
    order: &'q SortOrder,
    sorted: Kept<'q>,
    ctx: &'q Context<'q>,
}

impl Operator for Sort<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if let Some(input) = self.input.take() {
            let mut all = Held::new(merge::collect(input, self.ctx)?, self.ctx);
            self.sort(&mut all)?;
            self.sorted = Kept::new(all.into_inner(), self.ctx);
        }
        Ok(self.sorted.pop(out))
    }
}

impl Sort<'_> {
    fn sort(&self, all: &mut Vec<StepSeries>) -> Result<(), Error> {
        let pace = Pace::new(&self.ctx.tracker);
        match self.order {
            SortOrder::Value { descending } => {
                for series in &mut *all {
                    series.column.drop_hists();
                }
                all.retain(|s| s.column.valid.any());
                if all.first().is_some_and(|s| s.column.len() == 1) {
                    let value = |s: &StepSeries| s.column.floats[0];
                    pace.sort_by(all, |a, b| by_value(value(a), value(b), *descending))?;
                }
            }
            SortOrder::Labels { names, descending } => pace.sort_by(all, |a, b| {
                let order = by_labels(names, &a.labels, &b.labels);
                if *descending { order.reverse() } else { order }
            })?,
        }
        Ok(())
    }
}

/// NaN comes last, whichever way the others go.
fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}

fn by_labels(names: &[String], a: &Labels, b: &Labels) -> Ordering {
    for name in names {
        let (x, y) = (
            a.get(name).unwrap_or_default(),
            b.get(name).unwrap_or_default(),
        );
        if x != y {
            return natural(x, y);
        }
    }
    a.cmp(b)
}

/// Compares two different strings, runs of digits by their value.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    loop {
        match (rest_a.is_empty(), rest_b.is_empty()) {
            (true, _) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let (chunk_a, next_a) = chunk(rest_a);
        let (chunk_b, next_b) = chunk(rest_b);
        let order = match (chunk_a.parse::<i64>(), chunk_b.parse::<i64>()) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            _ => chunk_a.cmp(chunk_b),
        };
        if order != Ordering::Equal {
            return order;
        }
        (rest_a, rest_b) = (next_a, next_b);
    }
}

/// The run of digits or of other characters that `s`, not empty, starts with, and the rest.
fn chunk(s: &str) -> (&str, &str) {
    let is_digit = s.as_bytes()[0].is_ascii_digit();
    let end = s.bytes().position(|b| b.is_ascii_digit() != is_digit);
    s.split_at(end.unwrap_or(s.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_sort_by_value() {
        let mut names = ["cpu10", "cpu9", "cpu", "cpu1a", "cpu1", "9", "10"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "cpu", "cpu1", "cpu1a", "cpu9", "cpu10"]);
    }
}
