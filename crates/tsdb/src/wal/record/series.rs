//! Records about series: labels, tombstones, exemplars, markers, metadata.

use model::Labels;
use model::labels::MAX_STRING_LEN;

use super::{MmapMarker, RecordType, RefExemplar, RefMetadata, RefSeries, RefTombstone};
use crate::cursor::{Cursor, put_uvarint, put_uvarint_str, put_varint};
use crate::error::Corruption;

const UNIT: &str = "UNIT";
const HELP: &str = "HELP";

/// A cursor behind the type byte of a record of `record_type`.
fn body<'a>(
    record: &'a [u8],
    record_type: RecordType,
    expected: &'static str,
) -> Result<Cursor<'a>, Corruption> {
    let mut cursor = Cursor::new(record);
    if RecordType::of(record) != Some(record_type) {
        return Err(cursor.corrupt(expected));
    }
    cursor.byte(expected)?;
    Ok(cursor)
}

/// Runs `decode` until the cursor is at its end; on error `out` is left as it was.
fn decode_all<'a, T>(
    mut cursor: Cursor<'a>,
    out: &mut Vec<T>,
    mut decode: impl FnMut(&mut Cursor<'a>) -> Result<T, Corruption>,
) -> Result<(), Corruption> {
    let before = out.len();
    while !cursor.is_empty() {
        match decode(&mut cursor) {
            Ok(item) => out.push(item),
            Err(e) => {
                out.truncate(before);
                return Err(e);
            }
        }
    }
    Ok(())
}

fn label_str<'a>(cursor: &mut Cursor<'a>, expected: &'static str) -> Result<&'a str, Corruption> {
    let at = cursor.pos();
    let s = cursor.uvarint_str(expected)?;
    if s.len() > MAX_STRING_LEN {
        return Err(Corruption::new(at, "a label string below 16 MiB"));
    }
    Ok(s)
}

/// A label set; `pairs` is scratch space.
fn decode_labels<'a>(
    cursor: &mut Cursor<'a>,
    pairs: &mut Vec<(&'a str, &'a str)>,
) -> Result<Labels, Corruption> {
    let count = cursor.count(2, "a number of labels")?;
    pairs.clear();
    let mut is_sorted = true;
    for _ in 0..count {
        let name = label_str(cursor, "a label name")?;
        let value = label_str(cursor, "a label value")?;
        is_sorted &= !value.is_empty() && pairs.last().is_none_or(|(last, _)| *last < name);
        pairs.push((name, value));
    }
    Ok(if is_sorted {
        Labels::from_sorted(pairs.iter().copied())
    } else {
        Labels::from_pairs(pairs.iter().copied())
    })
}

fn encode_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_uvarint(out, labels.len() as u64);
    for (name, value) in labels {
        put_uvarint_str(out, name);
        put_uvarint_str(out, value);
    }
}

/// Appends the series of a record of type 1 to `out`.
///
/// # Errors
/// [`Corruption`] with the offset in the record; `out` is then unchanged.
pub fn decode_series(record: &[u8], out: &mut Vec<RefSeries>) -> Result<(), Corruption> {
    let cursor = body(record, RecordType::Series, "a record of series")?;
    let mut pairs = Vec::new();
    decode_all(cursor, out, |c| {
        let series = c.be64("a series reference")?;
        let labels = decode_labels(c, &mut pairs)?;
        Ok(RefSeries { series, labels })
    })
}

/// Appends a record of type 1 to `out`.
pub fn encode_series(series: &[RefSeries], out: &mut Vec<u8>) {
    out.push(RecordType::Series as u8);
    for s in series {
        put_series(s.series, &s.labels, out);
    }
}

/// Appends a series to a record of type 1, whose type byte is there.
pub fn put_series(reference: u64, labels: &Labels, out: &mut Vec<u8>) {
    out.extend_from_slice(&reference.to_be_bytes());
    encode_labels(out, labels);
}

/// Appends the tombstones of a record of type 3 to `out`.
///
/// # Errors
/// [`Corruption`] with the offset in the record; `out` is then unchanged.
pub fn decode_tombstones(record: &[u8], out: &mut Vec<RefTombstone>) -> Result<(), Corruption> {
    let cursor = body(record, RecordType::Tombstones, "a record of tombstones")?;
    decode_all(cursor, out, |c| {
        Ok(RefTombstone {
            series: c.be64("a series reference")?,
            min: c.varint("the first deleted millisecond")?,
            max: c.varint("the last deleted millisecond")?,
        })
    })
}

/// Appends a record of type 3 to `out`.
pub fn encode_tombstones(tombstones: &[RefTombstone], out: &mut Vec<u8>) {
    out.push(RecordType::Tombstones as u8);
    for stone in tombstones {
        out.extend_from_slice(&stone.series.to_be_bytes());
        put_varint(out, stone.min);
        put_varint(out, stone.max);
    }
}

