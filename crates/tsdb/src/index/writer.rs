//! Writing an index (version 2) front to back, the bytes that Prometheus writes.
//!
//! Symbols come first, then series, each in ascending order. Postings follow from the series: each
//! label of each series is a pair that goes through an external sort, and the sorted pairs are the
//! postings lists. So memory is bounded: 24 MiB of pairs, a cache of symbols, and half a byte per
//! symbol.

mod output;

use std::path::Path;

use hashbrown::HashMap;
use model::Labels;

use super::spill::{Pair, PairSorter, Spool};
use super::symbols::Symbols;
use super::{HEADER_LEN, MAGIC, SERIES_ALIGN, SeriesEntry, SeriesRef, Toc, Version};
use crate::chunk::ChunkMeta;
use crate::cursor::{crc32c, put_uvarint, put_uvarint_str};
use crate::error::{Error, Result};
use crate::source::Memory;

use output::Output;

/// Pairs of label and series that are sorted in memory; 12 bytes each.
const PAIRS_IN_MEMORY: usize = 2 << 20;

/// Symbols whose references are remembered; series in order repeat most of theirs.
const CACHED_SYMBOLS: usize = 1 << 16;

/// Writes an index: [`Writer::add_symbol`] for every string in ascending order, then
/// [`Writer::add_series`] in ascending order of labels, then [`Writer::finish`].
///
/// A writer that is dropped before leaves a partial file.
#[derive(Debug)]
pub struct Writer {
    out: Output,
    toc: Toc,
    stage: Stage,
    pairs: PairSorter,
    /// References of all series, big-endian.
    all: Spool,
    /// Entries of the postings offset table.
    table: Spool,
    entry: SeriesEntry,
    buf: Vec<u8>,
    series: u64,
    /// Symbols of the labels of the series that is added.
    symbols: Vec<(u32, u32)>,
    has_empty_symbol: bool,
    last_chunk: u64,
}

#[derive(Debug)]
enum Stage {
    Symbols { count: u64, last: Option<String> },
    Series(Lookup),
}

/// Finds references of symbols that were written.
#[derive(Debug)]
struct Lookup {
    symbols: Symbols,
    source: Memory,
    cache: HashMap<Box<str>, u32, ahash::RandomState>,
}

impl Lookup {
    fn find(&mut self, symbol: &str) -> Result<u32> {
        if let Some(reference) = self.cache.get(symbol) {
            return Ok(*reference);
        }
        let Some(reference) = self.symbols.find(&self.source, symbol)? else {
            return Err(Error::Invalid(format!(
                "{symbol:?} is used by a series but was not added as a symbol"
            )));
        };
        if self.cache.len() >= CACHED_SYMBOLS {
            self.cache.clear();
        }
        self.cache.insert(symbol.into(), reference);
        Ok(reference)
    }
}

