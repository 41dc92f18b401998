//! Writing chunk segments.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::files::sync_dir;
use super::segments::{HEADER_LEN, MAGIC, VERSION};
use crate::chunk::Chunk;
use crate::cursor::{VARINT_MAX_LEN, crc32c, put_uvarint};
use crate::error::{Error, Result};

/// Size at which Prometheus and Thanos start the next segment.
pub const SEGMENT_SIZE: u64 = 512 << 20;

/// What a chunk takes beside its payload at most, as Prometheus reckons: five bytes of length, the
/// encoding, the checksum.
const OVERHEAD_MAX: u64 = 5 + 1 + 4;

/// Appends chunks to the segments of a directory.
#[derive(Debug)]
pub(super) struct ChunkWriter {
    dir: PathBuf,
    segment_size: u64,
    /// Segments finished so far.
    finished: u32,
    open: Option<Segment>,
    buf: Vec<u8>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    out: BufWriter<File>,
    /// Where the next chunk goes.
    at: u64,
    /// What the segment will hold at most after the chunks of the current series.
    reserved: u64,
}

impl ChunkWriter {
    /// Makes the directory, which must not exist.
    pub(super) fn create(dir: &Path, segment_size: u64) -> Result<Self> {
        fs::create_dir(dir).map_err(|e| Error::io("create", dir, e))?;
        Ok(Self {
            dir: dir.to_owned(),
            segment_size: segment_size.min(u64::from(u32::MAX)),
            finished: 0,
            open: None,
            buf: Vec::new(),
        })
    }

    /// Begins the chunks of a series. Where Prometheus starts a new segment depends on this.
    pub(super) fn begin_series(&mut self) {
        if let Some(segment) = &mut self.open {
            segment.reserved = segment.at;
        }
    }

    /// Appends a chunk; returns its reference.
    pub(super) fn add(&mut self, chunk: &Chunk) -> Result<u64> {
        let most = chunk.data.len() as u64 + OVERHEAD_MAX;
        if most + HEADER_LEN > u64::from(u32::MAX) {
            return Err(Error::Invalid(format!(
                "a chunk of {} bytes does not fit into a segment",
                chunk.data.len()
            )));
        }
        let size = self.segment_size;
        let full = |s: &Segment| s.at > HEADER_LEN && s.reserved + most > size;
        if self.open.as_ref().is_some_and(full) {
            self.finish_segment()?;
        }
        let segment = match &mut self.open {
            Some(segment) => segment,
            none => none.insert(Segment::create(&self.dir, self.finished)?),
        };
        segment.reserved += most;
        let reference = (u64::from(self.finished) << 32) | segment.at;

        self.buf.clear();
        self.buf.reserve(VARINT_MAX_LEN + 5 + chunk.data.len());
        put_uvarint(&mut self.buf, chunk.data.len() as u64);
        let body = self.buf.len();
        self.buf.push(chunk.encoding.as_byte());
        self.buf.extend_from_slice(&chunk.data);
        let crc = crc32c(&self.buf[body..]);
        self.buf.extend_from_slice(&crc.to_be_bytes());
        segment.write(&self.buf)?;
        Ok(reference)
    }

    fn finish_segment(&mut self) -> Result<()> {
        if let Some(mut segment) = self.open.take() {
            segment
                .out
                .flush()
                .and_then(|()| segment.out.get_ref().sync_all())
                .map_err(|e| Error::io("write", &segment.path, e))?;
            self.finished += 1;
        }
        Ok(())
    }

    /// Makes everything durable.
    pub(super) fn finish(mut self) -> Result<()> {
        self.finish_segment()?;
        sync_dir(&self.dir)
    }
}

impl Segment {
    fn create(dir: &Path, finished: u32) -> Result<Self> {
        let path = dir.join(format!("{:06}", finished + 1));
        let file = File::create_new(&path).map_err(|e| Error::io("create", &path, e))?;
        let mut segment = Self {
            path,
            out: BufWriter::with_capacity(1 << 20, file),
            at: 0,
            reserved: HEADER_LEN,
        };
        let mut header = [0; HEADER_LEN as usize];
        header[..4].copy_from_slice(&MAGIC.to_be_bytes());
        header[4] = VERSION;
        segment.write(&header)?;
        Ok(segment)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out
            .write_all(bytes)
            .map_err(|e| Error::io("write", &self.path, e))?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
