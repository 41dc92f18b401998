//! The newest exemplars of a head, in a buffer of bounded length.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use model::Exemplar;

use super::entry::Entry;
use crate::batch::{Reject, SeriesRef};

/// Exemplars of all series, in the order in which they came; the oldest make room.
#[derive(Debug)]
pub(super) struct Exemplars {
    max: usize,
    all: VecDeque<(Arc<Entry>, Exemplar)>,
    by_series: HashMap<SeriesRef, OfSeries, ahash::RandomState>,
}

#[derive(Debug)]
struct OfSeries {
    count: usize,
    newest: Exemplar,
}

impl Exemplars {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            all: VecDeque::new(),
            by_series: HashMap::default(),
        }
    }

    /// True when the exemplar is to be taken, false when it is there already or none are kept.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn judge(&self, series: SeriesRef, exemplar: &Exemplar) -> Result<bool, Reject> {
        if self.max == 0 {
            return Ok(false);
        }
        if !exemplar.labels_fit() {
            return Err(Reject::ExemplarTooLong);
        }
        let newest = self.by_series.get(&series).map(|s| &s.newest);
        match newest.map(|newest| exemplar.order(newest)) {
            Some(std::cmp::Ordering::Less) => Err(Reject::ExemplarOutOfOrder),
            Some(std::cmp::Ordering::Equal) => Ok(false),
            _ => Ok(true),
        }
    }

    pub(super) fn push(&mut self, entry: &Arc<Entry>, exemplar: Exemplar) {
        if self.max == 0 {
            return;
        }
        while self.all.len() >= self.max {
            self.drop_oldest();
        }
        let newest = exemplar.clone();
        match self.by_series.get_mut(&entry.series) {
            Some(of_series) => {
                of_series.count += 1;
                of_series.newest = newest;
            }
            None => {
                let of_series = OfSeries { count: 1, newest };
                self.by_series.insert(entry.series, of_series);
            }
        }
        self.all.push_back((Arc::clone(entry), exemplar));
    }

    fn drop_oldest(&mut self) {
        let Some((entry, _)) = self.all.pop_front() else {
            return;
        };
        if let Some(of_series) = self.by_series.get_mut(&entry.series) {
            of_series.count -= 1;
            if of_series.count == 0 {
                self.by_series.remove(&entry.series);
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Arc<Entry>, Exemplar)> {
        self.all.iter()
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    #[test]
    fn the_oldest_make_room_and_old_ones_are_refused() {
        let mut exemplars = Exemplars::new(2);
        let exemplar = |t, trace: &str| Exemplar {
            labels: Labels::from_pairs([("trace_id", trace)]),
            t,
            value: 1.0,
        };
        let entry = |n| Arc::new(Entry::new(SeriesRef(n), Labels::empty()));
        let (a, b) = (entry(1), entry(2));
        exemplars.push(&a, exemplar(5, "x"));
        let judge = |e: &Exemplars, exemplar| e.judge(SeriesRef(1), &exemplar);
        assert_eq!(judge(&exemplars, exemplar(5, "x")), Ok(false));
        assert_eq!(judge(&exemplars, exemplar(5, "y")), Ok(true));
        let refused = judge(&exemplars, exemplar(4, "z"));
        assert_eq!(refused, Err(Reject::ExemplarOutOfOrder));
        let refused = judge(&exemplars, exemplar(6, &"x".repeat(200)));
        assert_eq!(refused, Err(Reject::ExemplarTooLong));
        exemplars.push(&b, exemplar(1, "x"));
        exemplars.push(&b, exemplar(2, "x"));
        let times: Vec<_> = exemplars.iter().map(|(_, e)| e.t).collect();
        assert_eq!(times, [1, 2]);
        // Nothing of the first series is left.
        assert_eq!(judge(&exemplars, exemplar(4, "z")), Ok(true));
        assert_eq!(
            Exemplars::new(0).judge(SeriesRef(1), &exemplar(4, "z")),
            Ok(false)
        );
    }
}
