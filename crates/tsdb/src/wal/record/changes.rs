//! Float samples as changes: each value relative to the one before of the same series.
//!
//! A record of Prometheus' type 2 has eight bytes a value, which no compressor makes much smaller. Here
//! a row whose series had a row earlier in the same segment holds only what its value differs by from
//! that one. So a reader keeps the last value of each series, from the beginning of a segment
//! ([`Changes::begin_segment`]) to its end, and segments can be read on their own.
//!
//! `80 (1) | 2 (1) | rows uvarint | runs of { series - series of the row before } | runs of
//! { t - t of the row before } | is changed (1 bit)* | tag (1)* | bytes`, with a tag for each row that is
//! changed. The columns are apart because that makes them small once compressed: most series follow the
//! one before, most rows of a record are of one time ([`runs`]), and half of all values stay as they are.
//! What tags say is in [`change`].

mod change;
mod first_version;
mod runs;

use std::iter;

use self::change::Change;
use self::runs::Runs;
use super::{RecordType, RefSample, RefValue};
use crate::cursor::{Cursor, put_uvarint};
use crate::error::Corruption;
use crate::wal::references::References;

/// The second byte. No snappy block goes on with these, so that a record is never taken for one.
const VERSION: u8 = 2;
const VERSION_1: u8 = 1;
/// Rows of a record at most. A run of rows takes few bytes, so their number bounds no memory.
pub const CHANGES_MAX: usize = 1 << 20;

/// Appends a record of changes to `out`. `before` has, for each sample, the value of the row before of
/// the same series in the same segment, if there is one; where it ends too soon, there is none.
///
/// # Panics
/// For more than [`CHANGES_MAX`] samples, which no reader would take.
pub fn encode_changes(samples: &[RefSample], before: &[Option<f64>], out: &mut Vec<u8>) {
    assert!(samples.len() <= CHANGES_MAX, "a record of too many rows");
    out.extend_from_slice(&[RecordType::Changes as u8, VERSION]);
    put_uvarint(out, samples.len() as u64);
    let mut series = 0u64;
    let deltas = samples.iter().map(|sample| {
        let before = std::mem::replace(&mut series, sample.series);
        sample.series.wrapping_sub(before).cast_signed()
    });
    runs::put(out, deltas);
    let mut t = 0i64;
    let deltas = samples
        .iter()
        .map(|sample| sample.t.wrapping_sub(std::mem::replace(&mut t, sample.t)));
    runs::put(out, deltas);
    let is_changed = out.len();
    out.resize(is_changed + samples.len().div_ceil(8), 0);
    let mut bytes = Vec::with_capacity(samples.len());
    let before = before.iter().copied().chain(iter::repeat(None));
    for (i, (sample, before)) in samples.iter().zip(before).enumerate() {
        if let Some(tag) = Change::of(sample.value, before).put(&mut bytes) {
            out[is_changed + i / 8] |= 1 << (i % 8);
            out.push(tag);
        }
    }
    out.extend_from_slice(&bytes);
}

/// Reads records of changes, in the order in which they were written.
#[derive(Debug, Default)]
pub struct Changes {
    /// By series reference: the bits of its last value in this segment.
    last: References<u64>,
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
        let mut lost = 0;
        let result = for_each(record, |row| match self.value(&row) {
            Some(value) => out.push(RefValue {
                series: row.series,
                t: row.t,
                value,
            }),
            None => lost += 1,
        });
        if result.is_err() {
            out.truncate(before);
        }
        result.map(|()| lost)
    }

    #[inline]
    fn value(&mut self, row: &Row) -> Option<f64> {
        let bits = if let Some(last) = self.last.get_mut(row.series) {
            *last = row.change.apply(Some(*last))?;
            *last
        } else {
            let bits = row.change.apply(None)?;
            self.last.insert(row.series, bits);
            bits
        };
        Some(f64::from_bits(bits))
    }
}

/// Tells a sound record from a damaged one.
///
/// # Errors
/// [`Corruption`] with the offset in the record.
pub fn check_changes(record: &[u8]) -> Result<(), Corruption> {
    for_each(record, |_| ())
}

/// A row before its value is known.
struct Row {
    series: u64,
    t: i64,
    change: Change,
}

/// Hands every row of a record to `f`.
fn for_each(record: &[u8], f: impl FnMut(Row)) -> Result<(), Corruption> {
    let mut cursor = Cursor::new(record);
    if cursor.byte("a record type")? != RecordType::Changes as u8 {
        return Err(Corruption::new(0, "a record of changes"));
    }
    match cursor.byte("a version")? {
        VERSION_1 => first_version::for_each(cursor, f),
        VERSION => Columns::of(cursor)?.for_each(f),
        _ => Err(Corruption::new(1, "a version that is known")),
    }
}

/// The columns of a record, each where it begins.
struct Columns<'a> {
    rows: usize,
    series: Runs<'a>,
    times: Runs<'a>,
    is_changed: &'a [u8],
    tags: &'a [u8],
    bytes: Cursor<'a>,
}

impl<'a> Columns<'a> {
    fn of(mut cursor: Cursor<'a>) -> Result<Self, Corruption> {
        let rows = cursor.uvarint("a number of rows")?;
        let rows = (usize::try_from(rows).ok())
            .filter(|rows| *rows <= CHANGES_MAX)
            .ok_or_else(|| cursor.corrupt("at most as many rows as a record has"))?;
        let series = Runs::of(&mut cursor, rows, "a series delta")?;
        let times = Runs::of(&mut cursor, rows, "a timestamp delta")?;
        let is_changed = cursor.take(rows.div_ceil(8), "a bit for each row")?;
        if (is_changed.last()).is_some_and(|last| rows % 8 != 0 && last >> (rows % 8) != 0) {
            return Err(cursor.corrupt("zeros behind the bits of the last rows"));
        }
        let changed = is_changed.iter().map(|bits| bits.count_ones() as usize);
        let tags = cursor.take(changed.sum(), "a tag for each row that is changed")?;
        Ok(Self {
            rows,
            series,
            times,
            is_changed,
            tags,
            bytes: cursor,
        })
    }

    #[inline]
    fn for_each(mut self, mut f: impl FnMut(Row)) -> Result<(), Corruption> {
        let (mut series, mut t) = (0u64, 0i64);
        let mut tags = self.tags.iter();
        for i in 0..self.rows {
            series = series.wrapping_add_signed(self.series.next()?);
            t = t.wrapping_add(self.times.next()?);
            let is_changed = self.is_changed[i / 8] >> (i % 8) & 1 == 1;
            // There is one for each bit that is set.
            let tag = if is_changed { tags.next() } else { None };
            let change = match tag {
                Some(&tag) => Change::take(tag, &mut self.bytes)?,
                None => Change::None,
            };
            f(Row { series, t, change });
        }
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(self.bytes.corrupt("the end of the record"))
        }
    }
}

#[cfg(test)]
mod tests;
