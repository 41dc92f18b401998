//! What start timestamps say about counters.
//!
//! A start timestamp is the time since which a counter counts. It finds resets that values do not
//! show, and makes deltas (each sample with a start of its own) work as counters.

use crate::columns::Samples;

/// A sample's time and its start timestamp, 0 when not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) t: i64,
    pub(super) start: i64,
}

impl Stamp {
    /// Of float `k`.
    pub(super) fn float(samples: &Samples, k: usize) -> Self {
        Self {
            t: samples.ts[k],
            start: samples.start(k),
        }
    }

    /// Of histogram `k`.
    pub(super) fn hist(samples: &Samples, k: usize) -> Self {
        Self {
            t: samples.hist_ts[k],
            start: samples.hist_start(k),
        }
    }

    /// True when the counter started anew after `previous`.
    ///
    /// A start at the very time of the sample before is a new one (a delta) only if that sample had
    /// a start before itself; else it is a counter whose true start is not known.
    pub(super) const fn is_reset_after(self, previous: Self) -> bool {
        if self.start == 0 || self.start >= self.t {
            return false;
        }
        self.start > previous.t
            || (self.start == previous.t && previous.start != 0 && previous.start < previous.t)
    }

    /// True when the counter claims to have started before `previous`, which has another start.
    pub(super) const fn overlaps(self, previous: Self) -> bool {
        self.start != 0 && self.start < previous.t && self.start != previous.start
    }

    /// The start, when it lies after `window_start` and before the sample: the counter was zero
    /// there.
    pub(super) fn zero_point(self, window_start: i64) -> Option<i64> {
        (self.start != 0 && self.start > window_start && self.start < self.t).then_some(self.start)
    }
}
