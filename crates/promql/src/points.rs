//! Values over time, as a series of a result holds them.
//!
//! The times of a range query lie on its steps, so that a bit tells each of them and a float takes
//! eight bytes, not the 24 of a time beside a value that may be a histogram. Times that lie anywhere
//! (of samples as they were stored) are listed.

use std::fmt;
use std::sync::Arc;

use model::{FloatHistogram, TimeRange};

use crate::columns::{Bitmap, Column, Samples, StepValue, Steps};

/// Values at times that ascend; a time has a float or a histogram.
#[derive(Clone, Default)]
pub struct Points {
    times: Times,
    /// In order of time.
    floats: Vec<f64>,
    hists: Vec<(i64, Arc<FloatHistogram>)>,
}

/// The times of the floats, in milliseconds.
#[derive(Clone)]
enum Times {
    /// Those of the steps that are taken.
    Steps {
        start: i64,
        step: i64,
        taken: Bitmap,
    },
    Listed(Vec<i64>),
}

impl Default for Times {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Points {
    /// The values of `column` at `steps`.
    pub fn of_column(column: &Column, steps: Steps) -> Self {
        let mut floats = Vec::with_capacity(column.valid.count());
        if column.valid.all() {
            floats.extend_from_slice(&column.floats);
        } else {
            floats.extend(column.valid.ones().map(|i| column.floats[i]));
        }
        let hists = column.hists.iter().enumerate();
        let hists = hists.filter_map(|(i, h)| Some((steps.at(i), Arc::clone(h.as_ref()?))));
        Self {
            times: Times::Steps {
                start: steps.start,
                step: steps.step,
                taken: column.valid.clone(),
            },
            floats,
            hists: hists.collect(),
        }
    }

    /// The samples inside `range`.
    pub fn of_samples(samples: &Samples, range: TimeRange) -> Self {
        let within = |ts: &[i64]| {
            let from = ts.partition_point(|&t| t < range.min);
            from..ts.partition_point(|&t| t < range.max).max(from)
        };
        let (floats, hists) = (within(&samples.ts), within(&samples.hist_ts));
        let hist_ts = samples.hist_ts[hists.clone()].iter().copied();
        Self {
            times: Times::Listed(samples.ts[floats.clone()].to_vec()),
            floats: samples.values[floats].to_vec(),
            hists: hist_ts
                .zip(samples.hists[hists].iter().map(Arc::clone))
                .collect(),
        }
    }

    /// Number of values.
    pub const fn len(&self) -> usize {
        self.floats.len() + self.hists.len()
    }

    /// True when there are no values.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The floats with their times in milliseconds, in order.
    pub fn floats(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        self.floats_from(i64::MIN)
    }

    /// The floats at times not before `first`, which are found without a look at those that are.
    fn floats_from(&self, first: i64) -> impl Iterator<Item = (i64, f64)> + '_ {
        let (times, skipped) = match &self.times {
            Times::Steps { start, step, taken } => {
                let before = i128::from(first) - i128::from(*start);
                let steps = before.max(0) as u128;
                let index = steps.div_ceil(step.unsigned_abs().into());
                let index = usize::try_from(index)
                    .unwrap_or(usize::MAX)
                    .min(taken.len());
                let times = TimesIter::Steps {
                    bits: taken.ones_from(index),
                    start: *start,
                    step: *step,
                };
                (times, taken.rank(index))
            }
            Times::Listed(ts) => {
                let skipped = ts.partition_point(|&t| t < first);
                (TimesIter::Listed(ts[skipped..].iter()), skipped)
            }
        };
        times.zip(self.floats[skipped..].iter().copied())
    }

