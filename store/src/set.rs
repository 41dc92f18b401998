//! Which blocks there are, and which of them answer a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use storeapi::external_labels::remaining_matchers;
use storeapi::{Info, InfoPart};
use ulid::Ulid;

use crate::block::Block;

/// The blocks that are served at one moment.
#[derive(Debug, Default)]
pub struct BlockSet {
    /// In order of their names.
    blocks: Vec<Arc<Block>>,
    groups: Vec<Group>,
}

/// The blocks of one producer.
#[derive(Debug)]
struct Group {
    external: Labels,
    range: TimeRange,
    /// The coarsest first.
    resolutions: Vec<Resolution>,
}

/// The blocks of a resolution in order of time.
#[derive(Debug)]
struct Resolution {
    ms: i64,
    blocks: Vec<Arc<Block>>,
}

impl BlockSet {
    /// A set of blocks.
    pub fn new(blocks: impl IntoIterator<Item = Arc<Block>>) -> Self {
        let mut blocks: Vec<Arc<Block>> = blocks.into_iter().collect();
        blocks.sort_by_key(|block| block.id());
        blocks.dedup_by_key(|block| block.id());
        blocks.shrink_to_fit();
        let mut groups: BTreeMap<&Labels, BTreeMap<i64, Vec<Arc<Block>>>> = BTreeMap::new();
        for block in &blocks {
            let group = groups.entry(block.external()).or_default();
            let resolution = group.entry(block.resolution()).or_default();
            resolution.push(Arc::clone(block));
        }
        let groups = groups.into_iter().map(|(external, resolutions)| {
            let all = || resolutions.values().flatten();
            let range = TimeRange::new(
                all().map(|b| b.range().min).min().unwrap_or(0),
                all().map(|b| b.range().max).max().unwrap_or(0),
            );
            let resolutions = resolutions.into_iter().rev().map(|(ms, mut blocks)| {
                blocks.sort_by_key(|b| (b.range().min, b.range().max, b.id()));
                blocks.shrink_to_fit();
                Resolution { ms, blocks }
            });
            Group {
                external: external.clone(),
                range,
                resolutions: resolutions.collect(),
            }
        });
        Self {
            groups: groups.collect(),
            blocks,
        }
    }

    /// The block called `id`.
    pub fn get(&self, id: Ulid) -> Option<&Arc<Block>> {
        let at = self.blocks.binary_search_by_key(&id, |block| block.id());
        Some(&self.blocks[at.ok()?])
    }

    /// All blocks in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.blocks.iter()
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// True when there are no blocks.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The blocks that answer a request, in order of producers and time, each with the matchers
    /// that its external labels leave. Of each producer and time the coarsest resolution up to
    /// `resolution_max` (milliseconds) is taken, and finer ones where it has gaps.
    pub fn select(
        &self,
        range: TimeRange,
        matchers: &[Matcher],
        resolution_max: i64,
    ) -> Vec<(Arc<Block>, Arc<[Matcher]>)> {
        self.cover(range, matchers, |resolutions| {
            let usable = resolutions.iter().filter(|r| r.ms <= resolution_max);
            usable.collect()
        })
    }

    /// As [`BlockSet::select`], but of each producer and time the finest resolution: a series that
    /// never has a number is in no coarser one.
    pub fn select_finest(
        &self,
        range: TimeRange,
        matchers: &[Matcher],
    ) -> Vec<(Arc<Block>, Arc<[Matcher]>)> {
        self.cover(range, matchers, |resolutions| {
            resolutions.iter().rev().collect()
        })
    }

    /// The blocks that answer a request; `prefer` says which resolutions do, the best first.
    fn cover(
        &self,
        range: TimeRange,
        matchers: &[Matcher],
        prefer: impl Fn(&[Resolution]) -> Vec<&Resolution>,
    ) -> Vec<(Arc<Block>, Arc<[Matcher]>)> {
        let mut selected = Vec::new();
        for group in self.groups.iter().filter(|g| g.range.overlaps(range)) {
            let Some(left) = remaining_matchers(matchers, &group.external) else {
                continue;
            };
            // One for all blocks: there may be thousands.
            let left: Arc<[Matcher]> = left.into();
            let mut blocks = Vec::new();
            cover(&prefer(&group.resolutions), range, &mut blocks);
            selected.extend(blocks.into_iter().map(|b| (b, Arc::clone(&left))));
        }
        selected
    }

    /// What the blocks hold.
    pub fn info(&self) -> Info {
        let parts = self.groups.iter().map(|g| InfoPart {
            labels: g.external.clone(),
            min_time: g.range.min,
            max_time: g.range.max - 1,
        });
        let parts: Vec<InfoPart> = parts.collect();
        Info {
            label_sets: parts.iter().map(|p| p.labels.clone()).collect(),
            // Without blocks this is a range that nothing overlaps.
            min_time: parts.iter().map(|p| p.min_time).min().unwrap_or(i64::MAX),
            max_time: parts.iter().map(|p| p.max_time).max().unwrap_or(i64::MIN),
            parts,
            supports_without_replica_labels: true,
            supports_sharding: true,
        }
    }
}

