//! Label sets.

mod builder;
mod encoding;
mod escape;
mod group;
mod names;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use twox_hash::XxHash64;

use crate::matcher::Matcher;
use encoding::{push_str, str_len, take_str};

pub use builder::LabelsBuilder;
pub use encoding::MAX_STRING_LEN;
pub use escape::{quote_into, quoted};
pub use names::{NameScheme, is_legacy_label_name, is_legacy_metric_name};

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";

/// A sorted set of labels with unique names and no empty values, in one allocation.
///
/// Name and value of each label in order of names, as `encoding` writes strings. Equality and
/// hashing work on all bytes at once; ordering is Prometheus' (label by label, name before value).
#[derive(PartialEq, Eq, Default)]
pub struct Labels {
    data: Box<str>,
}

impl Labels {
    /// The label set without labels.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Labels from pairs in any order. Of pairs with one name the last wins; an empty value means
    /// that the label is absent.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.labels()
    }

    /// Labels from pairs that are already sorted by name, unique and without empty values; the
    /// fast path of decoders that have checked this.
    ///
    /// # Panics
    /// In debug builds when the pairs are not sorted or a value is empty.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut data = String::with_capacity(256);
        Self::encode_sorted(pairs, &mut data);
        Self {
            data: data.into_boxed_str(),
        }
    }

    /// Appends the encoding of a label set to `out`: what [`Labels::as_encoded`] gives for the set
    /// that [`Labels::from_sorted`] makes of the same pairs. For whoever holds many label sets in one
    /// buffer, or looks one up without making it.
    pub fn encode_sorted<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        out: &mut String,
    ) {
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            debug_assert!(last.is_none_or(|l| l < name), "label {name:?} out of order");
            debug_assert!(!value.is_empty(), "label {name:?} has an empty value");
            last = Some(name);
            push_str(out, name);
            push_str(out, value);
        }
    }

    /// The label set's bytes; equal exactly when the label sets are.
    pub fn as_encoded(&self) -> &str {
        &self.data
    }

    /// The label set with these bytes, which [`Labels::as_encoded`] or [`Labels::encode_sorted`]
    /// gave. They never come from outside of the process; other bytes lead to panics.
    pub fn from_encoded(encoded: &str) -> Self {
        Self {
            data: encoded.into(),
        }
    }

    /// The labels of a set that lies encoded in a buffer.
    pub fn iter_encoded(encoded: &str) -> Iter<'_> {
        Iter { data: encoded }
    }

    /// The labels in order of names.
    pub fn iter(&self) -> Iter<'_> {
        Iter { data: &self.data }
    }

    fn entries(&self) -> Entries<'_> {
        Entries { data: &self.data }
    }

    /// The value of the label `name`, or `None` when it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let first_byte = name.bytes().next();
        let mut data = &*self.data;
        while !data.is_empty() {
            let (found, rest) = take_str(data);
            let (value, rest) = take_str(rest);
            if found == name {
                return Some(value);
            }
            if found.bytes().next() > first_byte {
                return None;
            }
            data = rest;
        }
        None
    }

    /// True when every matcher accepts the label that it looks at.
    pub fn match_all(&self, matchers: &[Matcher]) -> bool {
        let value = |m: &Matcher| self.get(m.name()).unwrap_or_default();
        matchers.iter().all(|m| m.matches(value(m)))
    }

    /// The value of `__name__`, or `""` when it is absent.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or_default()
    }

    /// True when there is no label.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Bytes of memory that the label set owns.
    pub fn heap_bytes(&self) -> usize {
        self.data.len()
    }

    /// The hash that Prometheus and Thanos shard by: xxhash64, seed 0, over `name 0xff value 0xff`
    /// of every label. Stable across machines and versions.
    pub fn stable_hash(&self) -> u64 {
        // Hashing one buffer is faster than feeding the hash piece by piece.
        let mut buf = Vec::with_capacity(self.data.len());
        for (name, value) in self.iter() {
            buf.extend_from_slice(name.as_bytes());
            buf.push(0xff);
            buf.extend_from_slice(value.as_bytes());
            buf.push(0xff);
        }
        XxHash64::oneshot(0, &buf)
    }
}

impl Clone for Labels {
    fn clone(&self) -> Self {
        Self {
            data: self.data.clone(),
        }
    }

    fn clone_from(&mut self, source: &Self) {
        self.data.clone_from(&source.data);
    }
}

/// Iterator over the labels of a set, in order of names.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    data: &'a str,
}

impl<'a> Iter<'a> {
    /// The bytes of the labels that are still to come.
    pub fn as_encoded(&self) -> &'a str {
        self.data
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.data.is_empty() {
            return None;
        }
        let (name, rest) = take_str(self.data);
        let (value, rest) = take_str(rest);
        self.data = rest;
        Some((name, value))
    }
}

/// A label, as it lies in the set as well.
struct Entry<'a> {
    name: &'a str,
    value: &'a str,
    /// Name and value.
    encoded: &'a str,
}

/// Iterator over the labels of a set, in order of names, for copying them.
struct Entries<'a> {
    data: &'a str,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if self.data.is_empty() {
            return None;
        }
        let (name, rest) = take_str(self.data);
        let (value, rest) = take_str(rest);
        let (encoded, rest) = self.data.split_at(self.data.len() - rest.len());
        self.data = rest;
        Some(Entry {
            name,
            value,
            encoded,
        })
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        // Those who merge blocks mostly compare a series with itself.
        if self.data == other.data {
            return Ordering::Equal;
        }
        // Neighbours in sorted order share most of their labels: skip those by their bytes.
        let common = common_prefix_at_least(self.data.as_bytes(), other.data.as_bytes());
        let data = self.data.as_bytes();
        let mut same = 0;
        while same < data.len() {
            let value = same + str_len(&data[same..]);
            let end = value + str_len(&data[value..]);
            if end > common {
                break;
            }
            same = end;
        }
        let ours = Iter {
            data: &self.data[same..],
        };
        let theirs = Iter {
            data: &other.data[same..],
        };
        ours.cmp(theirs)
    }
}

/// A number of bytes, at most 15 less than the most, that `a` and `b` start with in common.
fn common_prefix_at_least(a: &[u8], b: &[u8]) -> usize {
    const CHUNK: usize = 16;
    let chunks = a.chunks_exact(CHUNK).zip(b.chunks_exact(CHUNK));
    chunks.take_while(|(a, b)| a == b).count() * CHUNK
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.data.hash(state);
    }
}

/// Prints as Prometheus does: `{name="value", "odd name"="value"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        let mut out = String::new();
        for (i, (name, value)) in self.iter().enumerate() {
            out.clear();
            if i > 0 {
                out.push_str(", ");
            }
            if is_legacy_label_name(name) {
                out.push_str(name);
            } else {
                quote_into(&mut out, name);
            }
            out.push('=');
            quote_into(&mut out, value);
            f.write_str(&out)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
