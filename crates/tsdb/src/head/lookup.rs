//! From label bytes and from references to series, spread over stripes with a lock each.
//!
//! Labels are hashed once, by their encoding; the key of the hash is of this process, so that nobody
//! can choose labels that collide.

use std::sync::Arc;

use hashbrown::{HashMap, HashTable};
use parking_lot::{RwLock, RwLockReadGuard};

use super::entry::Entry;
use crate::batch::SeriesRef;

/// Locks; a power of two.
const STRIPES: usize = 64;
/// References that lie next to each other in memory; a power of two.
const PAGE: u64 = 64;

/// A series with the hash of its labels, so that growing a table does not touch the series.
#[derive(Debug)]
struct Slot {
    hash: u64,
    entry: Arc<Entry>,
}

/// One stripe. Aligned so that no two share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe(RwLock<HashTable<Slot>>);

/// The series of a head by labels and by reference.
#[derive(Debug)]
pub(super) struct Lookup {
    hasher: ahash::RandomState,
    by_labels: Box<[Stripe]>,
    by_reference: RwLock<References>,
}

/// Series by reference. References count up, and writers send series in the order in which they were
/// made, so neighbours lie next to each other.
#[derive(Debug, Default)]
pub(super) struct References {
    pages: HashMap<u64, Box<Page>, ahash::RandomState>,
}

/// Series whose references differ in the lowest bits.
#[derive(Debug)]
struct Page {
    series: [Option<Arc<Entry>>; PAGE as usize],
}

/// Which stripe a hash belongs to; tables use the lowest and the highest bits.
const fn stripe(hash: u64) -> usize {
    (hash >> 40) as usize % STRIPES
}

/// The page of a reference, and its place there.
const fn page(series: SeriesRef) -> (u64, usize) {
    (series.0 / PAGE, (series.0 % PAGE) as usize)
}

impl References {
    /// The series of a reference.
    #[inline]
    pub(super) fn get(&self, series: SeriesRef) -> Option<&Arc<Entry>> {
        let (page, place) = page(series);
        self.pages.get(&page)?.series[place].as_ref()
    }

    fn insert(&mut self, entry: &Arc<Entry>) {
        let (page, place) = page(entry.series);
        let page = self.pages.entry(page).or_insert_with(|| {
            Box::new(Page {
                series: [const { None }; PAGE as usize],
            })
        });
        page.series[place] = Some(Arc::clone(entry));
    }

    fn remove(&mut self, entry: &Arc<Entry>) {
        let (number, place) = page(entry.series);
        let Some(page) = self.pages.get_mut(&number) else {
            return;
        };
        let found = &mut page.series[place];
        if found.as_ref().is_some_and(|e| Arc::ptr_eq(e, entry)) {
            *found = None;
        }
        if page.series.iter().all(Option::is_none) {
            self.pages.remove(&number);
        }
    }
}

impl Lookup {
    pub(super) fn new() -> Self {
        Self {
            hasher: ahash::RandomState::new(),
            by_labels: (0..STRIPES).map(|_| Stripe(RwLock::default())).collect(),
            by_reference: RwLock::default(),
        }
    }

    /// The hash of encoded labels.
    #[inline]
    pub(super) fn hash(&self, labels: &str) -> u64 {
        self.hasher.hash_one(labels.as_bytes())
    }

    /// The series with these encoded labels.
    #[inline]
    pub(super) fn find(&self, hash: u64, labels: &str) -> Option<Arc<Entry>> {
        let table = self.by_labels[stripe(hash)].0.read();
        let slot = table.find(hash, |slot| {
            slot.hash == hash && slot.entry.labels.as_encoded() == labels
        });
        slot.map(|slot| Arc::clone(&slot.entry))
    }

    /// The series by reference, locked for reading. No series can be made while it is held.
    pub(super) fn references(&self) -> RwLockReadGuard<'_, References> {
        self.by_reference.read()
    }

    /// The series with these encoded labels, made by `create` when there is none, unless that makes
    /// none.
    pub(super) fn find_or_create(
        &self,
        hash: u64,
        labels: &str,
        create: impl FnOnce() -> Option<Arc<Entry>>,
    ) -> Option<Arc<Entry>> {
        let mut table = self.by_labels[stripe(hash)].0.write();
        let found = table.find(hash, |slot| {
            slot.hash == hash && slot.entry.labels.as_encoded() == labels
        });
        if let Some(slot) = found {
            return Some(Arc::clone(&slot.entry));
        }
        let entry = create()?;
        let slot = Slot {
            hash,
            entry: Arc::clone(&entry),
        };
        table.insert_unique(hash, slot, |slot| slot.hash);
        self.by_reference.write().insert(&entry);
        Some(entry)
    }

    /// Takes over a series that is not there.
    pub(super) fn adopt(&self, entry: &Arc<Entry>) {
        let hash = self.hash(entry.labels.as_encoded());
        self.find_or_create(hash, entry.labels.as_encoded(), || Some(Arc::clone(entry)));
    }

    /// Forgets a series.
    pub(super) fn remove(&self, entry: &Arc<Entry>) {
        let hash = self.hash(entry.labels.as_encoded());
        let mut table = self.by_labels[stripe(hash)].0.write();
        if let Ok(found) = table.find_entry(hash, |slot| Arc::ptr_eq(&slot.entry, entry)) {
            found.remove();
        }
        drop(table);
        self.by_reference.write().remove(entry);
    }
}
