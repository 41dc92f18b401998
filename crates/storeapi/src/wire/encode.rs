//! Writing series.
//!
//! A series is written in one pass, straight into the buffer that goes to the socket, so that a
//! chunk's bytes are copied once. The lengths of chunks follow from those of their bytes. How many bytes the
//! length of a series will take is guessed; where that was wrong, by one as a rule, the series is moved.

use std::ops::Range;

use bytes::BufMut;
use model::{ErrorKind, Labels};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tsdb::Chunk;
use tsdb::chunk::{Encoding, SAMPLES_PER_CHUNK};
use twox_hash::XxHash64;

use crate::store::{Aggregates, ChunkData, SeriesChunk, StoreError};

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

/// Appends a warning to `out`, all of a message.
pub(super) fn put_warning(text: &str, out: &mut Vec<u8>) {
    put_bytes(WARNING, text.as_bytes(), out);
}

/// Writes series.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// Chunks are not hashed: who needs a hash computes it.
    pub(super) without_hashes: bool,
    head: Head,
}

impl Encoder {
    /// Appends a series to `out` as a message's only field, or as one of a batch's, for which the
    /// key and the length of the batch are yet to be put in front.
    ///
    /// # Errors
    /// When a chunk is of an encoding that cannot go over the wire; nothing is written then.
    pub(super) fn append(
        &mut self,
        labels: &Labels,
        chunks: &[ChunkRef<'_>],
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        // A field of the same number in both.
        const { assert!(SERIES == BATCH_SERIES) };
        let start = out.len();
        let data: usize = chunks.iter().map(ChunkRef::bytes).sum();
        let guess = 2 * labels.as_encoded().len() + chunks.len() * CHUNK_HEAD_GUESS + data;
        out.reserve(guess + SERIES_HEAD_MAX);
        out.push(key_of(SERIES, WireType::LengthDelimited));
        let room = out.len()..out.len() + encoded_len_varint(guess as u64);
        out.resize(room.end, 0);
        put_labels(labels, out);
        for chunk in chunks {
            if let Err(error) = self.chunk(chunk, out) {
                self.head.clear();
                out.truncate(start);
                return Err(error);
            }
        }
        self.head.flush(out);
        fill_in_length(out, room);
        Ok(())
    }

    /// A chunk, of which what follows on the last bytes of samples stays in the head.
    fn chunk(&mut self, chunk: &ChunkRef<'_>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let times = int_len(MIN_TIME, chunk.min_time) + int_len(MAX_TIME, chunk.max_time);
        match chunk.data {
            DataRef::Raw(encoding, data) => {
                let part = self.part(RAW, encoding, data)?;
                self.head.make_room(out);
                self.open_chunk(times + part.delimited_len(), chunk);
                self.put_part(&part, out);
            }
            DataRef::Aggregates(aggregates) => {
                let parts: Result<Vec<_>, _> = aggregate_parts(aggregates)
                    .map(|(field, part)| self.part(field, part.encoding, &part.data))
                    .collect();
                let parts = parts?;
                let len: usize = parts.iter().map(Part::delimited_len).sum();
                self.head.make_room(out);
                self.open_chunk(times + len, chunk);
                for part in &parts {
                    self.head.make_room(out);
                    self.put_part(part, out);
                }
            }
        }
        Ok(())
    }

    /// A field that is a `Chunk`, ready to be written.
    fn part<'a>(
        &self,
        field: u32,
        encoding: Encoding,
        data: &'a [u8],
    ) -> Result<Part<'a>, StoreError> {
        let wire_type = wire_type(encoding)?;
        let hash = match self.without_hashes {
            true => 0,
            false => XxHash64::oneshot(0, data).cast_signed(),
        };
        let len = int_len(TYPE, wire_type) + bytes_len(DATA, data.len()) + int_len(HASH, hash);
        Ok(Part {
            field,
            wire_type,
            data,
            hash,
            len,
        })
    }

    fn open_chunk(&mut self, len: usize, chunk: &ChunkRef<'_>) {
        self.head.open(CHUNKS, len);
        self.head.int(MIN_TIME, chunk.min_time);
        self.head.int(MAX_TIME, chunk.max_time);
    }

    fn put_part(&mut self, part: &Part<'_>, out: &mut Vec<u8>) {
        self.head.open(part.field, part.len);
        self.head.int(TYPE, part.wire_type);
        if !part.data.is_empty() {
            self.head.open(DATA, part.data.len());
            self.head.flush(out);
            out.extend_from_slice(part.data);
        }
        self.head.int(HASH, part.hash);
    }
}

