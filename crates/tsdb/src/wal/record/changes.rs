//! Float samples as changes: each value relative to the one before of the same series.
//!
//! A record of Prometheus' type 2 has eight bytes a value, which no compressor makes much smaller. Here
//! a row whose series had a row earlier in the same segment holds only the bytes in which its value
//! differs from that one. So a reader keeps the last value of each series, from the beginning of a segment
//! ([`Changes::begin_segment`]) to its end, and segments can be read on their own.
//!
//! `80 (1) | 1 (1) | rows uvarint | base t varint | { series - series of the row before, varint }* |
//! { t - base t, varint }* | tag (1)* | bytes`. A tag has a bit for a value that is whole, three for the
//! number of zero bytes behind the bytes of its row, and four for the number of those. The columns are
//! apart because that makes them small once compressed: most series follow the one before, and most
//! rows of a record are of one time.

use std::iter;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::{RecordType, RefSample, RefValue};
use crate::cursor::{Cursor, put_uvarint, put_varint};
use crate::error::Corruption;

/// The second byte. No snappy block goes on with it, so that a record is never taken for one.
const VERSION: u8 = 1;
/// Set in the tag of a row that holds its value whole.
const WHOLE: u8 = 0x80;
/// Fewest bytes that a row takes: two deltas and a tag.
const ROW_BYTES_MIN: usize = 3;

/// Appends a record of changes to `out`. `before` has, for each sample, the value of the row before of
/// the same series in the same segment, if there is one; where it ends too soon, there is none.
pub fn encode_changes(samples: &[RefSample], before: &[Option<f64>], out: &mut Vec<u8>) {
    out.extend_from_slice(&[RecordType::Changes as u8, VERSION]);
    put_uvarint(out, samples.len() as u64);
    let base_t = samples.first().map_or(0, |sample| sample.t);
    put_varint(out, base_t);
    let mut series = 0u64;
    for sample in samples {
        put_varint(out, sample.series.wrapping_sub(series).cast_signed());
        series = sample.series;
    }
    for sample in samples {
        put_varint(out, sample.t.wrapping_sub(base_t));
    }
    let tags = out.len();
    out.resize(tags + samples.len(), 0);
    let before = before.iter().copied().chain(iter::repeat(None));
    for (i, (sample, before)) in samples.iter().zip(before).enumerate() {
        let (whole, before) = before.map_or((WHOLE, 0), |before| (0, before.to_bits()));
        let bits = sample.value.to_bits() ^ before;
        out[tags + i] = whole | put_trimmed(out, bits);
    }
}

/// Appends the bytes of `bits` between its first and its last that is not zero, the lowest first;
/// returns how many zero bytes are behind them, times 16, and how many they are.
#[inline]
fn put_trimmed(out: &mut Vec<u8>, bits: u64) -> u8 {
    if bits == 0 {
        return 0;
    }
    let behind = bits.trailing_zeros() / 8;
    let trimmed = bits >> (8 * behind);
    let len = 8 - trimmed.leading_zeros() / 8;
    out.extend_from_slice(&trimmed.to_le_bytes()[..len as usize]);
    (behind << 4 | len) as u8
}

/// The value of a tag's row without what it is relative to.
#[inline]
fn trimmed(tag: u8, cursor: &mut Cursor<'_>) -> Result<u64, Corruption> {
    let (behind, len) = ((tag & !WHOLE) >> 4, usize::from(tag & 0xf));
    if usize::from(behind) + len > 8 || (len == 0 && behind != 0) {
        return Err(cursor.corrupt("a tag of at most eight bytes"));
    }
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(cursor.take(len, "the bytes of a value")?);
    Ok(u64::from_le_bytes(bytes) << (8 * behind))
}

/// Reads records of changes, in the order in which they were written.
#[derive(Debug, Default)]
pub struct Changes {
    /// By series reference: the bits of its last value in this segment.
    last: HashMap<u64, u64>,
}

impl Changes {
    /// Forgets what the segment before had: nothing in this one is relative to it.
    pub fn begin_segment(&mut self) {
        self.last.clear();
    }

