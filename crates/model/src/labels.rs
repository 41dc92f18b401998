//! Label sets.

mod builder;
mod escape;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use twox_hash::XxHash64;

pub use builder::LabelsBuilder;
pub use escape::{is_legacy_label_name, is_legacy_metric_name, quote_into, quoted};

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";

/// A sorted set of labels with unique names and no empty values, in one allocation.
///
/// The bytes are `len name len value` for each label in order of names, where a length below 255
/// is one byte and any other is `255` and three bytes, little-endian. Equality and hashing work on
/// the bytes; ordering is Prometheus' (label by label, name before value).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Labels {
    data: Box<[u8]>,
}

/// Longest label name or value that a label set can hold, in bytes.
pub const MAX_STRING_LEN: usize = (1 << 24) - 1;

const LONG: u8 = 255;

fn push_str(data: &mut Vec<u8>, s: &str) {
    match u8::try_from(s.len()) {
        Ok(len) if len < LONG => data.push(len),
        _ => {
            assert!(
                s.len() <= MAX_STRING_LEN,
                "a label string is at most {MAX_STRING_LEN} bytes"
            );
            data.push(LONG);
            data.extend_from_slice(&(s.len() as u32).to_le_bytes()[..3]);
        }
    }
    data.extend_from_slice(s.as_bytes());
}

/// Splits one string off the front of an encoded label set.
fn take_str(data: &[u8]) -> (&str, &[u8]) {
    let (len, rest) = match data[0] {
        LONG => (
            u32::from_le_bytes([data[1], data[2], data[3], 0]) as usize,
            &data[4..],
        ),
        len => (usize::from(len), &data[1..]),
    };
    let (bytes, rest) = rest.split_at(len);
    (
        std::str::from_utf8(bytes).expect("only whole strings are pushed"),
        rest,
    )
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
        let mut data = Vec::with_capacity(256);
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            debug_assert!(last.is_none_or(|l| l < name), "label {name:?} out of order");
            debug_assert!(!value.is_empty(), "label {name:?} has an empty value");
            last = Some(name);
            push_str(&mut data, name);
            push_str(&mut data, value);
        }
        Self {
            data: data.into_boxed_slice(),
        }
    }

    /// The labels in order of names.
    pub fn iter(&self) -> Iter<'_> {
        Iter { data: &self.data }
    }

    /// The value of the label `name`, or `None` when it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (n, v) in self.iter() {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(v),
                Ordering::Greater => return None,
            }
        }
        None
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
        let mut buf = Vec::with_capacity(self.data.len() + 16);
        for (name, value) in self.iter() {
            buf.extend_from_slice(name.as_bytes());
            buf.push(0xff);
            buf.extend_from_slice(value.as_bytes());
            buf.push(0xff);
        }
        XxHash64::oneshot(0, &buf)
    }
}

/// Iterator over the labels of a set, in order of names.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    data: &'a [u8],
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

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
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
