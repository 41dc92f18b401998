//! Groups: blocks that may become one, since they have the same external labels and resolution.

use std::collections::BTreeMap;
use std::sync::Arc;

use bucket::{BlockInfo, NoCompactReason, View};
use model::Labels;
use serde_json::{Map, Value};
use tsdb::block::Meta;
use ulid::Ulid;

use crate::plan::{Candidate, Planner, Step};

/// Blocks of one producer and resolution.
#[derive(Debug, Clone)]
pub struct Group {
    /// Milliseconds per sample: 0 (raw), 300,000 or 3,600,000.
    pub resolution: i64,
    /// External labels.
    pub labels: BTreeMap<String, String>,
    /// The blocks, in order of their first times.
    pub blocks: Vec<BlockInfo>,
}

impl Group {
    /// Name of the group, as Thanos has it: the resolution and a hash of the labels.
    pub fn key(&self) -> String {
        let labels = Labels::from_pairs(self.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        format!("{}@{}", self.resolution, labels.stable_hash())
    }

    /// What is to be done next.
    pub fn next_step(&self, planner: Planner<'_>) -> Step {
        let candidates: Vec<Candidate> = self.blocks.iter().map(candidate).collect();
        planner.next(&candidates)
    }

    /// The blocks called `ids`.
    pub fn members(&self, ids: &[Ulid]) -> Vec<&BlockInfo> {
        let members = self.blocks.iter().filter(|b| ids.contains(&b.meta.ulid));
        members.collect()
    }

    /// Puts `new` in the place of the blocks called `old`.
    pub fn replace(&mut self, old: &[Ulid], new: Option<BlockInfo>) {
        self.blocks.retain(|b| !old.contains(&b.meta.ulid));
        self.blocks.extend(new);
        self.sort();
    }

    fn sort(&mut self) {
        (self.blocks).sort_by_key(|b| (b.meta.min_time, b.meta.max_time, b.meta.ulid));
    }

    /// What others keep with all of the blocks called `ids`: the keys that all have, with the
    /// first block's values.
    pub fn shared_extensions(&self, ids: &[Ulid]) -> Option<Value> {
        let members = self.members(ids);
        let extensions = |b: &BlockInfo| {
            let thanos = b.meta.thanos.as_ref()?;
            thanos.extensions.as_ref()?.as_object().cloned()
        };
        let mut shared: Option<Map<String, Value>> = None;
        for own in members.into_iter().filter_map(extensions) {
            match &mut shared {
                None => shared = Some(own),
                Some(shared) => shared.retain(|key, _| own.contains_key(key)),
            }
        }
        shared.filter(|s| !s.is_empty()).map(Value::Object)
    }
}

/// The groups of a view. What is marked for deletion takes part no more.
pub fn groups(view: &View) -> Vec<Group> {
    let mut groups: BTreeMap<(i64, BTreeMap<String, String>), Group> = BTreeMap::new();
    for block in view.blocks.values().filter(|b| b.deletion_mark.is_none()) {
        let (resolution, labels) = (block.resolution(), block.labels().clone());
        let group = groups
            .entry((resolution, labels.clone()))
            .or_insert_with(|| Group {
                resolution,
                labels,
                blocks: Vec::new(),
            });
        group.blocks.push(block.clone());
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.iter_mut().for_each(Group::sort);
    groups
}

/// Whether a block was set aside as damaged for what is sound in a downsampled one: earlier versions
/// counted floats and histograms there, and took aggregates of no samples for damage.
pub fn is_mistaken(block: &BlockInfo) -> bool {
    let damaged = block.no_compact.as_ref();
    let damaged = damaged.filter(|mark| mark.reason() == NoCompactReason::Damaged);
    let kinds = ["numFloatSamples is ", "numHistogramSamples is "];
    block.resolution() > 0
        && damaged.is_some_and(|mark| {
            let details = mark.details();
            let counts = details.strip_prefix("meta.json: ");
            let of_kinds = |what: &str| kinds.iter().any(|kind| what.starts_with(kind));
            counts.is_some_and(of_kinds) || details.ends_with(": no samples")
        })
}

fn candidate(block: &BlockInfo) -> Candidate {
    let meta = &block.meta;
    Candidate {
        id: meta.ulid,
        range: meta.range(),
        failed: meta.compaction.failed,
        tombstones: meta.stats.num_tombstones as f64 / (meta.stats.num_series + 1) as f64,
        index_bytes: block.files.index_bytes.unwrap_or(0),
        no_compact: block.no_compact.is_some(),
    }
}

/// What is left to do, by planning as if each merge had been done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Merges.
    pub merges: u64,
    /// Blocks that take part in them.
    pub blocks: u64,
    /// Bytes of the blocks that are there now and take part.
    pub bytes: u64,
}

impl Outlook {
    /// The outlook of a group.
    pub fn of(group: &Group, planner: Planner<'_>) -> Self {
        let mut group = group.clone();
        let mut outlook = Self::default();
        // Each step takes a block away or out, so that this ends.
        loop {
            match group.next_step(planner) {
                Step::Nothing => return outlook,
                Step::Mark(ids, _) => group.blocks.retain(|b| !ids.contains(&b.meta.ulid)),
                Step::Merge(ids) if ids.len() < 2 => {
                    outlook.merges += 1;
                    outlook.blocks += 1;
                    group.replace(&ids, None);
                }
                Step::Merge(ids) => {
                    let members = group.members(&ids);
                    outlook.merges += 1;
                    outlook.blocks += members.len() as u64;
                    outlook.bytes += members.iter().map(|b| b.files.bytes).sum::<u64>();
                    let metas: Vec<&Meta> = members.iter().map(|b| &*b.meta).collect();
                    let merged = tsdb::merge::compacted_meta(&metas, ids[0]);
                    let mut first = members[0].clone();
                    if let Some(merged) = merged {
                        first.meta = Arc::new(merged);
                    }
                    group.replace(&ids, Some(first));
                }
            }
        }
    }
}

impl std::ops::AddAssign for Outlook {
    fn add_assign(&mut self, other: Self) {
        self.merges += other.merges;
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}
