//! Fragments: the pieces of records that pages hold.
//!
//! A fragment is a 7-byte header (type and compression bits, length, CRC-32C of the data, all
//! big-endian) and its data. A zero type byte ends the page: all bytes up to the boundary are zero.

use std::borrow::Cow;

use super::PAGE_SIZE;
use super::compression::Compression;
use crate::cursor::crc32c;
use crate::error::Corruption;

/// Bytes before a fragment's data: type, length, checksum.
pub const HEADER_SIZE: usize = 7;

const TYPE_MASK: u8 = 0b0000_0111;
const SNAPPY_BIT: u8 = 0b0000_1000;
const ZSTD_BIT: u8 = 0b0001_0000;

/// Which piece of a record a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole record.
    Full = 1,
    /// The beginning of a record that goes on.
    First = 2,
    /// Neither beginning nor end.
    Middle = 3,
    /// The end of a record.
    Last = 4,
}

impl Part {
    /// True when the record ends with this fragment.
    pub const fn ends_record(self) -> bool {
        matches!(self, Self::Full | Self::Last)
    }

    /// True when the record begins with this fragment.
    pub const fn starts_record(self) -> bool {
        matches!(self, Self::Full | Self::First)
    }
}

/// A fragment as found in a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Which piece of its record it is.
    pub part: Part,
    /// How the record that it belongs to is compressed.
    pub compression: Compression,
    /// The piece itself, with its checksum verified.
    pub data: &'a [u8],
}

/// What is at a position of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// A fragment; the next item follows it.
    Fragment(Fragment<'a>),
    /// Only zeroes up to the end of the page.
    Padding,
}

/// What is wrong with a page at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The offset within the page and what should have been there.
    pub corruption: Corruption,
    /// True when the file merely ends too early, as it does after a crash in the middle of a
    /// write.
    pub torn: bool,
}

impl Damage {
    pub(super) fn wrong(offset: usize, expected: impl Into<Cow<'static, str>>) -> Self {
        Self {
            corruption: Corruption::new(offset, expected),
            torn: false,
        }
    }

    pub(super) fn torn(offset: usize, expected: impl Into<Cow<'static, str>>) -> Self {
        Self {
            corruption: Corruption::new(offset, expected),
            torn: true,
        }
    }
}

fn decode_part(header: u8, pos: usize) -> Result<Part, Damage> {
    match header & TYPE_MASK {
        1 => Ok(Part::Full),
        2 => Ok(Part::First),
        3 => Ok(Part::Middle),
        4 => Ok(Part::Last),
        other => Err(Damage::wrong(
            pos,
            format!("a fragment type from 0 to 4, found {other}"),
        )),
    }
}

fn decode_compression(header: u8, pos: usize) -> Result<Compression, Damage> {
    match (header & SNAPPY_BIT != 0, header & ZSTD_BIT != 0) {
        (false, false) => Ok(Compression::None),
        (true, false) => Ok(Compression::Snappy),
        (false, true) => Ok(Compression::Zstd),
        (true, true) => Err(Damage::wrong(pos, "one compression bit, found two")),
    }
}

/// Decodes what `page` holds at `pos`. A `page` shorter than [`PAGE_SIZE`] is the last of its file.
///
/// # Errors
/// [`Damage`] when the bytes are neither a sound fragment nor padding.
///
/// # Panics
/// When `pos` is not inside `page`.
pub fn decode(page: &[u8], pos: usize) -> Result<Item<'_>, Damage> {
    let bytes = &page[pos..];
    let is_last_page = page.len() < PAGE_SIZE;
    if bytes[0] & TYPE_MASK == 0 {
        return match bytes.iter().position(|&b| b != 0) {
            None => Ok(Item::Padding),
            Some(i) => Err(Damage::wrong(
                pos + i,
                "zeroes up to the end of the page after a page terminator",
            )),
        };
    }
    let part = decode_part(bytes[0], pos)?;
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
        return Err(if is_last_page {
            Damage::torn(
                pos,
                "a fragment header of 7 bytes before the end of the file",
            )
        } else {
            Damage::wrong(
                pos,
                "a fragment header of 7 bytes before the end of the page",
            )
        });
    };
    let compression = decode_compression(header[0], pos)?;
    let len = usize::from(u16::from_be_bytes([header[1], header[2]]));
    if pos + HEADER_SIZE + len > PAGE_SIZE {
        return Err(Damage::wrong(
            pos + 1,
            format!("a fragment that ends within its page, found a length of {len}"),
        ));
    }
    let Some(data) = rest.get(..len) else {
        return Err(Damage::torn(
            pos,
            format!("{len} bytes of fragment data before the end of the file"),
        ));
    };
    let expected = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
    let found = crc32c(data);
    if found != expected {
        return Err(Damage::wrong(
            pos + 3,
            format!("fragment data with checksum {expected:08x}, found {found:08x}"),
        ));
    }
    Ok(Item::Fragment(Fragment {
        part,
        compression,
        data,
    }))
}

/// Appends a fragment to `out`.
///
/// # Panics
/// When `data` is longer than a page holds.
pub fn encode(out: &mut Vec<u8>, part: Part, compression: Compression, data: &[u8]) {
    let len = u16::try_from(data.len()).expect("a fragment fits into its page");
    let compression_bit = match compression {
        Compression::None => 0,
        Compression::Snappy => SNAPPY_BIT,
        Compression::Zstd => ZSTD_BIT,
    };
    out.push(part as u8 | compression_bit);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&crc32c(data).to_be_bytes());
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_reads_back() {
        let mut page = Vec::new();
        encode(&mut page, Part::First, Compression::Zstd, b"abc");
        assert_eq!(page.len(), HEADER_SIZE + 3);
        assert_eq!(
            decode(&page, 0),
            Ok(Item::Fragment(Fragment {
                part: Part::First,
                compression: Compression::Zstd,
                data: b"abc",
            }))
        );
    }

    #[test]
    fn damage_says_where_and_what() {
        let mut page = Vec::new();
        encode(&mut page, Part::Full, Compression::None, b"abc");
        for cut in 1..page.len() {
            assert!(decode(&page[..cut], 0).unwrap_err().torn, "cut at {cut}");
        }
        page[8] ^= 1;
        let damage = decode(&page, 0).unwrap_err();
        assert_eq!(damage.corruption.offset, 3);
        assert!(!damage.torn);
        page[0] = 7;
        assert_eq!(decode(&page, 0).unwrap_err().corruption.offset, 0);
        assert_eq!(
            decode(&[0, 0, 5], 0).unwrap_err().corruption.offset,
            2,
            "padding must be zero"
        );
    }
}
