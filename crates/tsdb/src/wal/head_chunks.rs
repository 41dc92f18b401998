//! Head chunk files: completed chunks of the head, one after the other, in the order in which they
//! were completed.
//!
//! A file begins with a magic number, a version and three zero bytes. A chunk is the series
//! reference, the times of its first and last sample, an encoding byte whose high bit marks
//! out-of-order chunks, the payload with its length, and a CRC-32C over all of that. Zeroes end a
//! file early, because writers may reserve room. See `docs/format/head-chunks.md`.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::dir::{Segment, digits, entries};
use crate::chunk::Encoding;
use crate::cursor::{Cursor, crc32c, put_uvarint};
use crate::durable::{self, sync_dir};
use crate::error::{Corruption, Error, Result};

/// First bytes of every head chunk file.
pub const MAGIC: u32 = 0x0130_BC91;
const VERSION: u8 = 1;
const FILE_HEADER_SIZE: usize = 8;

/// A file is not appended to beyond this size.
pub const FILE_SIZE_MAX: u64 = 128 * 1024 * 1024;

/// Memory that is kept from one write to the next.
const BUFFER_KEPT: usize = 1 << 20;

const OUT_OF_ORDER_BIT: u8 = 0b1000_0000;

/// Bytes between the start of a chunk and the length of its payload: series reference, two times,
/// encoding.
pub(crate) const PAYLOAD_OFFSET: usize = 8 + 16 + 1;

/// Series reference, two times, encoding, and the shortest length and checksum.
const CHUNK_SIZE_MIN: usize = 8 + 16 + 1 + 1 + 4;

/// A chunk in a head chunk file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadChunk {
    /// Reference of the series in the log.
    pub series: u64,
    /// Time of the first sample.
    pub min_time: i64,
    /// Time of the last sample.
    pub max_time: i64,
    /// The encoding byte without the out-of-order bit.
    pub encoding: u8,
    /// True when the chunk holds samples that came out of order.
    pub out_of_order: bool,
    /// Where in the file the chunk begins.
    pub offset: u32,
    /// Where in the file the payload is.
    pub data: Range<usize>,
}

/// The number by which markers in a WBL name a head chunk: ordered as chunks were written.
pub const fn chunk_reference(file: u32, offset: u32) -> u64 {
    (file as u64) << 32 | offset as u64
}

/// Walks the chunks of one file's bytes. After an error it is at its end.
#[derive(Debug, Clone)]
pub struct HeadChunks<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> HeadChunks<'a> {
    /// Starts at the first chunk. An empty file, which a crash can leave behind, has none.
    ///
    /// # Errors
    /// [`Corruption`] when the file header is not what it must be.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Corruption> {
        // Room that was reserved before the header reached the disk.
        if bytes.iter().take(FILE_HEADER_SIZE).all(|&b| b == 0) && bytes.iter().all(|&b| b == 0) {
            return Ok(Self { bytes: &[], pos: 0 });
        }
        let mut cursor = Cursor::new(bytes);
        if cursor.be32("the magic number 0130bc91")? != MAGIC {
            return Err(Corruption::new(0, "the magic number 0130bc91"));
        }
        if cursor.byte("version 1")? != VERSION {
            return Err(Corruption::new(4, "version 1"));
        }
        cursor.take(3, "three bytes of padding")?;
        Ok(Self {
            bytes,
            pos: cursor.pos(),
        })
    }

    /// Offset at which the next chunk begins; after damage, where the damaged chunk does.
    pub fn offset(&self) -> usize {
        self.pos
    }

    fn decode(&mut self) -> Result<Option<HeadChunk>, Corruption> {
        let start = self.pos;
        let bytes = &self.bytes[start..];
        if bytes.len() < CHUNK_SIZE_MIN {
            return if bytes.iter().all(|&b| b == 0) {
                Ok(None)
            } else {
                Err(Corruption::new(
                    start,
                    "a whole chunk before the end of the file",
                ))
            };
        }
        let mut cursor = Cursor::new(bytes);
        let series = cursor.be64("a series reference")?;
        let min_time = cursor.be64("the first time of a chunk")?.cast_signed();
        let max_time = cursor.be64("the last time of a chunk")?.cast_signed();
        // References count from one: this is where the reserved room begins.
        if series == 0 && min_time == 0 && max_time == 0 {
            return Ok(None);
        }
        let shift = |c: Corruption| c.shift(start as u64);
        let encoding = cursor.byte("a chunk encoding").map_err(shift)?;
        let data = cursor.uvarint_bytes("the length of a chunk that ends within the file");
        let data_len = data.map_err(shift)?.len();
        let data_end = start + cursor.pos();
        let expected = crc32c(&self.bytes[start..data_end]);
        let found = cursor.be32("a checksum").map_err(shift)?;
        if expected != found {
            return Err(Corruption::new(
                data_end,
                format!("checksum {expected:08x} of the chunk, found {found:08x}"),
            ));
        }
        if max_time < min_time {
            let expected = format!("a last time not before the first, {min_time}");
            return Err(Corruption::new(start + 16, expected));
        }
        let offset = u32::try_from(start)
            .map_err(|_| Corruption::new(start, "chunks only in the first 4 GiB of a file"))?;
        self.pos = start + cursor.pos();
        Ok(Some(HeadChunk {
            series,
            min_time,
            max_time,
            encoding: encoding & !OUT_OF_ORDER_BIT,
            out_of_order: encoding & OUT_OF_ORDER_BIT != 0,
            offset,
            data: data_end - data_len..data_end,
        }))
    }
}

impl Iterator for HeadChunks<'_> {
    type Item = Result<HeadChunk, Corruption>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.decode().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.bytes = &self.bytes[..self.pos];
        }
        item
    }
}

