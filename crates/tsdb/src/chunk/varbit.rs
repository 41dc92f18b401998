//! Variable-bit integers of histogram chunks: a unary prefix picks one of nine widths.
//!
//! | prefix | payload bits | signed range |
//! |---|---|---|
//! | `0` | 0 | 0 |
//! | `10` | 3 | -3 to 4 |
//! | `110` | 6 | -31 to 32 |
//! | `1110` | 9 | -255 to 256 |
//! | `11110` | 12 | -2047 to 2048 |
//! | `111110` | 18 | -131071 to 131072 |
//! | `1111110` | 25 | -16777215 to 16777216 |
//! | `11111110` | 56 | -(2^55 - 1) to 2^55 |
//! | `11111111` | 64 | all |
//!
//! Unsigned integers use the same widths with all their bits.

use super::bits::{BitReader, BitWriter, fits, sign_extend};
use crate::error::Corruption;

/// Payload widths by the number of ones in the prefix.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Appends a signed integer.
#[inline]
pub(crate) fn write_int(writer: &mut BitWriter, value: i64) {
    if value == 0 {
        writer.write_bits(0, 1);
        return;
    }
    let ones = (1..8)
        .find(|&ones| fits(value, WIDTHS[ones]))
        .unwrap_or_default();
    write_payload(writer, ones, value.cast_unsigned());
}

/// Appends an unsigned integer.
#[inline]
pub(crate) fn write_uint(writer: &mut BitWriter, value: u64) {
    if value == 0 {
        writer.write_bits(0, 1);
        return;
    }
    let ones = (1..8)
        .find(|&ones| value >> WIDTHS[ones] == 0)
        .unwrap_or_default();
    write_payload(writer, ones, value);
}

/// Appends prefix and payload; `ones` is 1 to 7, or 0 for the widest.
#[inline]
fn write_payload(writer: &mut BitWriter, ones: usize, payload: u64) {
    if ones == 0 {
        writer.write_bits(0xff, 8);
        writer.write_bits(payload, 64);
    } else {
        // `ones` ones and a zero.
        writer.write_bits((1 << (ones + 1)) - 2, ones as u32 + 1);
        writer.write_bits(payload, WIDTHS[ones]);
    }
}

/// Reads payload and width. May run past the end, see [`BitReader`].
#[inline(always)]
fn read_payload(reader: &mut BitReader<'_>) -> (u64, u32) {
    let ones = reader.window().leading_ones().min(8);
    reader.skip((ones + 1).min(8));
    let width = WIDTHS[ones as usize];
    (reader.take(width), width)
}

/// Reads a signed integer.
///
/// # Errors
/// At the end of the data.
#[inline]
pub(crate) fn read_int(reader: &mut BitReader<'_>) -> Result<i64, Corruption> {
    let (payload, width) = read_payload(reader);
    reader.check_end()?;
    Ok(match width {
        0 => 0,
        64 => payload.cast_signed(),
        width => sign_extend(payload, width),
    })
}

/// Reads an unsigned integer.
///
/// # Errors
/// At the end of the data.
#[inline]
pub(crate) fn read_uint(reader: &mut BitReader<'_>) -> Result<u64, Corruption> {
    let (payload, _) = read_payload(reader);
    reader.check_end()?;
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bits that a signed integer takes.
    fn width(value: i64) -> usize {
        let mut writer = BitWriter::new(&[], 16);
        write_int(&mut writer, value);
        let bytes = writer.to_vec();
        let mut reader = BitReader::new(&bytes, 0);
        assert_eq!(read_int(&mut reader).unwrap(), value);
        reader.position()
    }

    #[test]
    fn the_ends_of_the_ranges_take_the_documented_bits() {
        for (value, bits) in [
            (0, 1),
            (-3, 5),
            (4, 5),
            (5, 9),
            (-4, 9),
            (-31, 9),
            (32, 9),
            (33, 13),
            (-255, 13),
            (256, 13),
            (257, 17),
            (-2047, 17),
            (2048, 17),
            (2049, 24),
            (131_072, 24),
            (131_073, 32),
            (16_777_216, 32),
            (-16_777_216, 64),
            (1 << 55, 64),
            (-(1 << 55), 72),
            (i64::MIN, 72),
            (i64::MAX, 72),
        ] {
            assert_eq!(width(value), bits, "{value}");
        }
    }

    proptest! {
        #[test]
        fn integers_round_trip(values in prop::collection::vec((any::<i64>(), 0u32..64), 0..50)) {
            let mut writer = BitWriter::new(&[], 16);
            for &(value, shift) in &values {
                write_int(&mut writer, value >> shift);
                write_uint(&mut writer, value.cast_unsigned() >> shift);
            }
            let bytes = writer.to_vec();
            let mut reader = BitReader::new(&bytes, 0);
            for &(value, shift) in &values {
                prop_assert_eq!(read_int(&mut reader).unwrap(), value >> shift);
                prop_assert_eq!(read_uint(&mut reader).unwrap(), value.cast_unsigned() >> shift);
            }
            prop_assert!(reader.position().div_ceil(8) == bytes.len());
        }
    }
}