    /// The floats inside `range`.
    fn floats_in(&self, range: TimeRange) -> impl Iterator<Item = (i64, f64)> + '_ {
        let from = self.floats_from(range.min);
        from.take_while(move |(t, _)| *t < range.max)
    }

    /// The histograms inside `range`.
    fn histograms_in(&self, range: TimeRange) -> &[(i64, Arc<FloatHistogram>)] {
        let from = self.hists.partition_point(|(t, _)| *t < range.min);
        let to = self.hists.partition_point(|(t, _)| *t < range.max);
        self.hists.get(from..to).unwrap_or_default()
    }

    /// The histograms with their times in milliseconds, in order.
    pub fn histograms(&self) -> &[(i64, Arc<FloatHistogram>)] {
        &self.hists
    }

    /// All values with their times in milliseconds, in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, StepValue)> + '_ {
        let mut floats = self.floats().peekable();
        let mut hists = self.hists.iter().peekable();
        std::iter::from_fn(move || {
            let is_float = match (floats.peek(), hists.peek()) {
                (Some((f, _)), Some((h, _))) => f < h,
                (float, _) => float.is_some(),
            };
            if is_float {
                return floats.next().map(|(t, v)| (t, StepValue::Float(v)));
            }
            let (t, h) = hists.next()?;
            Some((*t, StepValue::Histogram(Arc::clone(h))))
        })
    }

    /// The last value and its time in milliseconds.
    pub fn last(&self) -> Option<(i64, StepValue)> {
        let float = self.floats().last();
        match (float, self.hists.last()) {
            (Some((f, v)), h) if h.is_none_or(|(h, _)| *h < f) => Some((f, StepValue::Float(v))),
            (_, h) => h.map(|(t, h)| (*t, StepValue::Histogram(Arc::clone(h)))),
        }
    }

    /// True when the time of some value is in `range`.
    pub fn any_in(&self, range: TimeRange) -> bool {
        self.floats_in(range).next().is_some() || !self.histograms_in(range).is_empty()
    }

    /// Appends those values of `other` whose times are in `range`, all of them after the last one
    /// here.
    pub fn append(&mut self, other: &Self, range: TimeRange) {
        for (t, v) in other.floats_in(range) {
            if let (true, Times::Steps { step, .. }) = (self.floats.is_empty(), &other.times) {
                self.times = Times::Steps {
                    start: t,
                    step: *step,
                    taken: Bitmap::default(),
                };
            }
            self.push_float(t, v);
        }
        self.hists.extend_from_slice(other.histograms_in(range));
    }

    /// Appends a value that is later than all others.
    fn push(&mut self, t: i64, value: StepValue) {
        match value {
            StepValue::Float(v) => self.push_float(t, v),
            StepValue::Histogram(h) => self.hists.push((t, h)),
        }
    }

    fn push_float(&mut self, t: i64, v: f64) {
        if let Times::Steps { start, step, taken } = &mut self.times {
            let after = t.saturating_sub(*start);
            match usize::try_from(after / *step) {
                Ok(i) if after % *step == 0 => {
                    taken.grow(i + 1);
                    taken.set(i);
                }
                _ => self.times = Times::Listed(self.floats().map(|(t, _)| t).collect()),
            }
        }
        if let Times::Listed(ts) = &mut self.times {
            ts.push(t);
        }
        self.floats.push(v);
    }

    /// Takes over the values of `other`; false when both have one at the same time.
    #[must_use]
    pub(crate) fn merge(&mut self, other: &Self) -> bool {
        let mut both: Vec<_> = self.iter().chain(other.iter()).collect();
        both.sort_by_key(|(t, _)| *t);
        if both.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return false;
        }
        let mut times = std::mem::take(&mut self.times);
        match &mut times {
            Times::Steps { taken, .. } => taken.reset(0),
            Times::Listed(ts) => ts.clear(),
        }
        *self = Self {
            times,
            ..Self::default()
        };
        both.into_iter().for_each(|(t, value)| self.push(t, value));
        true
    }

    /// Bytes of memory that they own, histograms estimated.
    pub fn heap_bytes(&self) -> usize {
        let times = match &self.times {
            Times::Steps { taken, .. } => taken.heap_bytes(),
            Times::Listed(ts) => ts.capacity() * size_of::<i64>(),
        };
        let of_hists = |(_, h): &(i64, Arc<FloatHistogram>)| 16 + h.size_bytes();
        times + self.floats.capacity() * 8 + self.hists.iter().map(of_hists).sum::<usize>()
    }
}

impl FromIterator<(i64, StepValue)> for Points {
    /// Values at times that ascend.
    fn from_iter<I: IntoIterator<Item = (i64, StepValue)>>(values: I) -> Self {
        let mut points = Self::default();
        let values = values.into_iter();
        values.for_each(|(t, value)| points.push(t, value));
        points
    }
}

