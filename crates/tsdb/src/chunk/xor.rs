//! Float chunks: delta-of-delta timestamps and XORed values, after Facebook's Gorilla.
//!
//! Payload: sample count (u16), then bits. Timestamps ascend in files that Prometheus writes, but
//! nothing here depends on it.

use bytes::Bytes;

use super::bits::{BitReader, BitWriter, WINDOW_BITS, fits, sign_extend};
use super::window::{Window, read_xor, read_xor_in, write_xor};
use super::{Chunk, Encoding, header_count};
use crate::error::Corruption;

/// Bytes before the bit stream: the sample count.
const HEADER_LEN: usize = 2;

/// Builds a float chunk sample by sample.
#[derive(Debug, Clone)]
pub struct Encoder {
    writer: BitWriter,
    count: u16,
    state: State,
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
            state: State::default(),
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
            state: samples.state,
        })
    }

    /// Appends a sample. Times are expected to ascend.
    ///
    /// # Panics
    /// When the chunk holds 65,535 samples already; callers cut long before.
    #[inline]
    pub fn append(&mut self, t: i64, v: f64) {
        let Self { writer, state, .. } = self;
        let delta = t.wrapping_sub(state.time).cast_unsigned();
        match self.count {
            0 => {
                writer.write_varint(t);
                writer.write_bits(v.to_bits(), 64);
            }
            count => {
                if count == 1 {
                    writer.write_uvarint(delta);
                } else {
                    let change = delta.wrapping_sub(state.delta).cast_signed();
                    write_delta_of_delta(writer, change);
                }
                state.delta = delta;
                write_xor(writer, &mut state.window, v, state.value);
            }
        }
        (state.time, state.value) = (t, v);
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
        (self.count > 0).then_some((self.state.time, self.state.value))
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

/// The delta of deltas of timestamps that `next`, the bits that come next, starts with, and how many
/// bits it takes; nothing when it takes 68, which are more than `next` holds.
#[inline(always)]
const fn delta_of_delta(next: u64) -> Option<(i64, u32)> {
    // Nearly all samples come as long after the one before as that did: a branch that is foreseen,
    // where counting ones would end in a jump that has to be looked up.
    if next >> 63 == 0 {
        return Some((0, 1));
    }
    let (prefix, bits) = match next.leading_ones() {
        1 => (2, 14),
        2 => (3, 17),
        3 => (4, 20),
        _ => return None,
    };
    let value = (next << prefix) >> (64 - bits);
    Some((sign_extend(value, bits), prefix + bits))
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
    let count = usize::from(count(data)?);
    let (times_before, values_before) = (times.len(), values.len());
    times.resize(times_before + count, 0);
    values.resize(values_before + count, 0.0);
    let decoded = decode_slices(
        data,
        &mut times[times_before..],
        &mut values[values_before..],
    );
    if decoded.is_err() {
        times.truncate(times_before);
        values.truncate(values_before);
    }
    decoded
}

fn decode_slices(data: &[u8], times: &mut [i64], values: &mut [f64]) -> Result<(), Corruption> {
    let mut reader = BitReader::new(data, HEADER_LEN);
    let mut state = State::default();
    let mut slots = times.iter_mut().zip(values);
    if let Some(slot) = slots.next() {
        state.read_first(&mut reader)?;
        (*slot.0, *slot.1) = (state.time, state.value);
    }
    if let Some(slot) = slots.next() {
        state.read_second(&mut reader)?;
        (*slot.0, *slot.1) = (state.time, state.value);
    }
    for slot in slots {
        state.read_further(&mut reader)?;
        (*slot.0, *slot.1) = (state.time, state.value);
    }
    // Past the end there are zeros, so that one look for it is enough.
    reader.check_end()
}

/// The last sample, and what the next is coded against.
#[derive(Debug, Clone, Copy)]
struct State {
    time: i64,
    /// Difference between the last two times.
    delta: u64,
    value: f64,
    window: Window,
}

impl Default for State {
    fn default() -> Self {
        Self {
            time: 0,
            delta: 0,
            value: 0.0,
            window: Window::NONE,
        }
    }
}

/// Reading. All may run past the end, see [`BitReader`].
impl State {
    fn read_first(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        self.time = reader.read_varint()?;
        self.value = f64::from_bits(reader.take(64));
        Ok(())
    }

    fn read_second(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        self.delta = reader.read_uvarint()?;
        self.time = self.time.wrapping_add_unsigned(self.delta);
        self.value = read_xor(reader, &mut self.window, self.value)?;
        Ok(())
    }

    #[inline(always)]
    fn read_further(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        let mut next = reader.window();
        let mut known = WINDOW_BITS;
        if let Some((change, bits)) = delta_of_delta(next) {
            self.delta = self.delta.wrapping_add_signed(change);
            reader.skip(bits);
            next <<= bits;
            known -= bits;
        } else {
            reader.skip(4);
            self.delta = self.delta.wrapping_add(reader.take(64));
            next = reader.window();
        }
        self.time = self.time.wrapping_add_unsigned(self.delta);
        self.value = read_xor_in(reader, next, known, &mut self.window, self.value)?;
        Ok(())
    }
}

/// Decodes a chunk sample by sample. After an error it ends.
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    reader: BitReader<'a>,
    count: u16,
    read: u16,
    state: State,
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
            state: State::default(),
        })
    }

    #[inline(always)]
    fn read_next(&mut self) -> Result<(i64, f64), Corruption> {
        match self.read {
            0 => self.state.read_first(&mut self.reader)?,
            1 => self.state.read_second(&mut self.reader)?,
            _ => self.state.read_further(&mut self.reader)?,
        }
        self.reader.check_end()?;
        self.read += 1;
        Ok((self.state.time, self.state.value))
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
