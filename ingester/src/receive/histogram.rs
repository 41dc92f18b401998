//! Native histograms of both versions: the same message, to which 2.0 added a start time.

use std::ops::Range;

use model::histogram::schema::{EXPONENTIAL_SCHEMA_MAX, is_known_schema};
use model::{CounterResetHint, FloatHistogram, Histogram, Span};
use tsdb::batch::TimedHistogram;

use super::wire::{DecodeError, Fields, Value, zigzag};

/// What the message says, before it is known which kind of histogram it is.
#[derive(Default)]
struct Message {
    count: Count,
    zero_count: Count,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    negative: Side,
    positive: Side,
    hint: CounterResetHint,
    t: i64,
    custom_values: Vec<f64>,
    start: i64,
}

#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// A count that is an integer or a float; the last one sent counts.
#[derive(Clone, Copy)]
enum Count {
    Integer(u64),
    Float(f64),
}

impl Default for Count {
    fn default() -> Self {
        Self::Integer(0)
    }
}

impl Count {
    fn integer(self) -> u64 {
        match self {
            Self::Integer(count) => count,
            Self::Float(_) => 0,
        }
    }

    fn float(self) -> f64 {
        match self {
            Self::Integer(_) => 0.0,
            Self::Float(count) => count,
        }
    }
}

/// Decodes the histogram at `range`, and since when it counts, which 0 leaves open. Whether it contradicts itself is for the head to tell.
pub(super) fn decode(
    bytes: &[u8],
    range: Range<usize>,
) -> Result<(TimedHistogram, i64), DecodeError> {
    let mut fields = Fields::new(bytes, range);
    let mut m = Message::default();
    while let Some((field, value)) = fields.next_field()? {
        match field {
            1 => m.count = Count::Integer(fields.varint_of(&value)?),
            2 => m.count = Count::Float(fields.double_of(&value)?),
            3 => m.sum = fields.double_of(&value)?,
            4 => m.schema = sint32(fields.varint_of(&value)?),
            5 => m.zero_threshold = fields.double_of(&value)?,
            6 => m.zero_count = Count::Integer(fields.varint_of(&value)?),
            7 => m.zero_count = Count::Float(fields.double_of(&value)?),
            8 => m.negative.spans.push(span(bytes, fields.bytes_of(value)?)?),
            9 => sint64s(bytes, &fields, value, &mut m.negative.deltas)?,
            10 => doubles(bytes, &fields, value, &mut m.negative.counts)?,
            11 => m.positive.spans.push(span(bytes, fields.bytes_of(value)?)?),
            12 => sint64s(bytes, &fields, value, &mut m.positive.deltas)?,
            13 => doubles(bytes, &fields, value, &mut m.positive.counts)?,
            14 => m.hint = hint(fields.varint_of(&value)?),
            15 => m.t = fields.varint_of(&value)?.cast_signed(),
            16 => doubles(bytes, &fields, value, &mut m.custom_values)?,
            17 => m.start = fields.varint_of(&value)?.cast_signed(),
            _ => {}
        }
    }
    let start = m.start;
    Ok((m.finish(), start))
}

impl Message {
    /// The histogram, of the kind that its count is of.
    fn finish(self) -> TimedHistogram {
        let t = self.t;
        let reduce = self.schema > EXPONENTIAL_SCHEMA_MAX && is_known_schema(self.schema);
        if matches!(self.count, Count::Float(_)) {
            let mut histogram = self.float();
            if reduce {
                // One that cannot be reduced is refused by the head, for its schema.
                let _ = histogram.reduce_resolution(EXPONENTIAL_SCHEMA_MAX);
            }
            return TimedHistogram::Float(t, histogram);
        }
        let mut histogram = self.integer();
        if reduce {
            let _ = histogram.reduce_resolution(EXPONENTIAL_SCHEMA_MAX);
        }
        TimedHistogram::Integer(t, histogram)
    }

    fn integer(self) -> Histogram {
        Histogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.integer(),
            count: self.count.integer(),
            sum: self.sum,
            positive_spans: self.positive.spans,
            negative_spans: self.negative.spans,
            positive_buckets: self.positive.deltas,
            negative_buckets: self.negative.deltas,
            custom_values: self.custom_values,
        }
    }

    fn float(self) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.float(),
            count: self.count.float(),
            sum: self.sum,
            positive_spans: self.positive.spans,
            negative_spans: self.negative.spans,
            positive_buckets: self.positive.counts,
            negative_buckets: self.negative.counts,
            custom_values: self.custom_values,
        }
    }
}

/// A `sint32`: of a longer number, the low bits count.
fn sint32(number: u64) -> i32 {
    zigzag(number & 0xffff_ffff) as i32
}

fn hint(number: u64) -> CounterResetHint {
    match number {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn span(bytes: &[u8], range: Range<usize>) -> Result<Span, DecodeError> {
    let mut fields = Fields::new(bytes, range);
    let mut span = Span::default();
    while let Some((field, value)) = fields.next_field()? {
        match field {
            1 => span.offset = sint32(fields.varint_of(&value)?),
            2 => span.length = fields.varint_of(&value)? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// Numbers that are packed, or one of them. There are at most as many as bytes.
fn sint64s(
    bytes: &[u8],
    fields: &Fields<'_>,
    value: Value,
    out: &mut Vec<i64>,
) -> Result<(), DecodeError> {
    let Value::Bytes(range) = value else {
        out.push(zigzag(fields.varint_of(&value)?));
        return Ok(());
    };
    let mut packed = Fields::new(bytes, range);
    while !packed.is_at_end() {
        out.push(zigzag(packed.varint()?));
    }
    Ok(())
}

fn doubles(
    bytes: &[u8],
    fields: &Fields<'_>,
    value: Value,
    out: &mut Vec<f64>,
) -> Result<(), DecodeError> {
    let Value::Bytes(range) = value else {
        out.push(fields.double_of(&value)?);
        return Ok(());
    };
    let mut packed = Fields::new(bytes, range);
    while !packed.is_at_end() {
        out.push(f64::from_bits(packed.fixed64()?));
    }
    Ok(())
}
