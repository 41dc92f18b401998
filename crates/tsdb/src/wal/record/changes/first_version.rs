//! Version 1 of records of changes, which is read but no longer written: a delta of series and time
//! for every row, a tag for every row, and XORed bits only.

use super::Row;
use super::change::Change;
use crate::cursor::Cursor;
use crate::error::Corruption;

/// Set in the tag of a row that holds its value whole.
const WHOLE: u8 = 0x80;
/// Fewest bytes that a row takes: two deltas and a tag.
const ROW_BYTES_MIN: usize = 3;

/// Hands every row of a record to `f`; `cursor` is behind the version.
pub(super) fn for_each(mut cursor: Cursor<'_>, mut f: impl FnMut(Row)) -> Result<(), Corruption> {
    let rows = cursor.count(ROW_BYTES_MIN, "as many rows as there are bytes for")?;
    let base_t = cursor.varint("the first timestamp")?;
    let mut references = cursor.clone();
    skip_varints(&mut cursor, rows, "a series delta")?;
    let mut times = cursor.clone();
    skip_varints(&mut cursor, rows, "a timestamp delta")?;
    let tags = cursor.take(rows, "a tag for each row")?;
    let mut series = 0u64;
    for &tag in tags {
        series = series.wrapping_add_signed(references.varint("a series delta")?);
        let t = base_t.wrapping_add(times.varint("a timestamp delta")?);
        let bits = bits(tag, &mut cursor)?;
        let change = if tag & WHOLE == 0 {
            Change::Bits(bits)
        } else {
            Change::Whole(bits)
        };
        f(Row { series, t, change });
    }
    if cursor.is_empty() {
        Ok(())
    } else {
        Err(cursor.corrupt("the end of the record"))
    }
}

/// The bits of a tag's row.
fn bits(tag: u8, cursor: &mut Cursor<'_>) -> Result<u64, Corruption> {
    let (behind, len) = ((tag & !WHOLE) >> 4, usize::from(tag & 0xf));
    if usize::from(behind) + len > 8 || (len == 0 && behind != 0) {
        return Err(cursor.corrupt("a tag of at most eight bytes"));
    }
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(cursor.take(len, "the bytes of a value")?);
    Ok(u64::from_le_bytes(bytes) << (8 * behind))
}

fn skip_varints(cursor: &mut Cursor<'_>, n: usize, what: &'static str) -> Result<(), Corruption> {
    for _ in 0..n {
        cursor.uvarint(what)?;
    }
    Ok(())
}
