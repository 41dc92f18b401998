//! Chunks: runs of samples of one series, encoded to Prometheus' bytes.
//!
//! A [`Chunk`] is an encoding and a payload; length and checksum belong to the file around it (see
//! `docs/format/chunks.md`). Timestamps inside a chunk ascend. Every decoder here takes any bytes:
//! it never panics and never allocates more than the payload's size can justify.

mod bits;
pub mod xor;

use bytes::Bytes;

use crate::error::{Error, Result};

/// How a chunk's payload is encoded. The discriminant is the byte that files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// No samples; never written.
    None = 0,
    /// Floats: delta-of-delta timestamps, XORed values.
    Xor = 1,
    /// Native histograms with integer counts.
    Histogram = 2,
    /// Native histograms with float counts.
    FloatHistogram = 3,
    /// Prometheus' second float encoding; recognised, not read.
    Xor2 = 4,
    /// Histograms with start timestamps; recognised, not read.
    HistogramSt = 5,
    /// Float histograms with start timestamps; recognised, not read.
    FloatHistogramSt = 6,
    /// Thanos' downsampled chunk: up to five inner chunks.
    Aggregate = 0xff,
}

impl Encoding {
    /// The encoding that a file's byte stands for; nothing for bytes that no known version writes.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::None,
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramSt,
            6 => Self::FloatHistogramSt,
            0xff => Self::Aggregate,
            _ => return None,
        })
    }

    /// The byte that files hold.
    pub const fn as_byte(self) -> u8 {
        self as u8
    }

    /// Refuses encodings that this version cannot decode, with what the user can do about it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for the encodings 4 to 6, [`Error::Invalid`] for 0.
    pub fn check_readable(self) -> Result<()> {
        match self {
            Self::Xor | Self::Histogram | Self::FloatHistogram | Self::Aggregate => Ok(()),
            Self::None => Err(Error::Invalid("a chunk without an encoding".to_owned())),
            Self::Xor2 => Err(Error::Unsupported {
                what: "chunk encoding 4 (XOR2)".to_owned(),
                advice: "set storage.tsdb.chunk_encoding.floats to xor in Prometheus; \
                         blocks that it compacts from then on can be read",
            }),
            Self::HistogramSt | Self::FloatHistogramSt => Err(Error::Unsupported {
                what: format!(
                    "chunk encoding {} (histograms with start timestamps)",
                    self.as_byte()
                ),
                advice: "disable the feature histograms-st-encoding in Prometheus; \
                         blocks that it compacts from then on can be read",
            }),
        }
    }
}

/// Encoded samples of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// How `data` is encoded.
    pub encoding: Encoding,
    /// The payload: what lies between the encoding byte and the checksum.
    pub data: Bytes,
}

/// Where a chunk lies and which time it covers, as an index lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of the first sample.
    pub min_time: i64,
    /// Time of the last sample; it is inside.
    pub max_time: i64,
    /// In a block: the segment's number from 0 in the upper 32 bits, the offset in the lower.
    pub reference: u64,
}
