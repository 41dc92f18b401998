//! The postings offset table: which label pairs there are, and where the postings of each are.
//!
//! In memory is every name and the first value of every group of [`STEP`] entries; entries stay in
//! the file. Version 1 did not sort the table, so that there every entry is a group of its own.

use std::ops::Range;

use super::{Version, frame::read_frame, toc::Toc};
use crate::cursor::Cursor;
use crate::error::{Corruption, Result};
use crate::source::{ByteSource, View, corrupt, view};

/// Entries per group, as in Prometheus.
const STEP: usize = 32;

/// A run of entries of one name with ascending values.
#[derive(Debug)]
struct Group {
    /// Value of the first entry.
    first: Box<str>,
    /// Where the entries are in the table's payload.
    entries: Range<u32>,
}

/// A label name and the groups of its values, in order of values.
#[derive(Debug)]
struct Name {
    name: Box<str>,
    groups: Vec<Group>,
    /// Number of values.
    values: usize,
}

/// The postings offset table of an index.
#[derive(Debug)]
pub(super) struct PostingsTable {
    /// Offset in the file of the payload.
    base: u64,
    /// Offset in the file of the payload's end.
    end: u64,
    /// In order of names. The name `""` holds the postings of all series.
    names: Vec<Name>,
}

/// One entry of the table.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    name: &'a str,
    value: &'a str,
    postings: u64,
}

impl<'a> Entry<'a> {
    fn decode(c: &mut Cursor<'a>) -> Result<Self, Corruption> {
        let at = c.pos();
        if c.uvarint("an entry of name and value")? != 2 {
            return Err(Corruption::new(at, "an entry of name and value"));
        }
        Ok(Self {
            name: c.uvarint_str("a label name")?,
            value: c.uvarint_str("a label value")?,
            postings: c.uvarint("the offset of postings")?,
        })
    }
}

impl PostingsTable {
    /// Reads the table once, verifying its checksum, its structure and, but for version 1, the
    /// order of its entries.
    pub(super) fn open(
        source: &dyn ByteSource,
        version: Version,
        toc: &Toc,
        toc_at: u64,
    ) -> Result<Self> {
        let payload = read_frame(source, toc.postings_table, toc_at, "postings offset table")?;
        let base = toc.postings_table + 4;
        let names = match version {
            Version::V1 => Self::unsorted(&payload),
            Version::V2 | Version::V3 => Self::sorted(&payload),
        };
        Ok(Self {
            base,
            end: base + payload.len() as u64,
            names: names.map_err(|c| corrupt(source, base, c))?,
        })
    }

    fn count(c: &mut Cursor<'_>) -> Result<u32, Corruption> {
        let count = c.be32("the number of entries")?;
        // The smallest entry has four bytes.
        match count as usize <= c.remaining() / 4 {
            true => Ok(count),
            false => Err(Corruption::new(
                0,
                "a number of entries that fit into the table",
            )),
        }
    }

    fn sorted(payload: &[u8]) -> Result<Vec<Name>, Corruption> {
        let mut c = Cursor::new(payload);
        let count = Self::count(&mut c)?;
        let mut names: Vec<Name> = Vec::new();
        let mut last: Option<(&str, &str)> = None;
        for _ in 0..count {
            let at = c.pos();
            let entry = Entry::decode(&mut c)?;
            if last.is_some_and(|l| l >= (entry.name, entry.value)) {
                return Err(Corruption::new(at, "label pairs in ascending order"));
            }
            if last.is_none_or(|(name, _)| name != entry.name) {
                names.push(Name {
                    name: entry.name.into(),
                    groups: Vec::new(),
                    values: 0,
                });
            }
            last = Some((entry.name, entry.value));
            let name = names.last_mut().expect("pushed for the first entry");
            if name.values.is_multiple_of(STEP) {
                name.groups.push(Group {
                    first: entry.value.into(),
                    entries: at as u32..at as u32,
                });
            }
            let group = name.groups.last_mut().expect("pushed for the first value");
            group.entries.end = c.pos() as u32;
            name.values += 1;
        }
        names.iter_mut().for_each(|n| n.groups.shrink_to_fit());
        Ok(names)
    }

