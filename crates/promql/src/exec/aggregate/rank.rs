//! Aggregations that pick series: topk, bottomk, limitk, limit_ratio.
//!
//! The series of a group are kept; at each step some of them are picked, the others lose their
//! value there.

use std::cmp::Ordering;

use crate::annotations::Note;
use crate::ast::AggregateOp;
use crate::columns::{Bitmap, StepSeries};
use crate::error::Error;
use crate::exec::{Held, ScalarColumn, labels, merge};
use crate::functions::quantile::order;
use crate::limits::Pace;

use super::{Groups, Input};

pub(super) fn run(mut input: Input<'_>, param: &ScalarColumn) -> Result<Vec<StepSeries>, Error> {
    let steps = input.steps.count;
    match check(&input, param) {
        Ok(true) => {}
        // What is wrong with the input comes before what is wrong with the parameter.
        outcome => {
            let mut series = StepSeries::default();
            while input.operator.next(&mut series)? {
                input.ctx.tracker.check()?;
            }
            return outcome.map(|_| Vec::new());
        }
    }
    let op = input.node.op;
    let ranks = matches!(op, AggregateOp::Topk | AggregateOp::Bottomk);
    let mut groups = Held::new(Groups::<Vec<StepSeries>>::default(), input.ctx);
    let mut series = StepSeries::default();
    while input.operator.next(&mut series)? {
        input.ctx.tracker.check()?;
        if ranks && series.column.hists.iter().any(Option::is_some) {
            let note = Note::IgnoredInAggregation { op: op.as_str() };
            input.ctx.notes.add(note, input.node.input_pos);
            series.column.drop_hists();
        }
        if op == AggregateOp::LimitRatio {
            limit_ratio(&mut series, param);
        }
        if series.column.is_absent() {
            continue;
        }
        merge::acquire(&series, input.ctx)?;
        let (_, group) = groups.of(&series, &input.filter, Vec::new);
        group.state.push(std::mem::take(&mut series));
    }
    let mut results = Held::new(Vec::new(), input.ctx);
    let pace = Pace::new(&input.ctx.tracker);
    for group in &mut groups.items {
        let all = &mut group.state;
        for series in &*all {
            merge::release(series, input.ctx);
        }
        match op {
            AggregateOp::LimitRatio => {}
            AggregateOp::Limitk => limitk(all, (steps, param), &pace)?,
            _ => rank(all, (steps, param), op == AggregateOp::Topk, &pace)?,
        }
        results.extend(all.drain(..).filter(|s| !s.column.is_absent()));
    }
    drop(groups.into_inner());
    Ok(results.into_inner())
}

/// Refuses parameters that make no sense; false when nothing can be picked.
fn check(input: &Input<'_>, param: &ScalarColumn) -> Result<bool, Error> {
    let values = || (0..input.steps.count).map(|i| param.at(i));
    let max = values().fold(f64::NEG_INFINITY, f64::max);
    let min = values().fold(f64::INFINITY, f64::min);
    let has_nan = values().any(f64::is_nan);
    if input.node.op == AggregateOp::LimitRatio {
        if has_nan {
            return Err(Error::execution("Ratio value is NaN"));
        }
        for (got, capped, is_off) in [(max, 1.0, max > 1.0), (min, -1.0, min < -1.0)] {
            if is_off {
                let note = Note::InvalidRatio { got, capped };
                input.ctx.notes.add(note, input.node.param_pos);
            }
        }
        return Ok(max != 0.0 || min != 0.0);
    }
    if max < 1.0 && !has_nan {
        return Ok(false);
    }
    if has_nan {
        return Err(Error::execution("Parameter value is NaN"));
    }
    let flow = if max >= i64::MAX as f64 {
        Some((max, "overflows"))
    } else if min <= i64::MIN as f64 {
        Some((min, "underflows"))
    } else {
        None
    };
    flow.map_or(Ok(true), |(v, how)| {
        Err(Error::execution(format!(
            "Scalar value {} {how} int64",
            model::float::G(v)
        )))
    })
}

