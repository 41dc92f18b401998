//! Which blocks somebody should see.
//!
//! Thanos' order: time partition, shard, consistency delay, deletion marks, replica labels,
//! duplicates.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::Labels;
use model::relabel::{RelabelRule, relabelled};
use model::time::parse_timestamp;
use tsdb::block::Meta;
use ulid::Ulid;

use super::{BlockInfo, TimeBounds, View};

/// The label under which a block's own name takes part in sharding.
const BLOCK_ID_LABEL: &str = "__block_id";

/// What remains of a block's labels when all of them are replica labels.
const REPLICA_PLACEHOLDER: &str = "deduped";

/// Sources whose blocks are seen at once: they replace blocks that were there before.
const UNDELAYED_SOURCES: [&str; 3] = ["compactor", "compactor.repair", "bucket.repair"];

/// Takes blocks out of a view, or changes what is known of them.
#[derive(Debug, Clone)]
pub enum Filter {
    /// Keeps blocks that overlap a part of time.
    TimePartition(TimeBounds),
    /// Keeps blocks whose external labels, with `__block_id`, the rules do not drop.
    Shard(Vec<RelabelRule>),
    /// Hides blocks that were uploaded less than this many milliseconds ago, but for those of a
    /// compactor.
    ConsistencyDelay(i64),
    /// Hides blocks that were marked for deletion more than this many milliseconds ago.
    DeletionMarks(i64),
    /// Takes labels out that tell replicas apart.
    ReplicaLabels(Vec<String>),
    /// Hides blocks whose sources are all in another block of the same labels and resolution.
    Duplicates,
}

impl Filter {
    pub(super) fn apply(&self, view: &mut View, now_ms: i64) {
        match self {
            Self::TimePartition(bounds) => {
                let range = bounds.range(now_ms);
                retain(view, "time-excluded", |_, block| {
                    block.meta.range().overlaps(range)
                });
            }
            Self::Shard(rules) => retain(view, "label-excluded", |id, block| {
                let id = id.to_string();
                let labels = (block.labels().iter()).map(|(n, v)| (n.as_str(), v.as_str()));
                let labels = Labels::from_pairs(labels.chain([(BLOCK_ID_LABEL, id.as_str())]));
                relabelled(rules, &labels).is_some()
            }),
            Self::ConsistencyDelay(delay_ms) => retain(view, "too-fresh", |id, block| {
                is_settled(*id, &block.meta, now_ms - delay_ms)
            }),
            Self::DeletionMarks(delay_ms) => retain(view, "marked-for-deletion", |_, block| {
                let marked = block.deletion_mark.as_ref().map(|mark| mark.time());
                marked.is_none_or(|at| now_ms.saturating_sub(at.saturating_mul(1000)) <= *delay_ms)
            }),
            Self::ReplicaLabels(names) => drop_replica_labels(view, names),
            Self::Duplicates => hide_duplicates(view),
        }
    }
}

fn retain(
    view: &mut View,
    state: &'static str,
    mut keep: impl FnMut(&Ulid, &mut BlockInfo) -> bool,
) {
    let before = view.blocks.len();
    view.blocks.retain(|id, block| keep(id, block));
    let excluded = (before - view.blocks.len()) as u64;
    *view.excluded.entry(state).or_default() += excluded;
}

/// Whether a block was there at `until_ms`, or need not have been.
fn is_settled(id: Ulid, meta: &Meta, until_ms: i64) -> bool {
    let thanos = meta.thanos.as_ref();
    if thanos.is_some_and(|t| UNDELAYED_SOURCES.contains(&t.source.as_str())) {
        return true;
    }
    let uploaded = thanos.and_then(|t| parse_timestamp(t.upload_time.as_deref()?).ok());
    let made = i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX);
    uploaded.unwrap_or(made) <= until_ms
}

fn drop_replica_labels(view: &mut View, names: &[String]) {
    for block in view.blocks.values_mut() {
        if !names.iter().any(|name| block.labels().contains_key(name)) {
            continue;
        }
        let mut meta = Meta::clone(&block.meta);
        let Some(thanos) = &mut meta.thanos else {
            continue;
        };
        thanos.labels.retain(|name, _| !names.contains(name));
        if thanos.labels.is_empty() {
            // A block without labels belongs to nobody.
            (thanos.labels).insert(names[0].clone(), REPLICA_PLACEHOLDER.to_owned());
        }
        block.meta = Arc::new(meta);
    }
}

/// Blocks of one group compete by what they are made of: longest list of sources first, the older
/// block first among equals, and a block whose sources one of those kept has is covered.
fn hide_duplicates(view: &mut View) {
    type Group<'a> = (i64, &'a BTreeMap<String, String>);
    let mut groups: BTreeMap<Group<'_>, Vec<(Ulid, &Meta)>> = BTreeMap::new();
    for (&id, block) in &view.blocks {
        let group = groups.entry((block.resolution(), block.labels()));
        group.or_default().push((id, &block.meta));
    }
    let mut covered = Vec::new();
    for blocks in groups.into_values() {
        covered_blocks(blocks, &mut covered);
    }
    covered.sort_unstable();
    for id in &covered {
        view.blocks.remove(id);
    }
    *view.excluded.entry("duplicate").or_default() += covered.len() as u64;
    view.duplicates.extend(covered);
}

fn covered_blocks(mut blocks: Vec<(Ulid, &Meta)>, covered: &mut Vec<Ulid>) {
    blocks.sort_by_key(|(id, meta)| (std::cmp::Reverse(meta.compaction.sources.len()), *id));
    let mut kept: Vec<HashSet<Ulid>> = Vec::new();
    // Only those kept that hold a block's first source can hold all of them.
    let mut holders: HashMap<Ulid, Vec<usize>> = HashMap::new();
    for (id, meta) in blocks {
        let sources = &meta.compaction.sources;
        let is_covered = sources.first().is_some_and(|first| {
            let candidates = holders.get(first).map_or(&[][..], Vec::as_slice);
            (candidates.iter()).any(|&i| sources.iter().all(|s| kept[i].contains(s)))
        });
        if is_covered {
            covered.push(id);
            continue;
        }
        for source in sources {
            holders.entry(*source).or_default().push(kept.len());
        }
        kept.push(sources.iter().copied().collect());
    }
}
