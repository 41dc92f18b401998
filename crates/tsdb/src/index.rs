//! The index of a block: from label matchers to series, from a series to its labels and chunks.
//!
//! [`Reader`] opens an index over any [`ByteSource`] by reading its table of contents, its symbols
//! and its postings offset table, and keeps samples of the latter two. Series and postings are
//! read when asked for, their checksums verified each time. [`Writer`] writes what Prometheus
//! writes, byte for byte, with bounded memory. The format is described in `docs/format/index.md`.

mod frame;
mod labels;
mod matching;
mod postings;
mod series;
mod spill;
mod symbols;
mod table;
mod toc;
mod walk;
mod writer;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use model::TimeRange;

use crate::cursor::{Cursor, crc32c};
use crate::error::{Corruption, Error, Result};
use crate::source::{ByteSource, View, corrupt, view};

pub use labels::LastLabels;
pub use matching::{ListGroup, PostingsPlan};
pub use postings::{Postings, SeriesRef};
use series::ALL_TIMES;
pub use series::SeriesEntry;
pub use table::{LabelValue, ListAt, Values};
pub use toc::{TOC_LEN, Toc};
pub use walk::SeriesWalk;
pub use writer::Writer;

use postings::UnionBuilder;
use symbols::Symbols;
use table::PostingsTable;

/// First four bytes of an index.
const MAGIC: u32 = 0xbaaa_d700;

/// Magic number and version.
const HEADER_LEN: u64 = 5;

/// Series entries of versions 2 and 3 start at multiples of this.
const SERIES_ALIGN: u64 = 16;

/// What is read for a series at first; longer entries take a second read. Most have 10 to 20
/// labels and less than 20 chunks of 6 to 8 bytes each.
pub const SERIES_GUESS: u64 = 512;

/// Version of the index format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Of Prometheus 2.0: references are offsets, the postings offset table is not sorted.
    V1,
    /// Written since Prometheus 2.1.
    V2,
    /// Like version 2 for a reader.
    V3,
}

/// An open index.
#[derive(Debug)]
pub struct Reader {
    source: Arc<dyn ByteSource>,
    version: Version,
    toc: Toc,
    parts: Arc<Parts>,
}

/// What an open index keeps in memory.
#[derive(Debug)]
struct Parts {
    symbols: Symbols,
    table: PostingsTable,
    /// The label names by their symbols, which ascend: half of what labels are made of.
    names: Vec<(u32, Box<str>)>,
}

impl Reader {
    /// Opens an index. Reads the symbols and the postings offset table once, and no series and no
    /// postings.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Unsupported`] for an unknown version, [`Error::Io`].
    pub fn open(source: Arc<dyn ByteSource>) -> Result<Self> {
        let size = source.size();
        let Some(toc_at) = size
            .checked_sub(TOC_LEN as u64)
            .filter(|&at| at >= HEADER_LEN)
        else {
            let expected = "an index with a header of 5 and a table of contents of 52 bytes";
            return Err(corrupt(&*source, 0, Corruption::new(0, expected)));
        };
        let version = Self::version(&*source)?;
        let toc = Toc::decode(&view(&*source, toc_at..size)?, toc_at)
            .map_err(|d| corrupt(&*source, toc_at, d))?;
        let symbols = Symbols::open(&*source, version, &toc)?;
        let table = PostingsTable::open(&*source, version, &toc, toc_at)?;
        let mut names = Vec::new();
        for name in table.names() {
            let Some(symbol) = symbols.find(&*source, name)? else {
                let damage =
                    Corruption::new(0, format!("label names that are symbols, not {name:?}"));
                return Err(corrupt(&*source, toc.postings_table, damage));
            };
            names.push((symbol, name.into()));
        }
        Ok(Self {
            source,
            version,
            toc,
            parts: Arc::new(Parts {
                symbols,
                table,
                names,
            }),
        })
    }

    /// The same index, read from another source of its bytes, which must hold them at the same
    /// offsets. Such a source may hold a part only, and fail for reads of the rest: that is how an
    /// index in object storage is read, ranges first and then what they mean.
    #[must_use]
    pub fn over(&self, source: Arc<dyn ByteSource>) -> Self {
        Self {
            source,
            version: self.version,
            toc: self.toc,
            parts: Arc::clone(&self.parts),
        }
    }

