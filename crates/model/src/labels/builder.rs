//! Building label sets label by label.

use super::encoding::{encoded_len, push_str};
use super::{Iter, Labels};

/// Collects labels in any order and yields them sorted.
///
/// Setting a label twice keeps the last value; setting an empty value deletes it. Only what
/// differs from the labels it started from is held apart, so that changing a label or two of a
/// large set is cheap.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    base: Labels,
    /// Sorted by name; an empty value hides the label of `base`.
    changes: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// A builder without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder that starts from the labels of `base`.
    pub fn from_labels(base: &Labels) -> Self {
        Self {
            base: base.clone(),
            changes: Vec::new(),
        }
    }

    /// Starts again from the labels of `base`, keeping the memory.
    pub fn reset(&mut self, base: &Labels) -> &mut Self {
        self.base.clone_from(base);
        self.changes.clear();
        self
    }

    /// Sets `name` to `value`; an empty value deletes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.position(name) {
            Ok(i) => value.clone_into(&mut self.changes[i].1),
            Err(i) => self.changes.insert(i, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Deletes the label `name` if it is there.
    pub fn delete(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Keeps only the labels for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        let merged = self.labels();
        let kept = merged
            .entries()
            .filter(|entry| keep(entry.name, entry.value));
        self.base = merged.copy_of(kept);
        self.changes.clear();
        self
    }

    /// The value of `name`, or `None` when it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.position(name) {
            Ok(i) => Some(self.changes[i].1.as_str()).filter(|value| !value.is_empty()),
            Err(_) => self.base.get(name),
        }
    }

    /// The labels so far, in order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        Merged {
            base: self.base.iter().peekable(),
            changes: self.changes.iter().peekable(),
        }
        .filter(|(_, value)| !value.is_empty())
    }

    /// True when there is no label.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The label set.
    pub fn labels(&self) -> Labels {
        if self.changes.is_empty() {
            return self.base.clone();
        }
        let of_change = |(name, value): &(String, String)| encoded_len(name) + encoded_len(value);
        let added: usize = self.changes.iter().map(of_change).sum();
        let mut data = String::with_capacity(self.base.data.len() + added);
        let mut changes = self.changes.as_slice();
        for entry in self.base.entries() {
            let before = changes.partition_point(|(name, _)| name.as_str() < entry.name);
            push_changes(&mut data, &changes[..before]);
            changes = &changes[before..];
            match changes {
                [change, rest @ ..] if change.0 == entry.name => {
                    push_changes(&mut data, std::slice::from_ref(change));
                    changes = rest;
                }
                _ => data.push_str(entry.encoded),
            }
        }
        push_changes(&mut data, changes);
        Labels {
            data: data.into_boxed_str(),
        }
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.changes.binary_search_by(|(n, _)| n.as_str().cmp(name))
    }
}

fn push_changes(data: &mut String, changes: &[(String, String)]) {
    for (name, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
        push_str(data, name);
        push_str(data, value);
    }
}

impl<N: AsRef<str>, V: AsRef<str>> Extend<(N, V)> for LabelsBuilder {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, pairs: I) {
        for (name, value) in pairs {
            self.set(name.as_ref(), value.as_ref());
        }
    }
}

/// The labels of `base` and `changes` in order of names; where both have a name, the change.
struct Merged<'a> {
    base: std::iter::Peekable<Iter<'a>>,
    changes: std::iter::Peekable<std::slice::Iter<'a, (String, String)>>,
}

impl<'a> Iterator for Merged<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let Some((changed, _)) = self.changes.peek() else {
            return self.base.next();
        };
        match self.base.peek() {
            Some((name, _)) if *name < changed.as_str() => return self.base.next(),
            Some((name, _)) if name == changed => drop(self.base.next()),
            _ => {}
        }
        self.changes.next().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}
