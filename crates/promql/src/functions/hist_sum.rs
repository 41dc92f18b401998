//! Sums and means of native histograms, compensated as those of floats are.

use model::{CounterResetHint, FloatHistogram};

/// What came of adding a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Nothing to remark.
    Plain,
    /// Custom bounds differ; the sum has those that are in both.
    Reconciled,
    /// Custom buckets and exponential schemas do not add up.
    Impossible,
}

/// Which counter reset hints were seen.
#[derive(Debug, Clone, Copy, Default)]
struct Hints {
    reset: bool,
    not_reset: bool,
}

impl Hints {
    fn see(&mut self, h: &FloatHistogram) {
        match h.counter_reset_hint {
            CounterResetHint::Reset => self.reset = true,
            CounterResetHint::NotReset => self.not_reset = true,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
    }
}

/// A sum under way.
#[derive(Debug, Clone)]
pub(crate) struct HistSum {
    sum: FloatHistogram,
    /// What rounding lost; present from the second histogram on.
    lost: Option<FloatHistogram>,
    hints: Hints,
}

impl HistSum {
    pub(crate) fn new(first: &FloatHistogram) -> Self {
        let mut hints = Hints::default();
        hints.see(first);
        Self {
            sum: first.clone(),
            lost: None,
            hints,
        }
    }

    /// Adds `h`, unless it is impossible.
    pub(crate) fn add(&mut self, h: &FloatHistogram) -> Joined {
        self.hints.see(h);
        let lost = self
            .lost
            .get_or_insert_with(|| self.sum.zero_compensation());
        match self.sum.kahan_add(h, lost) {
            Ok(r) if r.custom_bounds => Joined::Reconciled,
            Ok(_) => Joined::Plain,
            Err(_) => Joined::Impossible,
        }
    }

    /// True when one histogram says that it follows a reset and another that it does not.
    pub(crate) const fn collides(&self) -> bool {
        self.hints.reset && self.hints.not_reset
    }

    /// The sum.
    pub(crate) fn total(self) -> FloatHistogram {
        let mut total = compensated(self.sum, self.lost);
        total.compact(0);
        total
    }
}

/// `sum` with what rounding lost put back.
fn compensated(mut sum: FloatHistogram, lost: Option<FloatHistogram>) -> FloatHistogram {
    if let Some(lost) = lost {
        let added = sum.add(&lost);
        debug_assert!(added.is_ok(), "sum and compensation have one layout");
    }
    sum
}

/// A mean under way: a sum and a count, or, once the sum would overflow, a running mean.
#[derive(Debug, Clone)]
pub(crate) struct HistMean {
    /// The sum; the mean so far once `is_running`.
    value: HistSum,
    count: f64,
    is_running: bool,
}

impl HistMean {
    pub(crate) fn new(first: &FloatHistogram) -> Self {
        Self {
            value: HistSum::new(first),
            count: 1.0,
            is_running: false,
        }
    }

    /// Takes `h` in, unless it is impossible.
    pub(crate) fn add(&mut self, h: &FloatHistogram) -> Joined {
        self.count += 1.0;
        if !self.is_running {
            let mut sum = self.value.clone();
            let joined = sum.add(h);
            if joined == Joined::Impossible || !sum.sum.has_overflow() {
                self.value = sum;
                return joined;
            }
            self.is_running = true;
            let count = self.count - 1.0;
            self.scale(|h| h.div(count));
        }
        let share = (self.count - 1.0) / self.count;
        self.scale(|h| h.mul(share));
        let mut part = h.clone();
        part.div(self.count);
        self.value.add(&part)
    }

    fn scale(&mut self, mut by: impl FnMut(&mut FloatHistogram) -> &mut FloatHistogram) {
        by(&mut self.value.sum);
        if let Some(lost) = &mut self.value.lost {
            by(lost);
        }
    }

    /// As [`HistSum::collides`].
    pub(crate) const fn collides(&self) -> bool {
        self.value.collides()
    }

    /// The mean.
    pub(crate) fn mean(mut self) -> FloatHistogram {
        if !self.is_running {
            let count = self.count;
            self.scale(|h| h.div(count));
        }
        self.value.total()
    }
}
