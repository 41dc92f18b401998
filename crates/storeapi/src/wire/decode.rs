//! Reading series.
//!
//! One pass over a message's bytes: labels go into one allocation for a series, chunks stay slices
//! of the message. Any bytes are taken; what is not a message is an error that says at which byte.
//! As protobuf demands, fields come in any order and unknown ones are skipped.

mod usual;

use bytes::Bytes;
use model::labels::MAX_STRING_LEN;
use model::{ErrorKind, Labels};
use tsdb::Chunk;
use tsdb::chunk::Encoding;

use crate::store::{Aggregates, ChunkData, Frame, Series, SeriesChunk, StoreError};

/// Bytes of a chunk with samples and its times, at least.
const CHUNK_BYTES_MIN: usize = 16;

/// Reads messages, keeping the memory that labels are put together in.
#[derive(Debug, Default)]
pub struct Decoder {
    /// A label set's encoding.
    labels: String,
    /// Chunks of the last series; the next tends to have as many.
    chunks: usize,
}

impl Decoder {
    /// What a `SeriesResponse` holds; nothing for hints, an empty batch, and results that this
    /// version does not know.
    ///
    /// # Errors
    /// When the bytes are no such message, or hold a chunk of a type that this version cannot read.
    pub fn decode(&mut self, message: &Bytes) -> Result<Option<Frame>, StoreError> {
        let mut series = Vec::new();
        let mut warning = None;
        let mut pairs = Vec::new();
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(body)) => {
                    series.push(self.series(message, body, &mut pairs)?);
                }
                (2, Value::Bytes(text)) => {
                    warning = Some(String::from_utf8_lossy(text.slice).into_owned());
                }
                (4, Value::Bytes(batch)) => {
                    let mut members = Fields::within(batch);
                    while let Some((number, value)) = members.next()? {
                        if let (1, Value::Bytes(body)) = (number, value) {
                            series.push(self.series(message, body, &mut pairs)?);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(match warning {
            Some(text) => Some(Frame::Warning(text)),
            None if series.is_empty() => None,
            None => Some(Frame::Series(series)),
        })
    }

    /// A `Series`. `pairs` is memory for its labels.
    fn series<'a>(
        &mut self,
        message: &'a Bytes,
        body: Slice<'a>,
        pairs: &mut Vec<(&'a str, &'a str)>,
    ) -> Result<Series, StoreError> {
        self.labels.clear();
        let begin = usual::labels(body.slice, &mut self.labels);
        // No chunk takes fewer bytes.
        let chunks_max = body.slice.len() / CHUNK_BYTES_MIN;
        let mut chunks = Vec::with_capacity(self.chunks.min(chunks_max));
        let mut fields = Fields::within(body.from(begin.unwrap_or(0)));
        let mut is_usual = begin.is_some();
        pairs.clear();
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(label)) if !is_usual => pairs.push(read_label(label)?),
                (1, Value::Bytes(_)) => {
                    // After something else; they are read anew, all of them.
                    is_usual = false;
                    chunks.clear();
                    fields = Fields::within(body);
                }
                (2, Value::Bytes(chunk)) => {
                    if let Some(chunk) = read_chunk(message, chunk)? {
                        chunks.push(chunk);
                    }
                }
                _ => {}
            }
        }
        self.chunks = chunks.len();
        let labels = match is_usual {
            true => Labels::from_encoded(&self.labels),
            false => self.labels(pairs),
        };
        Ok(Series { labels, chunks })
    }

    /// The label set of `pairs`.
    fn labels(&mut self, pairs: &[(&str, &str)]) -> Labels {
        let sorted = pairs.is_sorted_by(|a, b| a.0 < b.0);
        if !sorted || pairs.iter().any(|(_, value)| value.is_empty()) {
            return Labels::from_pairs(pairs.iter().copied());
        }
        self.labels.clear();
        Labels::encode_sorted(pairs.iter().copied(), &mut self.labels);
        Labels::from_encoded(&self.labels)
    }
}

/// A `Label`.
fn read_label(body: Slice<'_>) -> Result<(&str, &str), StoreError> {
    let (mut name, mut value) = ("", "");
    let mut fields = Fields::within(body);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Value::Bytes(text)) => name = text.label_text()?,
            (2, Value::Bytes(text)) => value = text.label_text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// An `AggrChunk`; nothing when it holds no chunk at all.
#[inline]
fn read_chunk(message: &Bytes, body: Slice<'_>) -> Result<Option<SeriesChunk>, StoreError> {
    match usual::chunk(body.slice) {
        Some(chunk) => {
            let start = body.start + chunk.data.start;
            Ok(Some(SeriesChunk {
                min_time: chunk.min_time,
                max_time: chunk.max_time,
                data: ChunkData::Raw(Chunk {
                    encoding: chunk.encoding,
                    data: message.slice(start..start + chunk.data.len()),
                }),
            }))
        }
        None => read_any_chunk(message, body),
    }
}

