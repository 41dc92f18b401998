//! Which blocks are too old, or too many.
//!
//! As in Prometheus, age is measured from the end of the newest block and not from the clock: a
//! clock that jumps deletes nothing.

use ulid::Ulid;

/// How much a database keeps; nothing is deleted unless a limit is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Milliseconds from a block's end to the end of the newest block from which on it is deleted.
    pub time_ms: Option<i64>,
    /// Bytes that blocks, logs and head chunks together may have.
    pub bytes: Option<u64>,
}

/// What retention looks at in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The block.
    pub ulid: Ulid,
    /// First millisecond after what it covers.
    pub max_time: i64,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Retention {
    /// The blocks to delete, of all that there are. `head_bytes` is the size of logs and head
    /// chunks.
    pub fn expired(&self, mut blocks: Vec<Candidate>, head_bytes: u64) -> Vec<Ulid> {
        blocks.sort_by_key(|b| std::cmp::Reverse((b.max_time, b.ulid)));
        let kept = self
            .kept_by_time(&blocks)
            .min(self.kept_by_size(&blocks, head_bytes));
        blocks[kept..].iter().map(|b| b.ulid).collect()
    }

    /// How many of the blocks, newest first, are young enough.
    fn kept_by_time(&self, blocks: &[Candidate]) -> usize {
        let (Some(limit), Some(newest)) = (self.time_ms, blocks.first()) else {
            return blocks.len();
        };
        let is_young = |b: &Candidate| newest.max_time.saturating_sub(b.max_time) < limit;
        // The newest stays, whatever the limit is.
        1 + blocks[1..].iter().take_while(|b| is_young(b)).count()
    }

    /// How many of the blocks, newest first, there is room for.
    fn kept_by_size(&self, blocks: &[Candidate], head_bytes: u64) -> usize {
        let Some(limit) = self.bytes else {
            return blocks.len();
        };
        let mut used = head_bytes;
        let fits = |b: &&Candidate| {
            used = used.saturating_add(b.bytes);
            used <= limit
        };
        blocks.iter().take_while(fits).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 10 bytes that end at `ends`, and the ends of those that are deleted.
    fn check(retention: Retention, ends: &[i64], head_bytes: u64, expected: &[i64]) {
        let block = |&max_time: &i64| Candidate {
            ulid: Ulid(max_time.unsigned_abs().into()),
            max_time,
            bytes: 10,
        };
        let mut found: Vec<i64> = retention
            .expired(ends.iter().map(block).collect(), head_bytes)
            .into_iter()
            .map(|ulid| i64::try_from(ulid.0).unwrap())
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{retention:?}");
    }

    #[test]
    fn time_counts_from_the_newest_block() {
        let time = |ms| Retention {
            time_ms: Some(ms),
            bytes: None,
        };
        check(Retention::default(), &[10, 20, 30], 0, &[]);
        check(time(10), &[], 0, &[]);
        check(time(10), &[30, 10, 20], 0, &[10, 20]);
        check(time(11), &[30, 10, 20], 0, &[10]);
        check(time(21), &[30, 10, 20], 0, &[]);
        check(time(0), &[10], 0, &[]);
    }

    #[test]
    fn size_counts_the_head_first_and_the_newest_blocks_next() {
        let bytes = |n| Retention {
            time_ms: None,
            bytes: Some(n),
        };
        check(bytes(30), &[10, 20, 30], 0, &[]);
        check(bytes(30), &[10, 20, 30], 1, &[10]);
        check(bytes(9), &[10, 20, 30], 0, &[10, 20, 30]);
        let both = Retention {
            time_ms: Some(20),
            bytes: Some(25),
        };
        check(both, &[10, 20, 30], 0, &[10]);
    }
}
