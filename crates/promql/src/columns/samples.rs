//! Series as they are stored.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

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
    /// Makes room for `more` floats at once, which a long series would otherwise outgrow again and
    /// again.
    pub fn reserve_floats(&mut self, more: usize) {
        self.ts.reserve(more);
        self.values.reserve(more);
    }

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