    fn version(source: &dyn ByteSource) -> Result<Version> {
        let header = view(source, 0..HEADER_LEN)?;
        let mut c = Cursor::new(&header);
        let read = |c: &mut Cursor<'_>| Ok((c.be32("a magic number")?, c.byte("a version")?));
        match read(&mut c).map_err(|d| corrupt(source, 0, d))? {
            (MAGIC, 1) => Ok(Version::V1),
            (MAGIC, 2) => Ok(Version::V2),
            (MAGIC, 3) => Ok(Version::V3),
            (MAGIC, version) => Err(Error::Unsupported {
                what: format!(
                    "version {version} at offset 4 of the index {}",
                    source.path().display()
                ),
                advice: "expected version 1, 2 or 3; the file is damaged or of a later version, which reads it",
            }),
            (magic, _) => {
                let expected = format!("the magic number {MAGIC:08x} of an index, not {magic:08x}");
                Err(corrupt(source, 0, Corruption::new(0, expected)))
            }
        }
    }

    /// The format's version.
    pub fn format_version(&self) -> Version {
        self.version
    }

    /// Where the sections are.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// Where the index is read from.
    pub fn source(&self) -> &Arc<dyn ByteSource> {
        &self.source
    }

    /// Bytes of memory that the open index holds beside its source.
    pub fn heap_bytes(&self) -> usize {
        let names = self.parts.names.iter();
        let names = names.map(|(_, name)| size_of::<(u32, Box<str>)>() + name.len());
        self.parts.symbols.heap_bytes() + self.parts.table.heap_bytes() + names.sum::<usize>()
    }

    /// Number of symbols.
    pub fn symbol_count(&self) -> u32 {
        self.parts.symbols.count()
    }

    /// Calls `f` with each symbol in ascending order.
    ///
    /// # Errors
    /// Those of `f`, and damage.
    pub fn for_each_symbol(&self, f: impl FnMut(&str) -> Result<()>) -> Result<()> {
        self.parts.symbols.for_each(&*self.source, f)
    }

