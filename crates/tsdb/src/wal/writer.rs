//! Appending records to a log.
//!
//! Records are buffered until their page is full or the batch ends, then handed to the operating
//! system; [`Writer::sync`] makes them durable. A new segment begins when a record does not fit
//! into what is left of the current one. After an error nothing more is written: what the file
//! holds is then unknown, and the log must be opened (and repaired) again. Only a disk that was full is
//! no reason for that: [`Writer::recover`] goes on once there is room.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::compression::{Compression, Compressor};
use super::dir::{LogDir, SegmentFile, SegmentStore};
use super::fragment::{self, HEADER_SIZE, Part};
use super::record::RecordType;
use super::{PAGE_SIZE, SEGMENT_SIZE};
use crate::durable;
use crate::error::{Error, Result};

/// What the operating system writes at least, and writes again when a flush ended within it.
const BLOCK_SIZE: usize = 4096;
/// A record that says nothing, cut to the length that is needed. No snappy block goes on with its second
/// byte.
const FILLER: [u8; BLOCK_SIZE] = {
    let mut filler = [0; BLOCK_SIZE];
    (filler[0], filler[1]) = (RecordType::Filler as u8, 1);
    filler
};

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterOptions {
    /// Bytes of a segment; a multiple of [`PAGE_SIZE`].
    pub segment_size: usize,
    /// Compression of records that it makes smaller.
    pub compression: Compression,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            segment_size: SEGMENT_SIZE,
            compression: Compression::Snappy,
        }
    }
}

/// Appends records to the newest segment of a log.
pub struct Writer<S: SegmentStore = LogDir> {
    pages: Pages<S>,
    compression: Compression,
    compressor: Compressor,
    failed: Option<Failure>,
}

/// Why nothing more is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The disk had no room for a write. What is before it is in the file.
    Full,
    /// Nobody knows what the file has.
    Unknown,
}

/// The current segment and its unfinished page.
struct Pages<S: SegmentStore> {
    store: S,
    file: S::File,
    segment: u32,
    segment_size: usize,
    /// The current page, up to [`PAGE_SIZE`] bytes.
    page: Vec<u8>,
    /// Bytes of `page` that the file already has.
    flushed: usize,
    pages_done: usize,
    /// Bytes of the file up to the end of what was logged last.
    sound_len: u64,
    /// A flush failed, after which a file may lack anything.
    is_unknown: bool,
}

impl<S: SegmentStore> fmt::Debug for Writer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("segment", &self.pages.segment)
            .field("pages_done", &self.pages.pages_done)
            .field("page_len", &self.pages.page.len())
            .field("compression", &self.compression)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Writer<LogDir> {
    /// Opens the log in `dir`, made if absent, and begins a segment after its last one, which is
    /// read: readers stop at damage, so that nothing behind it would be found again.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the last segment is damaged or torn: [`repair`](super::repair) it
    /// first. [`Error::Io`] when it cannot be read, or the directory or a segment cannot be made.
    pub fn open(dir: &Path, options: WriterOptions) -> Result<Self> {
        durable::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        let store = LogDir::new(dir);
        let segments = store.segments()?;
        let next = match segments.last() {
            Some(last) => {
                last.for_each_record(|_| Ok(()))?;
                last.index + 1
            }
            None => 0,
        };
        Self::create(store, next, options)
    }
}

impl<S: SegmentStore> Writer<S> {
    /// Begins segment `index` in `store`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a segment size that is not a positive multiple of the page size,
    /// [`Error::Io`] when the segment cannot be made.
    pub fn create(mut store: S, index: u32, options: WriterOptions) -> Result<Self> {
        if options.segment_size == 0 || !options.segment_size.is_multiple_of(PAGE_SIZE) {
            return Err(Error::Invalid(format!(
                "segment size {} is not a multiple of the page size; use one of {PAGE_SIZE}",
                options.segment_size
            )));
        }
        let file = store
            .create(index)
            .map_err(|e| Error::io("create", &store.path(index), e))?;
        Ok(Self {
            pages: Pages {
                store,
                file,
                segment: index,
                segment_size: options.segment_size,
                page: Vec::with_capacity(PAGE_SIZE),
                flushed: 0,
                pages_done: 0,
                sound_len: 0,
                is_unknown: false,
            },
            compression: options.compression,
            compressor: Compressor::new(),
            failed: None,
        })
    }

    /// The path of the segment being written.
    pub fn path(&self) -> PathBuf {
        self.pages.store.path(self.pages.segment)
    }

    /// The file of the segment being written. All segments before it are durable.
    pub fn file(&self) -> &S::File {
        &self.pages.file
    }

    /// True when nothing is written because the disk was full, and [`Writer::recover`] may change that.
    pub fn is_full(&self) -> bool {
        self.failed == Some(Failure::Full)
    }

    /// The segment being written.
    pub fn segment(&self) -> u32 {
        self.pages.segment
    }

    /// True when records are sure to go into the current segment, whatever compression makes of them.
    pub fn has_room<B: AsRef<[u8]>>(&self, records: &[B]) -> bool {
        // The room has no headers in it, but for those of fragments that leave something of their page:
        // each record ends in one of these at most, with the next header or the padding behind it.
        let headers = records.len() * HEADER_SIZE;
        let bytes: usize = records.iter().map(|record| record.as_ref().len()).sum();
        bytes + headers <= self.pages.room()
    }

    /// Appends records and hands them to the operating system. They survive a crash of the
    /// process; [`Writer::sync`] makes them survive that of the machine.
    ///
    /// # Errors
    /// [`Error::Io`]; the writer then refuses everything that follows.
    pub fn log<B: AsRef<[u8]>>(&mut self, records: &[B]) -> Result<()> {
        self.guarded("write", |writer| {
            for record in records {
                let (bytes, compression) = writer
                    .compressor
                    .compress(record.as_ref(), writer.compression);
                writer.pages.append(bytes, compression)?;
            }
            writer.pages.flush_page(false)
        })
    }

