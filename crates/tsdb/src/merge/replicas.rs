//! Replicas of one series as one: it follows one of them and changes to another only where that one
//! has a gap.
//!
//! The replica whose next sample is earlier is taken. The other one is held back by twice the
//! distance between the last two samples, so that it is taken only once that much is missing, and
//! samples do not come twice as often. More than two replicas are folded from the left.
//!
//! This is the penalty algorithm of Thanos (`pkg/dedup` there), which queriers go by for samples and
//! the compactor for chunks ([`super::Overlap::Penalty`]), with its results where they are well
//! defined. It differs in one place on purpose: before the first sample Thanos compares with one that
//! it never gave out, which lifts a counter at the start of a range (Thanos' issue 9034).

/// How long the other replica is held back while the distance of samples is not known, in
/// milliseconds.
const FIRST_PENALTY_MS: i64 = 5000;

/// Samples in order of time, which one goes through forwards.
pub trait Replica {
    /// What a sample is.
    type Value;

    /// Goes to the first sample at or after `t`, which may be the one at hand, and returns its time.
    /// `None` when there is none.
    fn seek(&mut self, t: i64) -> Option<i64>;

    /// The sample at hand, which there must be.
    fn value(&self) -> Self::Value;

    /// The same as a float, if it is one.
    fn float(&self) -> Option<f64>;

    /// Lifts this sample and all that follow by as much as it is below `last`.
    fn lift(&mut self, last: f64);
}

/// Two replicas as one.
#[derive(Debug)]
pub struct Pair<A, B> {
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

impl<A: Replica, B: Replica<Value = A::Value>> Pair<A, B> {
    /// These two. With `is_counter`, values never go down where replicas change.
    pub const fn new(a: A, b: B, is_counter: bool) -> Self {
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
        self.last = Some((t, self.float()));
        Some(t)
    }
}

impl<A: Replica, B: Replica<Value = A::Value>> Replica for Pair<A, B> {
    type Value = A::Value;

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
    fn value(&self) -> Self::Value {
        if self.uses_a {
            self.a.value()
        } else {
            self.b.value()
        }
    }

    #[inline]
    fn float(&self) -> Option<f64> {
        if self.uses_a {
            self.a.float()
        } else {
            self.b.float()
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
#[derive(Debug)]
pub enum Folded<L> {
    /// The first.
    One(L),
    /// Those before, and one more.
    Pair(Box<Pair<Folded<L>, L>>),
}

impl<L: Replica> Folded<L> {
    /// `first` and all of the rest, folded from the left. Each replica is a level of recursion.
    pub fn new(first: L, rest: impl IntoIterator<Item = L>, is_counter: bool) -> Self {
        let pair = |folded, next| Self::Pair(Box::new(Pair::new(folded, next, is_counter)));
        rest.into_iter().fold(Self::One(first), pair)
    }
}

impl<L: Replica> Replica for Folded<L> {
    type Value = L::Value;

    fn seek(&mut self, t: i64) -> Option<i64> {
        match self {
            Self::One(replica) => replica.seek(t),
            Self::Pair(pair) => pair.seek(t),
        }
    }

    fn value(&self) -> Self::Value {
        match self {
            Self::One(replica) => replica.value(),
            Self::Pair(pair) => pair.value(),
        }
    }

    fn float(&self) -> Option<f64> {
        match self {
            Self::One(replica) => replica.float(),
            Self::Pair(pair) => pair.float(),
        }
    }

    fn lift(&mut self, last: f64) {
        match self {
            Self::One(replica) => replica.lift(last),
            Self::Pair(pair) => pair.lift(last),
        }
    }
}
