//! Compression of single records.

use std::fmt;

use super::RECORD_SIZE_MAX;
use crate::error::Corruption;

/// How a record is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// Snappy's block format; Prometheus' default.
    #[default]
    Snappy,
    /// One Zstandard frame.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        })
    }
}

/// The level that Prometheus' encoder calls its default is about the library's level 3.
const ZSTD_LEVEL: i32 = 3;

/// No snappy stream expands more: its longest copy makes 64 bytes of 3.
const SNAPPY_RATIO_MAX: usize = 22;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Compresses records, reusing its state.
pub struct Compressor {
    snappy: snap::raw::Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    out: Vec<u8>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Compressor {
    /// A compressor for any scheme.
    pub fn new() -> Self {
        Self {
            snappy: snap::raw::Encoder::new(),
            zstd: None,
            out: Vec::new(),
        }
    }

    /// Compresses `record`, or hands it back with [`Compression::None`] when that does not make it
    /// smaller.
    pub fn compress<'a>(
        &'a mut self,
        record: &'a [u8],
        compression: Compression,
    ) -> (&'a [u8], Compression) {
        let len = match compression {
            Compression::None => None,
            Compression::Snappy => self.compress_snappy(record),
            Compression::Zstd => self.compress_zstd(record),
        };
        match len {
            Some(len) if len < record.len() => (&self.out[..len], compression),
            _ => (record, Compression::None),
        }
    }

    /// The length within `out`; `None` for what snappy cannot hold (4 GiB).
    fn compress_snappy(&mut self, record: &[u8]) -> Option<usize> {
        let bound = snap::raw::max_compress_len(record.len());
        if bound == 0 {
            return None;
        }
        if self.out.len() < bound {
            self.out.resize(bound, 0);
        }
        self.snappy.compress(record, &mut self.out).ok()
    }

    fn compress_zstd(&mut self, record: &[u8]) -> Option<usize> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            empty => empty.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok()?),
        };
        let bound = zstd::zstd_safe::compress_bound(record.len());
        if self.out.len() < bound {
            self.out.resize(bound, 0);
        }
        zstd.compress_to_buffer(record, &mut self.out[..]).ok()
    }
}

/// Decompresses records, reusing its state. Never makes more than [`RECORD_SIZE_MAX`] bytes.
pub struct Decompressor {
    snappy: snap::raw::Decoder,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    out: Vec<u8>,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

impl Default for Decompressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Decompressor {
    /// A decompressor for any scheme.
    pub fn new() -> Self {
        Self {
            snappy: snap::raw::Decoder::new(),
            zstd: None,
            out: Vec::new(),
        }
    }

    /// The record that `bytes` hold.
    ///
    /// # Errors
    /// [`Corruption`] at offset 0 when `bytes` are not a whole compressed record, or one larger
    /// than [`RECORD_SIZE_MAX`].
    pub fn decompress<'a>(
        &'a mut self,
        bytes: &'a [u8],
        compression: Compression,
    ) -> Result<&'a [u8], Corruption> {
        match compression {
            Compression::None if self.is_compressed(bytes) => Err(Corruption::new(
                0,
                "a record that is not compressed, as its header says",
            )),
            Compression::None => Ok(bytes),
            Compression::Snappy => self.decompress_snappy(bytes),
            Compression::Zstd => self.decompress_zstd(bytes),
        }
    }

    /// True when bytes that are said to be plain are a whole compressed record.
    ///
    /// The compression bits are in the one byte of a fragment that no checksum covers. A plain
    /// record begins with its type, below 15, and would be a snappy block of as many bytes: what
    /// follows makes more than that, so the attempt fails after a few bytes. Zstandard's magic
    /// number begins with a byte that is no record type.
    fn is_compressed(&mut self, bytes: &[u8]) -> bool {
        bytes.starts_with(&ZSTD_MAGIC) || self.decompress_snappy(bytes).is_ok_and(|r| !r.is_empty())
    }

    fn decompress_snappy(&mut self, bytes: &[u8]) -> Result<&[u8], Corruption> {
        let declared = snap::raw::decompress_len(bytes)
            .map_err(|_| Corruption::new(0, "the length of a snappy block"))?;
        if declared > RECORD_SIZE_MAX || declared > bytes.len().saturating_mul(SNAPPY_RATIO_MAX) {
            return Err(Corruption::new(
                0,
                format!(
                    "a snappy block of at most {RECORD_SIZE_MAX} bytes, found one of {} that \
                     declares {declared}",
                    bytes.len()
                ),
            ));
        }
        if self.out.len() < declared {
            self.out.resize(declared, 0);
        }
        let len = self
            .snappy
            .decompress(bytes, &mut self.out)
            .map_err(|e| Corruption::new(0, format!("a snappy block ({e})")))?;
        Ok(&self.out[..len])
    }

    fn decompress_zstd(&mut self, bytes: &[u8]) -> Result<&[u8], Corruption> {
        let declared = zstd::zstd_safe::get_frame_content_size(bytes)
            .map_err(|_| Corruption::new(0, "a zstd frame header"))?;
        let capacity = match declared {
            Some(n) => usize::try_from(n)
                .ok()
                .filter(|&n| n <= RECORD_SIZE_MAX)
                .ok_or_else(|| {
                    Corruption::new(
                        0,
                        format!("a record of at most {RECORD_SIZE_MAX} bytes, found {n} declared"),
                    )
                })?,
            // Streamed frames do not say; such records are rare, and the room is only reserved.
            None => RECORD_SIZE_MAX,
        };
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            empty => empty.insert(
                zstd::bulk::Decompressor::new()
                    .map_err(|e| Corruption::new(0, format!("memory for zstd ({e})")))?,
            ),
        };
        self.out.clear();
        self.out.reserve(capacity);
        zstd.decompress_to_buffer(bytes, &mut self.out)
            .map_err(|e| Corruption::new(0, format!("a zstd frame ({e})")))?;
        Ok(&self.out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Compression; 3] = [Compression::None, Compression::Snappy, Compression::Zstd];

    proptest! {
        #[test]
        fn records_round_trip(head in prop::collection::vec(any::<u8>(), 0..200), repeat in 0usize..50) {
            let record = head.repeat(repeat);
            for compression in ALL {
                let mut compressor = Compressor::new();
                let (bytes, used) = compressor.compress(&record, compression);
                prop_assert!(bytes.len() <= record.len());
                let mut decompressor = Decompressor::new();
                prop_assert_eq!(decompressor.decompress(bytes, used).unwrap(), &record[..]);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_decompressed(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            for compression in ALL {
                let _ = Decompressor::new().decompress(&bytes, compression);
            }
        }
    }

    #[test]
    fn a_block_that_declares_too_much_is_refused_before_memory_is_taken() {
        // Snappy: 128 MiB declared by six bytes.
        let bytes = [0x80, 0x80, 0x80, 0x40, 0, 0];
        assert!(
            Decompressor::new()
                .decompress(&bytes, Compression::Snappy)
                .is_err()
        );
        // Zstd: magic, single segment with an 8-byte size of 1 TiB.
        let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
        bytes.extend_from_slice(&(1u64 << 40).to_le_bytes());
        let error = Decompressor::new()
            .decompress(&bytes, Compression::Zstd)
            .unwrap_err();
        assert!(error.expected.contains("1099511627776"), "{error}");
    }
}