    /// Fills the block of 4 KiB that the next flush ends in, so that the one after does not write it
    /// again, if less than half of it is left: what fillers add to the log is less than what they save.
    ///
    /// # Errors
    /// [`Error::Io`]; the writer then refuses everything that follows.
    pub fn end_block(&mut self) -> Result<()> {
        self.guarded("write", |writer| writer.pages.end_block())
    }

    /// Makes everything logged so far durable.
    ///
    /// # Errors
    /// [`Error::Io`]; the writer then refuses everything that follows.
    pub fn sync(&mut self) -> Result<()> {
        self.guarded("sync", |writer| writer.pages.sync())
    }

    /// Ends the current segment and begins the next one, whose index is returned.
    ///
    /// # Errors
    /// [`Error::Io`]; the writer then refuses everything that follows.
    pub fn next_segment(&mut self) -> Result<u32> {
        self.guarded("cut", |writer| writer.pages.cut_segment())?;
        Ok(self.pages.segment)
    }

    /// Goes on after a disk was full: takes away what the failed call left in the segment, and begins the
    /// next one. Records of that call that were whole may be in the log. True when there was such a call.
    ///
    /// # Errors
    /// [`Error::Io`]; while the disk is full, it may be tried again.
    pub fn recover(&mut self) -> Result<bool> {
        if !self.is_full() {
            return Ok(false);
        }
        self.failed = None;
        self.guarded("recover", |writer| writer.pages.drop_torn())?;
        Ok(true)
    }

    fn guarded(
        &mut self,
        action: &'static str,
        body: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> Result<()> {
        if self.failed.is_some() {
            let error = io::Error::other("an earlier write failed; open the log again");
            return Err(Error::io(action, &self.path(), error));
        }
        if let Err(e) = body(self) {
            let is_full = durable::is_no_room(&e) && !self.pages.is_unknown;
            self.failed = Some(match is_full {
                true => Failure::Full,
                false => Failure::Unknown,
            });
            return Err(Error::io(action, &self.path(), e));
        }
        self.pages.note_sound();
        Ok(())
    }
}

impl<S: SegmentStore> Pages<S> {
    /// Cuts a stored record into fragments. Full pages go out at once.
    fn append(&mut self, mut bytes: &[u8], compression: Compression) -> io::Result<()> {
        if bytes.len() > self.room() {
            self.cut_segment()?;
            if bytes.len() > self.room() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a record is larger than a segment",
                ));
            }
        }
        let mut is_first = true;
        // An empty record still takes a fragment.
        while is_first || !bytes.is_empty() {
            let room = PAGE_SIZE - self.page.len() - HEADER_SIZE;
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            let part = match (is_first, rest.is_empty()) {
                (true, true) => Part::Full,
                (true, false) => Part::First,
                (false, true) => Part::Last,
                (false, false) => Part::Middle,
            };
            fragment::encode(&mut self.page, part, compression, piece);
            if self.page_is_full() {
                self.flush_page(true)?;
            }
            bytes = rest;
            is_first = false;
        }
        Ok(())
    }

    /// Record bytes that the current segment still takes.
    fn room(&self) -> usize {
        let pages = self.segment_size / PAGE_SIZE;
        let this_page = (PAGE_SIZE - self.page.len()).saturating_sub(HEADER_SIZE);
        let pages_left = pages.saturating_sub(self.pages_done + 1);
        // In the last page done, nothing is left.
        if self.pages_done >= pages {
            0
        } else {
            this_page + (PAGE_SIZE - HEADER_SIZE) * pages_left
        }
    }

    fn page_is_full(&self) -> bool {
        PAGE_SIZE - self.page.len() < HEADER_SIZE
    }

    /// Writes what the file lacks of the page; with `end_page` pads it and begins the next.
    fn flush_page(&mut self, end_page: bool) -> io::Result<()> {
        if end_page {
            self.page.resize(PAGE_SIZE, 0);
        }
        self.file.write_all(&self.page[self.flushed..])?;
        self.flushed = self.page.len();
        if end_page {
            self.page.clear();
            self.flushed = 0;
            self.pages_done += 1;
        }
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        let left = BLOCK_SIZE - self.page.len() % BLOCK_SIZE;
        if left > BLOCK_SIZE / 2 || left <= HEADER_SIZE {
            return Ok(());
        }
        let filler = &FILLER[..left - HEADER_SIZE];
        fragment::encode(&mut self.page, Part::Full, Compression::None, filler);
        self.flush_page(self.page_is_full())
    }

    fn cut_segment(&mut self) -> io::Result<()> {
        if !self.page.is_empty() {
            self.flush_page(true)?;
        }
        // Before the next segment exists, so that a torn record is only ever found in the last.
        self.sync()?;
        self.note_sound();
        self.begin_segment()
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        self.file = self.store.create(self.segment + 1)?;
        self.segment += 1;
        self.page.clear();
        self.flushed = 0;
        self.pages_done = 0;
        self.note_sound();
        Ok(())
    }

    /// Notes that the file ends with a whole record.
    fn note_sound(&mut self) {
        self.sound_len = (self.pages_done * PAGE_SIZE + self.flushed) as u64;
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync().inspect_err(|_| self.is_unknown = true)
    }

    /// Begins the next segment, after the last sound byte of this one.
    fn drop_torn(&mut self) -> io::Result<()> {
        self.file.cut(self.sound_len)?;
        self.sync()?;
        self.begin_segment()
    }
}

#[cfg(test)]
mod tests;