impl Writer {
    /// Creates the file, which must not exist. Large intermediate results go to unnamed files
    /// beside it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<Self> {
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        let mut out = Output::create(path)?;
        out.put(&MAGIC.to_be_bytes())?;
        out.put(&[2])?;
        out.begin_frame();
        Ok(Self {
            out,
            toc: Toc {
                symbols: HEADER_LEN,
                ..Toc::default()
            },
            stage: Stage::Symbols {
                count: 0,
                last: None,
            },
            pairs: PairSorter::new(dir, PAIRS_IN_MEMORY),
            all: Spool::new(dir, "index_all"),
            table: Spool::new(dir, "index_table"),
            entry: SeriesEntry::default(),
            buf: Vec::new(),
            series: 0,
            symbols: Vec::new(),
            has_empty_symbol: false,
            last_chunk: 0,
        })
    }

    /// Adds a string that labels of series consist of. Symbols ascend strictly.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the symbol is out of order or a series was added, [`Error::Io`].
    pub fn add_symbol(&mut self, symbol: &str) -> Result<()> {
        let Stage::Symbols { count, last } = &mut self.stage else {
            return Err(Error::Invalid(format!(
                "symbol {symbol:?} comes after the first series"
            )));
        };
        match last {
            Some(last) if symbol <= last.as_str() => {
                return Err(Error::Invalid(format!(
                    "symbol {symbol:?} does not come after {last:?}"
                )));
            }
            Some(last) => symbol.clone_into(last),
            none => *none = Some(symbol.to_owned()),
        }
        *count += 1;
        // Nothing sorts before it, so it is symbol 0.
        self.has_empty_symbol |= symbol.is_empty();
        self.buf.clear();
        put_uvarint_str(&mut self.buf, symbol);
        self.out.put(&self.buf)
    }

    /// The look-up of symbols; ends their section when that has not been done.
    fn lookup(&mut self) -> Result<&mut Lookup> {
        if let Stage::Symbols { count, .. } = self.stage {
            self.out.end_frame(count, "symbols")?;
            self.out.flush()?;
            self.toc.series = self.out.pos();
            // What is mapped is written once; the file only grows behind it.
            let source = Memory::map(self.out.path())?;
            let symbols = Symbols::open(&source, Version::V2, &self.toc)?;
            self.stage = Stage::Series(Lookup {
                symbols,
                source,
                cache: HashMap::default(),
            });
        }
        match &mut self.stage {
            Stage::Series(lookup) => Ok(lookup),
            Stage::Symbols { .. } => unreachable!("the stage was set above"),
        }
    }

    /// Adds a series. Series ascend strictly by labels; chunks ascend by time without overlap, and
    /// by reference over all series.
    ///
    /// # Errors
    /// [`Error::Invalid`] when an order is broken, a label is no symbol, a label name is empty, or
    /// the index would grow beyond 64 GiB; [`Error::Io`].
    pub fn add_series(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<SeriesRef> {
        let mut symbols = std::mem::take(&mut self.symbols);
        symbols.clear();
        let lookup = self.lookup()?;
        for (name, value) in labels {
            symbols.push((lookup.find(name)?, lookup.find(value)?));
        }
        let added = self.add_series_symbols(&symbols, chunks);
        self.symbols = symbols;
        added.map_err(|e| match e {
            Error::Invalid(what) => Error::Invalid(format!("series {labels}: {what}")),
            other => other,
        })
    }

    /// Adds a series whose labels are given as symbols, name and value, numbered in the order in
    /// which they were added; otherwise as [`add_series`](Self::add_series).
    ///
    /// # Errors
    /// As [`add_series`](Self::add_series).
    pub fn add_series_symbols(
        &mut self,
        labels: &[(u32, u32)],
        chunks: &[ChunkMeta],
    ) -> Result<SeriesRef> {
        self.check_labels(labels)?;
        self.check_chunks(chunks)?;
        let mut entry = std::mem::take(&mut self.entry);
        entry.labels.clear();
        entry.chunks.clear();
        entry.labels.extend_from_slice(labels);
        entry.chunks.extend_from_slice(chunks);

        self.out.pad(SERIES_ALIGN)?;
        let Ok(series) = u32::try_from(self.out.pos() / SERIES_ALIGN) else {
            return Err(Error::Invalid(
                "an index beyond 64 GiB; split the block".to_owned(),
            ));
        };
        let mut payload = std::mem::take(&mut self.buf);
        payload.clear();
        entry.encode(&mut payload);
        let mut len = Vec::with_capacity(10);
        put_uvarint(&mut len, payload.len() as u64);
        self.out.put(&len)?;
        self.out.put(&payload)?;
        self.out.put(&crc32c(&payload).to_be_bytes())?;

        for &(name, value) in &entry.labels {
            self.pairs.push([name, value, series])?;
        }
        self.all.buf().extend_from_slice(&series.to_be_bytes());
        self.all.settle()?;
        self.series += 1;
        self.buf = payload;
        self.entry = entry;
        self.last_chunk = chunks.last().map_or(self.last_chunk, |c| c.reference);
        Ok(SeriesRef(series))
    }

    /// Checks the labels of what is added next. Symbols are numbered in their order, so numbers
    /// compare as strings do.
    fn check_labels(&mut self, labels: &[(u32, u32)]) -> Result<()> {
        let symbols = &self.lookup()?.symbols;
        let (count, has_empty) = (symbols.count(), self.has_empty_symbol);
        let invalid = |what: &str| Err(Error::Invalid(what.to_owned()));
        if labels.is_empty() || has_empty && labels.iter().any(|&(name, _)| name == 0) {
            return invalid("every series needs a label, and every label a name");
        }
        if labels.iter().any(|&(n, v)| n >= count || v >= count) {
            return invalid("a label refers to a symbol that was not added");
        }
        if labels.windows(2).any(|w| w[0].0 >= w[1].0) {
            return invalid("label names do not ascend");
        }
        // Empty before the first series.
        if labels <= self.entry.labels.as_slice() {
            return invalid("does not come after the series before it");
        }
        Ok(())
    }

    /// Checks the order of the chunks of what is added next.
    fn check_chunks(&self, chunks: &[ChunkMeta]) -> Result<()> {
        let invalid = |what: String| Err(Error::Invalid(what));
        let mut last_reference = self.last_chunk;
        let mut last_end = None;
        for c in chunks {
            if c.reference < last_reference {
                let reference = c.reference;
                return invalid(format!(
                    "chunk reference {reference} comes after {last_reference}"
                ));
            }
            if c.max_time < c.min_time || last_end.is_some_and(|end| c.min_time <= end) {
                let (min, max) = (c.min_time, c.max_time);
                return invalid(format!("chunk {min} to {max} is not after its predecessor"));
            }
            last_reference = c.reference;
            last_end = Some(c.max_time);
        }
        Ok(())
    }

    /// Writes the postings, their offset table and the table of contents, and makes the file
    /// durable.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a section is beyond its limit of 4 GiB, [`Error::Io`].
    pub fn finish(mut self) -> Result<Toc> {
        self.lookup()?;
        let Stage::Series(lookup) = self.stage else {
            unreachable!("looking up ends the stage of symbols");
        };
        let end = self.out.pos();
        self.toc.label_indices = end;
        self.toc.postings = end;
        self.out.pad(4)?;
        let mut lists = Lists {
            out: self.out,
            table: self.table,
            lookup,
            entries: 0,
            open: None,
        };
        lists.all_series(self.all, self.series)?;
        self.pairs.drain(|pair| lists.add(pair))?;
        lists.end_list()?;

        let (mut out, table, entries) = (lists.out, lists.table, lists.entries);
        self.toc.label_indices_table = out.pos();
        self.toc.postings_table = out.pos();
        out.begin_frame();
        table.drain(|piece| out.put(piece))?;
        out.end_frame(entries, "postings offset table")?;
        out.put(&self.toc.encode())?;
        out.sync()?;
        Ok(self.toc)
    }
}

