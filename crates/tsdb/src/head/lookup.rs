//! From label bytes and from references to series, spread over stripes with a lock each.
//!
//! Labels are hashed once, by their encoding; the key of the hash is of this process, so that nobody
//! can choose labels that collide.

use std::sync::Arc;

use hashbrown::HashTable;
use parking_lot::RwLock;

use super::entry::Entry;
use crate::batch::SeriesRef;

/// Locks; a power of two.
const STRIPES: usize = 64;

/// A series with the hash of its labels, so that growing a table does not touch the series.
#[derive(Debug)]
struct Slot {
    hash: u64,
    entry: Arc<Entry>,
}

/// One stripe. Aligned so that no two share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe<T>(RwLock<HashTable<T>>);

/// The series of a head by labels and by reference.
#[derive(Debug)]
pub(super) struct Lookup {
    hasher: ahash::RandomState,
    by_labels: Box<[Stripe<Slot>]>,
    by_reference: Box<[Stripe<Arc<Entry>>]>,
}

/// Which stripe a hash belongs to; tables use the lowest and the highest bits.
const fn stripe(hash: u64) -> usize {
    (hash >> 40) as usize % STRIPES
}

/// References count up: a multiplication spreads them.
const fn hash_reference(series: SeriesRef) -> u64 {
    series.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Lookup {
    pub(super) fn new() -> Self {
        Self {
            hasher: ahash::RandomState::new(),
            by_labels: (0..STRIPES).map(|_| Stripe(RwLock::default())).collect(),
            by_reference: (0..STRIPES).map(|_| Stripe(RwLock::default())).collect(),
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

    /// The series of a reference.
    #[inline]
    pub(super) fn find_reference(&self, series: SeriesRef) -> Option<Arc<Entry>> {
        let hash = hash_reference(series);
        let table = self.by_reference[stripe(hash)].0.read();
        table.find(hash, |entry| entry.series == series).cloned()
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
        let hash = hash_reference(entry.series);
        self.by_reference[stripe(hash)].0.write().insert_unique(
            hash,
            Arc::clone(&entry),
            |entry| hash_reference(entry.series),
        );
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
        let hash = hash_reference(entry.series);
        let mut table = self.by_reference[stripe(hash)].0.write();
        if let Ok(found) = table.find_entry(hash, |e| Arc::ptr_eq(e, entry)) {
            found.remove();
        }
    }
}
