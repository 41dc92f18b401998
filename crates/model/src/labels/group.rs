//! Parts of label sets: what `by`, `without`, `on` and `ignoring` look at.
//!
//! Names are given sorted, so that one pass over the labels and the names is enough.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::{Entries, Entry, Labels};

impl Labels {
    /// The labels with these names, sorted.
    #[must_use]
    pub fn keep(&self, names: &[impl AsRef<str>]) -> Self {
        self.copy_of(self.entries_in(names, true))
    }

    /// The labels but for those with these names, sorted.
    #[must_use]
    pub fn without(&self, names: &[impl AsRef<str>]) -> Self {
        self.copy_of(self.entries_in(names, false))
    }

    /// Hashes what [`Labels::keep`] would return. `names` are sorted.
    pub fn hash_for_names<H: Hasher>(&self, names: &[impl AsRef<str>], state: &mut H) {
        hash(self.entries_in(names, true), state);
    }

    /// Hashes what [`Labels::without`] would return. `names` are sorted.
    pub fn hash_without_names<H: Hasher>(&self, names: &[impl AsRef<str>], state: &mut H) {
        hash(self.entries_in(names, false), state);
    }

    /// True when both sets have the same labels with these names. `names` are sorted.
    pub fn eq_for_names(&self, other: &Self, names: &[impl AsRef<str>]) -> bool {
        let ours = self.entries_in(names, true).map(|e| e.encoded);
        ours.eq(other.entries_in(names, true).map(|e| e.encoded))
    }

    /// True when both sets have the same labels but for those with these names. `names` are sorted.
    pub fn eq_without_names(&self, other: &Self, names: &[impl AsRef<str>]) -> bool {
        let ours = self.entries_in(names, false).map(|e| e.encoded);
        ours.eq(other.entries_in(names, false).map(|e| e.encoded))
    }

    pub(super) fn copy_of<'a>(&'a self, entries: impl Iterator<Item = Entry<'a>>) -> Self {
        let mut data = String::with_capacity(self.data.len());
        entries.for_each(|entry| data.push_str(entry.encoded));
        Self {
            data: data.into_boxed_str(),
        }
    }

    /// The labels whose names are among `names`, or are not.
    fn entries_in<'a, N: AsRef<str>>(&'a self, names: &'a [N], wanted: bool) -> Selected<'a, N> {
        debug_assert!(
            names.is_sorted_by(|a, b| a.as_ref() <= b.as_ref()),
            "names are sorted"
        );
        Selected {
            entries: self.entries(),
            names,
            wanted,
        }
    }
}

fn hash<'a, H: Hasher>(entries: impl Iterator<Item = Entry<'a>>, state: &mut H) {
    // The encoding says where a label ends, so that nothing need be put between two.
    entries.for_each(|entry| state.write(entry.encoded.as_bytes()));
    0xff_u8.hash(state);
}

struct Selected<'a, N> {
    entries: Entries<'a>,
    names: &'a [N],
    wanted: bool,
}

impl<'a, N: AsRef<str>> Iterator for Selected<'a, N> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if self.wanted && self.names.is_empty() {
                return None;
            }
            let entry = self.entries.next()?;
            if self.is_named(entry.name) == self.wanted {
                return Some(entry);
            }
        }
    }
}

impl<N: AsRef<str>> Selected<'_, N> {
    /// True when `name` is among the names; those before it are dropped.
    fn is_named(&mut self, name: &str) -> bool {
        while let [first, rest @ ..] = self.names {
            match compare(first.as_ref(), name) {
                Ordering::Less => self.names = rest,
                Ordering::Equal => return true,
                Ordering::Greater => return false,
            }
        }
        false
    }
}

/// Names mostly differ in their first byte, which saves the call that compares the rest.
fn compare(a: &str, b: &str) -> Ordering {
    let first_bytes = a.bytes().next().cmp(&b.bytes().next());
    first_bytes.then_with(|| a.cmp(b))
}