/// The head chunk files in `dir`, in order of their numbers; none when it does not exist.
///
/// # Errors
/// [`Error::Io`] when the directory cannot be read.
pub fn files(dir: &Path) -> Result<Vec<Segment>> {
    let mut files: Vec<Segment> = entries(dir)?
        .into_iter()
        .filter_map(|path| {
            let index = digits(path.file_name()?.to_str()?)?;
            Some(Segment { index, path })
        })
        .collect();
    files.sort_unstable_by_key(|f| f.index);
    Ok(files)
}

/// A chunk to be written.
#[derive(Debug, Clone, Copy)]
pub struct NewHeadChunk<'a> {
    /// Reference of the series in the log.
    pub series: u64,
    /// Time of the first sample.
    pub min_time: i64,
    /// Time of the last sample.
    pub max_time: i64,
    /// How `data` is encoded.
    pub encoding: Encoding,
    /// True when the chunk holds samples that came out of order.
    pub out_of_order: bool,
    /// The payload.
    pub data: &'a [u8],
}

fn encode(chunk: &NewHeadChunk<'_>, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(&chunk.series.to_be_bytes());
    out.extend_from_slice(&chunk.min_time.to_be_bytes());
    out.extend_from_slice(&chunk.max_time.to_be_bytes());
    let bit = if chunk.out_of_order {
        OUT_OF_ORDER_BIT
    } else {
        0
    };
    out.push(chunk.encoding.as_byte() | bit);
    put_uvarint(out, chunk.data.len() as u64);
    out.extend_from_slice(chunk.data);
    let checksum = crc32c(&out[begin..]);
    out.extend_from_slice(&checksum.to_be_bytes());
}

/// Appends chunks to head chunk files.
#[derive(Debug)]
pub struct HeadChunkWriter {
    dir: PathBuf,
    file: Option<File>,
    index: u32,
    size: u64,
    buffer: Vec<u8>,
}

impl HeadChunkWriter {
    /// Opens `dir`, made if absent; the first chunk begins a file after the last one there.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be made or read.
    pub fn open(dir: &Path) -> Result<Self> {
        durable::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        let index = files(dir)?.last().map_or(0, |last| last.index);
        Ok(Self {
            dir: dir.to_owned(),
            file: None,
            index,
            size: 0,
            buffer: Vec::new(),
        })
    }

    /// Appends a chunk and returns its reference, which markers in a WBL hold.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a chunk larger than a file, [`Error::Io`] when it cannot be written;
    /// the next chunk then begins a new file.
    pub fn write(&mut self, chunk: &NewHeadChunk<'_>) -> Result<u64> {
        let references = self.write_all([*chunk])?;
        Ok(references[0])
    }

    /// Appends chunks, with a single write for all that go into one file, and returns their
    /// references.
    ///
    /// # Errors
    /// As [`HeadChunkWriter::write`]; some of the chunks may be in a file then.
    pub fn write_all<'c>(
        &mut self,
        chunks: impl IntoIterator<Item = NewHeadChunk<'c>>,
    ) -> Result<Vec<u64>> {
        self.buffer.clear();
        let mut references = Vec::new();
        for chunk in chunks {
            let begin = self.buffer.len();
            encode(&chunk, &mut self.buffer);
            let len = (self.buffer.len() - begin) as u64;
            if len + FILE_HEADER_SIZE as u64 > FILE_SIZE_MAX {
                return Err(Error::Invalid(format!(
                    "a chunk of {len} bytes does not fit into a head chunk file; cut it earlier"
                )));
            }
            if self.size + self.buffer.len() as u64 > FILE_SIZE_MAX {
                let next = self.buffer.split_off(begin);
                self.guarded(Self::put)?;
                self.sync()?;
                self.file = None;
                self.buffer = next;
            }
            if self.file.is_none() {
                self.guarded(Self::begin_file)?;
            }
            let offset = self.size + self.buffer.len() as u64 - len;
            let offset = u32::try_from(offset).expect("files end far below 4 GiB");
            references.push(chunk_reference(self.index, offset));
        }
        self.guarded(Self::put)?;
        Ok(references)
    }

    fn guarded(&mut self, body: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<()> {
        body(self).map_err(|e| {
            if let Some(file) = self.file.take() {
                // What stays of a torn chunk would be found by the next replay, and cost only time.
                let _ = file.set_len(self.size);
            }
            Error::io("write", &file_path(&self.dir, self.index), e)
        })
    }

    fn begin_file(&mut self) -> io::Result<()> {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .open(file_path(&self.dir, self.index + 1))?;
        self.index += 1;
        self.size = FILE_HEADER_SIZE as u64;
        sync_dir(&self.dir)?;
        let mut header = [0; FILE_HEADER_SIZE];
        header[..4].copy_from_slice(&MAGIC.to_be_bytes());
        header[4] = VERSION;
        file.write_all(&header)?;
        self.file = Some(file);
        Ok(())
    }

    /// Writes the buffer.
    fn put(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(&self.buffer)?;
        }
        self.size += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT);
        Ok(())
    }

    /// Ends the current file; the next chunk begins one, whose number is returned.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be made durable.
    pub fn end_file(&mut self) -> Result<u32> {
        self.sync()?;
        self.file = None;
        Ok(self.index + 1)
    }

    /// Makes all chunks written so far durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&mut self) -> Result<()> {
        match &self.file {
            Some(file) => file
                .sync_data()
                .map_err(|e| Error::io("sync", &file_path(&self.dir, self.index), e)),
            None => Ok(()),
        }
    }
}

pub(crate) fn file_path(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("{index:06}"))
}

#[cfg(test)]
mod tests;
