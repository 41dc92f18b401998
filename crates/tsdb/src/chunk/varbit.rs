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

use super::bits::{BitReader, BitWriter, sign_extend};
use crate::error::Corruption;

/// Payload widths by the number of ones in the prefix.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// The number of ones in the prefix of a payload, by the bits that it needs.
const ONES: [u8; 66] = {
    let mut ones = [8; 66];
    let mut bits = 0;
    while bits <= 64 {
        let mut shortest = 0;
        while WIDTHS[shortest] < bits {
            shortest += 1;
        }
        ones[bits as usize] = shortest as u8;
        bits += 1;
    }
    ones
};

/// Appends a signed integer.
#[inline]
pub(crate) fn write_int(writer: &mut BitWriter, value: i64) {
    if value == 0 {
        writer.write_bits(0, 1);
        return;
    }
    // A width of n holds -(2^(n-1) - 1) to 2^(n-1).
    let magnitude = value.unsigned_abs() - u64::from(value > 0);
    let bits = 65 - magnitude.leading_zeros();
    write_payload(writer, bits, value.cast_unsigned());
}

/// Appends an unsigned integer.
#[inline]
pub(crate) fn write_uint(writer: &mut BitWriter, value: u64) {
    write_payload(writer, 64 - value.leading_zeros(), value);
}

/// Appends prefix and payload, which needs so many bits.
#[inline]
fn write_payload(writer: &mut BitWriter, bits: u32, payload: u64) {
    let ones = u32::from(ONES[bits as usize]);
    let width = WIDTHS[ones as usize];
    match ones {
        // `ones` ones and a zero, then the payload.
        0..=6 => {
            let prefix = (2u64 << ones) - 2;
            let payload = payload & ((1 << width) - 1);
            writer.write_bits(prefix << width | payload, ones + 1 + width);
        }
        7 => {
            writer.write_bits(0xfe, 8);
            writer.write_bits(payload, width);
        }
        _ => {
            writer.write_bits(0xff, 8);
            writer.write_bits(payload, width);
        }
    }
}

/// Reads payload and width.
#[inline(always)]
fn take_payload(reader: &mut BitReader<'_>) -> (u64, u32) {
    let next = reader.window();
    let ones = next.leading_ones();
    match ones {
        0 => {
            reader.skip(1);
            (0, 0)
        }
        1..=6 => {
            let width = WIDTHS[ones as usize];
            reader.skip(ones + 1 + width);
            ((next << (ones + 1)) >> (64 - width), width)
        }
        _ => {
            let width = WIDTHS[ones.min(8) as usize];
            reader.skip(8);
            (reader.take(width), width)
        }
    }
}

/// Reads a signed integer. May run past the end, see [`BitReader`].
#[inline(always)]
pub(crate) fn take_int(reader: &mut BitReader<'_>) -> i64 {
    match take_payload(reader) {
        (_, 0) => 0,
        (payload, 64) => payload.cast_signed(),
        (payload, width) => sign_extend(payload, width),
    }
}

/// Reads a signed integer.
///
/// # Errors
/// At the end of the data.
pub(crate) fn read_int(reader: &mut BitReader<'_>) -> Result<i64, Corruption> {
    let value = take_int(reader);
    reader.check_end()?;
    Ok(value)
}

/// Reads an unsigned integer.
///
/// # Errors
/// At the end of the data.
pub(crate) fn read_uint(reader: &mut BitReader<'_>) -> Result<u64, Corruption> {
    let (payload, _) = take_payload(reader);
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
