//! Completed chunks in head chunk files: written once, read through mappings.
//!
//! A series keeps only where its completed chunks are, so that their bytes are not in anonymous
//! memory. The mapping of a file is replaced by a longer one when a chunk beyond its end is asked
//! for; slices of the old one keep it alive.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::chunk::{Chunk, Encoding, TimedChunk};
use crate::cursor::uvarint_len;
use crate::error::{Error, Result};
use crate::source::{ByteSource, Memory};
use crate::wal::head_chunks::{
    self, HeadChunk, HeadChunkWriter, NewHeadChunk, PAYLOAD_OFFSET, chunk_reference,
};

/// Where a completed chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MappedChunk {
    /// Time of the first sample.
    pub(super) min_time: i64,
    /// Time of the last sample.
    pub(super) max_time: i64,
    /// File number in the upper 32 bits, offset in the lower.
    pub(super) reference: u64,
    /// Bytes of payload.
    pub(super) len: u32,
    /// How the payload is encoded.
    pub(super) encoding: Encoding,
}

impl MappedChunk {
    /// A whole chunk that was found in the file of number `file`; `None` when it is of an encoding
    /// that cannot be read.
    pub(super) fn of(found: &HeadChunk, file: u32) -> Option<Self> {
        let encoding = Encoding::from_byte(found.encoding)?;
        encoding.check_readable().ok()?;
        Some(Self {
            min_time: found.min_time,
            max_time: found.max_time,
            reference: chunk_reference(file, found.offset),
            len: u32::try_from(found.data.len()).ok()?,
            encoding,
        })
    }

    /// The number of the file that holds the chunk.
    pub(super) const fn file(&self) -> u32 {
        (self.reference >> 32) as u32
    }
}

/// The head chunk files of a data directory.
#[derive(Debug)]
pub(super) struct ChunkFiles {
    dir: PathBuf,
    maps: RwLock<HashMap<u32, Bytes>>,
    /// Absent while nothing may be written.
    writer: Mutex<Option<HeadChunkWriter>>,
}

impl ChunkFiles {
    /// The directory of the files.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The files in `dir`, for reading.
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            maps: RwLock::default(),
            writer: Mutex::new(None),
        }
    }

    /// Allows writing; new chunks begin a file after the last one.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be made or read.
    pub(super) fn open_for_writing(&self) -> Result<()> {
        *self.writer.lock() = Some(HeadChunkWriter::open(&self.dir)?);
        Ok(())
    }

    /// Takes over the mapping of a whole file.
    pub(super) fn adopt(&self, file: u32, bytes: Bytes) {
        self.maps.write().insert(file, bytes);
    }

    /// A chunk with its payload.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Corrupt`] when the file is gone or shorter than it was.
    pub(super) fn read(&self, chunk: &MappedChunk) -> Result<TimedChunk> {
        let offset = (chunk.reference & u64::from(u32::MAX)) as usize;
        let begin = offset + PAYLOAD_OFFSET + uvarint_len(u64::from(chunk.len));
        let range = begin..begin + chunk.len as usize;
        let mapped = self.maps.read().get(&chunk.file()).cloned();
        let bytes = match mapped {
            Some(bytes) if range.end <= bytes.len() => bytes,
            _ => self.map_again(chunk.file(), range.end)?,
        };
        Ok(TimedChunk {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            chunk: Chunk {
                encoding: chunk.encoding,
                data: bytes.slice(range),
            },
        })
    }

    #[cold]
    fn map_again(&self, file: u32, end: usize) -> Result<Bytes> {
        let path = head_chunks::file_path(&self.dir, file);
        let mapping = Memory::map(&path)?;
        // Checks that the file is long enough.
        mapping.read(0..end as u64)?;
        let bytes = mapping.in_memory().cloned().unwrap_or_default();
        self.adopt(file, bytes.clone());
        Ok(bytes)
    }

    /// Writes chunks with their series, and says where each is.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be written, [`Error::Invalid`] when nothing may be.
    pub(super) fn write(
        &self,
        chunks: &[(u64, TimedChunk)],
        out_of_order: bool,
    ) -> Result<Vec<MappedChunk>> {
        let mut writer = self.writer.lock();
        let writer = writer.as_mut().ok_or_else(|| {
            Error::Invalid("the head is open for reading only; open it for writing".to_owned())
        })?;
        let news = chunks.iter().map(|(series, chunk)| NewHeadChunk {
            series: *series,
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            encoding: chunk.chunk.encoding,
            out_of_order,
            data: &chunk.chunk.data,
        });
        let references = writer.write_all(news)?;
        let written = chunks.iter().zip(references);
        Ok(written
            .map(|((_, chunk), reference)| MappedChunk {
                min_time: chunk.min_time,
                max_time: chunk.max_time,
                reference,
                len: u32::try_from(chunk.chunk.data.len()).expect("a chunk fits into its file"),
                encoding: chunk.chunk.encoding,
            })
            .collect())
    }

    /// Ends the current file, so that it can be removed once nobody needs its chunks. Returns the
    /// number of the next one.
    pub(super) fn end_file(&self) -> Result<u32> {
        let mut writer = self.writer.lock();
        writer.as_mut().map_or(Ok(0), HeadChunkWriter::end_file)
    }

    /// Removes the files before number `first`. Chunks of them that are being read stay readable.
    ///
    /// # Errors
    /// [`Error::Io`]; calling again goes on.
    pub(super) fn remove_before(&self, first: u32) -> Result<()> {
        for file in head_chunks::files(&self.dir)? {
            if file.index < first {
                std::fs::remove_file(&file.path).map_err(|e| Error::io("remove", &file.path, e))?;
            }
        }
        self.maps.write().retain(|index, _| *index >= first);
        Ok(())
    }
}
