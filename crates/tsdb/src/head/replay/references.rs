//! From the references of a log to numbers of series.

use hashbrown::HashMap;

use super::SeriesId;

const NONE: SeriesId = SeriesId::MAX;

/// References count up from one, with gaps: most are kept in a table, the rest in a map.
#[derive(Debug, Default)]
pub(super) struct References {
    table: Vec<SeriesId>,
    rest: HashMap<u64, SeriesId, ahash::RandomState>,
    len: usize,
}

impl References {
    /// The table may have so many entries per reference, and some to begin with.
    fn table_max(&self) -> usize {
        self.len * 8 + 65_536
    }

    pub(super) fn insert(&mut self, reference: u64, series: SeriesId) {
        self.len += 1;
        match usize::try_from(reference) {
            Ok(at) if at < self.table_max() => {
                if self.table.len() <= at {
                    self.table.resize((at + 1).next_power_of_two(), NONE);
                }
                self.table[at] = series;
                // It may have been too large for the table before.
                self.rest.remove(&reference);
            }
            _ => drop(self.rest.insert(reference, series)),
        }
    }

    pub(super) fn remove(&mut self, reference: u64) {
        if let Some(series) = usize::try_from(reference)
            .ok()
            .and_then(|at| self.table.get_mut(at))
        {
            *series = NONE;
        }
        self.rest.remove(&reference);
    }

    #[inline]
    pub(super) fn get(&self, reference: u64) -> Option<SeriesId> {
        match self.table.get(usize::try_from(reference).ok()?) {
            Some(&series) if series != NONE => Some(series),
            _ => self.rest.get(&reference).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_wherever_they_are() {
        let mut references = References::default();
        for (reference, series) in [(1, 0), (70_000, 1), (u64::MAX, 2), (3, 3)] {
            references.insert(reference, series);
            assert_eq!(references.get(reference), Some(series));
        }
        assert_eq!(references.get(2), None);
        references.insert(70_000, 7);
        references.remove(1);
        references.remove(u64::MAX);
        assert_eq!(references.get(70_000), Some(7));
        assert_eq!((references.get(1), references.get(u64::MAX)), (None, None));
    }
}
