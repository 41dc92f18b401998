//! Writing the merge of blocks as one block.

use std::collections::BTreeSet;
use std::path::Path;

use model::{Sample, TimeRange};
use serde_json::Map;
use ulid::Ulid;

use super::overlap::{Overlap, encode, merge_overlapping};
use super::series::{Member, SeriesMerge};
use super::symbols::merge_symbols;
use crate::block::meta::{BlockDesc, Compaction, Meta};
use crate::block::{Block, BlockWriter, Interval, Intervals};
use crate::chunk::{ChunkMeta, TimedChunk};
use crate::error::{Corruption, Error, Result};
use crate::index;

/// Merges `blocks` into the block `ulid` in the directory `parent`; `overlap` says what becomes of chunks
/// of one series that overlap.
///
/// Samples outside of their block's range, and deleted ones, are left behind. The result has no
/// tombstones. When no sample is left, no block is written and the result is `None`; the old ones
/// can be deleted then.
///
/// # Errors
/// Damage to any of the blocks, [`Error::Invalid`] when `blocks` is empty or aggregate chunks
/// overlap, [`Error::Io`]. Nothing is left in `parent` then.
pub fn compact(
    blocks: &[&Block],
    parent: &Path,
    ulid: Ulid,
    overlap: Overlap,
) -> Result<Option<Meta>> {
    let metas: Vec<_> = blocks.iter().map(|b| b.meta()).collect();
    let Some(meta) = compacted_meta(&metas, ulid) else {
        return Err(Error::Invalid("no blocks to compact".to_owned()));
    };
    let indexes: Vec<&index::Reader> = blocks.iter().map(|b| b.index()).collect();
    let mut writer = BlockWriter::create(parent, ulid)?;
    let maps = merge_symbols(&indexes, |symbol| writer.add_symbol(symbol))?;
    let mut series = SeriesMerge::new(&indexes, maps)?;
    let mut chunks = Vec::new();
    while let Some((labels, members)) = series.next_series()? {
        chunks.clear();
        for member in members {
            let block = blocks[member.block];
            let deleted = block.tombstones().get(u64::from(member.series.0));
            read_chunks(block, member, deleted, &mut chunks)?;
        }
        if members.len() > 1 {
            chunks = merge_overlapping(chunks, overlap)?;
        }
        writer.add_series_symbols(labels, &chunks)?;
    }
    writer.finish(meta)
}

/// The `meta.json` of a block that is made of others: it covers all of them, is one level above the
/// highest, and has the sources of all. `None` when there are no others.
pub fn compacted_meta(parents: &[&Meta], ulid: Ulid) -> Option<Meta> {
    let min = parents.iter().map(|m| m.min_time).min()?;
    let max = parents.iter().map(|m| m.max_time).max()?;
    let level = parents.iter().map(|m| m.compaction.level).max()?;
    let sources: BTreeSet<Ulid> = parents
        .iter()
        .flat_map(|m| m.compaction.sources.iter().copied())
        .collect();
    let desc = |m: &&Meta| BlockDesc {
        ulid: m.ulid,
        min_time: m.min_time,
        max_time: m.max_time,
        unknown: Map::new(),
    };
    let mut meta = Meta::new(ulid, TimeRange::new(min, max));
    meta.compaction = Compaction {
        level: level + 1,
        sources: sources.into_iter().collect(),
        parents: parents.iter().map(desc).collect(),
        ..Compaction::default()
    };
    Some(meta)
}

/// Reads the chunks of a series in one block, as they are or without what is deleted and what lies
/// outside of the block's range.
pub(super) fn read_chunks(
    block: &Block,
    member: &Member,
    deleted: Option<&Intervals>,
    chunks: &mut Vec<TimedChunk>,
) -> Result<()> {
    let range = block.meta().range();
    for at in &member.chunks {
        let outside = at.max_time < range.min || at.min_time >= range.max;
        if outside || deleted.is_some_and(|d| d.covers(at.min_time, at.max_time)) {
            continue;
        }
        let timed = TimedChunk {
            min_time: at.min_time,
            max_time: at.max_time,
            chunk: block.chunk(at.reference)?,
        };
        let touched = |i: &Interval| i.min <= at.max_time && at.min_time <= i.max;
        let trim = at.min_time < range.min || at.max_time >= range.max;
        if trim || deleted.is_some_and(|d| d.as_slice().iter().any(touched)) {
            rewrite(block, at, &timed, deleted, chunks)?;
        } else {
            chunks.push(timed);
        }
    }
    Ok(())
}

/// Encodes what is left of a chunk.
fn rewrite(
    block: &Block,
    at: &ChunkMeta,
    timed: &TimedChunk,
    deleted: Option<&Intervals>,
    chunks: &mut Vec<TimedChunk>,
) -> Result<()> {
    let range = block.meta().range();
    let damaged = |damage| {
        let ulid = block.meta().ulid;
        Error::Invalid(format!(
            "block {ulid}: chunk {:#x} is {damage}",
            at.reference
        ))
    };
    let is_left = |s: &Sample| range.contains(s.t) && !deleted.is_some_and(|d| d.contains(s.t));
    let samples = timed.chunk.samples();
    let left = samples.filter(|s: &Result<Sample, Corruption>| s.as_ref().map_or(true, is_left));
    encode(left.map(|s| s.map_err(damaged)), chunks)
}
