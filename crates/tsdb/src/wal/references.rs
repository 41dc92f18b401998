//! What is known of series by their references in a log.

use hashbrown::HashMap;

/// References count up from one, with gaps: most are looked up in a table, the rest in a map.
#[derive(Debug)]
pub(crate) struct References<V> {
    table: Vec<Option<V>>,
    rest: HashMap<u64, V, ahash::RandomState>,
    /// How many were inserted, at least as many as there are.
    len: usize,
}

impl<V> Default for References<V> {
    fn default() -> Self {
        Self {
            table: Vec::new(),
            rest: HashMap::default(),
            len: 0,
        }
    }
}

impl<V: Copy> References<V> {
    /// The table may have so many entries per reference, and some to begin with.
    fn table_max(&self) -> usize {
        self.len * 8 + 65_536
    }

    /// Forgets all values, but not the memory.
    pub(crate) fn clear(&mut self) {
        self.table.fill(None);
        self.rest.clear();
        self.len = 0;
    }

    pub(crate) fn insert(&mut self, reference: u64, value: V) {
        self.len += 1;
        match usize::try_from(reference) {
            Ok(at) if at < self.table.len().max(self.table_max()) => {
                if self.table.len() <= at {
                    self.table.resize((at + 1).next_power_of_two(), None);
                }
                self.table[at] = Some(value);
                // It may have been too large for the table before.
                self.rest.remove(&reference);
            }
            _ => drop(self.rest.insert(reference, value)),
        }
    }

    pub(crate) fn remove(&mut self, reference: u64) {
        if let Ok(at) = usize::try_from(reference)
            && let Some(value) = self.table.get_mut(at)
        {
            *value = None;
        }
        self.rest.remove(&reference);
    }

    #[inline]
    pub(crate) fn get(&self, reference: u64) -> Option<V> {
        match self.table.get(usize::try_from(reference).ok()?) {
            Some(Some(value)) => Some(*value),
            _ => self.rest.get(&reference).copied(),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, reference: u64) -> Option<&mut V> {
        match self.table.get_mut(usize::try_from(reference).ok()?) {
            Some(Some(value)) => Some(value),
            _ => self.rest.get_mut(&reference),
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
            assert_eq!(references.get_mut(reference), Some(&mut { series }));
        }
        assert_eq!(references.get(2), None);
        references.insert(70_000, 7);
        references.remove(1);
        references.remove(u64::MAX);
        assert_eq!(references.get(70_000), Some(7));
        assert_eq!((references.get(1), references.get(u64::MAX)), (None, None));
        references.clear();
        assert_eq!((references.get(3), references.get(70_000)), (None, None));
    }
}
