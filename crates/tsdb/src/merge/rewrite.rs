//! A block written anew with other labels, or with less in it.

use std::collections::BTreeSet;
use std::path::Path;

use model::Labels;

use super::compact::read_chunks;
use super::overlap::merge_chunks;
use super::series::Member;
use crate::block::{Block, BlockWriter, Intervals, Meta};
use crate::error::Result;
use crate::index::{SeriesEntry, SeriesRef};

/// What becomes of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Its labels from now on. Series that get equal ones become one.
    pub labels: Labels,
    /// What is deleted of it.
    pub deleted: Intervals,
}

/// Writes `block` into the directory `parent` as the block that `meta` names, with each series as `edit`
/// says; nothing leaves the series out. When no sample is left, no block is written.
///
/// In memory: the labels of all series.
///
/// # Errors
/// Damage to the block, [`crate::Error::Io`]. Nothing is left in `parent` then.
pub fn rewrite(
    block: &Block,
    parent: &Path,
    meta: Meta,
    mut edit: impl FnMut(Labels) -> Option<Edit>,
) -> Result<Option<Meta>> {
    let index = block.index();
    let mut kept: Vec<(Edit, SeriesRef)> = Vec::new();
    let mut symbols: BTreeSet<String> = BTreeSet::new();
    let (mut walk, mut entry) = (index.walk(), SeriesEntry::default());
    while let Some(series) = walk.next_into(&mut entry)? {
        let Some(edited) = edit(index.labels(&entry)?) else {
            continue;
        };
        for (name, value) in edited.labels.iter() {
            for symbol in [name, value] {
                if !symbols.contains(symbol) {
                    symbols.insert(symbol.to_owned());
                }
            }
        }
        kept.push((edited, series));
    }
    kept.sort_by(|a, b| a.0.labels.cmp(&b.0.labels));
    let mut writer = BlockWriter::create(parent, meta.ulid)?;
    for symbol in &symbols {
        writer.add_symbol(symbol)?;
    }
    for alike in kept.chunk_by(|a, b| a.0.labels == b.0.labels) {
        let mut chunks = Vec::new();
        for (edit, series) in alike {
            index.series(*series, &mut entry)?;
            let member = Member {
                block: 0,
                series: *series,
                chunks: std::mem::take(&mut entry.chunks),
            };
            let mut deleted = edit.deleted.clone();
            let before = block.tombstones().get(u64::from(series.0));
            for interval in before.into_iter().flat_map(Intervals::as_slice) {
                deleted.add(*interval);
            }
            read_chunks(block, &member, Some(&deleted), &mut chunks)?;
        }
        if alike.len() > 1 {
            chunks = merge_chunks(chunks)?;
        }
        writer.add_series(&alike[0].0.labels, &chunks)?;
    }
    writer.finish(meta)
}
