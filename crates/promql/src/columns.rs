//! Columns: what moves between operators.
//!
//! The engine is series-major. [`Samples`] holds one series as it was stored; [`Column`] holds one
//! series evaluated at every step of a query. Floats and native histograms are separate columns.
//!
//! Invariant: at one step (or timestamp) a series has a float or a histogram, never both.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Labels};

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

/// One bit per step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// `len` zero bits.
    pub fn zeros(len: usize) -> Self {
        Self {
            words: vec![0; len.div_ceil(64)],
            len,
        }
    }

    /// Becomes `len` zero bits.
    pub fn reset(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
    }

    /// Becomes `len` one bits.
    pub fn fill(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), u64::MAX);
        self.len = len;
        if let (Some(last), tail @ 1..) = (self.words.last_mut(), len % 64) {
            *last = (1 << tail) - 1;
        }
    }

    /// Appends zero bits until there are `len`, if there are fewer.
    pub(crate) fn grow(&mut self, len: usize) {
        if len > self.len {
            self.words.resize(len.div_ceil(64), 0);
            self.len = len;
        }
    }

    /// Number of bits.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when there are no bits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit `i`.
    #[inline]
    pub fn get(&self, i: usize) -> bool {
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    /// Sets bit `i`.
    #[inline]
    pub fn set(&mut self, i: usize) {
        self.words[i / 64] |= 1 << (i % 64);
    }

    /// Clears bit `i`.
    #[inline]
    pub fn unset(&mut self, i: usize) {
        self.words[i / 64] &= !(1 << (i % 64));
    }

    /// Replaces the bits from `64 * word` on by those of `bits`, lowest first; bits beyond the last
    /// must be zero.
    #[inline]
    pub(crate) fn set_word(&mut self, word: usize, bits: u64) {
        self.words[word] = bits;
    }

    /// Number of one bits.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// True when some bit is one.
    pub fn any(&self) -> bool {
        self.words.iter().any(|&w| w != 0)
    }

    /// True when every bit is one.
    pub fn all(&self) -> bool {
        self.count() == self.len
    }

    /// True when a bit is one in both.
    pub fn intersects(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// Sets the bits that are one in `other`.
    pub fn union(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a |= b;
        }
    }

    /// Clears the bits that are zero in `other`.
    pub fn intersect(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= b;
        }
    }

    /// Clears the bits that are one in `other`.
    pub fn subtract(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= !b;
        }
    }

    /// The indices of the one bits, ascending.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.ones_from(0)
    }

    /// Number of one bits before bit `i`.
    pub(crate) fn rank(&self, i: usize) -> usize {
        let i = i.min(self.len);
        let whole = self.words[..i / 64].iter().map(|w| w.count_ones());
        let part = self.words.get(i / 64);
        let part = part.map_or(0, |w| (w & ((1 << (i % 64)) - 1)).count_ones());
        (whole.sum::<u32>() + part) as usize
    }

    /// The indices of the one bits from bit `first` on, ascending.
    pub(crate) fn ones_from(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        let from = (first / 64).min(self.words.len());
        let words = self.words.iter().enumerate().skip(from);
        words.flat_map(move |(i, &word)| {
            let mut rest = match i == first / 64 {
                true => word & (u64::MAX << (first % 64)),
                false => word,
            };
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(i * 64 + bit)
            })
        })
    }

    /// Bytes of memory it owns.
    pub fn heap_bytes(&self) -> usize {
        self.words.capacity() * 8
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

/// One series as it is stored, in a range of time: parallel columns in order of timestamps.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// Timestamps of the floats, in milliseconds, strictly ascending.
    pub ts: Vec<i64>,
    /// The floats.
    pub values: Vec<f64>,
    /// Start timestamps of the floats; empty when there are none, 0 where one is not known.
    pub starts: Vec<i64>,
    /// Timestamps of the histograms, in milliseconds, strictly ascending.
    pub hist_ts: Vec<i64>,
    /// The histograms.
    pub hists: Vec<Arc<FloatHistogram>>,
    /// Start timestamps of the histograms; empty when there are none, 0 where one is not known.
    pub hist_starts: Vec<i64>,
}

impl Samples {
    /// Drops all samples, keeping the memory.
    pub fn clear(&mut self) {
        self.ts.clear();
        self.values.clear();
        self.starts.clear();
        self.hist_ts.clear();
        self.hists.clear();
        self.hist_starts.clear();
    }

