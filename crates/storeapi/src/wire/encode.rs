//! Writing series.
//!
//! A message is measured and then written once, straight into the buffer that goes to the socket,
//! which is made large enough before, so that a chunk's bytes are copied once.

use bytes::BufMut;
use model::{ErrorKind, Labels};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tsdb::Chunk;
use tsdb::chunk::{Encoding, SAMPLES_PER_CHUNK};
use twox_hash::XxHash64;

use crate::store::{Aggregates, ChunkData, Series, SeriesChunk, StoreError};

// Fields of SeriesResponse.
const SERIES: u32 = 1;
const WARNING: u32 = 2;
pub(super) const BATCH: u32 = 4;
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

/// A chunk that is to be written, from wherever its bytes lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChunkRef<'a> {
    /// Time of the first sample.
    pub min_time: i64,
    /// Time of the last sample, inside.
    pub max_time: i64,
    /// The samples.
    pub data: DataRef<'a>,
}

/// What a chunk that is to be written holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DataRef<'a> {
    /// Samples as they were: their encoding and its bytes.
    Raw(Encoding, &'a [u8]),
    /// Aggregates of samples.
    Aggregates(&'a Aggregates),
}

impl<'a> From<&'a SeriesChunk> for ChunkRef<'a> {
    fn from(chunk: &'a SeriesChunk) -> Self {
        Self {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            data: match &chunk.data {
                ChunkData::Raw(chunk) => DataRef::Raw(chunk.encoding, &chunk.data),
                ChunkData::Aggregates(aggregates) => DataRef::Aggregates(aggregates),
            },
        }
    }
}

impl ChunkRef<'_> {
    /// Bytes of what is encoded in it.
    pub fn bytes(&self) -> usize {
        match self.data {
            DataRef::Raw(_, data) => data.len(),
            DataRef::Aggregates(a) => aggregate_parts(a).map(|(_, part)| part.data.len()).sum(),
        }
    }

    /// Samples that are encoded in it; of damaged ones, which the asker will tell, the usual number.
    pub fn samples(&self) -> u64 {
        let count = match self.data {
            DataRef::Raw(encoding, data) => encoding.sample_count(data).ok(),
            DataRef::Aggregates(a) => aggregate_parts(a)
                .next()
                .and_then(|(_, part)| part.sample_count().ok()),
        };
        u64::from(count.unwrap_or(SAMPLES_PER_CHUNK))
    }
}

/// Writes messages, keeping the memory that measuring takes.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Lengths of series and of their parts that a length stands before, in order of writing.
    lengths: Vec<usize>,
    /// Hashes of chunks, in order of writing.
    hashes: Vec<u64>,
    /// The labels of a series, written.
    labels: Vec<u8>,
    /// Chunks are not hashed.
    without_hashes: bool,
}

impl Encoder {
    /// The same, leaving out the hashes of chunks when `without_hashes`: who needs one computes it.
    #[must_use]
    pub fn without_hashes(self, without_hashes: bool) -> Self {
        Self {
            without_hashes,
            ..self
        }
    }

    /// Appends a `SeriesResponse` to `out`.
    ///
    /// # Errors
    /// When a chunk is of an encoding that cannot go over the wire; nothing is written then.
    pub fn encode(&mut self, message: &Message, out: &mut impl BufMut) -> Result<(), StoreError> {
        self.measure(message)?;
        self.write(message, out);
        Ok(())
    }

