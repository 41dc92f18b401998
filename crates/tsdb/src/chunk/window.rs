//! Floats as the XOR with the float before: of most, only few bits differ.
//!
//! `0`: the same float. `10`: other bits differ, inside the window of the last time. `11`, five bits of
//! leading zeros, six bits of length (0 for 64): a new window. The window's bits follow.

use super::bits::{BitReader, BitWriter, WINDOW_BITS};
use crate::error::Corruption;

/// The significant bits of a XORed value: which of the 64 lie between zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Zero bits above, at most 31; [`Window::NONE`] when no window was written yet.
    leading: u8,
    /// Zero bits below.
    trailing: u8,
}

impl Window {
    /// Before the first window of a stream.
    pub(crate) const NONE: Self = Self {
        leading: 0xff,
        trailing: 0,
    };

    /// All bits; what a reader takes for the window where a stream uses one before it wrote any.
    const ALL: Self = Self {
        leading: 0,
        trailing: 0,
    };
}

/// Appends `value` as the XOR with `previous`.
#[inline(always)]
pub(crate) fn write_xor(writer: &mut BitWriter, window: &mut Window, value: f64, previous: f64) {
    let delta = value.to_bits() ^ previous.to_bits();
    if delta == 0 {
        writer.write_bits(0, 1);
        return;
    }
    let leading = (delta.leading_zeros() as u8).min(31);
    let trailing = delta.trailing_zeros() as u8;
    if window.leading <= leading && window.trailing <= trailing {
        let bits = u32::from(64 - window.leading - window.trailing);
        writer.write_bits(0b10, 2);
        writer.write_bits(delta >> window.trailing, bits);
    } else {
        *window = Window { leading, trailing };
        let bits = u32::from(64 - leading - trailing);
        // 64 significant bits do not fit into six bits and are written as 0.
        let control = (0b11 << 11) | (u64::from(leading) << 6) | (u64::from(bits) & 63);
        writer.write_bits(control, 13);
        writer.write_bits(delta >> trailing, bits);
    }
}

/// Reads a value written by [`write_xor`]. May run past the end, see [`BitReader`].
///
/// # Errors
/// When the window is wider than 64 bits.
#[inline(always)]
pub(crate) fn read_xor(
    reader: &mut BitReader<'_>,
    window: &mut Window,
    previous: f64,
) -> Result<f64, Corruption> {
    let next = reader.window();
    read_xor_in(reader, next, WINDOW_BITS, window, previous)
}

/// Does the same where the bits that come next are known already: `next` holds the first `known` of
/// them, at least 13.
#[inline(always)]
pub(crate) fn read_xor_in(
    reader: &mut BitReader<'_>,
    next: u64,
    known: u32,
    window: &mut Window,
    previous: f64,
) -> Result<f64, Corruption> {
    if next >> 63 == 0 {
        reader.skip(1);
        return Ok(previous);
    }
    let control = if next >> 62 == 0b10 {
        if *window == Window::NONE {
            *window = Window::ALL;
        }
        2
    } else {
        let leading = ((next >> 57) & 31) as u8;
        let bits = match ((next >> 51) & 63) as u8 {
            0 => 64,
            bits => bits,
        };
        if leading + bits > 64 {
            return Err(reader.corrupt("leading and significant bits that fit into a float"));
        }
        *window = Window {
            leading,
            trailing: 64 - leading - bits,
        };
        13
    };
    let bits = u32::from(64 - window.leading - window.trailing);
    let delta = if control + bits <= known {
        reader.skip(control + bits);
        (next << control) >> (64 - bits)
    } else {
        reader.skip(control);
        reader.take(bits)
    };
    Ok(f64::from_bits(
        previous.to_bits() ^ (delta << window.trailing),
    ))
}