/// An `AggrChunk`, however it is written.
fn read_any_chunk(message: &Bytes, body: Slice<'_>) -> Result<Option<SeriesChunk>, StoreError> {
    let (mut min_time, mut max_time) = (0, 0);
    let mut raw = None;
    let mut aggregates = Aggregates::default();
    let mut fields = Fields::within(body);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Int(t)) => min_time = t.cast_signed(),
            (2, Value::Int(t)) => max_time = t.cast_signed(),
            (3, Value::Bytes(part)) => raw = Some(read_part(message, part)?),
            (4, Value::Bytes(part)) => aggregates.count = Some(read_part(message, part)?),
            (5, Value::Bytes(part)) => aggregates.sum = Some(read_part(message, part)?),
            (6, Value::Bytes(part)) => aggregates.min = Some(read_part(message, part)?),
            (7, Value::Bytes(part)) => aggregates.max = Some(read_part(message, part)?),
            (8, Value::Bytes(part)) => aggregates.counter = Some(read_part(message, part)?),
            _ => {}
        }
    }
    let data = match raw {
        Some(raw) => ChunkData::Raw(raw),
        None if aggregates == Aggregates::default() => return Ok(None),
        None => ChunkData::Aggregates(Box::new(aggregates)),
    };
    Ok(Some(SeriesChunk {
        min_time,
        max_time,
        data,
    }))
}

/// A `Chunk`. Its hash is not read: it is for those who compare chunks without their bytes.
fn read_part(message: &Bytes, body: Slice<'_>) -> Result<Chunk, StoreError> {
    let mut chunk_type = 0;
    let mut data = Bytes::new();
    let mut fields = Fields::within(body);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Int(number)) => chunk_type = number,
            (2, Value::Bytes(bytes)) => data = message.slice(bytes.range()),
            _ => {}
        }
    }
    let encoding = match chunk_type {
        0 => Encoding::Xor,
        1 => Encoding::Histogram,
        2 => Encoding::FloatHistogram,
        other => {
            return Err(StoreError::new(
                ErrorKind::Invalid,
                format!(
                    "the peer sent a chunk of type {other}, which this version cannot read; \
                     turn off in the peer the feature that writes it"
                ),
            ));
        }
    };
    Ok(Chunk { encoding, data })
}

/// Some bytes of a message, and where in it they lie.
#[derive(Clone, Copy)]
struct Slice<'a> {
    slice: &'a [u8],
    start: usize,
}

impl<'a> Slice<'a> {
    /// What follows its first `count` bytes, which it has.
    fn from(self, count: usize) -> Self {
        Self {
            slice: &self.slice[count..],
            start: self.start + count,
        }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start..self.start + self.slice.len()
    }

    /// The text of a label's name or value.
    fn label_text(self) -> Result<&'a str, StoreError> {
        if self.slice.len() > MAX_STRING_LEN {
            return Err(damaged(self.start, "a label within the limit of 16 MiB"));
        }
        std::str::from_utf8(self.slice).map_err(|_| damaged(self.start, "a label in UTF-8"))
    }
}

/// A field's value, if it is of a kind that these messages use.
enum Value<'a> {
    Int(u64),
    Bytes(Slice<'a>),
    Other,
}

/// The fields of a message.
struct Fields<'a> {
    left: &'a [u8],
    /// Where `left` begins in the outermost message.
    at: usize,
}

impl<'a> Fields<'a> {
    fn of(message: &'a [u8]) -> Self {
        Self {
            left: message,
            at: 0,
        }
    }

    fn within(body: Slice<'a>) -> Self {
        Self {
            left: body.slice,
            at: body.start,
        }
    }

    /// The next field's number and value; nothing after the last.
    #[inline]
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, StoreError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Int(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| self.truncated())?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.skip(4)?,
            _ => return Err(damaged(self.at, "a field of a known wire type")),
        };
        Ok(Some((key >> 3, value)))
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<Slice<'a>, StoreError> {
        let (slice, left) = self
            .left
            .split_at_checked(len)
            .ok_or_else(|| self.truncated())?;
        let start = self.at;
        self.left = left;
        self.at += len;
        Ok(Slice { slice, start })
    }

    fn skip(&mut self, len: usize) -> Result<Value<'a>, StoreError> {
        self.take(len)?;
        Ok(Value::Other)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, StoreError> {
        match self.left {
            // Keys, and the lengths of nearly all labels.
            [byte, left @ ..] if *byte < 0x80 => {
                self.left = left;
                self.at += 1;
                Ok(u64::from(*byte))
            }
            // Those of most chunks.
            [low, high, left @ ..] if *high < 0x80 => {
                self.left = left;
                self.at += 2;
                Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, StoreError> {
        let mut value = 0;
        for (i, byte) in self.left.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.left = &self.left[i + 1..];
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.truncated())
    }

    #[cold]
    fn truncated(&self) -> StoreError {
        damaged(self.at, "a field that fits into the message")
    }
}

#[cold]
fn damaged(at: usize, expected: &str) -> StoreError {
    StoreError::new(
        ErrorKind::Corrupt,
        format!("expected {expected} at byte {at} of a series message"),
    )
}
