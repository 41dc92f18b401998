//! Where the bytes of a file come from: a mapping, a buffer, or reads at offsets.
//!
//! Readers of blocks ask a [`ByteSource`] for ranges and never for a whole file, so that the same
//! code serves a local block and one in object storage. Sources in memory lend their bytes without
//! a copy and without touching a reference count ([`view`]).

mod map;

use std::fmt;
use std::fs::File;
use std::ops::{Deref, Range};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::{Corruption, Error, Result};

/// A file (or object) of fixed size that can be read at any range.
pub trait ByteSource: fmt::Debug + Send + Sync {
    /// The file's name, for errors.
    fn path(&self) -> &Path;

    /// The file's size in bytes.
    fn size(&self) -> u64;

    /// The bytes of `range`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the range ends after the file, [`Error::Io`] when the read fails.
    fn read(&self, range: Range<u64>) -> Result<Bytes>;

    /// The whole file, where it lies in memory anyway.
    fn in_memory(&self) -> Option<&Bytes> {
        None
    }
}

/// Bytes of a source: borrowed from a source in memory, owned otherwise.
#[derive(Debug)]
pub enum View<'a> {
    /// A part of a source in memory.
    Borrowed(&'a [u8]),
    /// What was read for this view.
    Owned(Bytes),
}

impl Deref for View<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// The bytes of `range`, borrowed where the source lies in memory.
///
/// # Errors
/// As [`ByteSource::read`].
#[inline]
pub fn view(source: &dyn ByteSource, range: Range<u64>) -> Result<View<'_>> {
    match source.in_memory() {
        Some(bytes) => match indices(&range).and_then(|range| bytes.get(range)) {
            Some(found) => Ok(View::Borrowed(found)),
            None => Err(beyond_end(source, &range)),
        },
        None => source.read(range).map(View::Owned),
    }
}

/// Damage that was met in bytes which start at `base`, as an error that names the file.
#[cold]
pub fn corrupt(source: &dyn ByteSource, base: u64, damage: Corruption) -> Error {
    damage.shift(base).in_file(source.path())
}

/// `range` as indices, when it lies inside of the source.
#[inline]
fn slice_range(source: &dyn ByteSource, range: &Range<u64>) -> Result<Range<usize>> {
    match indices(range) {
        Some(found) if range.start <= range.end && range.end <= source.size() => Ok(found),
        _ => Err(beyond_end(source, range)),
    }
}

/// `range` as indices, when it lies inside of the address space.
#[inline]
fn indices(range: &Range<u64>) -> Option<Range<usize>> {
    let index = |at: u64| usize::try_from(at).ok();
    Some(index(range.start)?..index(range.end)?)
}

#[cold]
fn beyond_end(source: &dyn ByteSource, range: &Range<u64>) -> Error {
    Error::Corrupt {
        file: source.path().to_owned(),
        offset: range.start,
        expected: format!(
            "bytes up to offset {}, where the file ends at {}",
            range.end,
            source.size()
        )
        .into(),
    }
}

/// A source in memory: a mapped file, or bytes that were fetched.
#[derive(Debug, Clone)]
pub struct Memory {
    path: PathBuf,
    bytes: Bytes,
}

impl Memory {
    /// Bytes under the name `path`.
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Bytes>) -> Self {
        Self {
            path: path.into(),
            bytes: bytes.into(),
        }
    }

    /// Maps a file. The file must not be truncated while the mapping or bytes of it live; blocks
    /// are immutable and deleted by unlinking, which keeps mappings valid.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn map(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let bytes = map::map(&file).map_err(|e| Error::io("map", path, e))?;
        Ok(Self::new(path, bytes))
    }
}

impl ByteSource for Memory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        slice_range(self, &range).map(|r| self.bytes.slice(r))
    }

    fn in_memory(&self) -> Option<&Bytes> {
        Some(&self.bytes)
    }
}

/// A file that is read with one system call per range. Cold random reads are faster than by
/// mapping (one request instead of a page fault per 4 KiB), warm ones are slower.
#[derive(Debug)]
pub struct PositionedFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl PositionedFile {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let size = file
            .metadata()
            .map_err(|e| Error::io("read the size of", path, e))?
            .len();
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
        })
    }
}

impl ByteSource for PositionedFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let indices = slice_range(self, &range)?;
        let mut buf = vec![0; indices.len()];
        self.file
            .read_exact_at(&mut buf, range.start)
            .map_err(|e| Error::io("read", &self.path, e))?;
        Ok(buf.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sources_read_alike_and_refuse_ranges_beyond_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"0123456789").unwrap();
        let sources: [Box<dyn ByteSource>; 3] = [
            Box::new(Memory::map(&path).unwrap()),
            Box::new(PositionedFile::open(&path).unwrap()),
            Box::new(Memory::new(&path, &b"0123456789"[..])),
        ];
        for source in sources {
            assert_eq!(source.size(), 10);
            assert_eq!(source.read(2..5).unwrap(), "234");
            assert_eq!(&*view(&*source, 8..10).unwrap(), b"89");
            assert!(source.read(10..10).unwrap().is_empty());
            for bad in [Range { start: 5, end: 4 }, 9..11, 0..u64::MAX] {
                let err = source.read(bad.clone()).unwrap_err().to_string();
                assert!(err.contains("ends at 10"), "{err}");
                assert!(view(&*source, bad).is_err());
            }
        }
    }

    #[test]
    fn an_empty_file_can_be_mapped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(Memory::map(&path).unwrap().size(), 0);
    }
}
