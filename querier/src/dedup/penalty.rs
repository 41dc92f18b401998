//! Follows one replica and changes to another only where it has a gap, over columns; how is in
//! [`tsdb::merge::replicas`].

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};
use promql::columns::Samples;
use tsdb::merge::replicas::{Folded, Pair, Replica};

/// Appends the samples of the replica that is followed at each time. With `is_counter`, values never
/// go down where replicas change.
pub fn penalty(replicas: &[Samples], is_counter: bool, out: &mut Samples) {
    let lanes: Vec<Lane<'_>> = replicas
        .iter()
        .zip(0..)
        .map(|(samples, number)| Lane::new(samples, number))
        .collect();
    let most = replicas.iter().map(|r| r.ts.len()).max().unwrap_or(0);
    out.ts.reserve(most);
    out.values.reserve(most);
    let mut lanes = lanes.into_iter();
    let (Some(first), Some(second)) = (lanes.next(), lanes.next()) else {
        if let [only] = replicas {
            drain(&mut Lane::new(only, 0), out);
        }
        return;
    };
    if lanes.len() == 0 {
        drain(&mut Pair::new(first, second, is_counter), out);
        return;
    }
    let rest = std::iter::once(second).chain(lanes);
    drain(&mut Folded::new(first, rest, is_counter), out);
}

/// Appends what is left of a replica.
fn drain<'a>(replica: &mut impl Replica<Value = Value<'a>>, out: &mut Samples) {
    let mut next = replica.seek(i64::MIN);
    let mut last_place = None;
    while let Some(t) = next {
        match replica.value() {
            Value::Float(v) => out.push_float(t, v, 0),
            Value::Histogram(h, place) => {
                let mut h = Arc::clone(h);
                let follows = last_place.is_some_and(|(lane, at): Place| (lane, at + 1) == place);
                // What it says of a reset is relative to the sample before it in its own replica.
                if !follows && h.counter_reset_hint != CounterResetHint::Gauge {
                    Arc::make_mut(&mut h).counter_reset_hint = CounterResetHint::Unknown;
                }
                last_place = Some(place);
                out.push_hist(t, h, 0);
            }
        }
        next = t.checked_add(1).and_then(|t| replica.seek(t));
    }
}

/// Number of a lane, and of a histogram in it.
type Place = (usize, usize);

#[derive(Clone, Copy)]
enum Value<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>, Place),
}

/// The samples of one replica.
struct Lane<'a> {
    samples: &'a Samples,
    number: usize,
    /// Of both kinds in order of time when there are histograms; else empty, and floats are all.
    order: Vec<Slot>,
    at: usize,
    lifted: f64,
}

#[derive(Clone, Copy)]
enum Slot {
    Float(usize),
    Histogram(usize),
}

impl<'a> Lane<'a> {
    fn new(samples: &'a Samples, number: usize) -> Self {
        let mut order = Vec::new();
        if !samples.hist_ts.is_empty() {
            order.extend((0..samples.ts.len()).map(Slot::Float));
            order.extend((0..samples.hist_ts.len()).map(Slot::Histogram));
            order.sort_by_key(|slot| time(samples, *slot));
        }
        Self {
            samples,
            number,
            order,
            at: 0,
            lifted: 0.0,
        }
    }
}

/// The value lifted; NaN stays as it is, because arithmetic would make a stale marker a plain one.
fn lifted(v: f64, by: f64) -> f64 {
    if v.is_nan() { v } else { v + by }
}

fn time(samples: &Samples, slot: Slot) -> i64 {
    match slot {
        Slot::Float(i) => samples.ts[i],
        Slot::Histogram(i) => samples.hist_ts[i],
    }
}

impl<'a> Replica for Lane<'a> {
    type Value = Value<'a>;

    #[inline]
    fn seek(&mut self, t: i64) -> Option<i64> {
        if self.order.is_empty() {
            let ts = self.samples.ts.as_slice();
            while *ts.get(self.at)? < t {
                self.at += 1;
            }
            return ts.get(self.at).copied();
        }
        loop {
            let at = time(self.samples, *self.order.get(self.at)?);
            if at >= t {
                return Some(at);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn value(&self) -> Value<'a> {
        let slot = match self.order.get(self.at) {
            Some(slot) => *slot,
            None => Slot::Float(self.at),
        };
        match slot {
            Slot::Float(i) => Value::Float(lifted(self.samples.values[i], self.lifted)),
            Slot::Histogram(i) => Value::Histogram(&self.samples.hists[i], (self.number, i)),
        }
    }

    #[inline]
    fn float(&self) -> Option<f64> {
        match self.value() {
            Value::Float(v) => Some(v),
            Value::Histogram(..) => None,
        }
    }

    fn lift(&mut self, last: f64) {
        if let Some(v) = self.float()
            && last > v
        {
            self.lifted += last - v;
        }
    }
}
