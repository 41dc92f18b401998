//! Prometheus' remote read: a question for series over HTTP, and its two kinds of answer.
//!
//! A question is a snappy block of a `prometheus.ReadRequest`. The answer is either a snappy block
//! of a `prometheus.ReadResponse` with the samples of all series ([`ResponseType::Samples`]), or a
//! stream of frames, each a `prometheus.ChunkedReadResponse` with chunks of one series
//! ([`ResponseType::StreamedXorChunks`]): uvarint length, CRC-32C of the message in big-endian
//! order, message.
//!
//! [`RemoteRead`] answers from a [`Store`](crate::Store); [`ReadRequest`], [`FrameReader`] and
//! [`decode`] are what a client needs. Source: Prometheus' `storage/remote` and `prompb/remote.proto`.

pub mod decode;
mod encode;
mod frames;
mod request;
mod series;
mod server;
#[cfg(test)]
mod tests;

use model::ErrorKind;
use proto::ConvertError;

use crate::snappy::SnappyError;
use crate::store::StoreError;

pub use frames::FrameReader;
pub use request::{ReadQuery, ReadRequest, ResponseType};
pub use server::{ReadLimits, RemoteRead};

/// Content type of a question, and of an answer with samples.
pub const CONTENT_TYPE_SAMPLES: &str = "application/x-protobuf";
/// Content type of an answer with chunks.
pub const CONTENT_TYPE_STREAMED: &str =
    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// Value of the header `X-Prometheus-Remote-Read-Version` of a question.
pub const VERSION: &str = "0.1.0";

/// Why a question or an answer cannot be read or given.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The body cannot be decompressed.
    #[error(transparent)]
    Snappy(#[from] SnappyError),
    /// A message cannot be decoded.
    #[error("message cannot be decoded: {0}")]
    Message(#[from] prost::DecodeError),
    /// A message holds what cannot be understood.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// A frame of a stream is damaged, or cut.
    #[error("frame of the streamed answer {0}")]
    Frame(String),
    /// A chunk is damaged.
    #[error("chunk of a series: {0}")]
    Chunk(String),
    /// A chunk is of an encoding that cannot be read.
    #[error("chunk of a series has the encoding {0}, which is not read here")]
    Encoding(i32),
    /// None of the answers that the client takes can be given.
    #[error(
        "none of the requested response types {0:?} is supported; ask for SAMPLES (0) or STREAMED_XOR_CHUNKS (1)"
    )]
    ResponseTypes(Vec<i32>),
    /// The answer has more samples than one may have.
    #[error(
        "exceeded sample limit ({max}); ask for less, or raise --storage.remote.read-sample-limit"
    )]
    TooManySamples {
        /// Samples that an answer may have.
        max: u64,
    },
    /// Too many are answered at once.
    #[error(
        "{max} remote reads are being answered already; try again, or raise --storage.remote.read-concurrent-limit"
    )]
    Busy {
        /// Questions answered at once.
        max: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReadError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Snappy(error) => error.kind(),
            Self::Convert(error) => error.kind(),
            Self::Store(error) => error.kind,
            Self::Message(_) | Self::ResponseTypes(_) => ErrorKind::Invalid,
            Self::Frame(_) | Self::Chunk(_) | Self::Encoding(_) => ErrorKind::Corrupt,
            Self::TooManySamples { .. } => ErrorKind::Exhausted,
            Self::Busy { .. } => ErrorKind::Unavailable,
        }
    }
}