    /// Appends the samples of a record to `out`, but for those that are relative to a row which was
    /// not read; returns how many those are.
    ///
    /// # Errors
    /// [`Corruption`] with the offset in the record; `out` is then unchanged.
    pub fn decode(&mut self, record: &[u8], out: &mut Vec<RefSample>) -> Result<u64, Corruption> {
        let before = out.len();
        let result = Columns::of(record).and_then(|columns| {
            let mut lost = 0;
            columns.for_each(|row| match self.value(&row) {
                Some(value) => out.push(RefValue {
                    series: row.series,
                    t: row.t,
                    value,
                }),
                None => lost += 1,
            })?;
            Ok(lost)
        });
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    #[inline]
    fn value(&mut self, row: &Row) -> Option<f64> {
        let bits = match self.last.entry(row.series) {
            Entry::Occupied(mut last) => {
                let bits = if row.is_whole {
                    row.bits
                } else {
                    row.bits ^ last.get()
                };
                last.insert(bits);
                bits
            }
            Entry::Vacant(vacant) => {
                if !row.is_whole {
                    return None;
                }
                vacant.insert(row.bits);
                row.bits
            }
        };
        Some(f64::from_bits(bits))
    }
}

/// Tells a sound record from a damaged one.
///
/// # Errors
/// [`Corruption`] with the offset in the record.
pub fn check_changes(record: &[u8]) -> Result<(), Corruption> {
    Columns::of(record)?.for_each(|_| ())
}

/// A row before its value is known.
struct Row {
    series: u64,
    t: i64,
    is_whole: bool,
    bits: u64,
}

/// The columns of a record, each where it begins.
struct Columns<'a> {
    rows: usize,
    base_t: i64,
    series: Cursor<'a>,
    times: Cursor<'a>,
    tags: &'a [u8],
    bytes: Cursor<'a>,
}

impl<'a> Columns<'a> {
    fn of(record: &'a [u8]) -> Result<Self, Corruption> {
        let mut cursor = Cursor::new(record);
        if cursor.byte("a record type")? != RecordType::Changes as u8 {
            return Err(Corruption::new(0, "a record of changes"));
        }
        if cursor.byte("a version")? != VERSION {
            return Err(Corruption::new(1, "a version that is known"));
        }
        let rows = cursor.uvarint("a number of rows")?;
        let rows = usize::try_from(rows)
            .ok()
            .filter(|rows| *rows <= cursor.remaining() / ROW_BYTES_MIN)
            .ok_or_else(|| cursor.corrupt("as many rows as there are bytes for"))?;
        let base_t = cursor.varint("the first timestamp")?;
        let series = cursor.clone();
        skip_varints(&mut cursor, rows, "a series delta")?;
        let times = cursor.clone();
        skip_varints(&mut cursor, rows, "a timestamp delta")?;
        let tags = cursor.take(rows, "a tag for each row")?;
        Ok(Self {
            rows,
            base_t,
            series,
            times,
            tags,
            bytes: cursor,
        })
    }

    #[inline]
    fn for_each(mut self, mut f: impl FnMut(Row)) -> Result<(), Corruption> {
        let mut series = 0u64;
        for &tag in &self.tags[..self.rows] {
            series = series.wrapping_add_signed(self.series.varint("a series delta")?);
            let t = self
                .base_t
                .wrapping_add(self.times.varint("a timestamp delta")?);
            let bits = trimmed(tag, &mut self.bytes)?;
            f(Row {
                series,
                t,
                is_whole: tag & WHOLE != 0,
                bits,
            });
        }
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(self.bytes.corrupt("the end of the record"))
        }
    }
}

