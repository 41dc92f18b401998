//! Writing series.
//!
//! A message is measured and then written once, straight into the buffer that goes to the socket,
//! so that a chunk's bytes are copied once and a label's never before.

use bytes::BufMut;
use model::{ErrorKind, Labels};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tsdb::Chunk;
use tsdb::chunk::Encoding;
use twox_hash::XxHash64;

use crate::store::{ChunkData, Series, SeriesChunk, StoreError};

// Fields of SeriesResponse.
const SERIES: u32 = 1;
const WARNING: u32 = 2;
const BATCH: u32 = 4;
// Fields of Series, and of SeriesBatch the first.
const LABELS: u32 = 1;
const CHUNKS: u32 = 2;
const BATCH_SERIES: u32 = 1;
// Fields of Label.
const NAME: u32 = 1;
const VALUE: u32 = 2;
// Fields of AggrChunk; Thanos' order of aggregates.
const MIN_TIME: u32 = 1;
const MAX_TIME: u32 = 2;
const RAW: u32 = 3;
const COUNT: u32 = 4;
const SUM: u32 = 5;
const MIN: u32 = 6;
const MAX: u32 = 7;
const COUNTER: u32 = 8;
// Fields of Chunk.
const TYPE: u32 = 1;
const DATA: u32 = 2;
const HASH: u32 = 3;

/// A message of an answer to a request for series.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// One series; what every version of Thanos reads.
    Series(Series),
    /// Several series, for those who asked for batches.
    Batch(Vec<Series>),
    /// A warning.
    Warning(String),
}

/// Writes messages, keeping the memory that measuring takes.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Lengths of series and of their parts that a length stands before, in order of writing.
    lengths: Vec<usize>,
    /// Hashes of chunks, in order of writing.
    hashes: Vec<u64>,
}

impl Encoder {
    /// Appends a `SeriesResponse` to `out`.
    ///
    /// # Errors
    /// When a chunk is of an encoding that cannot go over the wire; nothing is written then.
    pub fn encode(&mut self, message: &Message, out: &mut impl BufMut) -> Result<(), StoreError> {
        self.lengths.clear();
        self.hashes.clear();
        match message {
            Message::Series(series) => {
                self.measure_series(series)?;
                self.pass().series(SERIES, series, out);
            }
            Message::Batch(batch) => {
                let mut len = 0;
                for series in batch {
                    len += delimited(BATCH_SERIES, self.measure_series(series)?);
                }
                encode_key(BATCH, WireType::LengthDelimited, out);
                encode_varint(len as u64, out);
                let mut pass = self.pass();
                for series in batch {
                    pass.series(BATCH_SERIES, series, out);
                }
            }
            Message::Warning(text) => put_bytes(WARNING, text.as_bytes(), out),
        }
        Ok(())
    }

    fn pass(&self) -> Pass<'_> {
        Pass {
            lengths: self.lengths.iter(),
            hashes: self.hashes.iter(),
        }
    }

    /// Bytes of a `Series`.
    fn measure_series(&mut self, series: &Series) -> Result<usize, StoreError> {
        let at = self.lengths.len();
        self.lengths.push(0);
        let mut len = 0;
        for (name, value) in &series.labels {
            len += delimited(LABELS, label_len(name, value));
        }
        for chunk in &series.chunks {
            len += delimited(CHUNKS, self.measure_chunk(chunk)?);
        }
        self.lengths[at] = len;
        Ok(len)
    }

    /// Bytes of an `AggrChunk`.
    fn measure_chunk(&mut self, chunk: &SeriesChunk) -> Result<usize, StoreError> {
        let at = self.lengths.len();
        self.lengths.push(0);
        let mut len = int_len(MIN_TIME, chunk.min_time) + int_len(MAX_TIME, chunk.max_time);
        for (field, part) in parts(&chunk.data) {
            let hash = XxHash64::oneshot(0, &part.data);
            let part_len = int_len(TYPE, wire_type(part.encoding)?)
                + bytes_len(DATA, part.data.len())
                + int_len(HASH, hash.cast_signed());
            self.hashes.push(hash);
            self.lengths.push(part_len);
            len += delimited(field, part_len);
        }
        self.lengths[at] = len;
        Ok(len)
    }
}

