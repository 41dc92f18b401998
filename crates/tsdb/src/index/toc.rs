//! The table of contents: the last 52 bytes of an index.

use crate::cursor::{Cursor, crc32c};
use crate::error::Corruption;

/// Size of an encoded table of contents.
pub const TOC_LEN: usize = 6 * 8 + 4;

/// Where the sections of an index start; 0 for a section that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Toc {
    /// The symbol table.
    pub symbols: u64,
    /// The series entries, before their alignment.
    pub series: u64,
    /// The label indices that old versions wrote; also the end of the series.
    pub label_indices: u64,
    /// The offset table of the label indices.
    pub label_indices_table: u64,
    /// The postings lists, before their alignment.
    pub postings: u64,
    /// The offset table of the postings.
    pub postings_table: u64,
}

impl Toc {
    /// Decodes a table that starts at offset `at` of its file.
    ///
    /// # Errors
    /// When it is damaged, or names sections that do not lie in order before it.
    pub fn decode(bytes: &[u8], at: u64) -> Result<Self, Corruption> {
        let mut c = Cursor::new(bytes);
        let mut field = || c.be64("a table of contents of 52 bytes");
        let toc = Self {
            symbols: field()?,
            series: field()?,
            label_indices: field()?,
            label_indices_table: field()?,
            postings: field()?,
            postings_table: field()?,
        };
        let computed = crc32c(&bytes[..c.pos()]);
        let at_crc = c.pos();
        if c.be32("a table of contents of 52 bytes")? != computed {
            return Err(Corruption::new(
                at_crc,
                "the checksum of the table of contents",
            ));
        }
        toc.check(at)
    }

    /// Checks that the sections that are read lie in order before the table, which is at `at`.
    fn check(self, at: u64) -> Result<Self, Corruption> {
        let in_order = super::HEADER_LEN <= self.symbols
            && self.symbols <= self.series
            && self.series <= self.series_end()
            && self.series_end() <= self.postings_table
            && self.series <= self.postings
            && self.postings <= self.postings_table
            && self.postings_table <= at;
        if in_order {
            Ok(self)
        } else {
            Err(Corruption::new(
                0,
                "sections in order, from symbols over series and postings to their offset table",
            ))
        }
    }

    /// Where the series entries end.
    pub(super) fn series_end(&self) -> u64 {
        match self.label_indices {
            0 => self.postings,
            at => at,
        }
    }

    /// The table's bytes.
    pub(super) fn encode(&self) -> [u8; TOC_LEN] {
        let mut out = [0; TOC_LEN];
        let fields = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_indices_table,
            self.postings,
            self.postings_table,
        ];
        for (slot, field) in out.chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_be_bytes());
        }
        let crc = crc32c(&out[..TOC_LEN - 4]);
        out[TOC_LEN - 4..].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_damage() {
        let toc = Toc {
            symbols: 5,
            series: 100,
            label_indices: 200,
            label_indices_table: 300,
            postings: 200,
            postings_table: 300,
        };
        let bytes = toc.encode();
        assert_eq!(Toc::decode(&bytes, 400), Ok(toc));
        assert!(Toc::decode(&bytes, 299).is_err(), "table beyond the file");
        assert!(Toc::decode(&bytes[..51], 400).is_err());
        for i in 0..bytes.len() {
            let mut bad = bytes;
            bad[i] ^= 1;
            assert!(Toc::decode(&bad, 400).is_err(), "byte {i}");
        }
    }
}
