//! Chunk segments: the files `chunks/000001` and on, in which the chunks of a block lie.
//!
//! A chunk's reference has the segment's place in the sequence, counted from 0, in the upper 32
//! bits and the chunk's offset in the lower. A chunk is its length as a varint, its encoding, its
//! payload, and a checksum of the latter two. The format is described in `docs/format/chunks.md`.

use std::fs;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::chunk::{Chunk, Encoding};
use crate::cursor::{Cursor, crc32c};
use crate::error::{Corruption, Error, Result};
use crate::source::{ByteSource, Memory, View, corrupt, view};

/// Bytes of a chunk's checksum.
const CRC_LEN: u64 = 4;

/// Name of the directory in a block.
pub const CHUNKS_DIR: &str = "chunks";

pub(super) const MAGIC: u32 = 0x85bd_40dd;
pub(super) const VERSION: u8 = 1;
/// Magic number, version, three bytes of nothing.
pub(super) const HEADER_LEN: u64 = 8;

/// What is read for a chunk at first; longer chunks take a second read. A chunk of 120 floats has
/// 50 to 900 bytes.
pub const CHUNK_GUESS: u64 = 1024;

/// A chunk whose payload is borrowed from the segment, where that lies in memory.
#[derive(Debug)]
pub struct ChunkView<'a>(Located<View<'a>>);

impl ChunkView<'_> {
    /// How the payload is encoded; an encoding that can be read.
    pub fn encoding(&self) -> Encoding {
        self.0.encoding
    }

    /// The payload.
    pub fn data(&self) -> &[u8] {
        &self.0.bytes[self.0.payload.clone()]
    }
}

/// The chunks of a block.
#[derive(Debug)]
pub struct ChunkReader {
    segments: Vec<Arc<dyn ByteSource>>,
}

impl ChunkReader {
    /// Maps the segments in a directory.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a segment has no header or one is missing, [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))? {
            let entry = entry.map_err(|e: io::Error| Error::io("list", dir, e))?;
            // Names that are no numbers are none of ours, as for Prometheus.
            if let Some(number) = entry
                .file_name()
                .to_str()
                .and_then(|n| n.parse::<u64>().ok())
            {
                numbers.push((number, entry.path()));
            }
        }
        numbers.sort_unstable();
        let mut segments: Vec<Arc<dyn ByteSource>> = Vec::with_capacity(numbers.len());
        for ((number, path), expected) in numbers.into_iter().zip(1u64..) {
            if number != expected {
                let expected = format!("segment {expected:06} before this one");
                return Err(Corruption::new(0, expected).in_file(&path));
            }
            segments.push(Arc::new(Memory::map(&path)?));
        }
        Self::new(segments)
    }

    /// Reads chunks from segments, given in order.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a segment has no header, [`Error::Unsupported`] when its version is
    /// not 1, [`Error::Io`].
    pub fn new(segments: Vec<Arc<dyn ByteSource>>) -> Result<Self> {
        for segment in &segments {
            check_header(&**segment)?;
        }
        Ok(Self { segments })
    }

    /// Reads chunks from segments, given in order, without looking at their headers: of segments
    /// that hold ranges only, as they were fetched.
    pub fn of_ranges(segments: Vec<Arc<dyn ByteSource>>) -> Self {
        Self { segments }
    }

    /// The segments in order.
    pub fn segments(&self) -> &[Arc<dyn ByteSource>] {
        &self.segments
    }

    /// Reads the chunk at `reference` and verifies its checksum. From a mapped file or other memory
    /// the payload is not copied.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when there is no sound chunk at that place, [`Error::Unsupported`] when
    /// its encoding cannot be read, [`Error::Io`].
    pub fn chunk(&self, reference: u64) -> Result<Chunk> {
        self.locate(reference).map(|(chunk, _)| chunk)
    }

    /// Looks at the chunk at `reference`, as [`ChunkReader::chunk`] does but without taking hold of
    /// the segment: for decoding on the spot.
    ///
    /// # Errors
    /// As [`ChunkReader::chunk`].
    pub fn view(&self, reference: u64) -> Result<ChunkView<'_>> {
        let (segment, at) = self.place(reference)?;
        locate(segment, at, |range| view(segment, range)).map(ChunkView)
    }

    /// The chunk at `reference`, and how many bytes of its segment it takes.
    pub(super) fn locate(&self, reference: u64) -> Result<(Chunk, u64)> {
        let (segment, at) = self.place(reference)?;
        read_chunk(segment, at)
    }

    /// The segment and the offset that `reference` stands for.
    fn place(&self, reference: u64) -> Result<(&dyn ByteSource, u64)> {
        let number = (reference >> 32) as usize;
        if let Some(segment) = self.segments.get(number) {
            return Ok((&**segment, reference & 0xffff_ffff));
        }
        let name = format!("{:06}", number + 1);
        let file = match self.segments.first() {
            Some(segment) => segment.path().with_file_name(name),
            None => Path::new(CHUNKS_DIR).join(name),
        };
        let expected = format!("a segment with the chunk of reference {reference}");
        Err(Corruption::new(0, expected).in_file(&file))
    }

    /// The segment that holds `reference`, for errors.
    pub(super) fn segment_of(&self, reference: u64) -> Option<&dyn ByteSource> {
        self.segments.get((reference >> 32) as usize).map(|s| &**s)
    }
}