    /// The number of a symbol, unless the table does not hold it.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn find_symbol(&self, symbol: &str) -> Result<Option<u32>> {
        self.parts.symbols.find(&*self.source, symbol)
    }

    /// Calls `f` with the symbol that a series entry refers to.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when there is no such symbol.
    pub fn with_symbol<R>(&self, reference: u32, f: impl FnOnce(&str) -> R) -> Result<R> {
        self.parts.symbols.with(&*self.source, reference, f)
    }

    /// The label names, in ascending order.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.parts.table.names()
    }

    /// Number of values that the label `name` has, without reading them.
    pub fn label_value_count(&self, name: &str) -> usize {
        self.parts.table.value_count(name)
    }

    /// The values of the label `name` that start with `prefix`, in ascending order.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn label_values(&self, name: &str, prefix: &str) -> Result<Values<'_>> {
        if name.is_empty() {
            return Ok(Values::none(&*self.source));
        }
        self.parts.table.values(&*self.source, name, prefix)
    }

    /// The series that have the label `name="value"`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn postings(&self, name: &str, value: &str) -> Result<Postings> {
        match self.parts.table.find(&*self.source, name, value)? {
            Some(list) => self.postings_at(list.offset),
            None => Ok(Postings::empty()),
        }
    }

    /// All series.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn all_postings(&self) -> Result<Postings> {
        self.postings("", "")
    }

    /// The frame of the postings list at offset `at`: a count, and as many references. Checks its
    /// checksum, its length and its order.
    fn postings_frame(&self, at: u64) -> Result<View<'_>> {
        let source = &*self.source;
        let limit = source.size() - TOC_LEN as u64;
        let payload = frame::read_frame(source, at, limit, "postings")?;
        let damage = |offset, expected| corrupt(source, at + 4, Corruption::new(offset, expected));
        let count = Cursor::new(&payload)
            .be32("the number of postings")
            .map_err(|d| corrupt(source, at + 4, d))?;
        let (refs, rest) = payload[4..].as_chunks::<4>();
        if refs.len() != count as usize || !rest.is_empty() {
            return Err(damage(0, "a number of postings that fills the list"));
        }
        // Without an early exit, so that it runs at the speed of memory.
        let ascend = refs.windows(2).fold(true, |ascend, w| {
            ascend & (u32::from_be_bytes(w[0]) < u32::from_be_bytes(w[1]))
        });
        match ascend {
            true => Ok(payload),
            false => Err(damage(4, "postings in ascending order")),
        }
    }

    /// The postings list at offset `at`.
    fn postings_at(&self, at: u64) -> Result<Postings> {
        Ok(Postings::from_encoded(match self.postings_frame(at)? {
            View::Owned(bytes) => bytes.slice(4..),
            View::Borrowed(bytes) => match self.source.in_memory() {
                Some(all) => all.slice_ref(&bytes[4..]),
                None => Bytes::copy_from_slice(&bytes[4..]),
            },
        }))
    }

    /// Adds the postings list at offset `at` to a union, and returns its length.
    fn add_postings_at(&self, at: u64, union: &mut UnionBuilder) -> Result<usize> {
        /// Below this, copying costs less than keeping a list.
        const SHORT: usize = 64;
        let frame = self.postings_frame(at)?;
        let (refs, _) = frame[4..].as_chunks::<4>();
        let count = refs.len();
        if count <= SHORT {
            union.add_loose(refs.iter().map(|r| u32::from_be_bytes(*r)));
        } else {
            union.add(self.postings_at(at)?);
        }
        Ok(count)
    }

    /// The bytes that hold a postings list, as far as the table tells: they end where the list of
    /// the table's next entry starts. Lists follow each other in the order of the table in what
    /// Prometheus writes since 2.1; elsewhere the range may be too short.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn list_range(&self, list: ListAt) -> Result<Range<u64>> {
        let next = self.parts.table.list_after(&*self.source, list)?;
        let end = next.unwrap_or(self.toc.postings_table);
        Ok(list.offset..end.max(list.offset))
    }

    /// Where the entry of `series` starts, in bytes.
    pub fn series_offset(&self, series: SeriesRef) -> u64 {
        match self.version {
            Version::V1 => u64::from(series.0),
            Version::V2 | Version::V3 => u64::from(series.0) * SERIES_ALIGN,
        }
    }

    /// Reads the entry of a series into `entry`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when there is no sound entry at `series`, [`Error::Io`].
    pub fn series(&self, series: SeriesRef, entry: &mut SeriesEntry) -> Result<()> {
        let at = self.series_offset(series);
        self.series_at(at, &ALL_TIMES, entry).map(drop)
    }

    /// Reads the entry of a series into `entry`, of its chunks those that have samples within `range`.
    ///
    /// # Errors
    /// As [`Reader::series`].
    pub fn series_within(
        &self,
        series: SeriesRef,
        range: TimeRange,
        entry: &mut SeriesEntry,
    ) -> Result<()> {
        let times = range.min..=range.max.saturating_sub(1);
        let at = self.series_offset(series);
        self.series_at(at, &times, entry).map(drop)
    }

    /// Reads the entry at offset `at`, with its chunks of some times; returns where it ends.
    fn series_at(
        &self,
        at: u64,
        times: &RangeInclusive<i64>,
        entry: &mut SeriesEntry,
    ) -> Result<u64> {
        let source = &*self.source;
        let end = self.toc.series_end();
        let damage =
            |offset, expected: &'static str| corrupt(source, at, Corruption::new(offset, expected));
        if at < self.toc.series || at >= end {
            return Err(damage(0, "an offset inside of the series section"));
        }
        let mut bytes = view(source, at..end.min(at + SERIES_GUESS))?;
        let mut c = Cursor::new(&bytes);
        let len = c
            .uvarint("the length of a series entry")
            .map_err(|d| corrupt(source, at, d))?;
        let start = c.pos();
        let entry_end = (at + start as u64)
            .checked_add(len)
            .and_then(|e| e.checked_add(4))
            .filter(|&e| e <= end)
            .ok_or_else(|| damage(0, "a series entry that ends before the postings"))?;
        if entry_end - at > bytes.len() as u64 {
            bytes = view(source, at..entry_end)?;
        }
        let (payload, crc) = bytes[start..(entry_end - at) as usize]
            .split_last_chunk()
            .expect("the range has the payload and four bytes");
        if u32::from_be_bytes(*crc) != crc32c(payload) {
            return Err(damage(
                start + payload.len(),
                "the checksum of a series entry",
            ));
        }
        entry
            .decode(payload, times)
            .map_err(|d| corrupt(source, at + start as u64, d))?;
        Ok(entry_end)
    }

    /// The name that `symbol` stands for, if it is one that series have.
    fn name(&self, symbol: u32) -> Option<&str> {
        let names = &self.parts.names;
        let found = names.binary_search_by_key(&symbol, |n| n.0);
        found.ok().map(|i| &*names[i].1)
    }

    /// All series in the order of the file, without the postings.
    pub fn walk(&self) -> SeriesWalk<'_> {
        SeriesWalk::new(self)
    }
}

#[cfg(test)]
mod tests;
