//! How many series a tenant sends points of, within about an hour.

use std::collections::HashSet;

/// After so long a series that is silent counts no more; it may take twice as long.
const GENERATION_MS: i64 = 3_600_000;

/// Hashes of the series of late: those of the running hour, and those of the hour before that have
/// not come again.
#[derive(Debug, Default)]
pub(super) struct SeriesLimit {
    current: HashSet<u64>,
    previous: HashSet<u64>,
    since_ms: i64,
}

impl SeriesLimit {
    /// Whether a point of this series may come in when there may be `max` series.
    pub(super) fn admits(&mut self, series: u64, max: u64, now_ms: i64) -> bool {
        if now_ms - self.since_ms >= GENERATION_MS {
            self.previous = std::mem::take(&mut self.current);
            if now_ms - self.since_ms >= 2 * GENERATION_MS {
                self.previous.clear();
            }
            self.since_ms = now_ms;
        }
        if self.current.contains(&series) {
            return true;
        }
        let is_new = !self.previous.remove(&series);
        let count = self.current.len() + self.previous.len();
        if is_new && count as u64 >= max {
            return false;
        }
        self.current.insert(series);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_series_give_way() {
        let mut limit = SeriesLimit::default();
        let start = 1_795_000_000_000;
        let mut admits = |series, now_ms| limit.admits(series, 2, start + now_ms);
        assert!(admits(1, 0) && admits(2, 1) && admits(1, 2));
        assert!(!admits(3, 3));
        // The second came again in the second hour, the first did not.
        assert!(admits(2, GENERATION_MS + 1) && !admits(3, GENERATION_MS + 2));
        assert!(admits(3, 2 * GENERATION_MS + 3) && !admits(1, 2 * GENERATION_MS + 4));
        assert!(admits(1, 9 * GENERATION_MS));
    }
}
