//! Histogram records: types 7 to 10, 12 and 13.

use model::histogram::CannotReduce;
use model::histogram::schema::{CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, is_known_schema};
use model::{CounterResetHint, FloatHistogram, Histogram, Span};

use super::values::{decode_rows, encode_rows};
use super::{RecordType, RefFloatHistogram, RefHistogram, RefValue};
use crate::cursor::{Cursor, put_uvarint, put_varint};
use crate::error::Corruption;

/// Brings a histogram's schema into the range that chunks hold. False for histograms of schemas
/// that nobody knows, which are skipped.
fn bring_down(
    schema: i32,
    reduce: impl FnOnce(i32) -> Result<(), CannotReduce>,
    at: usize,
) -> Result<bool, Corruption> {
    if schema > EXPONENTIAL_SCHEMA_MAX && is_known_schema(schema) {
        reduce(EXPONENTIAL_SCHEMA_MAX)
            .map_err(|e| Corruption::new(at, format!("buckets ({e})")))?;
    }
    Ok(is_known_schema(schema))
}

fn hint_from(byte: u8) -> CounterResetHint {
    match byte {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn decode_spans(cursor: &mut Cursor<'_>) -> Result<Vec<Span>, Corruption> {
    let count = cursor.count(2, "a number of spans")?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let at = cursor.pos();
        let offset = cursor.varint("a span offset")?;
        let length = cursor.uvarint("a span length")?;
        let (Ok(offset), Ok(length)) = (i32::try_from(offset), u32::try_from(length)) else {
            return Err(Corruption::new(at, "a span of 32-bit offset and length"));
        };
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

/// As many values as the spans have buckets; `min_size` is the least that one takes.
fn decode_buckets<T>(
    cursor: &mut Cursor<'_>,
    spans: &[Span],
    min_size: usize,
    mut decode: impl FnMut(&mut Cursor<'_>) -> Result<T, Corruption>,
) -> Result<Vec<T>, Corruption> {
    let at = cursor.pos();
    let count = cursor.count(min_size, "a number of buckets")?;
    let in_spans: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    if count as u64 != in_spans {
        let expected = format!("{in_spans} buckets as the spans say, found {count}");
        return Err(Corruption::new(at, expected));
    }
    (0..count).map(|_| decode(cursor)).collect()
}

fn decode_schema(cursor: &mut Cursor<'_>) -> Result<i32, Corruption> {
    let at = cursor.pos();
    let schema = cursor.varint("a histogram schema")?;
    i32::try_from(schema).map_err(|_| Corruption::new(at, "a histogram schema of 32 bits"))
}

fn decode_custom_values(cursor: &mut Cursor<'_>, schema: i32) -> Result<Vec<f64>, Corruption> {
    if schema != CUSTOM_BUCKETS_SCHEMA {
        return Ok(Vec::new());
    }
    let count = cursor.count(8, "a number of custom bucket bounds")?;
    (0..count)
        .map(|_| cursor.be_f64("a custom bucket bound"))
        .collect()
}

fn decode_histogram(cursor: &mut Cursor<'_>) -> Result<Option<Histogram>, Corruption> {
    let counter_reset_hint = hint_from(cursor.byte("a counter reset hint")?);
    let at = cursor.pos();
    let schema = decode_schema(cursor)?;
    let zero_threshold = cursor.be_f64("a zero threshold")?;
    let zero_count = cursor.uvarint("a zero count")?;
    let count = cursor.uvarint("a count")?;
    let sum = cursor.be_f64("a sum")?;
    let positive_spans = decode_spans(cursor)?;
    let negative_spans = decode_spans(cursor)?;
    let positive_buckets = decode_buckets(cursor, &positive_spans, 1, |c| c.varint("a bucket"))?;
    let negative_buckets = decode_buckets(cursor, &negative_spans, 1, |c| c.varint("a bucket"))?;
    let custom_values = decode_custom_values(cursor, schema)?;
    let mut histogram = Histogram {
        counter_reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values,
    };
    let is_known = bring_down(schema, |to| histogram.reduce_resolution(to), at)?;
    Ok(is_known.then_some(histogram))
}

fn decode_float_histogram(cursor: &mut Cursor<'_>) -> Result<Option<FloatHistogram>, Corruption> {
    let counter_reset_hint = hint_from(cursor.byte("a counter reset hint")?);
    let at = cursor.pos();
    let schema = decode_schema(cursor)?;
    let zero_threshold = cursor.be_f64("a zero threshold")?;
    let zero_count = cursor.be_f64("a zero count")?;
    let count = cursor.be_f64("a count")?;
    let sum = cursor.be_f64("a sum")?;
    let positive_spans = decode_spans(cursor)?;
    let negative_spans = decode_spans(cursor)?;
    let positive_buckets = decode_buckets(cursor, &positive_spans, 8, |c| c.be_f64("a bucket"))?;
    let negative_buckets = decode_buckets(cursor, &negative_spans, 8, |c| c.be_f64("a bucket"))?;
    let custom_values = decode_custom_values(cursor, schema)?;
    let mut histogram = FloatHistogram {
        counter_reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values,
    };
    let is_known = bring_down(schema, |to| histogram.reduce_resolution(to), at)?;
    Ok(is_known.then_some(histogram))
}

/// Appends the histograms of a record of type 7, 9 or 12 to `out`; those of schemas that this
/// version cannot store are left out.
///
/// # Errors
/// [`Corruption`] with the offset in the record; `out` is then unchanged.
pub fn decode_histograms(record: &[u8], out: &mut Vec<RefHistogram>) -> Result<(), Corruption> {
    let mut cursor = Cursor::new(record);
    let enhanced = match RecordType::of(record) {
        Some(RecordType::Histograms | RecordType::CustomHistograms) => false,
        Some(RecordType::HistogramsV2) => true,
        _ => return Err(cursor.corrupt("a record of histograms")),
    };
    cursor.byte("a record type")?;
    decode_rows(&mut cursor, enhanced, out, decode_histogram)
}

/// Appends the float histograms of a record of type 8, 10 or 13 to `out`; those of schemas that
/// this version cannot store are left out.
///
/// # Errors
/// [`Corruption`] with the offset in the record; `out` is then unchanged.
pub fn decode_float_histograms(
    record: &[u8],
    out: &mut Vec<RefFloatHistogram>,
) -> Result<(), Corruption> {
    let mut cursor = Cursor::new(record);
    let enhanced = match RecordType::of(record) {
        Some(RecordType::FloatHistograms | RecordType::CustomFloatHistograms) => false,
        Some(RecordType::FloatHistogramsV2) => true,
        _ => return Err(cursor.corrupt("a record of float histograms")),
    };
    cursor.byte("a record type")?;
    decode_rows(&mut cursor, enhanced, out, decode_float_histogram)
}

fn put_f64(out: &mut Vec<u8>, v: f64) {
    out.extend_from_slice(&v.to_bits().to_be_bytes());
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_uvarint(out, spans.len() as u64);
    for span in spans {
        put_varint(out, i64::from(span.offset));
        put_uvarint(out, u64::from(span.length));
    }
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_uvarint(out, values.len() as u64);
    for &v in values {
        put_f64(out, v);
    }
}

fn put_deltas(out: &mut Vec<u8>, deltas: &[i64]) {
    put_uvarint(out, deltas.len() as u64);
    for &d in deltas {
        put_varint(out, d);
    }
}

fn encode_histogram(out: &mut Vec<u8>, h: &Histogram) {
    out.push(h.counter_reset_hint as u8);
    put_varint(out, i64::from(h.schema));
    put_f64(out, h.zero_threshold);
    put_uvarint(out, h.zero_count);
    put_uvarint(out, h.count);
    put_f64(out, h.sum);
    put_spans(out, &h.positive_spans);
    put_spans(out, &h.negative_spans);
    put_deltas(out, &h.positive_buckets);
    put_deltas(out, &h.negative_buckets);
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        put_floats(out, &h.custom_values);
    }
}

fn encode_float_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    out.push(h.counter_reset_hint as u8);
    put_varint(out, i64::from(h.schema));
    put_f64(out, h.zero_threshold);
    put_f64(out, h.zero_count);
    put_f64(out, h.count);
    put_f64(out, h.sum);
    put_spans(out, &h.positive_spans);
    put_spans(out, &h.negative_spans);
    put_floats(out, &h.positive_buckets);
    put_floats(out, &h.negative_buckets);
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        put_floats(out, &h.custom_values);
    }
}

/// The records, of either kind, that hold some rows: those with custom buckets go into a record of
/// their own, which versions that do not know them skip.
fn encode_split<V>(
    rows: &[RefValue<V>],
    types: (RecordType, RecordType),
    has_custom_buckets: impl Fn(&V) -> bool,
    encode: impl Fn(&mut Vec<u8>, &V),
) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for (record_type, custom) in [(types.0, false), (types.1, true)] {
        let of_type = || {
            rows.iter()
                .filter(|r| has_custom_buckets(&r.value) == custom)
        };
        // The plain record counts from the first row of all, the other from its own first.
        let base = if custom {
            of_type().next()
        } else {
            rows.first()
        };
        if of_type().next().is_none() {
            continue;
        }
        let mut record = Vec::new();
        let base = base.map(|r| (r.series, r.t));
        encode_rows(&mut record, record_type, base, of_type(), &encode);
        records.push(record);
    }
    records
}

/// Records of types 7 and 9 that hold the histograms; none for none.
pub fn encode_histograms(histograms: &[RefHistogram]) -> Vec<Vec<u8>> {
    encode_split(
        histograms,
        (RecordType::Histograms, RecordType::CustomHistograms),
        |h| h.schema == CUSTOM_BUCKETS_SCHEMA,
        encode_histogram,
    )
}

/// Records of types 8 and 10 that hold the float histograms; none for none.
pub fn encode_float_histograms(histograms: &[RefFloatHistogram]) -> Vec<Vec<u8>> {
    encode_split(
        histograms,
        (
            RecordType::FloatHistograms,
            RecordType::CustomFloatHistograms,
        ),
        |h| h.schema == CUSTOM_BUCKETS_SCHEMA,
        encode_float_histogram,
    )
}
