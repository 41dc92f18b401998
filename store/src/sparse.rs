//! Ranges of an object as a source of bytes: what was fetched can be read, and what else is asked
//! for is remembered, to be fetched before the next try.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tsdb::source::ByteSource;
use tsdb::{Corruption, Error};

use crate::header::Header;

/// Ranges of an object that are in memory, in order; none overlap.
#[derive(Debug, Clone, Default)]
pub struct Extents {
    extents: Vec<(u64, Bytes)>,
}

impl Extents {
    /// The bytes of `range`, copied only where they lie in more than one piece.
    pub fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let first = self
            .extents
            .partition_point(|(start, _)| *start <= range.start)
            .checked_sub(1)?;
        let (start, bytes) = &self.extents[first];
        // Offsets inside of a piece fit, since it lies in memory.
        let from = (range.start - start) as usize;
        let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        if let Some(end) = from.checked_add(len)
            && end <= bytes.len()
        {
            return Some(bytes.slice(from..end));
        }
        self.gather(first, range, len)
    }

    /// Joins the pieces from `first` on that make up `range`.
    fn gather(&self, first: usize, range: &Range<u64>, len: usize) -> Option<Bytes> {
        let held: usize = self.extents[first..].iter().map(|(_, b)| b.len()).sum();
        if len > held {
            return None;
        }
        let mut joined = BytesMut::with_capacity(len);
        let mut at = range.start;
        for (start, bytes) in &self.extents[first..] {
            let from = at.checked_sub(*start)? as usize;
            let rest = bytes.get(from..)?;
            let take = rest.len().min(len - joined.len());
            joined.extend_from_slice(&rest[..take]);
            at += take as u64;
            if joined.len() == len {
                return Some(joined.freeze());
            }
        }
        None
    }

    /// Adds pieces that overlap none of these.
    pub fn add(&mut self, pieces: impl IntoIterator<Item = (u64, Bytes)>) {
        self.extents.extend(pieces);
        self.extents.sort_unstable_by_key(|e| e.0);
    }

    /// True when all of `range`, which is not empty, lies in one piece.
    pub fn holds(&self, range: &Range<u64>) -> bool {
        let after = self
            .extents
            .partition_point(|(start, _)| *start <= range.start);
        after.checked_sub(1).is_some_and(|i| {
            let (start, bytes) = &self.extents[i];
            range.end <= start + bytes.len() as u64
        })
    }
}

/// An object of which some ranges are in memory.
#[derive(Debug)]
pub struct Sparse {
    path: PathBuf,
    size: u64,
    header: Option<Arc<Header>>,
    extents: Extents,
    missing: Mutex<Vec<Range<u64>>>,
}

impl Sparse {
    /// An object of `size` bytes under the name `path`. Of an index, `header` holds some sections.
    pub fn new(path: &str, size: u64, header: Option<Arc<Header>>, extents: Extents) -> Self {
        Self {
            path: path.into(),
            size,
            header,
            extents,
            missing: Mutex::default(),
        }
    }

    /// The ranges that were asked for and are not there, since the last call.
    pub fn take_missing(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.missing.lock())
    }

    /// What is in memory, to add more to.
    pub fn extents(&self) -> &Extents {
        &self.extents
    }
}

impl ByteSource for Sparse {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> tsdb::Result<Bytes> {
        let header = self.header.as_ref();
        if let Some(bytes) = header.and_then(|h| h.get(&range)) {
            return Ok(bytes);
        }
        if let Some(bytes) = self.extents.get(&range) {
            return Ok(bytes);
        }
        if range.start > range.end || range.end > self.size {
            let expected = format!(
                "bytes up to offset {}, where the object ends at {}",
                range.end, self.size
            );
            return Err(Corruption::new(0, expected)
                .shift(range.start)
                .in_file(&self.path));
        }
        let error = Error::Invalid(format!("bytes {range:?} were not fetched"));
        self.missing.lock().push(range);
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_come_from_pieces_and_gaps_are_remembered() {
        let mut extents = Extents::default();
        extents.add([
            (20, Bytes::from_static(b"klmno")),
            (0, Bytes::from_static(b"01234")),
            (5, Bytes::from_static(b"56789")),
        ]);
        let sparse = Sparse::new("o", 30, None, extents);
        assert_eq!(sparse.read(1..4).unwrap(), "123");
        assert_eq!(sparse.read(3..8).unwrap(), "34567");
        assert_eq!(sparse.read(21..25).unwrap(), "lmno");
        assert_eq!(sparse.take_missing(), []);
        assert!(sparse.extents().holds(&(5..10)) && !sparse.extents().holds(&(3..8)));
        for gap in [8..12, 10..20, 24..26, 29..30] {
            assert!(sparse.read(gap.clone()).is_err());
            assert_eq!(sparse.take_missing(), [gap]);
        }
        assert!(sparse.read(29..31).is_err());
        assert_eq!(
            sparse.take_missing(),
            [],
            "what lies beyond the end cannot be fetched"
        );
    }
}