    fn unsorted(payload: &[u8]) -> Result<Vec<Name>, Corruption> {
        let mut c = Cursor::new(payload);
        let count = Self::count(&mut c)?;
        let mut entries = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let at = c.pos();
            let entry = Entry::decode(&mut c)?;
            entries.push((entry.name, entry.value, at as u32..c.pos() as u32));
        }
        entries.sort_unstable_by_key(|e| (e.0, e.1));
        if let Some(pair) = entries
            .windows(2)
            .find(|w| (w[0].0, w[0].1) == (w[1].0, w[1].1))
        {
            let at = pair[1].2.start as usize;
            return Err(Corruption::new(at, "one entry per label pair"));
        }
        Ok(entries
            .chunk_by(|a, b| a.0 == b.0)
            .map(|entries| Name {
                name: entries[0].0.into(),
                groups: entries
                    .iter()
                    .map(|(_, value, at)| Group {
                        first: (*value).into(),
                        entries: at.clone(),
                    })
                    .collect(),
                values: entries.len(),
            })
            .collect())
    }

    /// Bytes of memory that the table holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.names
            .iter()
            .map(|n| {
                let groups = n.groups.iter().map(|g| size_of::<Group>() + g.first.len());
                size_of::<Name>() + n.name.len() + groups.sum::<usize>()
            })
            .sum()
    }

    /// The label names in ascending order, without the `""` of all postings.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .map(|n| &*n.name)
            .filter(|n| !n.is_empty())
    }

    fn name(&self, name: &str) -> Option<&Name> {
        let i = self.names.binary_search_by(|n| (*n.name).cmp(name)).ok()?;
        Some(&self.names[i])
    }

    /// Number of values that the label `name` has.
    pub(super) fn value_count(&self, name: &str) -> usize {
        self.name(name).map_or(0, |n| n.values)
    }

    /// The values of the label `name` that start with `prefix`, in ascending order.
    pub(super) fn values<'a>(
        &'a self,
        source: &'a dyn ByteSource,
        name: &str,
        prefix: &str,
    ) -> Result<Values<'a>> {
        let groups = self.name(name).map_or(&[][..], |n| &n.groups);
        let group = groups
            .partition_point(|g| *g.first <= *prefix)
            .saturating_sub(1);
        let mut values = Values {
            base: self.base,
            groups: &groups[group..],
            ..Values::none(source)
        };
        values.seek(prefix)?;
        values.prefix = prefix.into();
        Ok(values)
    }

    /// The postings of `name="value"`, or `None` when no series has that label.
    pub(super) fn find(
        &self,
        source: &dyn ByteSource,
        name: &str,
        value: &str,
    ) -> Result<Option<ListAt>> {
        let mut values = self.values(source, name, value)?;
        Ok(match values.next()? {
            Some(entry) if entry.value == value => Some(entry.postings),
            _ => None,
        })
    }

    /// Offset of the postings of the entry after that of `list`; `None` after the last.
    pub(super) fn list_after(&self, source: &dyn ByteSource, list: ListAt) -> Result<Option<u64>> {
        /// Most entries are shorter; others take a second read.
        const GUESS: u64 = 256;
        let at = list.next_entry;
        if at >= self.end {
            return Ok(None);
        }
        let bytes = view(source, at..self.end.min(at + GUESS))?;
        if let Ok(entry) = Entry::decode(&mut Cursor::new(&bytes)) {
            return Ok(Some(entry.postings));
        }
        let bytes = view(source, at..self.end)?;
        let entry = Entry::decode(&mut Cursor::new(&bytes)).map_err(|d| corrupt(source, at, d))?;
        Ok(Some(entry.postings))
    }
}

/// The values of a label in ascending order, read from the file as they are asked for.
#[derive(Debug)]
pub struct Values<'a> {
    source: &'a dyn ByteSource,
    base: u64,
    /// What the values start with.
    prefix: Box<str>,
    /// Groups not yet read.
    groups: &'a [Group],
    /// Entries of the current group.
    view: View<'a>,
    view_at: u64,
    /// Offset in `view` of the next entry.
    pos: usize,
}

/// A label value and where its postings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelValue<'a> {
    /// The value.
    pub value: &'a str,
    /// Where the postings of the label pair are.
    pub postings: ListAt,
}

/// Where a postings list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListAt {
    /// Offset of the list in the index.
    pub offset: u64,
    /// Offset in the index of the table's entry after that of the list.
    next_entry: u64,
}

impl<'a> Values<'a> {
    /// No values.
    pub(super) fn none(source: &'a dyn ByteSource) -> Self {
        Self {
            source,
            base: 0,
            prefix: "".into(),
            groups: &[],
            view: View::Borrowed(&[]),
            view_at: 0,
            pos: 0,
        }
    }

    /// The next value, or `None` after the last.
    ///
    /// # Errors
    /// When the table cannot be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "the value is lent: it lives until the next call"
    )]
    pub fn next(&mut self) -> Result<Option<LabelValue<'_>>> {
        if self.pos == self.view.len() && !self.load()? {
            return Ok(None);
        }
        let mut c = Cursor::new(&self.view[self.pos..]);
        let entry = Entry::decode(&mut c)
            .map_err(|d| corrupt(self.source, self.view_at + self.pos as u64, d))?;
        self.pos += c.pos();
        let next_entry = self.view_at + self.pos as u64;
        if !entry.value.starts_with(&*self.prefix) {
            self.groups = &[];
            self.pos = self.view.len();
            return Ok(None);
        }
        Ok(Some(LabelValue {
            value: entry.value,
            postings: ListAt {
                offset: entry.postings,
                next_entry,
            },
        }))
    }

    /// Loads the next group; false when there is none.
    fn load(&mut self) -> Result<bool> {
        let Some((group, rest)) = self.groups.split_first() else {
            return Ok(false);
        };
        self.groups = rest;
        self.view_at = self.base + u64::from(group.entries.start);
        self.pos = 0;
        self.view = view(
            self.source,
            self.view_at..self.base + u64::from(group.entries.end),
        )?;
        Ok(true)
    }

    /// Skips the values below `from`.
    fn seek(&mut self, from: &str) -> Result<()> {
        loop {
            let (pos, spent) = (self.pos, self.pos == self.view.len());
            match self.next()?.map(|entry| entry.value >= from) {
                None => return Ok(()),
                Some(true) => {
                    // Back to before this entry, which opens a group if the last one was spent.
                    self.pos = if spent { 0 } else { pos };
                    return Ok(());
                }
                Some(false) => {}
            }
        }
    }
}
