//! Chunks: runs of samples of one series, encoded to Prometheus' bytes.
//!
//! A [`Chunk`] is an encoding and a payload; length and checksum belong to the file around it (see
//! `docs/format/chunks.md`). Timestamps inside a chunk ascend. Every decoder here takes any bytes:
//! it never panics and never allocates more than the payload's size can justify.

mod bits;
mod varbit;
mod window;

pub mod aggregate;
pub mod histogram;
pub mod samples;
pub mod series;
pub mod xor;

pub use aggregate::Aggregate;
pub use samples::Samples;
pub use series::{SAMPLES_PER_CHUNK, SeriesEncoder, TimedChunk};

use bytes::Bytes;

use crate::error::{Corruption, Error, Result};

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

    /// Number of samples in a float or histogram payload.
    ///
    /// # Errors
    /// When the payload cannot hold that many, or is of another encoding.
    pub fn sample_count(self, data: &[u8]) -> Result<u16, Corruption> {
        match self {
            Self::Xor => xor::count(data),
            Self::Histogram | Self::FloatHistogram => histogram::count(data),
            _ => Err(self.unreadable()),
        }
    }

    #[cold]
    fn unreadable(self) -> Corruption {
        Corruption::new(
            0,
            format!(
                "floats or histograms, not a chunk of encoding {}",
                self.as_byte()
            ),
        )
    }
}

/// Encoded samples of one series.
///
/// Whoever takes a chunk from a file or a peer asks [`Encoding::check_readable`] first, for an error
/// that says what to do; here an unreadable encoding is damage like any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// How `data` is encoded.
    pub encoding: Encoding,
    /// The payload: what lies between the encoding byte and the checksum.
    pub data: Bytes,
}

impl Chunk {
    /// Number of samples; of an aggregate chunk, those of its `count` aggregate.
    ///
    /// # Errors
    /// When the payload cannot hold that many, or is of an encoding that cannot be read.
    pub fn sample_count(&self) -> Result<u16, Corruption> {
        match self.encoding {
            Encoding::Aggregate => match aggregate::get(&self.data, Aggregate::Count)? {
                Some(count) => count.sample_count(),
                None => Ok(0),
            },
            encoding => encoding.sample_count(&self.data),
        }
    }

    /// The samples of a float or histogram chunk, decoded one by one. The first error ends them.
    pub fn samples(&self) -> Samples<'_> {
        Samples::new(self)
    }
}

/// The sample count at the start of a payload, checked against the payload's size: the first sample
/// takes at least `first_bits`, every further one at least `next_bits`.
fn header_count(
    data: &[u8],
    header_len: usize,
    first_bits: usize,
    next_bits: usize,
) -> Result<u16, Corruption> {
    let (Some(&[high, low]), Some(body)) = (data.first_chunk(), data.get(header_len..)) else {
        return Err(Corruption::new(
            data.len(),
            format!("a header of {header_len} bytes"),
        ));
    };
    let count = u16::from_be_bytes([high, low]);
    let bits_min = match usize::from(count) {
        0 => 0,
        count => first_bits + next_bits * (count - 1),
    };
    if body.len() * 8 < bits_min {
        return Err(Corruption::new(
            0,
            "a sample count that the payload has room for",
        ));
    }
    Ok(count)
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
