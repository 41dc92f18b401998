//! The labels of series entries. Entries come in order of labels, so that neighbours have most of
//! them in common, before and after those in which they differ; these are not looked up again.

use model::Labels;

use super::{Reader, SeriesEntry};
use crate::error::Result;

/// The labels of the entry before.
#[derive(Debug, Default)]
pub struct LastLabels {
    last: Written,
    /// Memory for those of the next one.
    next: Written,
}

/// Labels that were looked up.
#[derive(Debug, Default)]
struct Written {
    /// Symbols of name and value of each label.
    symbols: Vec<(u32, u32)>,
    /// The labels, as [`Labels::encode_sorted`] writes them.
    encoded: String,
    /// Where each label ends in `encoded`.
    ends: Vec<usize>,
}

impl Written {
    fn clear(&mut self) {
        self.symbols.clear();
        self.encoded.clear();
        self.ends.clear();
    }

    /// The label at `place`, encoded, if its symbols are these.
    fn at(&self, place: usize, symbols: (u32, u32)) -> Option<&str> {
        if self.symbols.get(place) != Some(&symbols) {
            return None;
        }
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.encoded[start..self.ends[place]])
    }

    /// Ends a label whose encoding was appended.
    fn end(&mut self, symbols: (u32, u32)) {
        self.symbols.push(symbols);
        self.ends.push(self.encoded.len());
    }
}

impl Reader {
    /// The labels of an entry.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when a symbol is not there.
    pub fn labels(&self, entry: &SeriesEntry) -> Result<Labels> {
        self.labels_after(entry, &mut LastLabels::default())
    }

    /// The labels of an entry, faster after one that has labels in common with it, whose labels are
    /// `last`.
    ///
    /// # Errors
    /// As [`Reader::labels`].
    pub fn labels_after(&self, entry: &SeriesEntry, last: &mut LastLabels) -> Result<Labels> {
        // Symbols are numbered in their order.
        if !entry.labels.is_sorted_by(|a, b| a.0 < b.0) {
            return self.unsound_labels(entry);
        }
        let LastLabels { last, next } = last;
        next.clear();
        let mut unknown = String::new();
        for (place, &symbols) in entry.labels.iter().enumerate() {
            if let Some(known) = last.at(place, symbols) {
                next.encoded.push_str(known);
                next.end(symbols);
                continue;
            }
            let name = match self.name(symbols.0) {
                Some(name) => name,
                None => {
                    unknown.clear();
                    self.with_symbol(symbols.0, |s| unknown.push_str(s))?;
                    &unknown
                }
            };
            let is_empty = self.with_symbol(symbols.1, |value| {
                if !value.is_empty() {
                    Labels::encode_sorted([(name, value)], &mut next.encoded);
                }
                value.is_empty()
            })?;
            if is_empty {
                return self.unsound_labels(entry);
            }
            next.end(symbols);
        }
        std::mem::swap(last, next);
        Ok(Labels::from_encoded(&last.encoded))
    }

    /// The labels of an entry in which they are out of order or have no value: foreign writers have
    /// got this wrong. `verify` reports it, queries still work.
    #[cold]
    fn unsound_labels(&self, entry: &SeriesEntry) -> Result<Labels> {
        let text = |symbol| self.with_symbol(symbol, str::to_owned);
        let pairs: Result<Vec<_>> = entry
            .labels
            .iter()
            .map(|&(name, value)| Ok((text(name)?, text(value)?)))
            .collect();
        Ok(Labels::from_pairs(pairs?))
    }
}
