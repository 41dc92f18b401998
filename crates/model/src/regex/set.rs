//! Sets of strings, and sets of prefixes and suffixes.
//!
//! Empty strings are looked at by their length only: the pointer of an empty `Box<str>` dangles,
//! and glibc's `memcmp`, which loads what it has masked out, takes 80 ns for that on AMD Zen 4.

use std::fmt;
use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::HashTable;

/// From this size on a hash finds a string faster than comparing with each.
const HASHED_FROM: usize = 12;

/// An unchanging set of strings, in order.
pub(super) struct StringSet {
    /// Sorted, without duplicates.
    strings: Box<[Box<str>]>,
    /// Indexes into `strings`, for large sets.
    index: Option<(DefaultHashBuilder, HashTable<u32>)>,
}

impl StringSet {
    pub(super) fn new(strings: Vec<String>) -> Self {
        let mut strings: Vec<Box<str>> = strings.into_iter().map(Into::into).collect();
        strings.sort_unstable();
        strings.dedup();
        let index = (strings.len() >= HASHED_FROM).then(|| {
            let hasher = DefaultHashBuilder::default();
            let hash = |i: u32| hasher.hash_one(&*strings[i as usize]);
            let mut table = HashTable::with_capacity(strings.len());
            for i in 0..strings.len() as u32 {
                table.insert_unique(hash(i), i, |&i| hash(i));
            }
            (hasher, table)
        });
        Self {
            strings: strings.into_boxed_slice(),
            index,
        }
    }

    pub(super) fn contains(&self, value: &str) -> bool {
        if value.is_empty() {
            // Sorts before all others.
            return self.strings.first().is_some_and(|s| s.is_empty());
        }
        match &self.index {
            Some((hasher, table)) => {
                let is_value = |&i: &u32| *self.strings[i as usize] == *value;
                table.find(hasher.hash_one(value), is_value).is_some()
            }
            None => self.strings.iter().any(|s| **s == *value),
        }
    }

    pub(super) fn as_slice(&self) -> &[Box<str>] {
        &self.strings
    }
}

impl fmt::Debug for StringSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.strings).finish()
    }
}

/// Prefixes of which at most one starts a given value, because none starts another.
pub(super) struct Prefixes(Box<[Box<str>]>);

impl Prefixes {
    /// A prefix that starts with another goes, as the other accepts what it accepts.
    pub(super) fn new(strings: Vec<String>) -> Self {
        let mut strings: Vec<Box<str>> = strings.into_iter().map(Into::into).collect();
        strings.sort_unstable();
        strings.dedup_by(|s, kept| s.starts_with(&**kept));
        Self(strings.into_boxed_slice())
    }

    /// Length of the prefix that `value` starts with.
    pub(super) fn find(&self, value: &str) -> Option<usize> {
        // What sorts between a prefix of `value` and `value` starts with that prefix, too, and
        // `new` has removed such strings: only the last one up to `value` can be it.
        let candidate = match &*self.0 {
            [one] => one,
            all => all[..all.partition_point(|s| **s <= *value)].last()?,
        };
        starts_with(value, candidate).then_some(candidate.len())
    }

    /// What all of them start with.
    pub(super) fn common(&self) -> &str {
        common_prefix(self.0.iter().map(|s| &**s))
    }
}

impl fmt::Debug for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Suffixes of which at most one ends a given value, because none ends another.
pub(super) struct Suffixes(Box<[Box<str>]>);

impl Suffixes {
    /// A suffix that ends with another goes, as the other accepts what it accepts.
    pub(super) fn new(strings: Vec<String>) -> Self {
        let mut strings: Vec<Box<str>> = strings.into_iter().map(Into::into).collect();
        strings.sort_unstable_by(|a, b| a.bytes().rev().cmp(b.bytes().rev()));
        strings.dedup_by(|s, kept| s.ends_with(&**kept));
        Self(strings.into_boxed_slice())
    }

    /// Length of the suffix that `value` ends with; see [`Prefixes::find`].
    pub(super) fn find(&self, value: &str) -> Option<usize> {
        let candidate = match &*self.0 {
            [one] => one,
            all => {
                let up_to = all.partition_point(|s| s.bytes().rev().le(value.bytes().rev()));
                all[..up_to].last()?
            }
        };
        ends_with(value, candidate).then_some(candidate.len())
    }
}

impl fmt::Debug for Suffixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(super) fn starts_with(value: &str, prefix: &str) -> bool {
    prefix.is_empty() || value.starts_with(prefix)
}

pub(super) fn ends_with(value: &str, suffix: &str) -> bool {
    suffix.is_empty() || value.ends_with(suffix)
}

/// What all of some strings start with.
pub(super) fn common_prefix<'s>(strings: impl IntoIterator<Item = &'s str>) -> &'s str {
    let mut strings = strings.into_iter();
    let first = strings.next().unwrap_or_default();
    strings.fold(first, |prefix, s| {
        let differs = prefix
            .char_indices()
            .zip(s.chars())
            .find(|((_, a), b)| a != b);
        let len = differs.map_or(prefix.len().min(s.len()), |((at, _), _)| at);
        &prefix[..len]
    })
}
