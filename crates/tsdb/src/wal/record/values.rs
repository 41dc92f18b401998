//! Rows of values: the common frame of sample and histogram records, old and enhanced.

use super::{RecordType, RefSample, RefValue};
use crate::cursor::{Cursor, put_varint};
use crate::error::Corruption;

/// Says that a sample has no start timestamp.
const NO_START: u8 = 0;
/// Says that a sample's start timestamp is that of the sample before.
const SAME_START: u8 = 1;

/// Decodes the rows of a record whose first byte was read off `cursor` already. `decode` reads one
/// value, or `None` for one that is to be skipped. On error `out` is left as it was.
pub(super) fn decode_rows<V>(
    cursor: &mut Cursor<'_>,
    enhanced: bool,
    out: &mut Vec<RefValue<V>>,
    mut decode: impl FnMut(&mut Cursor<'_>) -> Result<Option<V>, Corruption>,
) -> Result<(), Corruption> {
    let before = out.len();
    let result = if enhanced {
        decode_enhanced_rows(cursor, out, &mut decode)
    } else {
        decode_plain_rows(cursor, out, &mut decode)
    };
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// `series be64, t be64`, then per row `series delta, t delta` to those and the value.
fn decode_plain_rows<V>(
    cursor: &mut Cursor<'_>,
    out: &mut Vec<RefValue<V>>,
    decode: &mut impl FnMut(&mut Cursor<'_>) -> Result<Option<V>, Corruption>,
) -> Result<(), Corruption> {
    if cursor.is_empty() {
        return Ok(());
    }
    let base_series = cursor.be64("the first series reference")?;
    let base_t = cursor.be64("the first timestamp")?.cast_signed();
    while !cursor.is_empty() {
        let series = base_series.wrapping_add_signed(cursor.varint("a series delta")?);
        let t = base_t.wrapping_add(cursor.varint("a timestamp delta")?);
        if let Some(value) = decode(cursor)? {
            out.push(RefValue { series, t, value });
        }
    }
    Ok(())
}

/// The first row whole as varints, `series, t, start`; then per row the series as the delta to the
/// row before, the time as the delta to the first row, and a start timestamp, which is dropped.
fn decode_enhanced_rows<V>(
    cursor: &mut Cursor<'_>,
    out: &mut Vec<RefValue<V>>,
    decode: &mut impl FnMut(&mut Cursor<'_>) -> Result<Option<V>, Corruption>,
) -> Result<(), Corruption> {
    if cursor.is_empty() {
        return Ok(());
    }
    let mut series = cursor.varint("the first series reference")?.cast_unsigned();
    let base_t = cursor.varint("the first timestamp")?;
    cursor.varint("the first start timestamp")?;
    if let Some(value) = decode(cursor)? {
        out.push(RefValue {
            series,
            t: base_t,
            value,
        });
    }
    while !cursor.is_empty() {
        series = series.wrapping_add_signed(cursor.varint("a series delta")?);
        let t = base_t.wrapping_add(cursor.varint("a timestamp delta")?);
        match cursor.byte("a start timestamp marker")? {
            NO_START | SAME_START => {}
            _ => {
                cursor.varint("a start timestamp")?;
            }
        }
        if let Some(value) = decode(cursor)? {
            out.push(RefValue { series, t, value });
        }
    }
    Ok(())
}

/// Appends a record of rows in the plain frame; deltas are to `base`.
pub(super) fn encode_rows<'a, V: 'a>(
    out: &mut Vec<u8>,
    record_type: RecordType,
    base: Option<(u64, i64)>,
    rows: impl IntoIterator<Item = &'a RefValue<V>>,
    mut encode: impl FnMut(&mut Vec<u8>, &V),
) {
    out.push(record_type as u8);
    let Some((base_series, base_t)) = base else {
        return;
    };
    out.extend_from_slice(&base_series.to_be_bytes());
    out.extend_from_slice(&base_t.to_be_bytes());
    for row in rows {
        put_varint(out, row.series.wrapping_sub(base_series).cast_signed());
        put_varint(out, row.t.wrapping_sub(base_t));
        encode(out, &row.value);
    }
}

/// Appends the samples of a record of type 2 or 11 to `out`.
///
/// # Errors
/// [`Corruption`] with the offset in the record; `out` is then unchanged.
pub fn decode_samples(record: &[u8], out: &mut Vec<RefSample>) -> Result<(), Corruption> {
    let mut cursor = Cursor::new(record);
    let enhanced = match RecordType::of(record) {
        Some(RecordType::Samples) => false,
        Some(RecordType::SamplesV2) => true,
        _ => return Err(cursor.corrupt("a record of samples")),
    };
    cursor.byte("a record type")?;
    // A row is two varints and a float: ten bytes or more.
    out.reserve(cursor.remaining() / 10);
    decode_rows(&mut cursor, enhanced, out, |c| {
        c.be_f64("a float value").map(Some)
    })
}

/// Appends a record of type 2 to `out`.
pub fn encode_samples(samples: &[RefSample], out: &mut Vec<u8>) {
    let base = samples.first().map(|s| (s.series, s.t));
    encode_rows(out, RecordType::Samples, base, samples, |out, v| {
        out.extend_from_slice(&v.to_bits().to_be_bytes());
    });
}