/// Adds the blocks of the first of `resolutions` that overlap `range`, and those of the next ones
/// that fill its gaps.
fn cover(resolutions: &[&Resolution], range: TimeRange, out: &mut Vec<Arc<Block>>) {
    let Some((resolution, others)) = resolutions.split_first() else {
        return;
    };
    let mut covered = range.min;
    for block in &resolution.blocks {
        let of_block = block.range();
        if of_block.min >= range.max {
            break;
        }
        if !of_block.overlaps(range) {
            continue;
        }
        if covered < of_block.min {
            cover(others, TimeRange::new(covered, of_block.min), out);
        }
        // A block on both sides of this one fills two gaps and is read once.
        out.push(Arc::clone(block));
        covered = covered.max(of_block.max);
    }
    if covered < range.max {
        cover(others, TimeRange::new(covered, range.max), out);
    }
    let mut seen = std::collections::HashSet::new();
    out.retain(|b| seen.insert(b.id()));
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt::Write as _;

    use bucket::fetch::{LabelSets, Outline};
    use tsdb::block::Meta;
    use tsdb::block::meta::{Downsample, Thanos};

    use super::*;

    pub(crate) fn block(n: u64, cluster: &str, resolution: i64, min: i64, max: i64) -> Arc<Block> {
        let id = Ulid::from_parts(n, 0);
        let mut meta = Meta::new(id, TimeRange::new(min, max));
        meta.thanos = Some(Thanos {
            labels: [("cluster".to_owned(), cluster.to_owned())].into(),
            downsample: Downsample {
                resolution,
                ..Downsample::default()
            },
            ..Thanos::default()
        });
        let outline = Outline::new(&meta, &mut LabelSets::default());
        Arc::new(Block::new(Arc::new(outline), 0, Vec::new()))
    }

    fn select(set: &BlockSet, range: (i64, i64), matchers: &[Matcher], resolution: i64) -> String {
        names(set.select(TimeRange::new(range.0, range.1), matchers, resolution))
    }

    fn names(blocks: Vec<(Arc<Block>, Arc<[Matcher]>)>) -> String {
        let mut found = String::new();
        for (block, left) in blocks {
            let n = block.id().timestamp_ms();
            write!(found, "{n}/{} ", left.len()).unwrap();
        }
        found.trim_end().to_owned()
    }

    #[test]
    fn the_coarsest_resolution_is_taken_and_finer_ones_fill_gaps() {
        let set = BlockSet::new([
            block(1, "a", 0, 0, 100),
            block(2, "a", 0, 100, 200),
            block(3, "a", 0, 200, 300),
            block(4, "a", 300_000, 0, 200),
            block(5, "a", 3_600_000, 100, 150),
            block(6, "b", 0, 0, 100),
        ]);
        let a = [Matcher::equal("cluster", "a")];
        assert_eq!(select(&set, (0, 300), &a, 0), "1/0 2/0 3/0");
        assert_eq!(select(&set, (0, 100), &a, 0), "1/0");
        assert_eq!(select(&set, (99, 101), &a, 0), "1/0 2/0");
        assert_eq!(select(&set, (0, 300), &a, 300_000), "4/0 3/0");
        assert_eq!(select(&set, (0, 300), &a, i64::MAX), "4/0 5/0 3/0");
        assert_eq!(select(&set, (100, 150), &a, i64::MAX), "5/0");
        let finest = |min, max| names(set.select_finest(TimeRange::new(min, max), &a));
        assert_eq!(finest(0, 300), "1/0 2/0 3/0");
        let job = [Matcher::equal("job", "x")];
        assert_eq!(select(&set, (0, 50), &job, 0), "1/1 6/1");
        assert_eq!(select(&set, (0, 0), &job, 0), "");
        assert_eq!(select(&set, (300, 400), &job, 0), "");
        let other = [Matcher::equal("cluster", "c")];
        assert_eq!(select(&set, (0, 300), &other, 0), "");
    }

    #[test]
    fn coarser_blocks_fill_the_gaps_of_finer_ones() {
        let set = BlockSet::new([
            block(1, "a", 300_000, 0, 200),
            block(2, "a", 0, 100, 200),
            block(3, "a", 3_600_000, 0, 400),
        ]);
        let found = set.select_finest(TimeRange::new(0, 300), &[]);
        assert_eq!(names(found), "1/0 2/0 3/0");
        let found = set.select_finest(TimeRange::new(120, 180), &[]);
        assert_eq!(names(found), "2/0");
    }

    #[test]
    fn info_tells_producers_and_times() {
        let set = BlockSet::new([block(1, "a", 0, 0, 100), block(6, "b", 0, 50, 170)]);
        let info = set.info();
        assert_eq!((info.min_time, info.max_time), (0, 169));
        assert_eq!(info.label_sets.len(), 2);
        assert_eq!((info.parts[1].min_time, info.parts[1].max_time), (50, 169));
        let none = BlockSet::default().info();
        assert!(none.min_time > none.max_time);
    }
}
