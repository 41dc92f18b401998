//! Reading the records of one segment, front to back.

use std::io::{self, Read};

use super::PAGE_SIZE;
use super::RECORD_SIZE_MAX;
use super::compression::{Compression, Decompressor};
use super::fragment::{self, Damage, HEADER_SIZE, Item};
use crate::error::Corruption;

/// Why no further record can be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The source could not be read.
    #[error("cannot read the segment")]
    Io(#[from] io::Error),
    /// The bytes are not a sound record; all records before were.
    #[error("{corruption}")]
    Damaged {
        /// The offset within the segment and what should have been there.
        corruption: Corruption,
        /// True when the segment merely ends in the middle of a record, as after a crash.
        torn: bool,
    },
}

/// Where the bytes of the record at hand are.
enum Place {
    Page { start: usize, end: usize },
    Assembled,
}

/// Reads records off the bytes of a segment. Reading slices does no I/O.
///
/// After an error the reader stays at its end: there is no way to tell where the next record
/// would begin.
#[derive(Debug)]
pub struct SegmentReader<R> {
    source: R,
    page: Box<[u8]>,
    /// Bytes of `page` that the source filled; short only for the last page.
    page_len: usize,
    /// Offset of `page` in the segment.
    page_start: u64,
    pos: usize,
    assembled: Vec<u8>,
    decompressor: Decompressor,
    record_start: u64,
    sound_end: u64,
    finished: bool,
}

impl<R: Read> SegmentReader<R> {
    /// Starts at the beginning of a segment.
    pub fn new(source: R) -> Self {
        Self {
            source,
            page: vec![0; PAGE_SIZE].into_boxed_slice(),
            page_len: 0,
            page_start: 0,
            pos: 0,
            assembled: Vec::new(),
            decompressor: Decompressor::new(),
            record_start: 0,
            sound_end: 0,
            finished: false,
        }
    }

    /// Offset at which the record read last begins.
    pub fn record_start(&self) -> u64 {
        self.record_start
    }

    /// Offset after the last whole record: a segment cut here reads without an error.
    pub fn sound_end(&self) -> u64 {
        self.sound_end
    }

    /// The next record, decompressed; `None` at the end.
    ///
    /// # Errors
    /// [`SegmentError`] when the source fails or its bytes are damaged.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>, SegmentError> {
        if self.finished {
            return Ok(None);
        }
        match self.assemble() {
            Ok(Some((place, compression))) => {
                let bytes = match place {
                    Place::Page { start, end } => &self.page[start..end],
                    Place::Assembled => &self.assembled[..],
                };
                match self.decompressor.decompress(bytes, compression) {
                    Ok(record) => {
                        self.sound_end = self.page_start + self.pos as u64;
                        Ok(Some(record))
                    }
                    Err(corruption) => {
                        self.finished = true;
                        Err(SegmentError::Damaged {
                            corruption: corruption.shift(self.record_start),
                            torn: false,
                        })
                    }
                }
            }
            Ok(None) => {
                self.finished = true;
                Ok(None)
            }
            Err(error) => {
                self.finished = true;
                Err(error)
            }
        }
    }

    /// Finds the bytes of the next record, as they are stored.
    fn assemble(&mut self) -> Result<Option<(Place, Compression)>, SegmentError> {
        let mut unfinished: Option<Compression> = None;
        self.assembled.clear();
        loop {
            if self.pos == self.page_len && !self.next_page()? {
                return match unfinished {
                    None => Ok(None),
                    Some(_) => Err(self.damaged(Damage::torn(
                        self.pos,
                        "the rest of a record before the end of the file",
                    ))),
                };
            }
            let at = self.pos;
            let fragment = match fragment::decode(&self.page[..self.page_len], at) {
                Ok(Item::Fragment(fragment)) => fragment,
                Ok(Item::Padding) => {
                    self.pos = self.page_len;
                    continue;
                }
                Err(damage) => return Err(self.damaged(damage)),
            };
            if fragment.part.starts_record() != unfinished.is_none() {
                let expected = match unfinished {
                    None => "the first fragment of a record, found a later one",
                    Some(_) => "the next fragment of a record, found a first one",
                };
                return Err(self.damaged(Damage::wrong(at, expected)));
            }
            if unfinished.is_some_and(|c| c != fragment.compression) {
                let expected = "a fragment compressed like the one before";
                return Err(self.damaged(Damage::wrong(at, expected)));
            }
            if self.assembled.len() + fragment.data.len() > RECORD_SIZE_MAX {
                let expected = format!("a record of at most {RECORD_SIZE_MAX} bytes");
                return Err(self.damaged(Damage::wrong(at, expected)));
            }
            let (part, compression) = (fragment.part, fragment.compression);
            let data_start = at + HEADER_SIZE;
            let data_end = data_start + fragment.data.len();
            self.pos = data_end;
            if unfinished.is_none() {
                self.record_start = self.page_start + at as u64;
                if part.ends_record() {
                    let place = Place::Page {
                        start: data_start,
                        end: data_end,
                    };
                    return Ok(Some((place, compression)));
                }
            }
            self.assembled
                .extend_from_slice(&self.page[data_start..data_end]);
            if part.ends_record() {
                return Ok(Some((Place::Assembled, compression)));
            }
            unfinished = Some(compression);
        }
    }

    /// Reads the next page; false at the end of the source.
    fn next_page(&mut self) -> io::Result<bool> {
        self.page_start += self.page_len as u64;
        self.pos = 0;
        self.page_len = 0;
        while self.page_len < PAGE_SIZE {
            match self.source.read(&mut self.page[self.page_len..]) {
                Ok(0) => break,
                Ok(n) => self.page_len += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(self.page_len > 0)
    }

    fn damaged(&self, damage: Damage) -> SegmentError {
        SegmentError::Damaged {
            corruption: damage.corruption.shift(self.page_start),
            torn: damage.torn,
        }
    }
}

#[cfg(test)]
mod tests;
