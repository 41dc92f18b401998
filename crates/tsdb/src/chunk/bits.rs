//! Reading and writing runs of bits, most significant bit first.

use crate::error::Corruption;

/// True when `value` fits into `bits` bits as Prometheus counts: `-(2^(bits-1) - 1) ..= 2^(bits-1)`.
#[inline(always)]
pub(crate) const fn fits(value: i64, bits: u32) -> bool {
    let half = 1 << (bits - 1);
    -half < value && value <= half
}

/// Undoes what [`fits`] allows: values above `2^(bits-1)` are negative.
#[inline(always)]
pub(crate) const fn sign_extend(value: u64, bits: u32) -> i64 {
    if value > 1 << (bits - 1) {
        value.wrapping_sub(1 << bits).cast_signed()
    } else {
        value.cast_signed()
    }
}

/// Bits that [`BitReader::window`] holds at least.
pub(crate) const WINDOW_BITS: u32 = 57;

/// Reads bits from a slice.
///
/// The unchecked pair [`window`](Self::window) and [`skip`](Self::skip) may run past the end, where
/// zeros are read; whoever uses it calls [`check_end`](Self::check_end) before trusting what was
/// read. The `read_*` methods check by themselves.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    data: &'a [u8],
    /// Bits consumed so far.
    position: usize,
}

impl<'a> BitReader<'a> {
    /// A reader of `data` that starts after its first `skip_bytes` bytes.
    pub(crate) const fn new(data: &'a [u8], skip_bytes: usize) -> Self {
        Self {
            data,
            position: skip_bytes * 8,
        }
    }

    /// Bits consumed so far, counted from the start of the slice.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    /// Bits left to read.
    pub(crate) const fn remaining(&self) -> usize {
        (self.data.len() * 8).saturating_sub(self.position)
    }

    /// The bits that come next, left-aligned: at least [`WINDOW_BITS`] of them, then zeros.
    #[inline(always)]
    pub(crate) fn window(&self) -> u64 {
        let byte = self.position >> 3;
        let word = match self.data.get(byte..byte + 8) {
            Some(bytes) => u64::from_be_bytes(bytes.try_into().expect("eight bytes were taken")),
            None => self.tail(byte),
        };
        word << (self.position & 7)
    }

    /// The last bytes of the slice from `byte` on, padded with zeros.
    #[inline(never)]
    fn tail(&self, byte: usize) -> u64 {
        let len = self.data.len();
        if let Some(last) = self.data.last_chunk() {
            let past = byte + 8 - len;
            return if past < 8 {
                u64::from_be_bytes(*last) << (past * 8)
            } else {
                0
            };
        }
        let rest = self.data.get(byte..).unwrap_or_default();
        let mut padded = [0; 8];
        padded[..rest.len()].copy_from_slice(rest);
        u64::from_be_bytes(padded)
    }

    /// Consumes bits that were looked at through [`window`](Self::window).
    #[inline(always)]
    pub(crate) const fn skip(&mut self, bits: u32) {
        self.position += bits as usize;
    }

    /// Fails when more was consumed than there is.
    #[inline(always)]
    pub(crate) fn check_end(&self) -> Result<(), Corruption> {
        if self.position > self.data.len() * 8 {
            return Err(self.truncated());
        }
        Ok(())
    }

    #[cold]
    fn truncated(&self) -> Corruption {
        Corruption::new(
            self.data.len(),
            "more bits, as the sample count or layout promises",
        )
    }

    /// Damage at the current position.
    #[cold]
    pub(crate) fn corrupt(&self, expected: &'static str) -> Corruption {
        Corruption::new((self.position >> 3).min(self.data.len()), expected)
    }

    /// The next `bits` bits, at most 64, without looking for the end.
    #[inline(always)]
    pub(crate) fn take(&mut self, bits: u32) -> u64 {
        if bits <= 56 {
            // Shifting twice makes zero bits work, for which one shift would be by 64.
            let value = (self.window() >> 1) >> (63 - bits);
            self.skip(bits);
            value
        } else {
            let high = self.window() >> 32;
            self.skip(32);
            let low = self.window() >> 32;
            self.skip(bits - 32);
            ((high << 32) | low) >> (64 - bits)
        }
    }

    /// The next `bits` bits, at most 64.
    ///
    /// # Errors
    /// When fewer are left.
    #[inline]
    pub(crate) fn read_bits(&mut self, bits: u32) -> Result<u64, Corruption> {
        let value = self.take(bits);
        self.check_end()?;
        Ok(value)
    }

    /// A varint of 7-bit groups, least significant first.
    ///
    /// # Errors
    /// When it does not end within 64 bits.
    pub(crate) fn read_uvarint(&mut self) -> Result<u64, Corruption> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.read_bits(8)?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.corrupt("a varint of at most 64 bits"))
    }

    /// A zigzag-encoded signed varint.
    ///
    /// # Errors
    /// When it does not end within 64 bits.
    pub(crate) fn read_varint(&mut self) -> Result<i64, Corruption> {
        let zigzag = self.read_uvarint()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }
}

/// Writes bits to a growing buffer.
#[derive(Debug, Clone)]
pub struct BitWriter {
    /// Whole words written so far (or whole bytes, after [`resume`](Self::resume)).
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`, left-aligned; the rest is zero.
    pending: u64,
    /// Free bits in `pending`, 1 to 64.
    free: u32,
}

impl BitWriter {
    /// A writer that starts with whole bytes.
    pub(crate) fn new(header: &[u8], capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(header);
        Self {
            bytes,
            pending: 0,
            free: 64,
        }
    }

    /// A writer that goes on where `position` bits of `data` end.
    pub(crate) fn resume(data: &[u8], position: usize) -> Self {
        let (whole, rest) = (position / 8, (position % 8) as u32);
        let mut writer = Self::new(&data[..whole], data.len() + 64);
        if rest > 0 {
            writer.write_bits(u64::from(data[whole]) >> (8 - rest), rest);
        }
        writer
    }

    /// Appends the lowest `bits` bits of `value`; `bits` is 1 to 64.
    #[inline(always)]
    pub(crate) fn write_bits(&mut self, value: u64, bits: u32) {
        let value = value & (u64::MAX >> (64 - bits));
        if bits < self.free {
            self.free -= bits;
            self.pending |= value << self.free;
        } else {
            let rest = bits - self.free;
            self.bytes
                .extend_from_slice(&(self.pending | (value >> rest)).to_be_bytes());
            self.free = 64 - rest;
            // Shifting twice makes `rest == 0` work.
            self.pending = (value << 1) << (63 - rest);
        }
    }

    /// Appends a varint of 7-bit groups, least significant first.
    pub(crate) fn write_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write_bits((value & 0x7f) | 0x80, 8);
            value >>= 7;
        }
        self.write_bits(value, 8);
    }

    /// Appends a zigzag-encoded signed varint.
    pub(crate) fn write_varint(&mut self, value: i64) {
        self.write_uvarint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// Bytes so far, the last one perhaps in part.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len() + (64 - self.free as usize).div_ceil(8)
    }

    /// The bytes that are still pending.
    fn tail(&self) -> ([u8; 8], usize) {
        (
            self.pending.to_be_bytes(),
            (64 - self.free as usize).div_ceil(8),
        )
    }

    /// Everything written, padded with zero bits to a whole byte.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let (tail, used) = self.tail();
        let mut bytes = Vec::with_capacity(self.bytes.len() + used);
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(&tail[..used]);
        bytes
    }
}