/// Turns sorted pairs into postings lists.
struct Lists {
    out: Output,
    table: Spool,
    lookup: Lookup,
    /// Entries in the table.
    entries: u64,
    open: Option<OpenList>,
}

/// The list that is being written.
struct OpenList {
    name: u32,
    value: u32,
    len: u64,
}

impl Lists {
    fn all_series(&mut self, refs: Spool, count: u64) -> Result<()> {
        let at = self.out.pos();
        let buf = self.table.buf();
        buf.extend_from_slice(&[2, 0, 0]);
        put_uvarint(buf, at);
        self.entries += 1;
        self.out.begin_frame();
        refs.drain(|piece| self.out.put(piece))?;
        self.out.end_frame(count, "postings of all series")
    }

    fn add(&mut self, [name, value, series]: Pair) -> Result<()> {
        let continues = self
            .open
            .as_ref()
            .is_some_and(|o| (o.name, o.value) == (name, value));
        if !continues {
            self.end_list()?;
            self.table_entry(name, value)?;
            self.out.begin_frame();
        }
        let open = self.open.get_or_insert(OpenList {
            name,
            value,
            len: 0,
        });
        open.len += 1;
        self.out.put(&series.to_be_bytes())
    }

    fn end_list(&mut self) -> Result<()> {
        match self.open.take() {
            Some(open) => self.out.end_frame(open.len, "postings"),
            None => Ok(()),
        }
    }

    /// Adds the entry of the list that starts here.
    fn table_entry(&mut self, name: u32, value: u32) -> Result<()> {
        let at = self.out.pos();
        let Lookup {
            symbols, source, ..
        } = &self.lookup;
        let buf = self.table.buf();
        buf.push(2);
        symbols.with(source, name, |name| put_uvarint_str(buf, name))?;
        symbols.with(source, value, |value| put_uvarint_str(buf, value))?;
        put_uvarint(buf, at);
        self.entries += 1;
        self.table.settle()
    }
}
