//! Tombstones: which times of which series are deleted.
//!
//! The format is described in `docs/format/tombstones.md`.

use std::collections::BTreeMap;
use std::path::Path;

use super::files::replace;
use crate::cursor::{Cursor, crc32c, put_uvarint, put_varint};
use crate::error::{Corruption, Result};

/// Name of the file in a block.
pub const TOMBSTONES_FILE: &str = "tombstones";

const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
/// Magic number and version.
const HEADER_LEN: usize = 5;
/// Smallest stone: three varints of one byte.
const STONE_LEN_MIN: usize = 3;

/// Deleted milliseconds, both ends inside, as the file holds them: a deletion of everything ends at
/// `i64::MAX`, which a half-open range cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// First deleted millisecond.
    pub min: i64,
    /// Last deleted millisecond.
    pub max: i64,
}

/// Intervals in ascending order that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Interval>);

impl Intervals {
    /// Adds an interval; what it overlaps or touches becomes one with it. An interval that ends
    /// before it starts holds nothing.
    pub fn add(&mut self, interval: Interval) {
        let Interval { mut min, mut max } = interval;
        if min > max {
            return;
        }
        let start = self.0.partition_point(|i| i.max.saturating_add(1) < min);
        let end = start + self.0[start..].partition_point(|i| i.min <= max.saturating_add(1));
        if let Some(first) = self.0[start..end].first() {
            min = min.min(first.min);
        }
        if let Some(last) = self.0[start..end].last() {
            max = max.max(last.max);
        }
        self.0.splice(start..end, [Interval { min, max }]);
    }

    /// True when `t` is deleted.
    pub fn contains(&self, t: i64) -> bool {
        let i = self.0.partition_point(|i| i.max < t);
        self.0.get(i).is_some_and(|i| i.min <= t)
    }

    /// True when every millisecond from `min` to `max`, both inside, is deleted.
    pub fn covers(&self, min: i64, max: i64) -> bool {
        let i = self.0.partition_point(|i| i.max < min);
        self.0.get(i).is_some_and(|i| i.min <= min && max <= i.max)
    }

    /// The intervals in ascending order.
    pub fn as_slice(&self) -> &[Interval] {
        &self.0
    }

    /// True when nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Interval> for Intervals {
    fn from_iter<I: IntoIterator<Item = Interval>>(iter: I) -> Self {
        let mut intervals = Self::default();
        iter.into_iter().for_each(|i| intervals.add(i));
        intervals
    }
}

/// The deleted intervals of each series, by the series' reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones {
    series: BTreeMap<u64, Intervals>,
}

impl Tombstones {
    /// Deletes an interval of a series.
    pub fn add(&mut self, series: u64, interval: Interval) {
        if interval.min <= interval.max {
            self.series.entry(series).or_default().add(interval);
        }
    }

    /// What is deleted of a series; `None` when nothing is.
    pub fn get(&self, series: u64) -> Option<&Intervals> {
        self.series.get(&series)
    }

