//! Which blocks to merge next: Prometheus' leveled compaction, decided from `meta.json` alone.
//!
//! Blocks are merged into ranges of time that are aligned to their length, each three times as long
//! as the one before: 2 h, 6 h, 18 h, and so on. In this order:
//!
//! 1. Blocks that overlap, all of them that hang together.
//! 2. Blocks that fill a range, the shortest range first; with gaps when no block of the range can
//!    come any more. The newest block is left out, so that whoever copies or ships blocks has time.
//! 3. A block that deletions have left little of.
//!
//! A block whose compaction failed is not tried again.

use ulid::Ulid;

use crate::block::Meta;

/// Ratio of the length of a range to that of the range before.
const STEP: i64 = 3;
/// Most lengths of ranges there are.
const RANGES_MAX: usize = 10;
/// A large block with more tombstones for each series is rewritten.
const TOMBSTONES_PER_SERIES_MAX: f64 = 0.05;

/// The lengths of the ranges that blocks are merged into, in milliseconds: from `min`, threefold
/// each, up to `max`. `min` itself is always there.
pub fn ranges(min: i64, max: i64) -> Vec<i64> {
    let next = |length: &i64| length.checked_mul(STEP).filter(|next| *next <= max);
    std::iter::successors(Some(min), next)
        .take(RANGES_MAX)
        .collect()
}

/// The blocks to merge next, in order of time; none when there is nothing to do. A single block is
/// to be rewritten without what is deleted. `ranges` are those of [`ranges`].
pub fn plan(metas: &[&Meta], ranges: &[i64]) -> Vec<Ulid> {
    let mut metas = metas.to_vec();
    metas.sort_by_key(|m| (m.min_time, m.ulid));
    let overlapping = overlapping(&metas);
    if !overlapping.is_empty() {
        return overlapping;
    }
    metas.pop();
    let filling = filling(&metas, ranges);
    if !filling.is_empty() {
        return filling;
    }
    deleted(&metas, ranges).into_iter().collect()
}

/// The first blocks that overlap, directly or through others.
fn overlapping(metas: &[&Meta]) -> Vec<Ulid> {
    let mut group: Vec<Ulid> = Vec::new();
    let mut end = i64::MIN;
    let mut last = None;
    for meta in metas.iter().filter(|m| !m.compaction.failed) {
        if meta.min_time < end {
            if group.is_empty() {
                group.extend(last);
            }
            group.push(meta.ulid);
        } else if !group.is_empty() {
            break;
        }
        end = end.max(meta.max_time);
        last = Some(meta.ulid);
    }
    group
}

/// Blocks that fill a range, or lie in one that no block comes into any more.
fn filling(metas: &[&Meta], ranges: &[i64]) -> Vec<Ulid> {
    let Some(newest) = metas.last() else {
        return Vec::new();
    };
    let is_due = |group: &&[&Meta], length: i64| {
        let (start, end) = (group[0].min_time, group[group.len() - 1].max_time);
        group.len() > 1
            && group.iter().all(|m| !m.compaction.failed)
            && (end - start == length || end <= newest.min_time)
    };
    ranges
        .iter()
        .skip(1)
        .find_map(|&length| {
            let mut groups = split(metas, length).into_iter();
            groups.find(|group| is_due(group, length))
        })
        .map_or_else(Vec::new, |group| group.iter().map(|m| m.ulid).collect())
}

/// Blocks by the aligned range of a length that they lie in; those that lie in none are left out.
fn split<'a, 'm>(metas: &'a [&'m Meta], length: i64) -> Vec<&'a [&'m Meta]> {
    let mut groups = Vec::new();
    let mut at = 0;
    while at < metas.len() {
        let end = metas[at].min_time.div_euclid(length).saturating_add(1);
        let end = end.saturating_mul(length);
        let inside = metas[at..].iter().take_while(|m| m.max_time <= end).count();
        if inside > 0 {
            groups.push(&metas[at..at + inside]);
        }
        at += inside.max(1);
    }
    groups
}

