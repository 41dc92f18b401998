//! Walking the series section front to back, as a check of an index does.

use super::{ALL_TIMES, Reader, SERIES_ALIGN, SeriesEntry, SeriesRef, Version};
use crate::error::{Corruption, Error, Result};
use crate::source::{corrupt, view};

/// Walks all series entries in the order of the file.
#[derive(Debug)]
pub struct SeriesWalk<'a> {
    index: &'a Reader,
    /// Where the next entry, or the padding before it, starts.
    at: u64,
}

impl<'a> SeriesWalk<'a> {
    pub(super) fn new(index: &'a Reader) -> Self {
        Self {
            index,
            at: index.toc.series,
        }
    }

    /// Reads the next series into `entry`; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Corrupt`], after which the walk is over: an entry says where the next one starts.
    pub fn next_into(&mut self, entry: &mut SeriesEntry) -> Result<Option<SeriesRef>> {
        let end = self.index.toc.series_end();
        let result = self.step(end, entry);
        if result.is_err() {
            self.at = end;
        }
        result
    }

    fn step(&mut self, end: u64, entry: &mut SeriesEntry) -> Result<Option<SeriesRef>> {
        let aligned = self.index.version != Version::V1;
        let at = match aligned && self.at < end {
            true => self.at.next_multiple_of(SERIES_ALIGN),
            false => self.at,
        };
        if at >= end {
            self.padding(end)?;
            return Ok(None);
        }
        self.padding(at)?;
        let reference = if aligned { at / SERIES_ALIGN } else { at };
        let reference = u32::try_from(reference).map_err(|_| self.too_far(at))?;
        self.at = self.index.series_at(at, &ALL_TIMES, entry)?;
        Ok(Some(SeriesRef(reference)))
    }

    /// Checks that the bytes up to `to` are zeros.
    fn padding(&self, to: u64) -> Result<()> {
        let source = &*self.index.source;
        match view(source, self.at..to)?.iter().position(|&b| b != 0) {
            None => Ok(()),
            Some(i) => Err(corrupt(
                source,
                self.at,
                Corruption::new(i, "zeros between series"),
            )),
        }
    }

    #[cold]
    fn too_far(&self, at: u64) -> Error {
        let expected = "series that a 32-bit reference can reach";
        corrupt(&*self.index.source, at, Corruption::new(0, expected))
    }
}
