//! Samples of one block on disk while the input is still read.
//!
//! A spill file is a sequence of records, each the chunks of one series from one run:
//!
//! ```text
//! series u32 | chunks u32 | { min i64 | max i64 | len u32 | float chunk }* | crc32c u32
//! ```
//!
//! All integers are big-endian. The file lives for one run of the program, or until a killed run
//! is resumed; it is no format that anybody else reads.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashMap;
use tsdb::chunk::series::TimedChunk;
use tsdb::cursor::{Cursor, crc32c};
use tsdb::{Chunk, Corruption, Encoding, Error, Result};

use super::dictionary::SeriesId;

/// Bytes of a chunk without its data.
const CHUNK_HEADER_LEN: usize = 8 + 8 + 4;

/// Appends records to a file.
#[derive(Debug)]
pub(super) struct SpillWriter {
    path: PathBuf,
    out: BufWriter<File>,
    record: Vec<u8>,
}

impl SpillWriter {
    /// Opens the file for appending.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| Error::io("open", path, e))?;
        Ok(Self {
            path: path.to_owned(),
            out: BufWriter::with_capacity(1 << 18, file),
            record: Vec::new(),
        })
    }

    pub(super) fn append(&mut self, series: SeriesId, chunks: &[TimedChunk]) -> Result<()> {
        let record = &mut self.record;
        record.clear();
        record.extend_from_slice(&series.to_be_bytes());
        record.extend_from_slice(&(chunks.len() as u32).to_be_bytes());
        for timed in chunks {
            record.extend_from_slice(&timed.min_time.to_be_bytes());
            record.extend_from_slice(&timed.max_time.to_be_bytes());
            record.extend_from_slice(&(timed.chunk.data.len() as u32).to_be_bytes());
            record.extend_from_slice(&timed.chunk.data);
        }
        let crc = crc32c(record);
        record.extend_from_slice(&crc.to_be_bytes());
        self.out
            .write_all(record)
            .map_err(|e| Error::io("write", &self.path, e))
    }

    /// Hands the records to the system; to the disk too when `sync` says so.
    pub(super) fn close(self, sync: bool) -> Result<()> {
        let Self { path, out, .. } = self;
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| if sync { file.sync_all() } else { Ok(()) })
            .map_err(|e| Error::io("write", &path, e))
    }
}

/// A spill file, read back: series in any order, each with the chunks of all its runs.
#[derive(Debug)]
pub(super) struct SpillReader {
    path: PathBuf,
    file: File,
    records: HashMap<SeriesId, Vec<RecordAt>, RandomState>,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy)]
struct RecordAt {
    offset: u64,
    len: usize,
}

impl SpillReader {
    /// Opens a file and learns where the records of each series are.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let mut reader = Self {
            path: path.to_owned(),
            file,
            records: HashMap::default(),
        };
        reader.scan().map_err(|e| Error::io("read", path, e))?;
        Ok(reader)
    }

    /// Walks the headers of all records.
    fn scan(&mut self) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        let mut input = BufReader::with_capacity(1 << 18, &self.file);
        let mut offset = 0;
        while offset < size {
            let series = read_be32(&mut input)?;
            let chunks = read_be32(&mut input)?;
            let mut len = 8;
            for _ in 0..chunks {
                input.seek_relative(16)?;
                let chunk = read_be32(&mut input)?;
                input.seek_relative(i64::from(chunk))?;
                len += CHUNK_HEADER_LEN + chunk as usize;
            }
            input.seek_relative(4)?;
            len += 4;
            self.records
                .entry(series)
                .or_default()
                .push(RecordAt { offset, len });
            offset += len as u64;
        }
        if offset > size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The series that have records, in no order.
    pub(super) fn series(&self) -> impl Iterator<Item = SeriesId> {
        self.records.keys().copied()
    }

    /// Every chunk of a series in order of writing.
    pub(super) fn chunks(&self, series: SeriesId) -> Result<Vec<TimedChunk>> {
        let mut chunks = Vec::new();
        for at in self.records.get(&series).into_iter().flatten() {
            let mut bytes = vec![0; at.len];
            self.file
                .read_exact_at(&mut bytes, at.offset)
                .map_err(|e| Error::io("read", &self.path, e))?;
            parse_record(&Bytes::from(bytes), &mut chunks)
                .map_err(|c| c.shift(at.offset).in_file(&self.path))?;
        }
        Ok(chunks)
    }
}

fn read_be32(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn parse_record(bytes: &Bytes, chunks: &mut Vec<TimedChunk>) -> Result<(), Corruption> {
    let mut cursor = Cursor::new(bytes);
    let body = cursor.take(bytes.len().saturating_sub(4), "a record")?;
    if cursor.be32("a checksum")? != crc32c(body) {
        return Err(Corruption::new(0, "a record that matches its checksum"));
    }
    let mut cursor = Cursor::new(body);
    cursor.be32("a series number")?;
    let count = cursor.be32("a number of chunks")?;
    for _ in 0..count {
        let min_time = cursor.be64("a time")?.cast_signed();
        let max_time = cursor.be64("a time")?.cast_signed();
        let len = cursor.be32("length of a chunk")? as usize;
        let start = cursor.pos();
        cursor.take(len, "a chunk")?;
        chunks.push(TimedChunk {
            min_time,
            max_time,
            chunk: Chunk {
                encoding: Encoding::Xor,
                data: bytes.slice(start..start + len),
            },
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(min: i64, data: &'static [u8]) -> TimedChunk {
        TimedChunk {
            min_time: min,
            max_time: min + 5,
            chunk: Chunk {
                encoding: Encoding::Xor,
                data: Bytes::from_static(data),
            },
        }
    }

    #[test]
    fn records_survive_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spill");
        let written = [
            (7, vec![timed(-3, b"abc"), timed(9, b"")]),
            (2, vec![]),
            (7, vec![timed(20, b"defgh")]),
        ];
        for (series, chunks) in &written {
            let mut out = SpillWriter::open(&path).unwrap();
            out.append(*series, chunks).unwrap();
            out.close(false).unwrap();
        }
        let reader = SpillReader::open(&path).unwrap();
        let seven = [timed(-3, b"abc"), timed(9, b""), timed(20, b"defgh")];
        assert_eq!(reader.chunks(7).unwrap(), seven);
        assert_eq!(reader.chunks(2).unwrap(), []);
        let mut series: Vec<_> = reader.series().collect();
        series.sort_unstable();
        assert_eq!(series, [2, 7]);

        let good = std::fs::read(&path).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 0x40;
            std::fs::write(&path, bad).unwrap();
            let read = SpillReader::open(&path).and_then(|reader| {
                let all: Vec<_> = reader.series().collect();
                all.into_iter()
                    .try_for_each(|id| reader.chunks(id).map(drop))
            });
            assert!(read.is_err(), "byte {i}");
        }
    }
}
