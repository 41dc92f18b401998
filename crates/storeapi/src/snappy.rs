//! Snappy blocks, as remote read and remote write carry them: the raw format, never the framed one.
//!
//! A block begins with the length that it says it decodes to. That is compared with a limit before
//! anything is allocated; decoding then cannot yield more.

use model::ErrorKind;

/// Why a block cannot be decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// It says that it decodes to more than is allowed.
    #[error("decompressed body of {bytes} bytes exceeds the limit of {max} bytes")]
    TooLarge {
        /// Bytes that it says it decodes to.
        bytes: usize,
        /// Bytes that are allowed.
        max: usize,
    },
    /// It is not a snappy block.
    #[error("snappy: {0}")]
    Corrupt(String),
}

impl SnappyError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::Corrupt(_) => ErrorKind::Invalid,
        }
    }
}

/// Decompresses `block` into `out`, which keeps its memory; at most `max` bytes.
///
/// # Errors
/// [`SnappyError`]; `out` holds nothing then.
pub fn decompress(block: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), SnappyError> {
    let corrupt = |error: snap::Error| SnappyError::Corrupt(error.to_string());
    let bytes = match snap::raw::decompress_len(block) {
        Ok(bytes) => bytes,
        Err(error) => {
            out.clear();
            return Err(corrupt(error));
        }
    };
    if bytes > max {
        out.clear();
        return Err(SnappyError::TooLarge { bytes, max });
    }
    // What is there from an earlier block need not be zeroed again.
    if out.len() < bytes {
        out.resize(bytes, 0);
    } else {
        out.truncate(bytes);
    }
    let decoded = snap::raw::Decoder::new().decompress(block, out);
    if decoded.is_err() {
        out.clear();
    }
    decoded.map(drop).map_err(corrupt)
}

/// Compresses `bytes`.
///
/// # Errors
/// When there are more than 4 GiB.
pub fn compress(bytes: &[u8]) -> Result<Vec<u8>, SnappyError> {
    let compressed = snap::raw::Encoder::new().compress_vec(bytes);
    compressed.map_err(|error| SnappyError::Corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_bounded_by_what_they_declare() {
        let block = compress(&[7; 1000]).unwrap();
        let mut out = vec![1; 5000];
        decompress(&block, 1000, &mut out).unwrap();
        assert_eq!(out, [7; 1000]);
        let refused = decompress(&block, 999, &mut out).unwrap_err();
        assert_eq!(
            refused,
            SnappyError::TooLarge {
                bytes: 1000,
                max: 999
            }
        );
        assert!(out.is_empty());
        // Declares 4 GiB less one, and holds nothing.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        assert_eq!(
            decompress(&bomb, 1 << 20, &mut out).unwrap_err().kind(),
            ErrorKind::Exhausted
        );
        for cut in 0..block.len() {
            let error = decompress(&block[..cut], 1 << 20, &mut out);
            assert!(cut == 0 || error.is_err(), "{cut}");
        }
    }
}
