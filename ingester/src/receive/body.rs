//! Bodies of requests, decompressed within a limit.

use std::io::{self, Read};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

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
    /// Snappy's stream of frames.
    SnappyFramed,
    /// Gzip, of one or several members.
    Gzip,
    /// What HTTP calls deflate: zlib, or bare as some clients send it.
    Deflate,
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
    /// It is not what it is said to be.
    #[error("{format}: {source}")]
    Damaged {
        /// What it is said to be.
        format: &'static str,
        /// Why it is not.
        source: io::Error,
    },
}

impl BodyError {
    /// What the writer should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Snappy(error) => error.kind(),
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::Damaged { .. } => ErrorKind::Invalid,
        }
    }
}

/// Decompresses `body` into `out`, which keeps its memory; at most `max` bytes.
pub(crate) fn decompress(
    encoding: Encoding,
    body: &[u8],
    max: usize,
    out: &mut Vec<u8>,
) -> Result<(), BodyError> {
    match encoding {
        Encoding::Snappy => Ok(snappy::decompress(body, max, out)?),
        Encoding::Zstd => zstd(body, max, out),
        Encoding::SnappyFramed => {
            let frames = snap::read::FrameDecoder::new(body);
            stream("snappy", frames, max, out)
        }
        Encoding::Gzip => stream("gzip", MultiGzDecoder::new(body), max, out),
        Encoding::Deflate if has_zlib_header(body) => {
            stream("deflate", ZlibDecoder::new(body), max, out)
        }
        Encoding::Deflate => stream("deflate", DeflateDecoder::new(body), max, out),
        Encoding::Identity if body.len() > max => Err(BodyError::TooLarge { max }),
        Encoding::Identity => {
            out.clear();
            out.extend_from_slice(body);
            Ok(())
        }
    }
}

/// True for the two bytes that zlib begins with; RFC 1950 makes them a multiple of 31.
fn has_zlib_header(body: &[u8]) -> bool {
    match body {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

fn zstd(body: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), BodyError> {
    let damaged = |source| BodyError::Damaged {
        format: "zstd",
        source,
    };
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(damaged)?;
    let limited = decoder.window_log_max(ZSTD_WINDOW_LOG_MAX);
    limited.map_err(damaged)?;
    stream("zstd", decoder, max, out)
}

/// Reads what a decoder yields; at most `max` bytes.
fn stream(
    format: &'static str,
    decoder: impl Read,
    max: usize,
    out: &mut Vec<u8>,
) -> Result<(), BodyError> {
    out.clear();
    let read = decoder.take(max as u64 + 1).read_to_end(out);
    read.map_err(|source| BodyError::Damaged { format, source })?;
    if out.len() > max {
        out.clear();
        return Err(BodyError::TooLarge { max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn written<W: Write>(mut to: W, data: &[u8], finish: fn(W) -> Vec<u8>) -> Vec<u8> {
        to.write_all(data).unwrap();
        finish(to)
    }

    #[test]
    fn every_encoding_is_bounded() {
        let data = vec![5_u8; 100_000];
        for (encoding, body) in [
            (Encoding::Snappy, snappy::compress(&data).unwrap()),
            (Encoding::Zstd, zstd::bulk::compress(&data, 1).unwrap()),
            (
                Encoding::SnappyFramed,
                written(snap::write::FrameEncoder::new(Vec::new()), &data, |e| {
                    e.into_inner().unwrap()
                }),
            ),
            (
                Encoding::Gzip,
                written(
                    GzEncoder::new(Vec::new(), Compression::fast()),
                    &data,
                    |e| e.finish().unwrap(),
                ),
            ),
            (
                Encoding::Deflate,
                written(
                    ZlibEncoder::new(Vec::new(), Compression::fast()),
                    &data,
                    |e| e.finish().unwrap(),
                ),
            ),
            (
                Encoding::Deflate,
                written(
                    DeflateEncoder::new(Vec::new(), Compression::fast()),
                    &data,
                    |e| e.finish().unwrap(),
                ),
            ),
            (Encoding::Identity, data.clone()),
        ] {
            let mut out = Vec::new();
            decompress(encoding, &body, data.len(), &mut out).unwrap();
            assert_eq!(out, data, "{encoding:?}");
            let error = decompress(encoding, &body, data.len() - 1, &mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{encoding:?}");
        }
        let mut out = Vec::new();
        for encoding in [
            Encoding::Snappy,
            Encoding::Zstd,
            Encoding::SnappyFramed,
            Encoding::Gzip,
            Encoding::Deflate,
        ] {
            let error = decompress(encoding, b"\x05nothing", 100, &mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{encoding:?}");
        }
    }
}
