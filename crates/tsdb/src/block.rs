//! Blocks: immutable directories of an index, chunk segments, `meta.json` and tombstones.
//!
//! [`Block`] reads one, mapped from disk or from any
//! [`ByteSource`](crate::source::ByteSource); [`BlockWriter`] writes one with
//! bounded memory; [`Block::verify`] checks everything that reading alone does not.

pub mod analyze;
mod files;
mod json;
pub mod meta;
mod segment_writer;
pub mod segments;
mod select;
pub mod tombstones;
mod verify;
mod writer;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::chunk::Chunk;
use crate::error::{Corruption, Error, Result};
use crate::index::{Reader, Values};
use crate::source::Memory;

pub(crate) use files::sync_dir;
pub use meta::{META_FILE, Meta};
pub use segment_writer::SEGMENT_SIZE;
pub use segments::{CHUNKS_DIR, ChunkReader, ChunkView, SegmentWalk};
pub use select::{BlockSeries, Select};
pub use tombstones::{Interval, Intervals, TOMBSTONES_FILE, Tombstones};
pub use verify::Problem;
pub use writer::{BlockWriter, TMP_SUFFIX};

/// Name of the index in a block.
pub const INDEX_FILE: &str = "index";

/// Largest file of tombstones that is read; some hundred million stones.
const TOMBSTONES_SIZE_MAX: u64 = 1 << 30;

/// An open block.
#[derive(Debug)]
pub struct Block {
    meta: Meta,
    index: Reader,
    chunks: ChunkReader,
    tombstones: Tombstones,
}

impl Block {
    /// Opens the block in a directory, whose files are mapped. Checks what Prometheus checks:
    /// `meta.json`, headers, the index' symbols and offset table, the tombstones.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Unsupported`], [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(META_FILE);
        let meta = Meta::parse(&read_file(&path, meta::META_SIZE_MAX)?, &path)?;
        let chunks = ChunkReader::open(&dir.join(CHUNKS_DIR))?;
        let index = Reader::open(Arc::new(Memory::map(&dir.join(INDEX_FILE))?))?;
        Ok(Self::new(meta, index, chunks, read_tombstones(dir)?))
    }

    /// Puts a block together from parts that were opened elsewhere, such as ranges of objects.
    pub fn new(meta: Meta, index: Reader, chunks: ChunkReader, tombstones: Tombstones) -> Self {
        Self {
            meta,
            index,
            chunks,
            tombstones,
        }
    }

    /// What is known of the block.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The block's index.
    pub fn index(&self) -> &Reader {
        &self.index
    }

    /// The block's chunks.
    pub fn chunks(&self) -> &ChunkReader {
        &self.chunks
    }

    /// What is deleted.
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// Bytes of the index and the chunk segments.
    pub fn size_bytes(&self) -> u64 {
        let segments = self.chunks.segments().iter().map(|s| s.size());
        self.index.source().size() + segments.sum::<u64>()
    }

    /// Reads a chunk; from a mapped block without copying its payload.
    ///
    /// # Errors
    /// As [`ChunkReader::chunk`].
    pub fn chunk(&self, reference: u64) -> Result<Chunk> {
        self.chunks.chunk(reference)
    }

    /// The label names, in ascending order.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.index.label_names()
    }

    /// The values of the label `name`, in ascending order.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn label_values(&self, name: &str) -> Result<Values<'_>> {
        self.index.label_values(name, "")
    }
}

/// Reads a small file whole, unless it is larger than `max`.
fn read_file(path: &Path, max: u64) -> Result<Vec<u8>> {
    let size = fs::metadata(path)
        .map_err(|e| Error::io("open", path, e))?
        .len();
    if size > max {
        let expected = format!("at most {max} bytes, not {size}");
        return Err(Corruption::new(0, expected).in_file(path));
    }
    fs::read(path).map_err(|e| Error::io("read", path, e))
}

/// The tombstones of the block in `dir`; none when there is no such file.
fn read_tombstones(dir: &Path) -> Result<Tombstones> {
    let path = dir.join(TOMBSTONES_FILE);
    match read_file(&path, TOMBSTONES_SIZE_MAX) {
        Ok(bytes) => Tombstones::decode(&bytes).map_err(|d| d.in_file(&path)),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Tombstones::default())
        }
        Err(e) => Err(e),
    }
}