fn skip_varints(cursor: &mut Cursor<'_>, n: usize, what: &'static str) -> Result<(), Corruption> {
    for _ in 0..n {
        cursor.uvarint(what)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wal::record::Checker;

    /// Few series, and values that are often near the one before, or anything at all.
    fn any_rows() -> impl Strategy<Value = Vec<RefSample>> {
        let value = prop_oneof![
            4 => (0..1000i32).prop_map(f64::from),
            1 => any::<u64>().prop_map(f64::from_bits),
        ];
        let row = (
            prop_oneof![4 => 0..20u64, 1 => any::<u64>()],
            any::<i64>(),
            value,
        );
        let row = row.prop_map(|(series, t, value)| RefValue { series, t, value });
        prop::collection::vec(row, 0..50)
    }

    /// What a writer knows: the value before of each series.
    fn before(rows: &[RefSample], last: &mut HashMap<u64, f64>) -> Vec<Option<f64>> {
        rows.iter()
            .map(|row| last.insert(row.series, row.value))
            .collect()
    }

    fn bits(rows: &[RefSample]) -> Vec<(u64, i64, u64)> {
        rows.iter()
            .map(|row| (row.series, row.t, row.value.to_bits()))
            .collect()
    }

    fn encoded(rows: &[RefSample], before: &[Option<f64>]) -> Vec<u8> {
        let mut record = Vec::new();
        encode_changes(rows, before, &mut record);
        Checker::default().check(&record).unwrap();
        record
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(segment in prop::collection::vec(any_rows(), 1..5)) {
            let (mut last, mut changes) = (HashMap::new(), Changes::default());
            for rows in &segment {
                let mut found = Vec::new();
                let record = encoded(rows, &before(rows, &mut last));
                prop_assert_eq!(changes.decode(&record, &mut found).unwrap(), 0);
                prop_assert_eq!(bits(&found), bits(rows));
                let whole = encoded(rows, &[]);
                found.clear();
                prop_assert_eq!(Changes::default().decode(&whole, &mut found).unwrap(), 0);
                prop_assert_eq!(bits(&found), bits(rows));
            }
        }

        #[test]
        fn damage_is_an_error_or_other_rows(
            rows in any_rows(),
            at in any::<prop::sample::Index>(),
            byte: u8,
            cut in any::<prop::sample::Index>(),
        ) {
            let mut record = encoded(&rows, &[]);
            let at = at.index(record.len());
            record[at] = byte;
            record.truncate(cut.index(record.len()) + 1);
            let mut found = Vec::new();
            let decoded = Changes::default().decode(&record, &mut found);
            prop_assert_eq!(decoded.is_err(), check_changes(&record).is_err());
            if decoded.is_err() {
                prop_assert!(found.is_empty());
            }
        }
    }

    fn sample(series: u64, value: f64) -> RefSample {
        RefValue {
            series,
            t: 5,
            value,
        }
    }

    #[test]
    fn a_change_takes_the_bytes_that_differ() {
        let samples = [sample(1, 1.0), sample(2, 17.0), sample(3, 0.0)];
        let record = encoded(&samples, &[Some(1.0), Some(16.0), None]);
        // 17 is 0x4031.., 16 is 0x4030..; the row of 3 is whole, of no bytes.
        let expected = [80, 1, 3, 10, 2, 2, 2, 0, 0, 0, 0, 0x61, 0x80, 0x01];
        assert_eq!(record, expected);
        let mut changes = Changes::default();
        let mut found = Vec::new();
        assert_eq!(changes.decode(&record, &mut found).unwrap(), 2);
        assert_eq!(bits(&found), bits(&samples[2..]));
    }

    #[test]
    fn a_segment_knows_nothing_of_the_one_before() {
        let mut changes = Changes::default();
        let mut found = Vec::new();
        changes
            .decode(&encoded(&[sample(1, 1.0)], &[]), &mut found)
            .unwrap();
        let second = encoded(&[sample(1, 2.0)], &[Some(1.0)]);
        assert_eq!(changes.decode(&second, &mut found).unwrap(), 0);
        changes.begin_segment();
        assert_eq!(changes.decode(&second, &mut found).unwrap(), 1);
        assert_eq!(bits(&found), bits(&[sample(1, 1.0), sample(1, 2.0)]));
    }
}
