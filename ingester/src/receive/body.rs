//! Bodies of requests, decompressed within a limit.

use std::io::Read as _;

use model::ErrorKind;
use storeapi::snappy::{self, SnappyError};

/// Largest window of zstd that is accepted, as a power of two: 8 MiB, what browsers accept.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A snappy block, what the specifications demand.
    Snappy,
    /// Zstandard, which some senders use where both sides agree.
    Zstd,
    /// Not at all.
    Identity,
}

/// Why a body cannot be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// A snappy block that cannot be had.
    #[error(transparent)]
    Snappy(#[from] SnappyError),
    /// It decompresses to more than is allowed.
    #[error("decompressed body exceeds the limit of {max} bytes")]
    TooLarge {
        /// Bytes that are allowed.
        max: usize,
    },
    /// It is not Zstandard.
    #[error("zstd: {0}")]
    Zstd(#[source] std::io::Error),
}

impl BodyError {
    /// What the writer should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Snappy(error) => error.kind(),
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::Zstd(_) => ErrorKind::Invalid,
        }
    }
}

/// Decompresses `body` into `out`, which keeps its memory; at most `max` bytes.
pub(super) fn decompress(
    encoding: Encoding,
    body: &[u8],
    max: usize,
    out: &mut Vec<u8>,
) -> Result<(), BodyError> {
    match encoding {
        Encoding::Snappy => Ok(snappy::decompress(body, max, out)?),
        Encoding::Zstd => zstd(body, max, out),
        Encoding::Identity if body.len() > max => Err(BodyError::TooLarge { max }),
        Encoding::Identity => {
            out.clear();
            out.extend_from_slice(body);
            Ok(())
        }
    }
}

fn zstd(body: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), BodyError> {
    out.clear();
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(BodyError::Zstd)?;
    let limited = decoder.window_log_max(ZSTD_WINDOW_LOG_MAX);
    limited.map_err(BodyError::Zstd)?;
    let mut decoder = decoder.take(max as u64 + 1);
    decoder.read_to_end(out).map_err(BodyError::Zstd)?;
    if out.len() > max {
        out.clear();
        return Err(BodyError::TooLarge { max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_is_bounded() {
        let data = vec![5_u8; 100_000];
        for (encoding, body) in [
            (Encoding::Snappy, snappy::compress(&data).unwrap()),
            (Encoding::Zstd, zstd::bulk::compress(&data, 1).unwrap()),
            (Encoding::Identity, data.clone()),
        ] {
            let mut out = Vec::new();
            decompress(encoding, &body, data.len(), &mut out).unwrap();
            assert_eq!(out, data, "{encoding:?}");
            let error = decompress(encoding, &body, data.len() - 1, &mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{encoding:?}");
        }
        let mut out = Vec::new();
        for encoding in [Encoding::Snappy, Encoding::Zstd] {
            let error = decompress(encoding, b"\x05nothing", 100, &mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{encoding:?}");
        }
    }
}
