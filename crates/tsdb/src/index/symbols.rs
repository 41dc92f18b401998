//! The symbol table: every string that labels consist of, sorted, each once.
//!
//! In memory is the offset of every [`STEP`]-th symbol, half a byte per symbol; the strings stay in
//! the file. Versions 2 and 3 refer to a symbol by its number, version 1 by its offset in the file.

use super::{Version, frame::read_frame, toc::Toc};
use crate::cursor::Cursor;
use crate::error::{Corruption, Result};
use crate::source::{ByteSource, View, corrupt, view};

/// Symbols per remembered offset. Prometheus remembers 8 bytes per 32 symbols; a look-up here
/// skips 3.5 strings in the mean instead of 15.5.
const STEP: u32 = 8;

const SYMBOL: &str = "a symbol";

/// The symbol table of an index.
#[derive(Debug)]
pub(super) struct Symbols {
    version: Version,
    /// Offset in the file of the frame's payload, whose first four bytes are the count.
    base: u64,
    /// Length of the payload.
    len: u32,
    count: u32,
    /// Offsets in the payload of symbols 0, 8, 16...
    samples: Box<[u32]>,
}

impl Symbols {
    /// Reads the table once, verifying its checksum, its structure and the order of its strings.
    pub(super) fn open(source: &dyn ByteSource, version: Version, toc: &Toc) -> Result<Self> {
        let payload = read_frame(source, toc.symbols, toc.series, "symbols")?;
        let base = toc.symbols + 4;
        let parse = || {
            let mut c = Cursor::new(&payload);
            let count = c.be32("the number of symbols")?;
            if count as usize > c.remaining() {
                return Err(Corruption::new(
                    0,
                    "a number of symbols that fit into the table",
                ));
            }
            let mut samples = Vec::with_capacity(count.div_ceil(STEP) as usize);
            let mut last: Option<&[u8]> = None;
            for i in 0..count {
                let at = c.pos();
                if i % STEP == 0 {
                    samples.push(at as u32);
                }
                let symbol = c.uvarint_bytes(SYMBOL)?;
                if last.is_some_and(|l| l >= symbol) {
                    return Err(Corruption::new(at, "symbols in ascending order"));
                }
                last = Some(symbol);
            }
            Ok((count, samples.into_boxed_slice()))
        };
        let (count, samples) = parse().map_err(|c| corrupt(source, base, c))?;
        Ok(Self {
            version,
            base,
            len: payload.len() as u32,
            count,
            samples,
        })
    }

    /// Number of symbols.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of memory that the table holds.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.samples)
    }

    /// Range in the payload of the group of symbols that starts with the sample `i`.
    fn group(&self, i: usize) -> (u32, u32) {
        let end = self.samples.get(i + 1).copied().unwrap_or(self.len);
        (self.samples[i], end)
    }

    fn group_view<'a>(&self, source: &'a dyn ByteSource, i: usize) -> Result<(View<'a>, u64)> {
        let (start, end) = self.group(i);
        let at = self.base + u64::from(start);
        Ok((view(source, at..self.base + u64::from(end))?, at))
    }

    /// Calls `f` with the symbol that `reference` stands for.
    pub(super) fn with<R>(
        &self,
        source: &dyn ByteSource,
        reference: u32,
        f: impl FnOnce(&str) -> R,
    ) -> Result<R> {
        let (bytes, at, skip) = match self.version {
            Version::V1 => (
                self.view_of_version_1(source, reference)?,
                u64::from(reference),
                0,
            ),
            Version::V2 | Version::V3 => {
                if reference >= self.count {
                    return Err(self.unknown(source, reference));
                }
                let (bytes, at) = self.group_view(source, (reference / STEP) as usize)?;
                (bytes, at, reference % STEP)
            }
        };
        let read = || {
            let mut c = Cursor::new(&bytes);
            for _ in 0..skip {
                c.uvarint_bytes(SYMBOL)?;
            }
            c.uvarint_str(SYMBOL)
        };
        Ok(f(read().map_err(|d| corrupt(source, at, d))?))
    }

    /// The bytes of the symbol at an offset, and what follows it.
    fn view_of_version_1<'a>(&self, source: &'a dyn ByteSource, at: u32) -> Result<View<'a>> {
        /// Most symbols are shorter; others take a second read.
        const GUESS: u64 = 128;
        let end = self.base + u64::from(self.len);
        let at = u64::from(at);
        if !(self.base + 4..end).contains(&at) {
            return Err(self.unknown(source, at as u32));
        }
        let bytes = view(source, at..end.min(at + GUESS))?;
        match Cursor::new(&bytes).uvarint_bytes(SYMBOL) {
            Ok(_) => Ok(bytes),
            Err(_) => view(source, at..end),
        }
    }

    #[cold]
    fn unknown(&self, source: &dyn ByteSource, reference: u32) -> crate::Error {
        let expected = format!(
            "symbol {reference} in the table of {} symbols that starts here",
            self.count
        );
        corrupt(source, self.base, Corruption::new(0, expected))
    }

    /// The reference of `symbol`, or `None` when the table does not hold it.
    pub(super) fn find(&self, source: &dyn ByteSource, symbol: &str) -> Result<Option<u32>> {
        // The last group whose first symbol is not greater than `symbol`.
        let (mut low, mut high) = (0, self.samples.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let (bytes, at) = self.group_view(source, middle)?;
            let first = Cursor::new(&bytes)
                .uvarint_bytes(SYMBOL)
                .map_err(|d| corrupt(source, at, d))?;
            if first <= symbol.as_bytes() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(group) = low.checked_sub(1) else {
            return Ok(None);
        };
        let (bytes, at) = self.group_view(source, group)?;
        let mut c = Cursor::new(&bytes);
        let mut number = group as u32 * STEP;
        while !c.is_empty() {
            let here = at + c.pos() as u64;
            let found = c
                .uvarint_bytes(SYMBOL)
                .map_err(|d| corrupt(source, at, d))?;
            if found == symbol.as_bytes() {
                return Ok(Some(match self.version {
                    Version::V1 => here as u32,
                    Version::V2 | Version::V3 => number,
                }));
            }
            number += 1;
        }
        Ok(None)
    }

    /// Calls `f` with every symbol, in ascending order.
    ///
    /// # Errors
    /// Those of `f`, and damage to a symbol's text.
    pub(super) fn for_each(
        &self,
        source: &dyn ByteSource,
        mut f: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        for i in 0..self.samples.len() {
            let (bytes, at) = self.group_view(source, i)?;
            let mut c = Cursor::new(&bytes);
            // Only the last group has fewer than STEP symbols, and what follows it is nothing.
            for _ in 0..STEP.min(self.count - i as u32 * STEP) {
                f(c.uvarint_str(SYMBOL).map_err(|d| corrupt(source, at, d))?)?;
            }
        }
        Ok(())
    }
}
