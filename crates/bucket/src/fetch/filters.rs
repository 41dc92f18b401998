//! Which blocks somebody should see.
//!
//! Thanos' order: time partition, shard, consistency delay, deletion marks, replica labels,
//! duplicates.

use std::sync::Arc;

use model::Labels;
use model::relabel::{RelabelRule, relabelled};

use super::outline::Keep;
use super::{BlockInfo, TimeBounds, View};

/// The label under which a block's own name takes part in sharding.
const BLOCK_ID_LABEL: &str = "__block_id";

/// What remains of a block's labels when all of them are replica labels.
const REPLICA_PLACEHOLDER: &str = "deduped";

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
    /// The same, but a block that is marked for deletion hides none that is not: for who deletes what
    /// is hidden.
    DuplicatesOfKept,
}

impl Filter {
    /// Applies the filter, unless it is one for duplicates: those look at more than is held.
    pub(super) fn apply<M: Keep>(&self, view: &mut View<M>, now_ms: i64) {
        match self {
            Self::TimePartition(bounds) => {
                let range = bounds.range(now_ms);
                retain(view, "time-excluded", |block| {
                    block.outline.range.overlaps(range)
                });
            }
            Self::Shard(rules) => retain(view, "label-excluded", |block| {
                let id = block.outline.id.to_string();
                let labels = block.outline.labels.iter();
                let labels = Labels::from_pairs(labels.chain([(BLOCK_ID_LABEL, id.as_str())]));
                relabelled(rules, &labels).is_some()
            }),
            Self::ConsistencyDelay(delay_ms) => retain(view, "too-fresh", |block| {
                block.outline.settled_ms <= now_ms - delay_ms
            }),
            Self::DeletionMarks(delay_ms) => retain(view, "marked-for-deletion", |block| {
                let marked = block.deletion_mark.as_ref().map(|mark| mark.time());
                marked.is_none_or(|at| now_ms.saturating_sub(at.saturating_mul(1000)) <= *delay_ms)
            }),
            Self::ReplicaLabels(names) => drop_replica_labels(view, names),
            Self::Duplicates | Self::DuplicatesOfKept => {}
        }
    }
}

fn retain<M>(view: &mut View<M>, state: &'static str, mut keep: impl FnMut(&BlockInfo<M>) -> bool) {
    let before = view.blocks.len();
    view.blocks.retain(|_, block| keep(block));
    let excluded = (before - view.blocks.len()) as u64;
    *view.excluded.entry(state).or_default() += excluded;
}

fn drop_replica_labels<M: Keep>(view: &mut View<M>, names: &[String]) {
    for block in view.blocks.values_mut() {
        let is_replica_label = |name: &str| names.iter().any(|n| n == name);
        let labels = &block.outline.labels;
        if !labels.iter().any(|(name, _)| is_replica_label(name)) {
            continue;
        }
        let left = labels.iter().filter(|(name, _)| !is_replica_label(name));
        let mut left = Labels::from_sorted(left);
        if left.is_empty() {
            // A block without labels belongs to nobody.
            left = Labels::from_pairs([(names[0].as_str(), REPLICA_PLACEHOLDER)]);
        }
        block.meta.set_labels(&left);
        Arc::make_mut(&mut block.outline).labels = Arc::new(left);
    }
}