    /// Bytes that [`Encoder::write`] will write of the same message.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn measure(&mut self, message: &Message) -> Result<usize, StoreError> {
        self.lengths.clear();
        self.hashes.clear();
        Ok(match message {
            Message::Series(series) => {
                let chunks = series.chunks.iter().map(ChunkRef::from);
                let labels = labels_len(&series.labels);
                delimited(SERIES, self.measure_series(labels, chunks)?)
            }
            Message::Batch(batch) => {
                let mut len = 0;
                let at = self.lengths.len();
                self.lengths.push(0);
                for series in batch {
                    let chunks = series.chunks.iter().map(ChunkRef::from);
                    let labels = labels_len(&series.labels);
                    let series = self.measure_series(labels, chunks)?;
                    len += delimited(BATCH_SERIES, series);
                }
                self.lengths[at] = len;
                delimited(BATCH, len)
            }
            Message::Warning(text) => bytes_len(WARNING, text.len()),
        })
    }

    /// Appends the message that was measured last.
    pub fn write(&mut self, message: &Message, out: &mut impl BufMut) {
        let mut pass = self.pass();
        match message {
            Message::Series(series) => {
                let chunks = series.chunks.iter().map(ChunkRef::from);
                pass.put_labels(&series.labels);
                pass.series(SERIES, chunks, out);
            }
            Message::Batch(batch) => {
                pass.open(BATCH);
                for series in batch {
                    let chunks = series.chunks.iter().map(ChunkRef::from);
                    pass.put_labels(&series.labels);
                    pass.series(BATCH_SERIES, chunks, out);
                }
            }
            Message::Warning(text) => put_bytes(WARNING, text.as_bytes(), out),
        }
        pass.head.flush(out);
    }

    /// Appends a series to `out` as a message's only field, or as one of a batch's, for which the
    /// key and the length of the batch are yet to be put in front.
    pub(super) fn append<'a>(
        &mut self,
        labels: &Labels,
        chunks: impl Iterator<Item = ChunkRef<'a>> + Clone,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.lengths.clear();
        self.hashes.clear();
        self.labels.clear();
        put_labels(labels, &mut self.labels);
        let len = self.measure_series(self.labels.len(), chunks.clone())?;
        out.reserve(delimited(SERIES, len));
        // A field of the same number in both.
        const { assert!(SERIES == BATCH_SERIES) };
        self.pass().series(SERIES, chunks, out);
        Ok(())
    }

    fn pass(&mut self) -> Pass<'_> {
        Pass {
            lengths: self.lengths.iter(),
            hashes: self.hashes.iter(),
            head: Head::default(),
            labels: &mut self.labels,
        }
    }

    /// Bytes of a `Series` whose labels take `len`.
    fn measure_series<'a>(
        &mut self,
        mut len: usize,
        chunks: impl Iterator<Item = ChunkRef<'a>>,
    ) -> Result<usize, StoreError> {
        let at = self.lengths.len();
        self.lengths.push(0);
        for chunk in chunks {
            len += delimited(CHUNKS, self.measure_chunk(chunk)?);
        }
        self.lengths[at] = len;
        Ok(len)
    }

    /// Bytes of an `AggrChunk`.
    fn measure_chunk(&mut self, chunk: ChunkRef<'_>) -> Result<usize, StoreError> {
        let at = self.lengths.len();
        self.lengths.push(0);
        let mut len = int_len(MIN_TIME, chunk.min_time) + int_len(MAX_TIME, chunk.max_time);
        match chunk.data {
            DataRef::Raw(encoding, data) => len += self.measure_part(RAW, encoding, data)?,
            DataRef::Aggregates(aggregates) => {
                for (field, part) in aggregate_parts(aggregates) {
                    len += self.measure_part(field, part.encoding, &part.data)?;
                }
            }
        }
        self.lengths[at] = len;
        Ok(len)
    }

    /// Bytes of a field that is a `Chunk`.
    fn measure_part(
        &mut self,
        field: u32,
        encoding: Encoding,
        data: &[u8],
    ) -> Result<usize, StoreError> {
        let hash = match self.without_hashes {
            true => 0,
            false => XxHash64::oneshot(0, data),
        };
        let len = int_len(TYPE, wire_type(encoding)?)
            + bytes_len(DATA, data.len())
            + int_len(HASH, hash.cast_signed());
        self.hashes.push(hash);
        self.lengths.push(len);
        Ok(delimited(field, len))
    }
}

/// The pass that writes what was measured.
struct Pass<'a> {
    lengths: std::slice::Iter<'a, usize>,
    hashes: std::slice::Iter<'a, u64>,
    /// What comes before the next bytes of a chunk.
    head: Head,
    /// The labels of a series, written.
    labels: &'a mut Vec<u8>,
}

impl Pass<'_> {
    fn open(&mut self, field: u32) {
        let len = self.lengths.next().expect("every part was measured");
        self.head.open(field, *len);
    }

    /// The labels of the next series.
    fn put_labels(&mut self, labels: &Labels) {
        self.labels.clear();
        put_labels(labels, self.labels);
    }

    /// A series, whose labels were put.
    fn series<'a>(
        &mut self,
        field: u32,
        chunks: impl Iterator<Item = ChunkRef<'a>>,
        out: &mut impl BufMut,
    ) {
        self.open(field);
        self.head.flush(out);
        out.put_slice(self.labels);
        for chunk in chunks {
            self.head.make_room(out);
            self.open(CHUNKS);
            self.head.int(MIN_TIME, chunk.min_time);
            self.head.int(MAX_TIME, chunk.max_time);
            match chunk.data {
                DataRef::Raw(encoding, data) => self.part(RAW, encoding, data, out),
                DataRef::Aggregates(aggregates) => {
                    for (field, part) in aggregate_parts(aggregates) {
                        self.head.make_room(out);
                        self.part(field, part.encoding, &part.data, out);
                    }
                }
            }
        }
        self.head.flush(out);
    }

    fn part(&mut self, field: u32, encoding: Encoding, data: &[u8], out: &mut impl BufMut) {
        self.open(field);
        let hash = *self.hashes.next().expect("every chunk was hashed");
        self.head.int(TYPE, i64::from(encoding.as_byte()) - 1);
        if !data.is_empty() {
            self.head.open(DATA, data.len());
            self.head.flush(out);
            out.put_slice(data);
        }
        self.head.int(HASH, hash.cast_signed());
    }
}

