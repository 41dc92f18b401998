//! Building label sets label by label.

use super::{Labels, push_str};

/// Collects labels in any order and yields them sorted.
///
/// Setting a label twice keeps the last value; setting an empty value deletes it.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    /// Sorted by name, without empty values.
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// A builder without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder that starts from the labels of `base`.
    pub fn from_labels(base: &Labels) -> Self {
        Self {
            pairs: base
                .iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
        }
    }

    /// Sets `name` to `value`; an empty value deletes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.position(name) {
            Ok(i) if value.is_empty() => drop(self.pairs.remove(i)),
            Ok(i) => value.clone_into(&mut self.pairs[i].1),
            Err(_) if value.is_empty() => {}
            Err(i) => self.pairs.insert(i, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Deletes the label `name` if it is there.
    pub fn delete(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Keeps only the labels for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        self.pairs.retain(|(n, v)| keep(n, v));
        self
    }

    /// The value of `name`, or `None` when it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.position(name).ok().map(|i| self.pairs[i].1.as_str())
    }

    /// The labels so far, in order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The label set.
    pub fn labels(&self) -> Labels {
        let size = self.pairs.iter().map(|(n, v)| n.len() + v.len() + 8).sum();
        let mut data = Vec::with_capacity(size);
        for (name, value) in &self.pairs {
            push_str(&mut data, name);
            push_str(&mut data, value);
        }
        Labels {
            data: data.into_boxed_slice(),
        }
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name))
    }
}