impl PartialEq for Points {
    /// The same values at the same times, however they are held.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The times of floats; `B` yields the steps that are taken.
enum TimesIter<'a, B> {
    Steps { bits: B, start: i64, step: i64 },
    Listed(std::slice::Iter<'a, i64>),
}

impl<B: Iterator<Item = usize>> Iterator for TimesIter<'_, B> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        match self {
            Self::Steps { bits, start, step } => {
                let i = bits.next()?;
                Some(start.saturating_add((i as i64).saturating_mul(*step)))
            }
            Self::Listed(ts) => ts.next().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_values() -> impl Strategy<Value = Vec<Option<bool>>> {
        prop::collection::vec(prop::option::weighted(0.7, any::<bool>()), 1..200)
    }

    /// A value for each step that has one; a histogram where it is false.
    fn column(values: &[Option<bool>]) -> Column {
        let mut column = Column::absent(values.len());
        for (i, is_float) in values.iter().enumerate() {
            match is_float {
                Some(true) => column.set_float(i, i as f64),
                Some(false) => column.set_hist(i, Arc::default()),
                None => {}
            }
        }
        column
    }

    fn plain(column: &Column, steps: Steps) -> Vec<(i64, StepValue)> {
        let value = |i| Some((steps.at(i), column.get(i)?));
        (0..steps.count).filter_map(value).collect()
    }

    proptest! {
        #[test]
        fn packed_values_are_those_of_the_column(values in any_values(), step in 1..100i64) {
            let steps = Steps { start: -7, step, count: values.len() };
            let column = column(&values);
            let (points, plain) = (Points::of_column(&column, steps), plain(&column, steps));
            prop_assert_eq!(points.iter().collect::<Vec<_>>(), plain.clone());
            prop_assert_eq!(points.last(), plain.last().cloned());
            prop_assert_eq!(&points, &plain.into_iter().collect());
            if values.iter().all(|v| *v == Some(true)) {
                prop_assert!(points.heap_bytes() <= values.len() * 9 + 8);
            }
        }

        #[test]
        fn pieces_append_to_the_whole(
            values in any_values(),
            cuts in prop::collection::vec(0..220usize, 0..4),
            is_listed in any::<bool>(),
        ) {
            let steps = Steps { start: 1_000, step: 15, count: values.len() };
            let whole = Points::of_column(&column(&values), steps);
            let mut source = whole.clone();
            if is_listed {
                source = plain(&column(&values), steps).into_iter().collect();
            }
            let mut cuts = [&[0, 220], &cuts[..]].concat();
            cuts.sort_unstable();
            let mut joined = Points::default();
            for pair in cuts.windows(2) {
                joined.append(&source, TimeRange::new(steps.at(pair[0]), steps.at(pair[1])));
            }
            prop_assert_eq!(joined, whole);
        }

        #[test]
        fn fragments_merge_unless_they_clash(values in any_values(), seed in any::<u64>()) {
            let steps = Steps { start: 0, step: 15, count: values.len() };
            let part = |wanted: bool| -> Vec<Option<bool>> {
                let is_wanted = |i: usize| (seed >> (i % 64) & 1 == 1) == wanted;
                let part = values.iter().enumerate();
                part.map(|(i, v)| v.filter(|_| is_wanted(i))).collect()
            };
            let of = |values: &[Option<bool>]| Points::of_column(&column(values), steps);
            let mut merged = of(&part(true));
            prop_assert!(merged.merge(&of(&part(false))));
            prop_assert_eq!(&merged, &of(&values));
            prop_assert_eq!(merged.merge(&of(&values)), merged.is_empty());
        }
    }

    #[test]
    fn samples_are_cut_to_the_range() {
        let mut samples = Samples::default();
        for t in [1, 5, 9] {
            samples.push_float(t, t as f64, 0);
            samples.push_hist(t + 1, Arc::default(), 0);
        }
        let points = Points::of_samples(&samples, TimeRange::new(2, 9));
        let times: Vec<i64> = points.iter().map(|(t, _)| t).collect();
        assert_eq!(times, [2, 5, 6]);
    }
}
