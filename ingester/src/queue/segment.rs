//! Segment files: a header, then records until the end or until zeros.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tsdb::cursor::crc32c;

/// Bytes before the first record.
pub const HEADER_BYTES: u64 = 8;
/// Bytes before a record's payload.
pub const RECORD_HEADER_BYTES: usize = 20;
/// Bytes that a payload may have.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;

const MAGIC: [u8; 4] = *b"PMTQ";
const VERSION: u8 = 1;
const EXTENSION: &str = "queue";

/// What stands before a record's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of the payload, at least one.
    pub len: u32,
    /// Checksum of what follows it.
    pub crc: u32,
    /// When the record was appended, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Samples that the payload holds.
    pub samples: u32,
}

impl RecordHeader {
    /// That of a payload, which must neither be empty nor larger than [`PAYLOAD_BYTES_MAX`].
    pub fn new(time_ms: i64, samples: u32, payload: &[u8]) -> Option<Self> {
        if payload.is_empty() || payload.len() > PAYLOAD_BYTES_MAX {
            return None;
        }
        let mut header = Self {
            len: u32::try_from(payload.len()).ok()?,
            crc: 0,
            time_ms,
            samples,
        };
        header.crc = header.checksum(payload);
        Some(header)
    }

    /// Appends its bytes.
    pub fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.time_ms.to_le_bytes());
        out.extend_from_slice(&self.samples.to_le_bytes());
    }

    fn parse(bytes: &[u8; RECORD_HEADER_BYTES]) -> Self {
        let [l0, l1, l2, l3, c0, c1, c2, c3, time @ .., s0, s1, s2, s3] = *bytes;
        Self {
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
            time_ms: i64::from_le_bytes(time),
            samples: u32::from_le_bytes([s0, s1, s2, s3]),
        }
    }

    fn checksum(&self, payload: &[u8]) -> u32 {
        // The payload's own sum stands for it, so that it need not be copied.
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4..8].copy_from_slice(&crc32c(payload).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.time_ms.to_le_bytes());
        bytes[16..].copy_from_slice(&self.samples.to_le_bytes());
        crc32c(&bytes)
    }
}

/// The bytes that a segment begins with.
pub fn header() -> [u8; HEADER_BYTES as usize] {
    let [a, b, c, d] = MAGIC;
    [a, b, c, d, VERSION, 0, 0, 0]
}

/// The file of the segment `number`.
pub fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.{EXTENSION}"))
}

/// Numbers of the segments in `dir`, sorted.
///
/// # Errors
/// When it cannot be listed.
pub fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_str().unwrap_or_default();
        let stem = name
            .strip_suffix(EXTENSION)
            .and_then(|n| n.strip_suffix('.'));
        numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scan {
    /// By place behind a record, its time and samples.
    pub records: Vec<(u64, i64, u32)>,
    /// Where the sound records end.
    pub end: u64,
    /// Something other than an unfinished record follows.
    pub is_damaged: bool,
}

/// Something that bytes are read from by place.
pub trait Bytes {
    /// Fills as much of `out` as there is at `at`; returns how much that is.
    ///
    /// # Errors
    /// What the system says.
    fn read_at_most(&self, at: u64, out: &mut [u8]) -> io::Result<usize>;

    /// How many there are.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;
}

impl Bytes for File {
    fn read_at_most(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match self.read_at(&mut out[done..], at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl Bytes for [u8] {
    fn read_at_most(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(at).map_or(self.len(), |at| at.min(self.len()));
        let rest = &self[from..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// Reads the segment at `path` through.
///
/// # Errors
/// When it cannot be read.
pub fn scan(path: &Path) -> io::Result<Scan> {
    scan_bytes(&File::open(path)?)
}

/// Reads a segment through.
///
/// # Errors
/// When it cannot be read.
pub fn scan_bytes<B: Bytes + ?Sized>(bytes: &B) -> io::Result<Scan> {
    let len = bytes.size()?;
    let mut scan = Scan {
        end: HEADER_BYTES,
        ..Scan::default()
    };
    let mut begin = [0; HEADER_BYTES as usize];
    let read = bytes.read_at_most(0, &mut begin)?;
    if read < begin.len() || begin != header() {
        // Zeros are a segment that was made and not begun.
        scan.is_damaged = begin.iter().any(|b| *b != 0) && read == begin.len();
        return Ok(scan);
    }
    while let Some((record, payload)) = read_record(bytes, scan.end, len)? {
        scan.end += RECORD_HEADER_BYTES as u64 + payload.len() as u64;
        scan.records
            .push((scan.end, record.time_ms, record.samples));
    }
    scan.is_damaged = !is_unfinished(bytes, scan.end, len)?;
    Ok(scan)
}

/// The record at `at` of a segment whose records end at `end`; nothing when none is there whole and
/// sound.
///
/// # Errors
/// When it cannot be read.
pub fn read_record<B: Bytes + ?Sized>(
    bytes: &B,
    at: u64,
    end: u64,
) -> io::Result<Option<(RecordHeader, Vec<u8>)>> {
    let mut header = [0; RECORD_HEADER_BYTES];
    let left = end.saturating_sub(at);
    if left < RECORD_HEADER_BYTES as u64
        || bytes.read_at_most(at, &mut header)? < RECORD_HEADER_BYTES
    {
        return Ok(None);
    }
    let header = RecordHeader::parse(&header);
    let len = header.len as usize;
    // Compared with what is there before anything is allocated.
    if len == 0
        || len > PAYLOAD_BYTES_MAX
        || u64::from(header.len) > left - RECORD_HEADER_BYTES as u64
    {
        return Ok(None);
    }
    let mut payload = vec![0; len];
    let read = bytes.read_at_most(at + RECORD_HEADER_BYTES as u64, &mut payload)?;
    let is_sound = read == len && header.checksum(&payload) == header.crc;
    Ok(is_sound.then_some((header, payload)))
}

/// True when what begins at `at` is what a crash leaves: nothing, zeros, or a record whose bytes are
/// not all there and behind which there is nothing.
fn is_unfinished<B: Bytes + ?Sized>(bytes: &B, at: u64, len: u64) -> io::Result<bool> {
    let mut header = [0; RECORD_HEADER_BYTES];
    let read = bytes.read_at_most(at, &mut header)?;
    if header.iter().all(|b| *b == 0) || read < RECORD_HEADER_BYTES {
        return Ok(true);
    }
    let header = RecordHeader::parse(&header);
    let behind = at + RECORD_HEADER_BYTES as u64 + u64::from(header.len);
    if behind >= len {
        return Ok(header.len as usize <= PAYLOAD_BYTES_MAX);
    }
    // In a file whose place was kept, zeros follow what was not finished.
    let mut next = [0; RECORD_HEADER_BYTES];
    bytes.read_at_most(behind, &mut next)?;
    Ok(next.iter().all(|b| *b == 0))
}
