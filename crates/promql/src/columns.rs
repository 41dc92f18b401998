//! Columns: what moves between operators.
//!
//! The engine is series-major. [`Samples`] holds one series as it was stored; [`Column`] holds one
//! series evaluated at every step of a query. Floats and native histograms are separate columns.
//!
//! Invariant: at one step (or timestamp) a series has a float or a histogram, never both.

mod bitmap;
mod samples;

use std::sync::Arc;

use model::{FloatHistogram, Labels};

pub use bitmap::Bitmap;
pub use samples::Samples;

/// The instants at which an expression is evaluated: `start`, `start + step`, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The first instant, in milliseconds.
    pub start: i64,
    /// Distance between instants, in milliseconds; at least 1.
    pub step: i64,
    /// Number of instants; may be 0 for a subquery that spans none.
    pub count: usize,
}

impl Steps {
    /// One instant.
    pub const fn instant(t: i64) -> Self {
        Self {
            start: t,
            step: 1,
            count: 1,
        }
    }

    /// The instants from `start` to `end`, both included.
    pub fn range(start: i64, end: i64, step: i64) -> Self {
        let step = step.max(1);
        let count = if end < start {
            0
        } else {
            usize::try_from((i128::from(end) - i128::from(start)) / i128::from(step) + 1)
                .unwrap_or(usize::MAX)
        };
        Self { start, step, count }
    }

    /// The instant of step `i`.
    pub const fn at(&self, i: usize) -> i64 {
        self.start
            .saturating_add((i as i64).saturating_mul(self.step))
    }

    /// The last instant; `start` when there is none.
    pub const fn end(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }
}

/// A value at a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepValue {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// One series over all steps.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// One number per step; meaningful where `valid` is set.
    pub floats: Vec<f64>,
    /// Steps that hold a float.
    pub valid: Bitmap,
    /// Native histograms, one slot per step; empty when the series has none.
    pub hists: Vec<Option<Arc<FloatHistogram>>>,
}

impl Column {
    /// A column of `steps` steps without values.
    pub fn absent(steps: usize) -> Self {
        let mut column = Self::default();
        column.reset(steps);
        column
    }

    /// Becomes a column of `steps` steps without values, keeping its memory.
    pub fn reset(&mut self, steps: usize) {
        self.floats.clear();
        self.floats.resize(steps, 0.0);
        self.valid.reset(steps);
        self.hists.clear();
    }

    /// Number of steps.
    pub const fn len(&self) -> usize {
        self.floats.len()
    }

    /// True when there are no steps.
    pub const fn is_empty(&self) -> bool {
        self.floats.is_empty()
    }

    /// Puts a float at step `i`.
    #[inline]
    pub fn set_float(&mut self, i: usize, v: f64) {
        self.floats[i] = v;
        self.valid.set(i);
    }

    /// Puts a histogram at step `i`.
    pub fn set_hist(&mut self, i: usize, h: Arc<FloatHistogram>) {
        if self.hists.is_empty() {
            self.hists.resize(self.floats.len(), None);
        }
        self.hists[i] = Some(h);
    }

    /// Puts a value at step `i`.
    pub fn set(&mut self, i: usize, value: StepValue) {
        match value {
            StepValue::Float(v) => self.set_float(i, v),
            StepValue::Histogram(h) => self.set_hist(i, h),
        }
    }

    /// Removes the value of step `i`.
    pub fn clear(&mut self, i: usize) {
        self.valid.unset(i);
        if let Some(slot) = self.hists.get_mut(i) {
            *slot = None;
        }
    }

    /// The histogram at step `i`.
    #[inline]
    pub fn hist(&self, i: usize) -> Option<&Arc<FloatHistogram>> {
        self.hists.get(i).and_then(Option::as_ref)
    }

    /// The float at step `i`.
    #[inline]
    pub fn float(&self, i: usize) -> Option<f64> {
        self.valid.get(i).then(|| self.floats[i])
    }

    /// The value at step `i`.
    pub fn get(&self, i: usize) -> Option<StepValue> {
        match self.float(i) {
            Some(v) => Some(StepValue::Float(v)),
            None => self.hist(i).cloned().map(StepValue::Histogram),
        }
    }

    /// True when step `i` holds a value of either kind.
    pub fn has(&self, i: usize) -> bool {
        self.valid.get(i) || self.hist(i).is_some()
    }

    /// The steps that hold a value of either kind.
    pub fn present(&self) -> Bitmap {
        let mut present = self.valid.clone();
        for (i, h) in self.hists.iter().enumerate() {
            if h.is_some() {
                present.set(i);
            }
        }
        present
    }

    /// True when no step holds a value.
    pub fn is_absent(&self) -> bool {
        !self.valid.any() && self.hists.iter().all(Option::is_none)
    }

    /// Removes every histogram.
    pub fn drop_hists(&mut self) {
        self.hists.clear();
    }

    /// Number of samples as Prometheus counts them: a float is one, a histogram as many as its
    /// bytes hold floats (16 each).
    pub fn sample_count(&self) -> u64 {
        let hists: u64 = self.hists.iter().flatten().map(|h| hist_weight(h)).sum();
        self.valid.count() as u64 + hists
    }

    /// Takes over the values of `other`, a column of as many steps.
    pub fn merge(&mut self, other: &Self) {
        for i in other.valid.ones() {
            self.set_float(i, other.floats[i]);
        }
        for (i, h) in other.hists.iter().enumerate() {
            if let Some(h) = h {
                self.set_hist(i, Arc::clone(h));
            }
        }
    }

    /// Every step gets the value of the first and only step.
    pub fn broadcast(&mut self, steps: usize) {
        let value = if self.is_empty() { None } else { self.get(0) };
        self.reset(steps);
        match value {
            Some(StepValue::Float(v)) => {
                self.floats.fill(v);
                self.valid.fill(steps);
            }
            Some(StepValue::Histogram(h)) => self.hists.resize(steps, Some(h)),
            None => {}
        }
    }

    /// Bytes of memory it owns, histograms estimated.
    pub fn heap_bytes(&self) -> usize {
        self.floats.capacity() * 8
            + self.valid.heap_bytes()
            + self.hists.capacity() * 8
            + self
                .hists
                .iter()
                .flatten()
                .map(|h| h.size_bytes())
                .sum::<usize>()
    }
}

/// How many samples a histogram counts for.
pub(crate) fn hist_weight(h: &FloatHistogram) -> u64 {
    (h.size_bytes() as u64 + 8) / 16
}

/// One series evaluated at all steps.
#[derive(Debug, Clone, Default)]
pub struct StepSeries {
    /// The labels, with the metric name while `drop_name` is only a mark.
    pub labels: Labels,
    /// The metric name is to be dropped at the end of the query (delayed name removal).
    pub drop_name: bool,
    /// Its values.
    pub column: Column,
}
