//! Follows one replica and changes to another only where it has a gap.
//!
//! The replica whose next sample is earlier is taken. The other one is held back by twice the
//! distance between the last two samples, so that it is taken only once that much is missing, and
//! samples do not come twice as often. More than two replicas are folded from the left.
//!
//! This is the algorithm of Thanos (`pkg/dedup` there), with its results where they are well defined.
//! It differs in one place on purpose: before the first sample Thanos compares with one that it never
//! gave out, which lifts a counter at the start of a range (Thanos' issue 9034).

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};
use promql::columns::Samples;

/// How long the other replica is held back while the distance of samples is not known, in
/// milliseconds.
const FIRST_PENALTY_MS: i64 = 5000;

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
    let mut folded = Folded::Lane(first);
    for lane in std::iter::once(second).chain(lanes) {
        folded = Folded::Pair(Box::new(Pair::new(folded, lane, is_counter)));
    }
    drain(&mut folded, out);
}

/// Appends what is left of a replica.
fn drain(replica: &mut impl Replica, out: &mut Samples) {
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

impl Value<'_> {
    const fn float(self) -> Option<f64> {
        match self {
            Self::Float(v) => Some(v),
            Self::Histogram(..) => None,
        }
    }
}

/// Samples in order of time, which one goes through forwards.
trait Replica {
    /// Goes to the first sample at or after `t`, which may be the one at hand, and returns its time.
    /// `None` when there is none.
    fn seek(&mut self, t: i64) -> Option<i64>;

    /// The sample at hand, which there must be.
    fn value(&self) -> Value<'_>;

    /// Lifts this sample and all that follow by as much as it is below `last`.
    fn lift(&mut self, last: f64);
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

impl Replica for Lane<'_> {
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
    fn value(&self) -> Value<'_> {
        let slot = match self.order.get(self.at) {
            Some(slot) => *slot,
            None => Slot::Float(self.at),
        };
        match slot {
            Slot::Float(i) => Value::Float(lifted(self.samples.values[i], self.lifted)),
            Slot::Histogram(i) => Value::Histogram(&self.samples.hists[i], (self.number, i)),
        }
    }

    fn lift(&mut self, last: f64) {
        if let Value::Float(v) = self.value()
            && last > v
        {
            self.lifted += last - v;
        }
    }
}

/// Two replicas as one.
struct Pair<A, B> {
    a: A,
    b: B,
    /// Values are a counter's.
    is_counter: bool,
    /// Time and, of a float, value of the sample at hand.
    last: Option<(i64, Option<f64>)>,
    uses_a: bool,
    penalty_a: i64,
    penalty_b: i64,
    a_ended: bool,
    b_ended: bool,
}

impl<A: Replica, B: Replica> Pair<A, B> {
    const fn new(a: A, b: B, is_counter: bool) -> Self {
        Self {
            a,
            b,
            is_counter,
            last: None,
            uses_a: true,
            penalty_a: 0,
            penalty_b: 0,
            a_ended: false,
            b_ended: false,
        }
    }

    /// Goes to the next sample.
    #[inline]
    fn advance(&mut self) -> Option<i64> {
        let from = |penalty: i64| match self.last {
            Some((t, _)) => t.saturating_add(1).saturating_add(penalty),
            None => i64::MIN,
        };
        let (from_a, from_b) = (from(self.penalty_a), from(self.penalty_b));
        let a = if self.a_ended {
            None
        } else {
            self.a.seek(from_a)
        };
        let b = if self.b_ended {
            None
        } else {
            self.b.seek(from_b)
        };
        (self.a_ended, self.b_ended) = (a.is_none(), b.is_none());
        let held_back = |t: i64| match self.last {
            Some((last, _)) => t.saturating_sub(last).saturating_mul(2),
            None => FIRST_PENALTY_MS,
        };
        let used_a = self.uses_a;
        let t = match (a, b) {
            (None, None) => return None,
            (Some(a), None) => {
                self.uses_a = true;
                self.penalty_a = 0;
                a
            }
            (None, Some(b)) => {
                self.uses_a = false;
                self.penalty_b = 0;
                b
            }
            (Some(a), Some(b)) if a <= b => {
                self.uses_a = true;
                (self.penalty_a, self.penalty_b) = (0, held_back(a));
                a
            }
            (Some(_), Some(b)) => {
                self.uses_a = false;
                (self.penalty_a, self.penalty_b) = (held_back(b), 0);
                b
            }
        };
        if self.is_counter
            && used_a != self.uses_a
            && let Some((_, Some(last))) = self.last
        {
            self.lift(last);
        }
        self.last = Some((t, self.value().float()));
        Some(t)
    }
}

impl<A: Replica, B: Replica> Replica for Pair<A, B> {
    #[inline]
    fn seek(&mut self, t: i64) -> Option<i64> {
        // Sample by sample: which replica comes next depends on those before.
        loop {
            match self.last {
                Some((last, _)) if last >= t => return Some(last),
                _ => self.advance()?,
            };
        }
    }

    #[inline]
    fn value(&self) -> Value<'_> {
        if self.uses_a {
            self.a.value()
        } else {
            self.b.value()
        }
    }

    fn lift(&mut self, last: f64) {
        if !self.a_ended {
            self.a.lift(last);
        }
        if !self.b_ended {
            self.b.lift(last);
        }
    }
}

/// Any number of replicas as one.
enum Folded<'a> {
    Lane(Lane<'a>),
    Pair(Box<Pair<Folded<'a>, Lane<'a>>>),
}

impl Replica for Folded<'_> {
    fn seek(&mut self, t: i64) -> Option<i64> {
        match self {
            Self::Lane(lane) => lane.seek(t),
            Self::Pair(pair) => pair.seek(t),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Lane(lane) => lane.value(),
            Self::Pair(pair) => pair.value(),
        }
    }

    fn lift(&mut self, last: f64) {
        match self {
            Self::Lane(lane) => lane.lift(last),
            Self::Pair(pair) => pair.lift(last),
        }
    }
}