/// The pass that writes what was measured.
struct Pass<'a> {
    lengths: std::slice::Iter<'a, usize>,
    hashes: std::slice::Iter<'a, u64>,
}

impl Pass<'_> {
    fn open(&mut self, field: u32, out: &mut impl BufMut) {
        let len = self.lengths.next().expect("every part was measured");
        encode_key(field, WireType::LengthDelimited, out);
        encode_varint(*len as u64, out);
    }

    fn series(&mut self, field: u32, series: &Series, out: &mut impl BufMut) {
        self.open(field, out);
        put_labels(&series.labels, out);
        for chunk in &series.chunks {
            self.open(CHUNKS, out);
            put_int(MIN_TIME, chunk.min_time, out);
            put_int(MAX_TIME, chunk.max_time, out);
            for (field, part) in parts(&chunk.data) {
                self.open(field, out);
                let hash = *self.hashes.next().expect("every chunk was hashed");
                put_int(TYPE, i64::from(part.encoding.as_byte()) - 1, out);
                put_bytes(DATA, &part.data, out);
                put_int(HASH, hash.cast_signed(), out);
            }
        }
    }
}

/// The chunks of an `AggrChunk` with their fields.
fn parts(data: &ChunkData) -> impl Iterator<Item = (u32, &Chunk)> {
    let all = match data {
        ChunkData::Raw(chunk) => [
            (RAW, Some(chunk)),
            (COUNT, None),
            (SUM, None),
            (MIN, None),
            (MAX, None),
            (COUNTER, None),
        ],
        ChunkData::Aggregates(a) => [
            (RAW, None),
            (COUNT, a.count.as_ref()),
            (SUM, a.sum.as_ref()),
            (MIN, a.min.as_ref()),
            (MAX, a.max.as_ref()),
            (COUNTER, a.counter.as_ref()),
        ],
    };
    all.into_iter()
        .filter_map(|(field, chunk)| Some((field, chunk?)))
}

/// A chunk's type: what a file's encoding byte is, less one.
fn wire_type(encoding: Encoding) -> Result<i64, StoreError> {
    match encoding {
        Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram => {
            Ok(i64::from(encoding.as_byte()) - 1)
        }
        other => Err(StoreError::new(
            ErrorKind::Internal,
            format!(
                "a chunk of encoding {} has no place in the StoreAPI",
                other.as_byte()
            ),
        )),
    }
}

fn put_labels(labels: &Labels, out: &mut impl BufMut) {
    for (name, value) in labels {
        encode_key(LABELS, WireType::LengthDelimited, out);
        encode_varint(label_len(name, value) as u64, out);
        put_bytes(NAME, name.as_bytes(), out);
        put_bytes(VALUE, value.as_bytes(), out);
    }
}

fn label_len(name: &str, value: &str) -> usize {
    bytes_len(NAME, name.len()) + bytes_len(VALUE, value.len())
}

/// Bytes of a field that holds a message of `len` bytes; it is written even when empty.
const fn delimited(field: u32, len: usize) -> usize {
    key_len(field) + encoded_len_varint(len as u64) + len
}

/// Bytes of a field of `len` bytes; empty ones are left out.
const fn bytes_len(field: u32, len: usize) -> usize {
    if len == 0 { 0 } else { delimited(field, len) }
}

fn put_bytes(field: u32, bytes: &[u8], out: &mut impl BufMut) {
    if !bytes.is_empty() {
        encode_key(field, WireType::LengthDelimited, out);
        encode_varint(bytes.len() as u64, out);
        out.put_slice(bytes);
    }
}

/// Bytes of an integer field; zero is left out.
const fn int_len(field: u32, value: i64) -> usize {
    if value == 0 {
        0
    } else {
        key_len(field) + encoded_len_varint(value.cast_unsigned())
    }
}

fn put_int(field: u32, value: i64, out: &mut impl BufMut) {
    if value != 0 {
        encode_key(field, WireType::Varint, out);
        encode_varint(value.cast_unsigned(), out);
    }
}
