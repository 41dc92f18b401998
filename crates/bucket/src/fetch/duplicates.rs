//! Blocks that others cover: all of their sources are in another block of their group.
//!
//! Sources are as many as a block was merged from. Spans tell which blocks may cover which, in most
//! buckets none, and only of those the sources are looked at.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use model::Labels;
use ulid::Ulid;

use super::View;
use super::outline::Outline;

/// Per group the blocks that may cover another one, or be covered.
pub(super) fn suspects<M>(view: &View<M>) -> Vec<Vec<Ulid>> {
    let mut groups: BTreeMap<(i64, &Labels), Vec<&Outline>> = BTreeMap::new();
    for block in view.blocks.values() {
        let outline = &*block.outline;
        let group = groups.entry((outline.resolution, &*outline.labels));
        group.or_default().push(outline);
    }
    let suspects = groups.into_values().map(suspects_of);
    suspects.filter(|group| !group.is_empty()).collect()
}

fn suspects_of(mut blocks: Vec<&Outline>) -> Vec<Ulid> {
    blocks.sort_unstable_by_key(|b| (b.sources.begin(), Reverse(b.sources.end())));
    let mut found = BTreeSet::new();
    // Those whose sources reach as far as the first one of the block at hand.
    let mut open: Vec<&Outline> = Vec::new();
    for block in blocks {
        let sources = &block.sources;
        open.retain(|other| other.sources.end() >= sources.begin());
        for other in &open {
            if other.sources.may_hold(sources) || sources.may_hold(&other.sources) {
                found.extend([block.id, other.id]);
            }
        }
        open.push(block);
    }
    found.into_iter().collect()
}

/// A block that may cover others of its group, or be covered.
pub(super) struct Contender {
    pub(super) id: Ulid,
    pub(super) sources: Vec<Ulid>,
    /// It covers none that does not yield too.
    pub(super) yields: bool,
}

/// Adds to `covered` the blocks that others of their group cover. Blocks compete by what they are
/// made of: longest list of sources first, the older block first among equals, and a block whose
/// sources one of those kept has is covered.
pub(super) fn covered_blocks(mut blocks: Vec<Contender>, covered: &mut Vec<Ulid>) {
    blocks.sort_by_key(|block| (block.yields, Reverse(block.sources.len()), block.id));
    let mut kept: Vec<HashSet<Ulid>> = Vec::new();
    // Only those kept that hold a block's first source can hold all of them.
    let mut holders: HashMap<Ulid, Vec<usize>> = HashMap::new();
    for Contender { id, sources, .. } in blocks {
        let is_covered = sources.first().is_some_and(|first| {
            let candidates = holders.get(first).map_or(&[][..], Vec::as_slice);
            (candidates.iter()).any(|&i| sources.iter().all(|s| kept[i].contains(s)))
        });
        if is_covered {
            covered.push(id);
            continue;
        }
        for source in &sources {
            holders.entry(*source).or_default().push(kept.len());
        }
        kept.push(sources.into_iter().collect());
    }
}
