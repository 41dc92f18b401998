//! Float chunks: delta-of-delta timestamps and XORed values, after Facebook's Gorilla.
//!
//! Payload: sample count (u16), then bits. Timestamps ascend in files that Prometheus writes, but
//! nothing here depends on it.

use bytes::Bytes;

use super::bits::{BitReader, BitWriter, fits, sign_extend};
use super::{Chunk, Encoding, header_count};
use crate::error::Corruption;

/// Bytes before the bit stream: the sample count.
const HEADER_LEN: usize = 2;

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
    if next >> 63 == 0 {
        reader.skip(1);
        return Ok(previous);
    }
    if next >> 62 == 0b11 {
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
        reader.skip(13);
    } else {
        if *window == Window::NONE {
            *window = Window {
                leading: 0,
                trailing: 0,
            };
        }
        reader.skip(2);
    }
    let bits = u32::from(64 - window.leading - window.trailing);
    let delta = reader.take(bits) << window.trailing;
    Ok(f64::from_bits(previous.to_bits() ^ delta))
}

/// Builds a float chunk sample by sample.
#[derive(Debug, Clone)]
pub struct Encoder {
    writer: BitWriter,
    count: u16,
    time: i64,
    /// Difference between the last two times.
    delta: u64,
    value: f64,
    window: Window,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An empty chunk.
    pub fn new() -> Self {
        Self {
            writer: BitWriter::new(&[0; HEADER_LEN], 128),
            count: 0,
            time: 0,
            delta: 0,
            value: 0.0,
            window: Window::NONE,
        }
    }

    /// Goes on with a chunk's payload; what follows is the same as if it had never been closed.
    ///
    /// # Errors
    /// When the payload cannot be decoded.
    pub fn resume(data: &[u8]) -> Result<Self, Corruption> {
        let mut samples = Samples::new(data)?;
        for sample in samples.by_ref() {
            sample?;
        }
        let mut writer = BitWriter::resume(data, samples.reader.position());
        if samples.count == 0 {
            writer = BitWriter::new(&[0; HEADER_LEN], 128);
        }
        Ok(Self {
            writer,
            count: samples.count,
            time: samples.time,
            delta: samples.delta,
            value: samples.value,
            window: samples.window,
        })
    }

    /// Appends a sample. Times are expected to ascend.
    ///
    /// # Panics
    /// When the chunk holds 65,535 samples already; callers cut long before.
    #[inline]
    pub fn append(&mut self, t: i64, v: f64) {
        let delta = t.wrapping_sub(self.time).cast_unsigned();
        match self.count {
            0 => {
                self.writer.write_varint(t);
                self.writer.write_bits(v.to_bits(), 64);
            }
            1 => {
                self.writer.write_uvarint(delta);
                self.delta = delta;
                write_xor(&mut self.writer, &mut self.window, v, self.value);
            }
            _ => {
                write_delta_of_delta(
                    &mut self.writer,
                    delta.wrapping_sub(self.delta).cast_signed(),
                );
                self.delta = delta;
                write_xor(&mut self.writer, &mut self.window, v, self.value);
            }
        }
        self.time = t;
        self.value = v;
        self.count = self
            .count
            .checked_add(1)
            .expect("a chunk is cut before 65,535 samples");
    }

    /// Samples so far.
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Time and value of the last sample, unless there is none.
    pub fn last(&self) -> Option<(i64, f64)> {
        (self.count > 0).then_some((self.time, self.value))
    }

    /// Bytes of payload so far.
    pub const fn byte_len(&self) -> usize {
        self.writer.len()
    }

    /// The chunk as it is now; the encoder can go on.
    pub fn chunk(&self) -> Chunk {
        let mut data = self.writer.to_vec();
        data[..HEADER_LEN].copy_from_slice(&self.count.to_be_bytes());
        Chunk {
            encoding: Encoding::Xor,
            data: Bytes::from(data),
        }
    }
}

