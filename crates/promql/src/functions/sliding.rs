//! Windows that slide over samples and keep what they know of those that stay.

use std::ops::Range;

use super::quantile::order;

/// The values of a window, sorted.
#[derive(Debug, Default)]
pub(crate) struct SortedWindow {
    sorted: Vec<f64>,
    window: Range<usize>,
}

impl SortedWindow {
    /// Moves to `window` and returns its values in order. Cheap when most of them stay.
    pub(crate) fn slide(&mut self, values: &[f64], window: Range<usize>) -> &[f64] {
        let old = std::mem::replace(&mut self.window, window.clone());
        let stay = window.start.max(old.start)..window.end.min(old.end);
        // Moving a value costs about as much as comparing eight.
        if window.start < old.start || stay.len() * 8 < window.len() {
            self.sorted.clear();
            self.sorted.extend_from_slice(&values[window]);
            self.sorted.sort_unstable_by(order);
            return &self.sorted;
        }
        for v in &values[old.start..stay.start] {
            let at = self.sorted.partition_point(|x| order(x, v).is_lt());
            self.sorted.remove(at);
        }
        for v in &values[stay.end..window.end] {
            let at = self.sorted.partition_point(|x| order(x, v).is_le());
            self.sorted.insert(at, *v);
        }
        &self.sorted
    }
}

/// Where the extreme of a window is: a queue of the values that may yet become it.
#[derive(Debug, Default)]
pub(crate) struct ExtremeWindow {
    /// Indices, ascending; each value gives way to none behind it.
    queue: Vec<u32>,
    /// Those before are not in the window any more.
    head: usize,
    window: Range<usize>,
}

impl ExtremeWindow {
    /// Moves to `window`, not empty, and returns the index of its extreme. `beats(old, new)` says
    /// that the new value is the better of two that are not NaN. When all are NaN it is `None`.
    pub(crate) fn slide(
        &mut self,
        values: &[f64],
        window: Range<usize>,
        beats: impl Fn(f64, f64) -> bool,
    ) -> Option<usize> {
        let old = std::mem::replace(&mut self.window, window.clone());
        let mut from = old.end;
        if window.start < old.start || window.end < old.end || window.start >= old.end {
            self.queue.clear();
            self.head = 0;
            from = window.start;
        }
        for (k, &v) in values.iter().enumerate().take(window.end).skip(from) {
            if v.is_nan() {
                continue;
            }
            while self.queue.len() > self.head
                && beats(values[self.queue[self.queue.len() - 1] as usize], v)
            {
                self.queue.pop();
            }
            self.queue.push(k as u32);
        }
        while self
            .queue
            .get(self.head)
            .is_some_and(|&k| (k as usize) < window.start)
        {
            self.head += 1;
        }
        self.queue.get(self.head).map(|&k| k as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sliding_finds_what_a_scan_finds(
            values in prop::collection::vec(
                prop_oneof![Just(f64::NAN), (-5..5i32).prop_map(f64::from), -1e3..1e3f64],
                1..120,
            ),
            moves in prop::collection::vec((0..9usize, 1..40usize), 1..30),
        ) {
            let mut sorted = SortedWindow::default();
            let mut extreme = ExtremeWindow::default();
            let mut end = 0;
            for (step, width) in moves {
                end = (end + step).min(values.len());
                let window = end.saturating_sub(width)..end;
                if window.is_empty() {
                    continue;
                }
                let mut plain = values[window.clone()].to_vec();
                plain.sort_by(order);
                let slid: Vec<u64> =
                    sorted.slide(&values, window.clone()).iter().map(|v| v.to_bits()).collect();
                prop_assert_eq!(slid, plain.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
                let best = extreme.slide(&values, window.clone(), |old, new| new > old);
                let scan = window.filter(|&k| !values[k].is_nan()).reduce(|a, b| {
                    if values[b] > values[a] { b } else { a }
                });
                prop_assert_eq!(best, scan);
            }
        }
    }
}