    /// Number of samples of both kinds.
    pub const fn len(&self) -> usize {
        self.ts.len() + self.hist_ts.len()
    }

    /// True when there is no sample.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a float; `start` is its start timestamp, 0 when not known.
    pub fn push_float(&mut self, t: i64, v: f64, start: i64) {
        if start != 0 && self.starts.is_empty() {
            self.starts.resize(self.ts.len(), 0);
        }
        if start != 0 || !self.starts.is_empty() {
            self.starts.push(start);
        }
        self.ts.push(t);
        self.values.push(v);
    }

    /// Appends a histogram; `start` is its start timestamp, 0 when not known.
    pub fn push_hist(&mut self, t: i64, h: Arc<FloatHistogram>, start: i64) {
        if start != 0 && self.hist_starts.is_empty() {
            self.hist_starts.resize(self.hist_ts.len(), 0);
        }
        if start != 0 || !self.hist_starts.is_empty() {
            self.hist_starts.push(start);
        }
        self.hist_ts.push(t);
        self.hists.push(h);
    }

    /// The start timestamp of float `i`, 0 when not known.
    pub fn start(&self, i: usize) -> i64 {
        self.starts.get(i).copied().unwrap_or(0)
    }

    /// The start timestamp of histogram `i`, 0 when not known.
    pub fn hist_start(&self, i: usize) -> i64 {
        self.hist_starts.get(i).copied().unwrap_or(0)
    }

    /// Forgets start timestamps, which a source may yield though the query does not want them.
    pub(crate) fn drop_starts(&mut self) {
        self.starts.clear();
        self.hist_starts.clear();
    }

    /// Removes stale markers, which no range vector shows.
    pub(crate) fn drop_stale(&mut self) {
        // Without leaving early, runs are compared several values at a time.
        let is_stale = |any, &v: &f64| any | model::sample::is_stale(v);
        let mut runs = self.values.chunks(64);
        if runs.any(|run| run.iter().fold(false, is_stale)) {
            let keep: Vec<bool> = self
                .values
                .iter()
                .map(|&v| !model::sample::is_stale(v))
                .collect();
            retain_by(&mut self.ts, &keep);
            retain_by(&mut self.values, &keep);
            retain_by(&mut self.starts, &keep);
        }
        if self.hists.iter().any(|h| model::sample::is_stale(h.sum)) {
            let keep: Vec<bool> = self
                .hists
                .iter()
                .map(|h| !model::sample::is_stale(h.sum))
                .collect();
            retain_by(&mut self.hist_ts, &keep);
            retain_by(&mut self.hists, &keep);
            retain_by(&mut self.hist_starts, &keep);
        }
    }

    /// Leaves of each histogram the count and the sum, as Prometheus decodes them for queries that
    /// look at nothing else. Before the buckets go, they say whether a reset came before, where that
    /// is not known; of the first one, and of gauges, that stays unknown.
    pub(crate) fn reduce_to_stats(&mut self) {
        let mut previous: Option<Arc<FloatHistogram>> = None;
        for slot in &mut self.hists {
            let stats = FloatHistogram {
                counter_reset_hint: slot.counter_reset_hint,
                schema: slot.schema,
                count: slot.count,
                sum: slot.sum,
                ..FloatHistogram::default()
            };
            let full = std::mem::replace(slot, Arc::new(stats));
            if model::sample::is_stale(full.sum) {
                continue;
            }
            if let Some(previous) = &previous
                && full.counter_reset_hint == CounterResetHint::Unknown
            {
                let is_reset = full.detect_reset(previous);
                Arc::make_mut(slot).counter_reset_hint = if is_reset {
                    CounterResetHint::Reset
                } else {
                    CounterResetHint::NotReset
                };
            }
            previous = Some(full);
        }
    }

    /// Bytes of memory it owns, histograms estimated.
    pub fn heap_bytes(&self) -> usize {
        (self.ts.capacity() + self.values.capacity() + self.starts.capacity()) * 8
            + (self.hist_ts.capacity() + self.hists.capacity() + self.hist_starts.capacity()) * 8
            + self.hists.iter().map(|h| h.size_bytes()).sum::<usize>()
    }
}

/// Keeps the items whose flag is set; an empty column stays empty.
fn retain_by<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    items.retain(|_| *flags.next().expect("columns are parallel"));
}
