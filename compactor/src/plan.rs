//! What is to be merged next: decisions only, Thanos' rules.
//!
//! Overlapping blocks go first. Then windows of 2 h, 8 h, 2 d and 14 d, aligned to the epoch: blocks
//! that lie in one window are merged once the window is full, or lies before the newest block, which
//! itself is left alone so that late uploads find their place. Blocks that must not be compacted
//! split what lies around them. At last, single large blocks with many deletions are written anew.

use bucket::NoCompactReason;
use model::TimeRange;
use ulid::Ulid;

const HOUR_MS: i64 = 3_600_000;

/// Windows in milliseconds, the smallest first; the first one is only where windows begin to grow.
pub const RANGES_MS: [i64; 5] = [
    HOUR_MS,
    2 * HOUR_MS,
    8 * HOUR_MS,
    48 * HOUR_MS,
    14 * 24 * HOUR_MS,
];

/// Part of the largest index that a merge may come to, in percent: it can only be estimated.
const INDEX_PERCENT: u64 = 85;

/// A block is written anew when more than this part of its series is deleted.
const TOMBSTONES_MAX: f64 = 0.05;

/// What planning needs to know of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The block.
    pub id: Ulid,
    /// What it covers.
    pub range: TimeRange,
    /// Compacting it failed before.
    pub failed: bool,
    /// Deleted intervals for each of its series.
    pub tombstones: f64,
    /// Size of its index.
    pub index_bytes: u64,
    /// It is marked as not to be compacted.
    pub no_compact: bool,
}

/// What is to be done with a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing for now.
    Nothing,
    /// Merge these blocks, which are in order of time.
    Merge(Vec<Ulid>),
    /// Mark these first, since they cannot be merged, and plan again.
    Mark(Vec<Ulid>, NoCompactReason),
}

/// The rules of one group.
#[derive(Debug, Clone, Copy)]
pub struct Planner<'a> {
    /// Windows in milliseconds.
    pub ranges_ms: &'a [i64],
    /// Largest index that a block may have.
    pub index_bytes_max: u64,
    /// Whether the group's blocks are downsampled, so that their overlaps cannot be merged.
    pub downsampled: bool,
}

impl Planner<'_> {
    /// The next step for `blocks`, which are in order of their first times.
    pub fn next(&self, blocks: &[Candidate]) -> Step {
        let free: Vec<&Candidate> = blocks.iter().filter(|b| !b.no_compact).collect();
        let overlapping = first_overlapping(&free);
        if !overlapping.is_empty() {
            let ids = overlapping.iter().map(|b| b.id).collect();
            return match self.downsampled {
                true => Step::Mark(ids, NoCompactReason::DownsampleVerticalCompaction),
                false => self.bounded(overlapping),
            };
        }
        let Some((_, older)) = blocks.split_last() else {
            return Step::Nothing;
        };
        let in_window = first_window(self.ranges_ms, older);
        if !in_window.is_empty() {
            return self.bounded(&in_window);
        }
        match self.many_tombstones(blocks) {
            Some(block) => Step::Merge(vec![block.id]),
            None => Step::Nothing,
        }
    }

    /// A merge, unless its index might grow too large: then the largest block stays out.
    fn bounded(&self, blocks: &[&Candidate]) -> Step {
        let sum: u64 = blocks.iter().map(|b| b.index_bytes).sum();
        let limit = self.index_bytes_max / 100 * INDEX_PERCENT;
        let largest = blocks.iter().max_by_key(|b| b.index_bytes);
        match largest {
            Some(largest) if sum >= limit => {
                Step::Mark(vec![largest.id], NoCompactReason::IndexSizeExceeding)
            }
            _ => Step::Merge(blocks.iter().map(|b| b.id).collect()),
        }
    }

    fn many_tombstones<'b>(&self, blocks: &'b [Candidate]) -> Option<&'b Candidate> {
        let large_ms = self.ranges_ms.get(self.ranges_ms.len() / 2)?;
        let (newest, _) = blocks.split_last()?;
        let free = (blocks.iter().rev()).filter(|b| !b.no_compact && b.id != newest.id);
        free.take_while(|b| b.range.max - b.range.min >= *large_ms)
            .find(|b| b.tombstones > TOMBSTONES_MAX)
    }
}

/// The first run of blocks that overlap, with the block that it begins at.
fn first_overlapping<'a, 'b>(blocks: &'a [&'b Candidate]) -> &'a [&'b Candidate] {
    let Some(first) = blocks.first() else {
        return &[];
    };
    let mut end = first.range.max;
    let mut begin = None;
    for (i, block) in blocks.iter().enumerate().skip(1) {
        if block.range.min < end {
            begin.get_or_insert(i - 1);
        } else if let Some(begin) = begin {
            return &blocks[begin..i];
        }
        end = end.max(block.range.max);
    }
    begin.map_or(&[], |begin| &blocks[begin..])
}

/// The first blocks that share a window and may be merged, the smallest windows first.
fn first_window<'b>(ranges_ms: &[i64], blocks: &'b [Candidate]) -> Vec<&'b Candidate> {
    let Some(newest) = blocks.last() else {
        return Vec::new();
    };
    for &window_ms in ranges_ms.iter().skip(1) {
        for part in windows(blocks, window_ms) {
            let [first, .., last] = part else {
                continue;
            };
            let is_full = last.range.max - first.range.min == window_ms;
            let is_past = last.range.max <= newest.range.min;
            if part.iter().any(|b| b.failed) || !(is_full || is_past) {
                continue;
            }
            let run = part.split(|b| b.no_compact).find(|run| run.len() > 1);
            if let Some(run) = run {
                return run.iter().collect();
            }
        }
    }
    Vec::new()
}

/// Splits blocks by the aligned windows that they lie in; those that reach beyond their window are
/// left out.
fn windows(blocks: &[Candidate], window_ms: i64) -> Vec<&[Candidate]> {
    let mut parts = Vec::new();
    let mut i = 0;
    while i < blocks.len() {
        let start = blocks[i].range.min.div_euclid(window_ms) * window_ms;
        let end = start + window_ms;
        let len = (blocks[i..].iter())
            .take_while(|b| b.range.max <= end)
            .count();
        if len > 0 {
            parts.push(&blocks[i..i + len]);
        }
        i += len.max(1);
    }
    parts
}

#[cfg(test)]
mod tests;