/// Most bytes of keys, lengths and numbers that are put together between two calls of
/// [`Head::make_room`]: nine fields of at most eleven bytes.
const HEAD_PIECE_MAX: usize = 9 * 11;

/// Bytes that are written at once, of which not all need be meant.
const WORD: usize = 8;

/// The small fields between the bytes of two chunks, put together before they are written: a buffer
/// takes one piece sooner than ten.
struct Head {
    bytes: [u8; 2 * HEAD_PIECE_MAX + WORD],
    len: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            bytes: [0; 2 * HEAD_PIECE_MAX + WORD],
            len: 0,
        }
    }
}

impl Head {
    /// A key of one byte and a varint.
    #[inline]
    fn field(&mut self, key: u8, value: u64) {
        let len = encoded_len_varint(value);
        if len < WORD {
            // All bytes of the varint but the last are marked.
            let marks = 0x0080_8080_8080_8080 & ((1 << (8 * (len - 1))) - 1);
            let word = (septets_apart(value) | marks) << 8 | u64::from(key);
            self.bytes[self.len..][..WORD].copy_from_slice(&word.to_le_bytes());
            self.len += 1 + len;
        } else {
            self.long_field(key, value);
        }
    }

    fn long_field(&mut self, key: u8, value: u64) {
        let mut room = &mut self.bytes[self.len..];
        let before = room.len();
        room.put_u8(key);
        encode_varint(value, &mut room);
        self.len += before - room.len();
    }

    /// The key of a field of `len` bytes, and the length.
    #[inline]
    fn open(&mut self, field: u32, len: usize) {
        self.field(key_of(field, WireType::LengthDelimited), len as u64);
    }

    /// An integer field; zero is left out.
    #[inline]
    fn int(&mut self, field: u32, value: i64) {
        if value != 0 {
            self.field(key_of(field, WireType::Varint), value.cast_unsigned());
        }
    }

    fn make_room(&mut self, out: &mut impl BufMut) {
        if self.len > HEAD_PIECE_MAX {
            self.flush(out);
        }
    }

    #[inline]
    fn flush(&mut self, out: &mut impl BufMut) {
        out.put_slice(&self.bytes[..self.len]);
        self.len = 0;
    }
}

/// A value below 2^49 with seven of its bits in each byte, the lowest bits in the lowest byte.
#[inline]
const fn septets_apart(value: u64) -> u64 {
    let value = value & 0x0fff_ffff | (value & 0x00ff_ffff_f000_0000) << 4;
    let value = value & 0x0000_3fff_0000_3fff | (value & 0x0fff_c000_0fff_c000) << 2;
    value & 0x007f_007f_007f_007f | (value & 0x3f80_3f80_3f80_3f80) << 1
}

/// The key of a field; all of these messages take one byte.
#[inline]
const fn key_of(field: u32, wire_type: WireType) -> u8 {
    (field << 3) as u8 | wire_type as u8
}

/// The chunks of aggregates with their fields.
fn aggregate_parts(a: &Aggregates) -> impl Iterator<Item = (u32, &Chunk)> {
    let all = [
        (COUNT, a.count.as_ref()),
        (SUM, a.sum.as_ref()),
        (MIN, a.min.as_ref()),
        (MAX, a.max.as_ref()),
        (COUNTER, a.counter.as_ref()),
    ];
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

fn put_labels(labels: &Labels, out: &mut Vec<u8>) {
    // Keys and lengths take about four bytes a label where the set itself has two.
    out.reserve(2 * labels.as_encoded().len());
    for (name, value) in labels {
        let len = label_len(name, value);
        if len < 0x80 && !name.is_empty() {
            // Every length takes one byte.
            let label = key_of(LABELS, WireType::LengthDelimited);
            let [of_name, of_value] = [NAME, VALUE].map(|f| key_of(f, WireType::LengthDelimited));
            out.extend_from_slice(&[label, len as u8, of_name, name.len() as u8]);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&[of_value, value.len() as u8]);
            out.extend_from_slice(value.as_bytes());
        } else {
            encode_key(LABELS, WireType::LengthDelimited, out);
            encode_varint(len as u64, out);
            put_bytes(NAME, name.as_bytes(), out);
            put_bytes(VALUE, value.as_bytes(), out);
        }
    }
}

/// Bytes of the labels of a series.
fn labels_len(labels: &Labels) -> usize {
    let labels = labels.iter();
    let lens = labels.map(|(name, value)| delimited(LABELS, label_len(name, value)));
    lens.sum()
}

#[inline]
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
