//! The symbols of all blocks as one ascending sequence, and where each block's symbols went.

use hashbrown::HashMap;

use crate::cursor::put_uvarint_str;
use crate::error::{Error, Result};
use crate::index;

/// For one block: what each reference to one of its symbols becomes.
#[derive(Debug)]
pub(super) struct SymbolMap {
    /// The merged symbol by position; positions ascend as the strings do.
    by_position: Vec<u32>,
    /// For version 1, whose references are offsets: the position of each.
    positions: Option<HashMap<u32, u32>>,
}

impl SymbolMap {
    /// The merged symbol that stands for `reference`; `None` when the block has no such symbol.
    #[inline]
    pub(super) fn get(&self, reference: u32) -> Option<u32> {
        let position = match &self.positions {
            None => reference,
            Some(positions) => *positions.get(&reference)?,
        };
        self.by_position.get(position as usize).copied()
    }
}

/// The symbols of one block, read one after another.
struct Cursor<'a> {
    index: &'a index::Reader,
    /// References in ascending order of strings, for version 1.
    references: Option<Vec<u32>>,
    position: u32,
    /// The symbol at `position`, unless the block has no more.
    at: Option<String>,
    map: Vec<u32>,
}

impl<'a> Cursor<'a> {
    fn new(index: &'a index::Reader) -> Result<Self> {
        let mut cursor = Self {
            index,
            references: match index.format_version() {
                index::Version::V1 => Some(references_v1(index)?),
                index::Version::V2 | index::Version::V3 => None,
            },
            position: 0,
            at: Some(String::new()),
            map: Vec::with_capacity(index.symbol_count() as usize),
        };
        cursor.load()?;
        Ok(cursor)
    }

    /// Reads the symbol at the position.
    fn load(&mut self) -> Result<()> {
        if self.position >= self.index.symbol_count() {
            self.at = None;
            return Ok(());
        }
        let reference = match &self.references {
            None => self.position,
            Some(references) => references[self.position as usize],
        };
        let mut text = self.at.take().unwrap_or_default();
        self.index
            .with_symbol(reference, |symbol| symbol.clone_into(&mut text))?;
        self.at = Some(text);
        Ok(())
    }

    /// Notes what the current symbol became, and moves on.
    fn pass(&mut self, merged: u32) -> Result<()> {
        self.map.push(merged);
        self.position += 1;
        self.load()
    }

    fn finish(self) -> SymbolMap {
        let positions = self.references.map(|references| {
            let position = |(i, reference)| (reference, i as u32);
            references.into_iter().enumerate().map(position).collect()
        });
        SymbolMap {
            by_position: self.map,
            positions,
        }
    }
}

/// The offset of each symbol of an index of version 1, which is how its series refer to them.
fn references_v1(index: &index::Reader) -> Result<Vec<u32>> {
    // The table starts with its length and the number of symbols.
    let mut at = index.toc().symbols + 8;
    let mut references = Vec::new();
    let mut encoded = Vec::new();
    index.for_each_symbol(|symbol| {
        let reference = u32::try_from(at)
            .map_err(|_| Error::Invalid("a symbol table of more than 4 GiB".to_owned()))?;
        references.push(reference);
        encoded.clear();
        put_uvarint_str(&mut encoded, symbol);
        at += encoded.len() as u64;
        Ok(())
    })?;
    Ok(references)
}

/// Merges the symbols of `blocks`, calls `emit` with each in ascending order, and yields a map for
/// each block.
///
/// # Errors
/// Those of `emit`, and damage; [`Error::Invalid`] for more than 2^32 symbols.
pub(super) fn merge_symbols(
    blocks: &[&index::Reader],
    mut emit: impl FnMut(&str) -> Result<()>,
) -> Result<Vec<SymbolMap>> {
    let mut cursors = blocks
        .iter()
        .map(|index| Cursor::new(index))
        .collect::<Result<Vec<_>>>()?;
    let mut least = String::new();
    let mut merged = 0u32;
    while let Some(symbol) = cursors.iter().filter_map(|c| c.at.as_deref()).min() {
        symbol.clone_into(&mut least);
        emit(&least)?;
        for cursor in &mut cursors {
            if cursor.at.as_deref() == Some(&least) {
                cursor.pass(merged)?;
            }
        }
        merged = merged
            .checked_add(1)
            .ok_or_else(|| Error::Invalid("blocks with more than 2^32 symbols".to_owned()))?;
    }
    Ok(cursors.into_iter().map(Cursor::finish).collect())
}