fn check_header(segment: &dyn ByteSource) -> Result<()> {
    let header = view(segment, 0..HEADER_LEN.min(segment.size()))?;
    let mut c = Cursor::new(&header);
    let mut read = || {
        let magic = c.be32("the magic number of a chunk segment")?;
        let version = c.byte("a version")?;
        c.take(3, "a header of 8 bytes")?;
        Ok((magic, version))
    };
    match read().map_err(|d| corrupt(segment, 0, d))? {
        (MAGIC, VERSION) => Ok(()),
        (MAGIC, version) => Err(Error::Unsupported {
            what: format!(
                "version {version} at offset 4 of the chunk segment {}",
                segment.path().display()
            ),
            advice: "expected version 1; the file is damaged or of a later version, which reads it",
        }),
        (magic, _) => {
            let expected = format!("the magic number {MAGIC:08x} of chunks, not {magic:08x}");
            Err(corrupt(segment, 0, Corruption::new(0, expected)))
        }
    }
}

/// Reads the chunk at offset `at` of a segment; returns it and the bytes that it takes.
fn read_chunk(segment: &dyn ByteSource, at: u64) -> Result<(Chunk, u64)> {
    let found = locate(segment, at, |range| segment.read(range))?;
    let len = found.payload.end as u64 + CRC_LEN;
    let chunk = Chunk {
        encoding: found.encoding,
        data: Bytes::slice(&found.bytes, found.payload),
    };
    Ok((chunk, len))
}

/// Bytes that start with a chunk, and where its payload is.
#[derive(Debug)]
struct Located<B> {
    bytes: B,
    encoding: Encoding,
    payload: Range<usize>,
}

/// Finds the chunk at offset `at` of a segment and verifies it; `load` reads bytes of the segment.
fn locate<B: Deref<Target = [u8]>>(
    segment: &dyn ByteSource,
    at: u64,
    load: impl Fn(Range<u64>) -> Result<B>,
) -> Result<Located<B>> {
    let damage = |offset: usize, expected: &'static str| {
        Err(corrupt(segment, at, Corruption::new(offset, expected)))
    };
    let left = segment.size().saturating_sub(at);
    if at < HEADER_LEN || left == 0 {
        return damage(0, "an offset inside of the segment");
    }
    let mut bytes = load(at..at + left.min(CHUNK_GUESS))?;
    let mut c = Cursor::new(&bytes);
    let len = c
        .uvarint("a chunk's length")
        .map_err(|d| corrupt(segment, at, d))?;
    let start = c.pos();
    // Behind the length: encoding, payload, checksum.
    let Some(end) = len
        .checked_add(start as u64 + 1 + CRC_LEN)
        .filter(|&e| e <= left)
    else {
        return damage(0, "a chunk that ends inside of the segment");
    };
    if end > bytes.len() as u64 {
        bytes = load(at..at + end)?;
    }
    let end = end as usize;
    let (body, crc) = bytes[start..end]
        .split_last_chunk()
        .expect("the range has the encoding, the payload and four bytes");
    let payload = start + 1..start + body.len();
    if u32::from_be_bytes(*crc) != crc32c(body) {
        return damage(payload.end, "the checksum of the chunk");
    }
    let Some(encoding) = Encoding::from_byte(body[0]) else {
        return damage(start, "a known chunk encoding");
    };
    match encoding.check_readable() {
        Ok(()) => {}
        Err(Error::Unsupported { what, advice }) => {
            let file = segment.path().display();
            return Err(Error::Unsupported {
                what: format!("{what} at offset {at} of {file}"),
                advice,
            });
        }
        Err(_) => return damage(start, "a chunk with an encoding"),
    }
    Ok(Located {
        bytes,
        encoding,
        payload,
    })
}

/// Walks a segment front to back, without an index; ends after the first error.
#[derive(Debug)]
pub struct SegmentWalk<'a> {
    segment: &'a dyn ByteSource,
    at: u64,
}

impl<'a> SegmentWalk<'a> {
    /// Starts at the first chunk.
    ///
    /// # Errors
    /// As [`ChunkReader::new`].
    pub fn new(segment: &'a dyn ByteSource) -> Result<Self> {
        check_header(segment)?;
        Ok(Self {
            segment,
            at: HEADER_LEN,
        })
    }
}

impl Iterator for SegmentWalk<'_> {
    /// Offset in the segment, and the chunk.
    type Item = Result<(u64, Chunk)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.segment.size() {
            return None;
        }
        let at = self.at;
        Some(match read_chunk(self.segment, at) {
            Ok((chunk, len)) => {
                self.at += len;
                Ok((at, chunk))
            }
            Err(e) => {
                self.at = self.segment.size();
                Err(e)
            }
        })
    }
}