/// Appends the exemplars of a record of type 4 to `out`.
///
/// # Errors
/// [`Corruption`] with the offset in the record; `out` is then unchanged.
pub fn decode_exemplars(record: &[u8], out: &mut Vec<RefExemplar>) -> Result<(), Corruption> {
    let mut cursor = body(record, RecordType::Exemplars, "a record of exemplars")?;
    if cursor.is_empty() {
        return Ok(());
    }
    let base_series = cursor.be64("the first series reference")?;
    let base_t = cursor.be64("the first timestamp")?.cast_signed();
    let mut pairs = Vec::new();
    decode_all(cursor, out, |c| {
        Ok(RefExemplar {
            series: base_series.wrapping_add_signed(c.varint("a series delta")?),
            t: base_t.wrapping_add(c.varint("a timestamp delta")?),
            value: c.be_f64("an exemplar value")?,
            labels: decode_labels(c, &mut pairs)?,
        })
    })
}

/// Appends a record of type 4 to `out`.
pub fn encode_exemplars(exemplars: &[RefExemplar], out: &mut Vec<u8>) {
    out.push(RecordType::Exemplars as u8);
    let Some(first) = exemplars.first() else {
        return;
    };
    out.extend_from_slice(&first.series.to_be_bytes());
    out.extend_from_slice(&first.t.to_be_bytes());
    for e in exemplars {
        put_varint(out, e.series.wrapping_sub(first.series).cast_signed());
        put_varint(out, e.t.wrapping_sub(first.t));
        out.extend_from_slice(&e.value.to_bits().to_be_bytes());
        encode_labels(out, &e.labels);
    }
}

/// Appends the markers of a record of type 5 to `out`.
///
/// # Errors
/// [`Corruption`] with the offset in the record; `out` is then unchanged.
pub fn decode_markers(record: &[u8], out: &mut Vec<MmapMarker>) -> Result<(), Corruption> {
    let cursor = body(record, RecordType::MmapMarkers, "a record of chunk markers")?;
    decode_all(cursor, out, |c| {
        Ok(MmapMarker {
            series: c.be64("a series reference")?,
            chunk: c.be64("a head chunk reference")?,
        })
    })
}

/// Appends a record of type 5 to `out`.
pub fn encode_markers(markers: &[MmapMarker], out: &mut Vec<u8>) {
    out.push(RecordType::MmapMarkers as u8);
    for marker in markers {
        out.extend_from_slice(&marker.series.to_be_bytes());
        out.extend_from_slice(&marker.chunk.to_be_bytes());
    }
}

/// Appends the metadata of a record of type 6 to `out`; fields other than unit and help are
/// dropped.
///
/// # Errors
/// [`Corruption`] with the offset in the record; `out` is then unchanged.
pub fn decode_metadata(record: &[u8], out: &mut Vec<RefMetadata>) -> Result<(), Corruption> {
    let cursor = body(record, RecordType::Metadata, "a record of metadata")?;
    decode_all(cursor, out, |c| {
        let mut metadata = RefMetadata {
            series: c.uvarint("a series reference")?,
            metric_type: c.byte("a metric type")?,
            unit: String::new(),
            help: String::new(),
        };
        for _ in 0..c.count(2, "a number of metadata fields")? {
            let name = c.uvarint_str("a metadata field name")?;
            let value = c.uvarint_str("a metadata field value")?;
            match name {
                UNIT => value.clone_into(&mut metadata.unit),
                HELP => value.clone_into(&mut metadata.help),
                _ => {}
            }
        }
        Ok(metadata)
    })
}

/// Appends a record of type 6 to `out`.
pub fn encode_metadata(metadata: &[RefMetadata], out: &mut Vec<u8>) {
    out.push(RecordType::Metadata as u8);
    for m in metadata {
        put_uvarint(out, m.series);
        out.push(m.metric_type);
        put_uvarint(out, 2);
        put_uvarint_str(out, UNIT);
        put_uvarint_str(out, &m.unit);
        put_uvarint_str(out, HELP);
        put_uvarint_str(out, &m.help);
    }
}

/// The time before which a checkpoint dropped everything, of a record of type 14.
///
/// # Errors
/// [`Corruption`] with the offset in the record.
pub fn decode_min_valid_time(record: &[u8]) -> Result<i64, Corruption> {
    let mut cursor = body(
        record,
        RecordType::MinValidTime,
        "a record of the least valid time",
    )?;
    let t = cursor.be64("the least valid time")?.cast_signed();
    if !cursor.is_empty() {
        return Err(cursor.corrupt("the end of the record"));
    }
    Ok(t)
}
