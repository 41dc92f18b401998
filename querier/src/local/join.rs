//! Series of the blocks and of the head, put together.

use std::sync::Arc;

use model::{CounterResetHint, Labels, TimeRange};
use promql::columns::{Samples, StepValue};
use promql::source::{Series, SeriesSet, SourceError};

use super::head::{HeadSeries, HeadSet};

/// Merges the series of blocks and head by their labels.
pub(super) struct Joined {
    blocks: Box<dyn SeriesSet>,
    head: HeadSet,
    next_in_blocks: Option<Box<dyn Series>>,
    next_in_head: Option<HeadSeries>,
}

impl Joined {
    pub(super) fn new(
        mut blocks: Box<dyn SeriesSet>,
        mut head: HeadSet,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            next_in_blocks: blocks.next()?,
            next_in_head: head.next(),
            blocks,
            head,
        })
    }

    fn take_from_blocks(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        let next = self.blocks.next()?;
        Ok(std::mem::replace(&mut self.next_in_blocks, next))
    }

    fn take_from_head(&mut self) -> Option<HeadSeries> {
        let next = self.head.next();
        std::mem::replace(&mut self.next_in_head, next)
    }
}

impl SeriesSet for Joined {
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        let (Some(in_blocks), Some(in_head)) = (&self.next_in_blocks, &self.next_in_head) else {
            if self.next_in_blocks.is_some() {
                return self.take_from_blocks();
            }
            let series = self.take_from_head();
            return Ok(series.map(|series| Box::new(series) as Box<dyn Series>));
        };
        match in_blocks.labels().cmp(in_head.labels()) {
            std::cmp::Ordering::Less => self.take_from_blocks(),
            std::cmp::Ordering::Greater => {
                let series = self.take_from_head();
                Ok(series.map(|series| Box::new(series) as Box<dyn Series>))
            }
            std::cmp::Ordering::Equal => {
                let older = self.take_from_blocks()?;
                let newer = self.take_from_head();
                let both = older.zip(newer);
                Ok(both.map(|(older, newer)| {
                    Box::new(JoinedSeries { older, newer }) as Box<dyn Series>
                }))
            }
        }
    }

    fn warnings(&mut self) -> Vec<String> {
        self.blocks.warnings()
    }
}

/// A series of which blocks and head hold a part each.
struct JoinedSeries {
    older: Box<dyn Series>,
    newer: HeadSeries,
}

impl Series for JoinedSeries {
    fn labels(&self) -> &Labels {
        self.older.labels()
    }

    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        let (mut older, mut newer) = (Samples::default(), Samples::default());
        self.older.read(range, &mut older)?;
        self.newer.read(range, &mut newer)?;
        merge(&older, &newer, out);
        Ok(())
    }
}

/// Appends the samples of both in order of time; of two at one time, the older place's counts.
///
/// They overlap only where samples came out of order, but a histogram that follows one from another
/// place never knows whether a reset lies between.
fn merge(older: &Samples, newer: &Samples, out: &mut Samples) {
    let mut samples: Vec<(i64, usize, StepValue)> = Vec::with_capacity(older.len() + newer.len());
    for (place, columns) in [older, newer].into_iter().enumerate() {
        let floats = columns.ts.iter().zip(&columns.values);
        samples.extend(floats.map(|(t, v)| (*t, place, StepValue::Float(*v))));
        let hists = columns.hist_ts.iter().zip(&columns.hists);
        samples.extend(hists.map(|(t, h)| (*t, place, StepValue::Histogram(Arc::clone(h)))));
    }
    samples.sort_by_key(|(t, place, _)| (*t, *place));
    samples.dedup_by_key(|(t, ..)| *t);
    let mut last_place = None;
    for (t, place, value) in samples {
        match value {
            StepValue::Float(v) => out.push_float(t, v, 0),
            StepValue::Histogram(mut h) => {
                let is_other = last_place.is_some_and(|last| last != place);
                if is_other && h.counter_reset_hint != CounterResetHint::Gauge {
                    Arc::make_mut(&mut h).counter_reset_hint = CounterResetHint::Unknown;
                }
                out.push_hist(t, h, 0);
            }
        }
        last_place = Some(place);
    }
}

#[cfg(test)]
mod tests {
    use CounterResetHint::{NotReset, Unknown};
    use model::FloatHistogram;

    use super::*;

    #[test]
    fn samples_are_in_order_and_resets_between_places_unknown() {
        let hist = |hint| {
            Arc::new(FloatHistogram {
                counter_reset_hint: hint,
                ..FloatHistogram::default()
            })
        };
        let (mut older, mut newer, mut out) = Default::default();
        let add = |samples: &mut Samples, t, v| samples.push_float(t, v, 0);
        add(&mut older, 1, 1.0);
        add(&mut older, 3, 3.0);
        older.push_hist(4, hist(NotReset), 0);
        add(&mut newer, 2, 2.0);
        add(&mut newer, 3, 3.5);
        newer.push_hist(5, hist(NotReset), 0);
        newer.push_hist(6, hist(NotReset), 0);
        merge(&older, &newer, &mut out);
        assert_eq!((out.ts, out.values), (vec![1, 2, 3], vec![1.0, 2.0, 3.0]));
        assert_eq!(out.hist_ts, [4, 5, 6]);
        let hints: Vec<_> = out.hists.iter().map(|h| h.counter_reset_hint).collect();
        assert_eq!(hints, [NotReset, Unknown, NotReset]);
    }
}
