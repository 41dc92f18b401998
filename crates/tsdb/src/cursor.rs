//! Reading and writing the primitives that all of Prometheus' formats are made of: big-endian
//! integers, varints (Go's: unsigned LEB128, signed zigzag), length-prefixed strings, CRC-32C.

use crc_fast::{CrcAlgorithm, checksum};

use crate::error::Corruption;

/// CRC-32 with the Castagnoli polynomial, the checksum of every Prometheus format.
pub fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).expect("a 32-bit checksum")
}

/// Longest encoding of a 64-bit varint.
pub const VARINT_MAX_LEN: usize = 10;

/// Reads primitives off a slice, front to back; an error says at which offset what was missing.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0 }
    }

    /// Offset of the next byte.
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.pos
    }

    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.pos == self.bytes.len()
    }

    /// Damage at the current position.
    #[cold]
    pub fn corrupt(&self, expected: &'static str) -> Corruption {
        Corruption::new(self.pos, expected)
    }

    /// The next `n` bytes.
    #[inline]
    pub fn take(&mut self, n: usize, expected: &'static str) -> Result<&'a [u8], Corruption> {
        match self.bytes[self.pos..].get(..n) {
            Some(taken) => {
                self.pos += n;
                Ok(taken)
            }
            None => Err(self.corrupt(expected)),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], Corruption> {
        match self.bytes[self.pos..].first_chunk::<N>() {
            Some(taken) => {
                self.pos += N;
                Ok(*taken)
            }
            None => Err(self.corrupt(expected)),
        }
    }

    /// One byte.
    #[inline]
    pub fn byte(&mut self, expected: &'static str) -> Result<u8, Corruption> {
        self.array::<1>(expected).map(|[b]| b)
    }

    /// A big-endian 32-bit integer.
    #[inline]
    pub fn be32(&mut self, expected: &'static str) -> Result<u32, Corruption> {
        self.array(expected).map(u32::from_be_bytes)
    }

    /// A big-endian 64-bit integer.
    #[inline]
    pub fn be64(&mut self, expected: &'static str) -> Result<u64, Corruption> {
        self.array(expected).map(u64::from_be_bytes)
    }

    /// A big-endian 64-bit float.
    #[inline]
    pub fn be_f64(&mut self, expected: &'static str) -> Result<f64, Corruption> {
        self.be64(expected).map(f64::from_bits)
    }

    /// An unsigned varint of at most 64 bits.
    #[inline]
    pub fn uvarint(&mut self, expected: &'static str) -> Result<u64, Corruption> {
        let bytes = self.bytes.get(self.pos..).unwrap_or_default();
        let (value, len) = match bytes {
            [b @ 0..0x80, ..] => (u64::from(*b), 1),
            [low, high @ 0..0x80, ..] => (u64::from(low & 0x7f) | u64::from(*high) << 7, 2),
            [low, middle, high @ 0..0x80, ..] => {
                let low = u64::from(low & 0x7f) | u64::from(middle & 0x7f) << 7;
                (low | u64::from(*high) << 14, 3)
            }
            _ => match long_uvarint(bytes) {
                Some(read) => read,
                None => return Err(self.corrupt(expected)),
            },
        };
        self.pos += len;
        Ok(value)
    }

    /// A signed (zigzag) varint of at most 64 bits.
    #[inline]
    pub fn varint(&mut self, expected: &'static str) -> Result<i64, Corruption> {
        self.uvarint(expected).map(unzigzag)
    }

    /// A count of things that take at least `min_size` bytes each, checked against what is left,
    /// so that it is safe to reserve memory for it.
    #[inline]
    pub fn count(&mut self, min_size: usize, expected: &'static str) -> Result<usize, Corruption> {
        let at = self.pos;
        let count = self.uvarint(expected)?;
        match usize::try_from(count) {
            Ok(n) if n <= self.remaining() / min_size => Ok(n),
            _ => Err(Corruption::new(at, expected)),
        }
    }

    /// Bytes prefixed with their length as a varint.
    #[inline]
    pub fn uvarint_bytes(&mut self, expected: &'static str) -> Result<&'a [u8], Corruption> {
        let len = self.count(1, expected)?;
        self.take(len, expected)
    }

    /// UTF-8 text prefixed with its length as a varint.
    #[inline]
    pub fn uvarint_str(&mut self, expected: &'static str) -> Result<&'a str, Corruption> {
        let at = self.pos;
        let bytes = self.uvarint_bytes(expected)?;
        std::str::from_utf8(bytes).map_err(|_| Corruption::new(at, "text in UTF-8"))
    }
}

/// The unsigned varint at the start of `bytes`, and how many it takes.
fn long_uvarint(bytes: &[u8]) -> Option<(u64, usize)> {
    if let Some(word) = bytes.first_chunk() {
        let word = u64::from_le_bytes(*word);
        // The first byte whose upper bit is clear is the last one.
        let stops = !word & 0x8080_8080_8080_8080;
        if stops != 0 {
            let len = stops.trailing_zeros() as usize / 8 + 1;
            return Some((septets(word & (stops ^ (stops - 1))), len));
        }
    }
    let mut value = 0u64;
    for (i, &b) in bytes.iter().take(VARINT_MAX_LEN).enumerate() {
        // The tenth byte holds the one bit that is left of 64.
        if i == VARINT_MAX_LEN - 1 && b > 1 {
            break;
        }
        value |= u64::from(b & 0x7f) << (7 * i);
        if b < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// The lower seven bits of each byte, put together; the lowest byte has the lowest bits.
#[inline]
fn septets(word: u64) -> u64 {
    let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
    (word & 0x0000_0000_0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4
}

/// Maps a zigzag-encoded integer back: 0, 1, 2, 3 to 0, -1, 1, -2.
#[inline]
fn unzigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ -((v & 1).cast_signed())
}

/// Bytes that [`put_uvarint`] appends.
pub const fn uvarint_len(v: u64) -> usize {
    (64 - (v | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends an unsigned varint.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Appends a signed (zigzag) varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, v: i64) {
    put_uvarint(out, ((v << 1) ^ (v >> 63)).cast_unsigned());
}

/// Appends text prefixed with its length.
pub fn put_uvarint_str(out: &mut Vec<u8>, s: &str) {
    put_uvarint(out, s.len() as u64);
    out.extend_from_slice(s.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_round_trip(u: u64, i: i64, s: String) {
            let mut out = Vec::new();
            put_uvarint(&mut out, u);
            put_varint(&mut out, i);
            put_uvarint_str(&mut out, &s);
            let mut c = Cursor::new(&out);
            prop_assert_eq!(c.uvarint("u").unwrap(), u);
            prop_assert_eq!(c.varint("i").unwrap(), i);
            prop_assert_eq!(c.uvarint_str("s").unwrap(), s);
            prop_assert!(c.is_empty());
        }
    }

    #[test]
    fn varints_of_every_length_are_read_with_and_without_bytes_behind() {
        for bits in 0..=64 {
            for value in [
                1u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1),
                1u64.rotate_left(bits),
            ] {
                let mut out = Vec::new();
                put_uvarint(&mut out, value);
                let len = out.len();
                assert_eq!(len, uvarint_len(value));
                assert_eq!(Cursor::new(&out).uvarint("a varint"), Ok(value));
                for cut in 0..len {
                    assert!(Cursor::new(&out[..cut]).uvarint("a varint").is_err());
                }
                for behind in [0, 0x7f, 0xff] {
                    out.truncate(len);
                    out.extend([behind; 9]);
                    let mut c = Cursor::new(&out);
                    assert_eq!(c.uvarint("a varint"), Ok(value));
                    assert_eq!(c.pos(), len);
                }
            }
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let mut c = Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]);
        assert_eq!(c.uvarint("a varint"), Err(Corruption::new(0, "a varint")));
    }

    #[test]
    fn a_count_beyond_the_bytes_left_is_refused() {
        let mut c = Cursor::new(&[4, 0, 0, 0]);
        assert_eq!(c.count(1, "a count").unwrap_err().offset, 0);
        let mut c = Cursor::new(&[3, 0, 0, 0]);
        assert_eq!(c.count(1, "a count"), Ok(3));
    }

    #[test]
    fn the_checksum_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
