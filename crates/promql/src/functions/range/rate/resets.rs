//! Where a counter was reset.

use crate::columns::Samples;
use crate::functions::range::start_time::Stamp;

use super::Kind;

/// Appends the indices of the values that are less than the one before.
fn find_decreases(values: &[f64], at: &mut Vec<u32>) {
    /// Values that are looked at together, most often to find that none decreases.
    const RUN: usize = 64;
    for from in (1..values.len()).step_by(RUN) {
        let now = &values[from..values.len().min(from + RUN)];
        let before = &values[from - 1..];
        let decreases = now.iter().zip(before).map(|(now, before)| now < before);
        if decreases.clone().fold(false, |any, d| any | d) {
            let found = decreases.enumerate().filter(|(_, d)| *d);
            at.extend(found.map(|(k, _)| (from + k) as u32));
        }
    }
}

/// The resets of a series, found once; steps that ascend find theirs without a scan.
pub(super) struct Resets {
    /// Indices of the first samples after resets, ascending.
    at: Vec<u32>,
    /// Indices of the samples that claim to have started before the sample before them.
    overlaps: Vec<u32>,
    /// Position of the first reset that the current window may contain.
    next: usize,
    last_first: usize,
}

impl Resets {
    pub(super) fn find(samples: &Samples, kind: Kind) -> Self {
        let (mut at, mut overlaps) = (Vec::new(), Vec::new());
        if kind.is_counter {
            let values = &samples.values;
            if samples.starts.is_empty() {
                find_decreases(values, &mut at);
            } else {
                at.extend((1..values.len()).filter_map(|k| {
                    let (now, before) = (Stamp::float(samples, k), Stamp::float(samples, k - 1));
                    if now.overlaps(before) {
                        overlaps.push(k as u32);
                    }
                    (values[k] < values[k - 1] || now.is_reset_after(before)).then_some(k as u32)
                }));
            }
        }
        Self {
            at,
            overlaps,
            next: 0,
            last_first: 0,
        }
    }

    /// True when one of samples `first..=last` overlaps with the one before it.
    pub(super) fn overlap(&self, first: usize, last: usize) -> bool {
        let next = self.overlaps.partition_point(|&k| k as usize <= first);
        self.overlaps.get(next).is_some_and(|&k| k as usize <= last)
    }

    /// `result` plus the values that samples `first..=last` were reset from.
    #[inline]
    pub(super) fn add(
        &mut self,
        values: &[f64],
        first: usize,
        last: usize,
        mut result: f64,
    ) -> f64 {
        if self.at.is_empty() {
            return result;
        }
        if first < self.last_first {
            self.next = 0;
        }
        self.last_first = first;
        while self.next < self.at.len() && self.at[self.next] as usize <= first {
            self.next += 1;
        }
        for &k in &self.at[self.next..] {
            if k as usize > last {
                break;
            }
            result += values[k as usize - 1];
        }
        result
    }
}
