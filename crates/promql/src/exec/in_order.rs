//! What is told apart by a key, in the order in which the keys first came.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// Items by key, in the order in which they were made.
#[derive(Debug)]
pub(crate) struct InOrder<T> {
    by_key: HashMap<u128, usize>,
    pub(crate) items: Vec<T>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            items: Vec::new(),
        }
    }
}

impl<T> InOrder<T> {
    /// The place of the item with this key, made if it is new.
    pub(crate) fn place(&mut self, key: u128, make: impl FnOnce() -> T) -> usize {
        *self.by_key.entry(key).or_insert_with(|| {
            self.items.push(make());
            self.items.len() - 1
        })
    }

    /// Adds an item; gives it back with the one that has its key, if there is one.
    pub(crate) fn insert(&mut self, key: u128, item: T) -> Result<(), (&mut T, T)> {
        match self.by_key.entry(key) {
            Entry::Vacant(slot) => {
                slot.insert(self.items.len());
                self.items.push(item);
                Ok(())
            }
            Entry::Occupied(slot) => Err((&mut self.items[*slot.get()], item)),
        }
    }
}