/// A `Chunk` that is to be written.
struct Part<'a> {
    /// Its field in an `AggrChunk`.
    field: u32,
    wire_type: i64,
    data: &'a [u8],
    /// 0 for none.
    hash: i64,
    /// Bytes of the `Chunk`.
    len: usize,
}

impl Part<'_> {
    /// Bytes of the field.
    fn delimited_len(&self) -> usize {
        delimited(self.field, self.len)
    }
}

/// What a chunk probably has beside its samples: keys, lengths, and times.
const CHUNK_HEAD_GUESS: usize = 24;

/// The key of a series, and its length.
const SERIES_HEAD_MAX: usize = 1 + 10;

/// Writes the length of what is behind `room` to it, and closes the gap, or makes more room, where
/// the length does not take what was guessed.
fn fill_in_length(out: &mut Vec<u8>, room: Range<usize>) {
    let len = out.len() - room.end;
    let need = encoded_len_varint(len as u64);
    let body = room.start + need;
    if body > room.end {
        out.resize(body + len, 0);
    }
    if body != room.end {
        out.copy_within(room.end..room.end + len, body);
        out.truncate(body + len);
    }
    let mut length = &mut out[room.start..body];
    encode_varint(len as u64, &mut length);
}

/// Most bytes of keys, lengths and numbers that are put together between two calls of
/// [`Head::make_room`]: nine fields of at most eleven bytes.
const HEAD_PIECE_MAX: usize = 9 * 11;

/// Bytes that are written at once, of which not all need be meant.
const WORD: usize = 8;

/// The small fields between the bytes of two chunks, put together before they are written: a buffer
/// takes one piece sooner than ten.
#[derive(Debug)]
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

    fn make_room(&mut self, out: &mut Vec<u8>) {
        if self.len > HEAD_PIECE_MAX {
            self.flush(out);
        }
    }

    #[inline]
    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.len]);
        self.len = 0;
    }

    const fn clear(&mut self) {
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
    let start = out.len();
    if put_short_labels(labels.as_encoded().as_bytes(), out).is_some() {
        return;
    }
    out.truncate(start);
    for (name, value) in labels {
        encode_key(LABELS, WireType::LengthDelimited, out);
        encode_varint(label_len(name, value) as u64, out);
        put_bytes(NAME, name.as_bytes(), out);
        put_bytes(VALUE, value.as_bytes(), out);
    }
}

/// Bytes of a label's head: its key and length, and the key of its name.
const LABEL_HEAD: usize = 3;

/// Appends the label set `encoded` if each length takes one byte on the wire, as it does in the set then:
/// strings are copied with their lengths.
fn put_short_labels(encoded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let [label, of_name, of_value] =
        [LABELS, NAME, VALUE].map(|field| key_of(field, WireType::LengthDelimited));
    let mut end = out.len();
    // A label takes six bytes beside its strings, of which none is empty, and two in the set.
    out.resize(end + 2 * encoded.len(), 0);
    let mut left = encoded;
    while let [name_len, ..] = left {
        let (name, rest) = left.split_at_checked(1 + usize::from(*name_len))?;
        let (value, rest) = rest.split_at_checked(1 + usize::from(*rest.first()?))?;
        let len = 2 + name.len() + value.len();
        if len >= 0x80 || name.len() == 1 {
            return None;
        }
        let room = out.get_mut(end..end + 2 + len)?;
        let (head, room) = room.split_first_chunk_mut::<LABEL_HEAD>()?;
        *head = [label, len as u8, of_name];
        let (of_this, room) = room.split_at_mut_checked(name.len())?;
        of_this.copy_from_slice(name);
        let (key, room) = room.split_first_mut()?;
        *key = of_value;
        room.copy_from_slice(value);
        end += 2 + len;
        left = rest;
    }
    out.truncate(end);
    Some(())
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

fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        encode_key(field, WireType::LengthDelimited, out);
        encode_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
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