/// The newest block that deletions have left little of: a large one with many tombstones, or one of
/// which everything is deleted.
fn deleted(metas: &[&Meta], ranges: &[i64]) -> Option<Ulid> {
    let large = *ranges.get(ranges.len() / 2)?;
    for meta in metas.iter().rev() {
        let (tombstones, series) = (meta.stats.num_tombstones, meta.stats.num_series);
        if meta.max_time - meta.min_time < large {
            let is_gone = tombstones > 0 && tombstones >= series;
            return (is_gone && !meta.compaction.failed).then_some(meta.ulid);
        }
        let is_worn = tombstones as f64 / (series + 1) as f64 > TOMBSTONES_PER_SERIES_MAX;
        if is_worn && !meta.compaction.failed {
            return Some(meta.ulid);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use model::TimeRange;

    use super::*;

    /// Blocks `(min, max)` that are numbered in the order given; `edit` changes one of them.
    fn check_with(
        blocks: &[(i64, i64)],
        edit: impl Fn(usize, &mut Meta),
        lengths: &[i64],
        expected: &[u128],
    ) {
        let metas: Vec<Meta> = (blocks.iter().enumerate())
            .map(|(i, &(min, max))| {
                let mut meta = Meta::new(Ulid(i as u128), TimeRange::new(min, max));
                meta.stats.num_series = 100;
                edit(i, &mut meta);
                meta
            })
            .collect();
        let refs: Vec<&Meta> = metas.iter().collect();
        let expected: Vec<Ulid> = expected.iter().map(|n| Ulid(*n)).collect();
        assert_eq!(plan(&refs, lengths), expected, "{blocks:?}");
    }

    fn check(blocks: &[(i64, i64)], expected: &[u128]) {
        check_with(blocks, |_, _| {}, &[20, 60, 180, 540, 1620], expected);
    }

    #[test]
    fn ranges_grow_threefold() {
        assert_eq!(ranges(2, 60), [2, 6, 18, 54]);
        assert_eq!(ranges(2, 1), [2]);
        assert_eq!(ranges(1, i64::MAX).len(), 10);
    }

    #[test]
    fn aligned_ranges_are_merged_once_they_are_full_or_over() {
        check(&[], &[]);
        check(&[(0, 20)], &[]);
        check(&[(0, 20), (20, 40), (40, 60)], &[]);
        // The newest is left out, the others fill 0 to 60.
        check(&[(0, 20), (20, 40), (40, 60), (60, 80)], &[0, 1, 2]);
        // A gap: 20 to 40 may come as long as nothing later is there but for the newest.
        check(&[(0, 20), (40, 60), (60, 80)], &[0, 1]);
        check(&[(0, 20), (20, 40), (60, 80), (80, 100)], &[0, 1]);
        check(&[(0, 20), (20, 40), (60, 80)], &[]);
        // Larger ranges from what was merged.
        check(&[(0, 60), (60, 120), (120, 180), (180, 200)], &[0, 1, 2]);
        // Smaller ranges first.
        check(
            &[
                (0, 60),
                (60, 120),
                (120, 180),
                (180, 200),
                (200, 220),
                (220, 240),
                (240, 260),
            ],
            &[3, 4, 5],
        );
        check(&[(-60, -40), (-40, -20), (-20, 0), (0, 20)], &[0, 1, 2]);
        // Not aligned, so in no range.
        check(
            &[(10, 30), (30, 50), (50, 70), (70, 90), (90, 110)],
            &[0, 1],
        );
    }

    #[test]
    fn overlapping_blocks_come_first() {
        check(&[(0, 20), (19, 40), (40, 60)], &[0, 1]);
        check(
            &[(0, 60), (10, 20), (30, 40), (60, 80), (70, 90)],
            &[0, 1, 2],
        );
        check(
            &[(0, 20), (20, 40), (30, 50), (45, 60), (60, 80)],
            &[1, 2, 3],
        );
        check(&[(0, 20), (0, 20)], &[0, 1]);
    }

    #[test]
    fn failed_blocks_are_not_tried_again() {
        let fails = |n| move |i, meta: &mut Meta| meta.compaction.failed = i == n;
        let lengths = [20, 60, 180];
        let blocks = [(0, 20), (20, 40), (40, 60), (60, 80)];
        check_with(&blocks, fails(1), &lengths, &[]);
        check_with(&[(0, 20), (0, 20), (5, 20)], fails(1), &lengths, &[0, 2]);
        check_with(&[(0, 20), (10, 20)], fails(1), &lengths, &[]);
    }

    #[test]
    fn blocks_with_many_tombstones_are_rewritten() {
        let stones = |n, stones| {
            move |i, meta: &mut Meta| meta.stats.num_tombstones = if i == n { stones } else { 0 }
        };
        let lengths = [20, 60, 180];
        check_with(&[(0, 60), (60, 80)], stones(0, 6), &lengths, &[0]);
        check_with(&[(0, 60), (60, 80)], stones(0, 5), &lengths, &[]);
        check_with(&[(0, 20), (60, 80)], stones(0, 6), &lengths, &[]);
        check_with(&[(0, 20), (60, 80)], stones(0, 100), &lengths, &[0]);
    }
}