/// Appends a delta of deltas of timestamps.
#[inline(always)]
fn write_delta_of_delta(writer: &mut BitWriter, value: i64) {
    let bits = value.cast_unsigned();
    if value == 0 {
        writer.write_bits(0, 1);
    } else if fits(value, 14) {
        writer.write_bits((0b10 << 14) | (bits & 0x3fff), 16);
    } else if fits(value, 17) {
        writer.write_bits((0b110 << 17) | (bits & 0x1_ffff), 20);
    } else if fits(value, 20) {
        writer.write_bits((0b1110 << 20) | (bits & 0xf_ffff), 24);
    } else {
        writer.write_bits(0b1111, 4);
        writer.write_bits(bits, 64);
    }
}

/// Reads a delta of deltas of timestamps. May run past the end, see [`BitReader`].
#[inline(always)]
fn read_delta_of_delta(reader: &mut BitReader<'_>) -> i64 {
    let next = reader.window();
    let (prefix, bits) = match next.leading_ones() {
        0 => {
            reader.skip(1);
            return 0;
        }
        1 => (2, 14),
        2 => (3, 17),
        3 => (4, 20),
        _ => {
            reader.skip(4);
            return reader.take(64).cast_signed();
        }
    };
    reader.skip(prefix + bits);
    sign_extend((next << prefix) >> (64 - bits), bits)
}

/// The sample count in a payload's header, checked against the payload's size.
///
/// # Errors
/// When the header is cut short or promises more than the payload can hold.
pub fn count(data: &[u8]) -> Result<u16, Corruption> {
    // The first sample takes nine bytes or more, every further one two bits or more.
    header_count(data, HEADER_LEN, 72, 2)
}

/// Appends a chunk's samples to two columns of equal length.
///
/// # Errors
/// When the payload is damaged; the columns then hold what they held before.
pub fn decode_columns(
    data: &[u8],
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), Corruption> {
    let (times_before, values_before) = (times.len(), values.len());
    let samples = Samples::new(data)?;
    times.reserve(usize::from(samples.count));
    values.reserve(usize::from(samples.count));
    for sample in samples {
        match sample {
            Ok((t, v)) => {
                times.push(t);
                values.push(v);
            }
            Err(corruption) => {
                times.truncate(times_before);
                values.truncate(values_before);
                return Err(corruption);
            }
        }
    }
    Ok(())
}

/// Decodes a chunk sample by sample. After an error it ends.
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    reader: BitReader<'a>,
    count: u16,
    read: u16,
    time: i64,
    delta: u64,
    value: f64,
    window: Window,
}

impl<'a> Samples<'a> {
    /// The samples of a payload.
    ///
    /// # Errors
    /// When the header is damaged.
    pub fn new(data: &'a [u8]) -> Result<Self, Corruption> {
        Ok(Self {
            count: count(data)?,
            reader: BitReader::new(data, HEADER_LEN),
            read: 0,
            time: 0,
            delta: 0,
            value: 0.0,
            window: Window::NONE,
        })
    }

    #[inline(always)]
    fn read_next(&mut self) -> Result<(i64, f64), Corruption> {
        if self.read == 0 {
            self.time = self.reader.read_varint()?;
            self.value = f64::from_bits(self.reader.read_bits(64)?);
        } else {
            self.delta = if self.read == 1 {
                self.reader.read_uvarint()?
            } else {
                self.delta
                    .wrapping_add_signed(read_delta_of_delta(&mut self.reader))
            };
            self.time = self.time.wrapping_add_unsigned(self.delta);
            self.value = read_xor(&mut self.reader, &mut self.window, self.value)?;
            self.reader.check_end()?;
        }
        self.read += 1;
        Ok((self.time, self.value))
    }
}

impl Iterator for Samples<'_> {
    type Item = Result<(i64, f64), Corruption>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read >= self.count {
            return None;
        }
        let sample = self.read_next();
        if sample.is_err() {
            self.read = self.count;
        }
        Some(sample)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.count - self.read)))
    }
}

#[cfg(test)]
mod tests;