    /// The series with deleted intervals, in ascending order of their references.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Intervals)> {
        self.series.iter().map(|(series, i)| (*series, i))
    }

    /// Number of deleted intervals.
    pub fn len(&self) -> usize {
        self.series.values().map(|i| i.0.len()).sum()
    }

    /// True when nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Decodes a file.
    ///
    /// # Errors
    /// When the bytes are not a file of tombstones.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corruption> {
        let mut c = Cursor::new(bytes);
        if c.be32("the magic number 0130ba30 of tombstones")? != MAGIC {
            return Err(Corruption::new(
                0,
                "the magic number 0130ba30 of tombstones",
            ));
        }
        if c.byte("version 1 of the format")? != VERSION {
            return Err(Corruption::new(4, "version 1 of the format"));
        }
        let Some((stones, crc)) = bytes[HEADER_LEN..].split_last_chunk() else {
            return Err(Corruption::new(HEADER_LEN, "a checksum"));
        };
        if u32::from_be_bytes(*crc) != crc32c(stones) {
            let at = HEADER_LEN + stones.len();
            return Err(Corruption::new(at, "the checksum of the tombstones"));
        }
        Self::decode_stones(stones).map_err(|d| d.shift(HEADER_LEN as u64))
    }

    /// Decodes the sequence of stones between header and checksum.
    fn decode_stones(stones: &[u8]) -> Result<Self, Corruption> {
        let mut c = Cursor::new(stones);
        let mut all: Vec<(u64, Interval)> = Vec::with_capacity(stones.len() / (2 * STONE_LEN_MIN));
        while !c.is_empty() {
            let series = c.uvarint("a tombstone's series")?;
            let min = c.varint("a tombstone's first time")?;
            let max = c.varint("a tombstone's last time")?;
            all.push((series, Interval { min, max }));
        }
        // In order, so that every interval is added at the end of its series.
        all.sort_unstable_by_key(|(series, i)| (*series, i.min));
        let mut tombstones = Self::default();
        for (series, interval) in all {
            tombstones.add(series, interval);
        }
        Ok(tombstones)
    }

    /// Replaces the file of the block in `dir`, so that a crash leaves the old or the new one.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn replace_in(&self, dir: &Path) -> Result<()> {
        replace(dir, TOMBSTONES_FILE, &self.encode())
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.push(VERSION);
        for (series, intervals) in self.iter() {
            for interval in intervals.as_slice() {
                put_uvarint(&mut out, series);
                put_varint(&mut out, interval.min);
                put_varint(&mut out, interval.max);
            }
        }
        let crc = crc32c(&out[HEADER_LEN..]);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(pairs: &[(i64, i64)]) -> Intervals {
        pairs
            .iter()
            .map(|&(min, max)| Interval { min, max })
            .collect()
    }

    #[test]
    fn adding_joins_what_overlaps_or_touches() {
        let check = |added: &[(i64, i64)], expected: &[(i64, i64)]| {
            let got: Vec<_> = of(added).0.iter().map(|i| (i.min, i.max)).collect();
            assert_eq!(got, expected, "{added:?}");
        };
        check(&[(1, 3), (5, 7)], &[(1, 3), (5, 7)]);
        check(&[(1, 3), (4, 7)], &[(1, 7)]);
        check(&[(5, 7), (1, 4)], &[(1, 7)]);
        check(&[(1, 2), (10, 20), (30, 40), (15, 29)], &[(1, 2), (10, 40)]);
        check(&[(1, 2), (4, 5), (0, 9)], &[(0, 9)]);
        check(&[(3, 2)], &[]);
        check(
            &[(i64::MIN, -1), (i64::MAX, i64::MAX), (0, i64::MAX - 1)],
            &[(i64::MIN, i64::MAX)],
        );
    }

    proptest! {
        #[test]
        fn intervals_are_sets_of_milliseconds(pairs in proptest::collection::vec((0..60i64, 0..8i64), 0..20)) {
            let pairs: Vec<_> = pairs.into_iter().map(|(min, len)| (min, min + len)).collect();
            let intervals = of(&pairs);
            let set: BTreeSet<i64> = pairs.iter().flat_map(|&(min, max)| min..=max).collect();
            for t in -1..70 {
                prop_assert_eq!(intervals.contains(t), set.contains(&t));
                for max in t..70 {
                    prop_assert_eq!(intervals.covers(t, max), (t..=max).all(|t| set.contains(&t)));
                }
            }
            prop_assert!(intervals.0.windows(2).all(|w| w[0].max + 1 < w[1].min));
        }

        #[test]
        fn files_round_trip(stones in proptest::collection::vec((0..5u64, any::<i64>(), any::<i64>()), 0..20)) {
            let mut tombstones = Tombstones::default();
            for (series, min, max) in stones {
                tombstones.add(series, Interval { min, max });
            }
            prop_assert_eq!(Tombstones::decode(&tombstones.encode()).unwrap(), tombstones);
        }

        #[test]
        fn any_bytes_decode_or_fail(bytes: Vec<u8>) {
            let _ = Tombstones::decode(&bytes);
            let _ = Tombstones::decode_stones(&bytes);
        }
    }

    #[test]
    fn every_flipped_byte_and_every_truncation_is_noticed() {
        let mut tombstones = Tombstones::default();
        tombstones.add(
            7,
            Interval {
                min: -5,
                max: 1 << 40,
            },
        );
        tombstones.add(9, Interval { min: 0, max: 0 });
        let bytes = tombstones.encode();
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            let err = Tombstones::decode(&bad).unwrap_err();
            assert!(err.offset <= bytes.len() as u64);
            assert!(Tombstones::decode(&bytes[..i]).is_err(), "length {i}");
        }
    }
}