/// Keeps the values of a series at the steps whose ratio its hash falls into.
fn limit_ratio(series: &mut StepSeries, ratio: &ScalarColumn) {
    let share = labels::ratio_hash(&series.labels) as f64 / u64::MAX as f64;
    for i in 0..series.column.len() {
        let ratio = ratio.at(i);
        let keeps = if ratio >= 0.0 {
            share < ratio
        } else {
            share >= 1.0 + ratio
        };
        if !keeps {
            series.column.clear(i);
        }
    }
}

/// Keeps the values of the first `k` series at each step.
fn limitk(
    all: &mut [StepSeries],
    (steps, k): (usize, &ScalarColumn),
    pace: &Pace<'_>,
) -> Result<(), Error> {
    for i in 0..steps {
        pace.spend(all.len())?;
        let mut left = k.at(i).max(0.0) as usize;
        for series in &mut *all {
            if series.column.has(i) {
                if left == 0 {
                    series.column.clear(i);
                } else {
                    left -= 1;
                }
            }
        }
    }
    Ok(())
}

/// Keeps the `k` largest or smallest values at each step. The one step of an instant query comes
/// sorted.
fn rank(
    all: &mut Vec<StepSeries>,
    (steps, k): (usize, &ScalarColumn),
    top: bool,
    pace: &Pace<'_>,
) -> Result<(), Error> {
    let mut picked: Vec<Bitmap> = vec![Bitmap::zeros(steps); all.len()];
    let mut heap = Heap {
        items: Vec::new(),
        top,
    };
    for i in 0..steps {
        let k = k.at(i).max(0.0) as usize;
        heap.items.clear();
        // Each value may have to sift through the heap.
        pace.spend(all.len() * 8)?;
        if k == 0 {
            continue;
        }
        for (s, series) in all.iter().enumerate() {
            if let Some(v) = series.column.float(i) {
                heap.offer(v, s, k);
            }
        }
        for &(_, s) in &heap.items {
            picked[s].set(i);
        }
    }
    for (series, picked) in all.iter_mut().zip(&picked) {
        series.column.valid.intersect(picked);
    }
    if steps == 1 {
        let mut best = std::mem::take(&mut heap.items);
        best.sort_by(
            |a, b| match (heap.comes_first(b.0, a.0), heap.comes_first(a.0, b.0)) {
                (true, _) => Ordering::Less,
                (_, true) => Ordering::Greater,
                _ => Ordering::Equal,
            },
        );
        let best = best.into_iter();
        *all = best.map(|(_, s)| std::mem::take(&mut all[s])).collect();
    }
    Ok(())
}

/// The best values so far, the worst of them on top.
///
/// Sifts as Go's `container/heap` does, which decides which of equal values goes first.
struct Heap {
    items: Vec<(f64, usize)>,
    top: bool,
}

impl Heap {
    /// True when `a` is nearer to the top of the heap than `b`, so that it goes first. NaN goes
    /// before all others.
    fn comes_first(&self, a: f64, b: f64) -> bool {
        if self.top || a.is_nan() || b.is_nan() {
            order(&a, &b).is_lt()
        } else {
            a > b
        }
    }

    fn offer(&mut self, v: f64, series: usize, k: usize) {
        if self.items.len() < k {
            self.items.push((v, series));
            self.sift_up();
            return;
        }
        let worst = self.items[0].0;
        let is_better = if self.top { worst < v } else { worst > v };
        if is_better || (worst.is_nan() && !v.is_nan()) {
            self.items[0] = (v, series);
            self.sift_down();
        }
    }

    fn sift_up(&mut self) {
        let mut child = self.items.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.comes_first(self.items[child].0, self.items[parent].0) {
                break;
            }
            self.items.swap(child, parent);
            child = parent;
        }
    }

    fn sift_down(&mut self) {
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            if left >= self.items.len() {
                break;
            }
            let right = left + 1;
            let child = if right < self.items.len()
                && self.comes_first(self.items[right].0, self.items[left].0)
            {
                right
            } else {
                left
            };
            if !self.comes_first(self.items[child].0, self.items[parent].0) {
                break;
            }
            self.items.swap(parent, child);
            parent = child;
        }
    }
}
