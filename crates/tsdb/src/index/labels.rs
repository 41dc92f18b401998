//! The labels of series entries. Entries come in order of labels, so that neighbours have most of
//! them in common, which are not looked up again.

use model::Labels;

use super::{Reader, SeriesEntry};
use crate::error::Result;

/// The labels of the entry before.
#[derive(Debug, Default)]
pub struct LastLabels {
    /// Symbols of name and value of each label.
    symbols: Vec<(u32, u32)>,
    /// The labels, as [`Labels::encode_sorted`] writes them.
    encoded: String,
    /// Where each label ends in `encoded`.
    ends: Vec<usize>,
}

impl LastLabels {
    /// Forgets all labels from the first on that `symbols` does not begin with.
    fn keep_common(&mut self, symbols: &[(u32, u32)]) {
        let pairs = self.symbols.iter().zip(symbols);
        let common = pairs.take_while(|(ours, theirs)| ours == theirs).count();
        self.symbols.truncate(common);
        self.ends.truncate(common);
        self.encoded
            .truncate(self.ends.last().copied().unwrap_or(0));
    }

    fn push(&mut self, symbols: (u32, u32), label: (&str, &str)) {
        Labels::encode_sorted([label], &mut self.encoded);
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
        last.keep_common(&entry.labels);
        let mut unknown = String::new();
        for &symbols in &entry.labels[last.symbols.len()..] {
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
                    last.push(symbols, (name, value));
                }
                value.is_empty()
            })?;
            if is_empty {
                return self.unsound_labels(entry);
            }
        }
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
