//! Messages of series as a connection takes them: with gRPC's length in front, in one piece.
//!
//! A [`MessageWriter`] writes each series once, from where it lies to the message: stores whose series
//! lie in memory need not make a [`Series`](crate::Series) of each.

use bytes::Bytes;
use model::Labels;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::encode::{BATCH, ChunkRef, Encoder, put_warning};
use crate::store::StoreError;

/// Bytes after which a message ends. It stays in a processor's cache from one end of a pipe to the
/// other, and with the rest of the last series fits into a frame of HTTP/2 (256 KiB), so that its reader
/// need not put it together.
pub const MESSAGE_BYTES: usize = 192 << 10;

/// The same of an answer's first message, so that its reader can begin while the next is made, and
/// by how much each is longer than the last up to the above.
const FIRST_MESSAGE_BYTES: usize = 32 << 10;
const MESSAGE_GROWTH: usize = 4;

/// gRPC's head of a message: a byte that says whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// What a message may begin with: the prefix, and the batch's key and length.
const HEAD_BYTES: usize = PREFIX_BYTES + 1 + 5;

/// Memory that a message is written to at first, and room for the last series of a full one.
const ROOM_BYTES: usize = 16 << 10;

/// A message, ready to be sent, and what it counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The message with gRPC's head.
    pub bytes: Bytes,
    /// Series and parts of series in it.
    pub series: u64,
    /// Samples in them.
    pub samples: u64,
    /// Nothing comes after it, as far as is known.
    pub is_last: bool,
}

impl Written {
    /// A warning.
    pub fn warning(text: &str) -> Self {
        let mut out = vec![0; HEAD_BYTES];
        put_warning(text, &mut out);
        Self {
            bytes: finish(out, false),
            series: 0,
            samples: 0,
            is_last: false,
        }
    }
}

/// Puts messages of series together.
#[derive(Debug)]
pub struct MessageWriter {
    encoder: Encoder,
    /// Room for the head, and series.
    out: Vec<u8>,
    series: u64,
    samples: u64,
    /// Most series in a message; when 1, they are no batches.
    batch: usize,
    /// Bytes after which the message ends.
    full: usize,
    /// Bytes that it will probably have.
    expected: usize,
}

impl MessageWriter {
    /// A writer of messages of at most `batch` series.
    pub fn new(batch: usize) -> Self {
        Self {
            encoder: Encoder::default(),
            out: Vec::new(),
            series: 0,
            samples: 0,
            batch: batch.max(1),
            full: FIRST_MESSAGE_BYTES,
            expected: ROOM_BYTES,
        }
    }

    /// The same, leaving out the hashes of chunks when `without_hashes`.
    #[must_use]
    pub fn without_hashes(mut self, without_hashes: bool) -> Self {
        self.encoder.without_hashes = without_hashes;
        self
    }

    /// Adds a series, or a part of one; nothing when that fails.
    fn push(&mut self, labels: &Labels, chunks: &[ChunkRef<'_>]) -> Result<(), StoreError> {
        if self.out.is_empty() {
            self.out.reserve(self.expected);
            self.out.resize(HEAD_BYTES, 0);
        }
        self.encoder.append(labels, chunks, &mut self.out)?;
        self.series += 1;
        self.samples += chunks.iter().map(ChunkRef::samples).sum::<u64>();
        Ok(())
    }

    /// Adds a series, in parts where it has more chunks than a message should; full messages go to
    /// `out`.
    ///
    /// # Errors
    /// When a chunk is of an encoding that cannot go over the wire; parts before that are added.
    pub fn push_split(
        &mut self,
        labels: &Labels,
        chunks: &[ChunkRef<'_>],
        out: &mut impl Extend<Written>,
    ) -> Result<(), StoreError> {
        let mut left = chunks;
        loop {
            let mut bytes = 0;
            let fits = |chunk: &&ChunkRef<'_>| {
                let fits = bytes < MESSAGE_BYTES;
                bytes += chunk.bytes();
                fits
            };
            let (now, later) = left.split_at(left.iter().take_while(fits).count());
            self.push(labels, now)?;
            if self.is_full() {
                out.extend(self.take());
            }
            if later.is_empty() {
                return Ok(());
            }
            left = later;
        }
    }

    /// True when no more should be added.
    fn is_full(&self) -> bool {
        self.series >= self.batch as u64 || self.out.len() >= self.full
    }

    /// The message of what was added; nothing when that is nothing.
    pub fn take(&mut self) -> Option<Written> {
        if self.series == 0 {
            return None;
        }
        self.expected = self.out.len();
        if self.out.len() >= self.full {
            self.full = MESSAGE_BYTES.min(self.full * MESSAGE_GROWTH);
            self.expected = self.full + ROOM_BYTES;
        }
        Some(Written {
            bytes: finish(std::mem::take(&mut self.out), self.batch > 1),
            series: std::mem::take(&mut self.series),
            samples: std::mem::take(&mut self.samples),
            is_last: false,
        })
    }
}

/// Fills in the head of a message that follows on room for it.
fn finish(mut out: Vec<u8>, is_batch: bool) -> Bytes {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    if is_batch {
        encode_key(BATCH, WireType::LengthDelimited, &mut head);
        encode_varint((out.len() - HEAD_BYTES) as u64, &mut head);
    }
    let len = out.len() - HEAD_BYTES + head.len();
    let mut prefix = vec![0];
    // Messages have megabytes, not gigabytes: no chunk or label set is that large.
    prefix.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    let start = HEAD_BYTES - PREFIX_BYTES - head.len();
    out[start..start + PREFIX_BYTES].copy_from_slice(&prefix);
    out[start + PREFIX_BYTES..HEAD_BYTES].copy_from_slice(&head);
    Bytes::from(out).slice(start..)
}
