//! Protobuf, read without copying.
//!
//! [`Fields`] walks the fields of a message. Nested messages are not copied and not even sliced: a
//! field of bytes is a range of the whole, so that a reader can tell where in the input it lies.
//! Unknown fields are skipped, groups too. Every length is compared with what is left.

use std::ops::Range;

/// Groups within each other that are skipped; nothing known sends any.
const GROUP_DEPTH_MAX: usize = 100;

/// Why a message cannot be decoded; the whole request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not a message.
    #[error("protobuf: {reason} at byte {offset}")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// There are more series than a request may have.
    #[error(
        "too many timeseries: {found} or more, and the limit is {max} in a request (series_limit of --receive.limits-config-file)"
    )]
    TooManySeries {
        /// Series that were met.
        found: usize,
        /// Series that a request may have.
        max: usize,
    },
    /// There are more samples than a request may have.
    #[error(
        "too many samples: {found} or more, and the limit is {max} in a request (samples_limit of --receive.limits-config-file)"
    )]
    TooManySamples {
        /// Samples that were met.
        found: usize,
        /// Samples that a request may have.
        max: usize,
    },
    /// There are more symbols than a request may have.
    #[error("too many symbols: the limit is {max} in a request")]
    TooManySymbols {
        /// Symbols that a request may have.
        max: usize,
    },
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Varint(u64),
    Fixed64(u64),
    /// Where the bytes lie in the whole input.
    Bytes(Range<usize>),
    Fixed32,
    Group,
}

/// The fields of a message, in the order in which they were sent.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    pos: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    /// The fields of the message that lies at `range` of `bytes`.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], range: Range<usize>) -> Self {
        debug_assert!(range.start <= range.end && range.end <= bytes.len());
        Self {
            bytes,
            pos: range.start,
            end: range.end,
        }
    }

    /// Where the next field begins.
    #[inline]
    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    #[cold]
    pub(super) fn malformed(&self, reason: &'static str) -> DecodeError {
        DecodeError::Malformed {
            offset: self.pos,
            reason,
        }
    }

    /// The next field: its number and its value.
    #[inline]
    pub(super) fn next_field(&mut self) -> Result<Option<(u32, Value)>, DecodeError> {
        if self.pos >= self.end {
            return Ok(None);
        }
        let (field, kind) = self.key()?;
        Ok(Some((field, self.value(field, kind)?)))
    }

    #[inline]
    fn key(&mut self) -> Result<(u32, u32), DecodeError> {
        let key = self.varint()?;
        let key = u32::try_from(key).map_err(|_| self.malformed("field number out of range"))?;
        if key >> 3 == 0 {
            return Err(self.malformed("field number 0"));
        }
        Ok((key >> 3, key & 7))
    }

    #[inline]
    fn value(&mut self, field: u32, kind: u32) -> Result<Value, DecodeError> {
        match kind {
            0 => self.varint().map(Value::Varint),
            1 => self.fixed64().map(Value::Fixed64),
            2 => {
                let len = self.varint()?;
                let left = self.end - self.pos;
                match usize::try_from(len) {
                    Ok(len) if len <= left => {
                        let begin = self.pos;
                        self.pos += len;
                        Ok(Value::Bytes(begin..self.pos))
                    }
                    _ => Err(self.malformed("length beyond the end")),
                }
            }
            3 => self.skip_group(field),
            5 if self.end - self.pos >= 4 => {
                self.pos += 4;
                Ok(Value::Fixed32)
            }
            5 => Err(self.malformed("number cut off")),
            _ => Err(self.malformed("unknown wire type")),
        }
    }

    /// Skips to the end of the group that just began.
    #[cold]
    fn skip_group(&mut self, field: u32) -> Result<Value, DecodeError> {
        let mut open = vec![field];
        while let Some(innermost) = open.last() {
            if self.pos >= self.end {
                return Err(self.malformed("group without an end"));
            }
            let innermost = *innermost;
            match self.key()? {
                (ended, 4) if ended == innermost => {
                    open.pop();
                }
                (_, 4) => return Err(self.malformed("end of another group")),
                (_, 3) if open.len() >= GROUP_DEPTH_MAX => {
                    return Err(self.malformed("groups nested too deeply"));
                }
                (begun, 3) => open.push(begun),
                (field, kind) => {
                    self.value(field, kind)?;
                }
            }
        }
        Ok(Value::Group)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        if let Some(&byte) = self.bytes[..self.end].get(self.pos)
            && byte < 0x80
        {
            self.pos += 1;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        let rest = &self.bytes[self.pos..self.end];
        for (i, byte) in rest.iter().take(10).enumerate() {
            // The tenth byte has room for one bit.
            if i == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.pos += i + 1;
                return Ok(value);
            }
        }
        Err(self.malformed("number cut off or too long"))
    }

    #[inline]
    pub(super) fn fixed64(&mut self) -> Result<u64, DecodeError> {
        match self.bytes[self.pos..self.end].first_chunk() {
            Some(chunk) => {
                self.pos += 8;
                Ok(u64::from_le_bytes(*chunk))
            }
            None => Err(self.malformed("number cut off")),
        }
    }

    /// True when all is read, for bytes that hold packed numbers.
    pub(super) fn is_at_end(&self) -> bool {
        self.pos >= self.end
    }

    /// The range of a field that must hold bytes.
    #[inline]
    pub(super) fn bytes_of(&self, value: Value) -> Result<Range<usize>, DecodeError> {
        match value {
            Value::Bytes(range) => Ok(range),
            _ => Err(self.malformed("bytes expected")),
        }
    }

    /// The number of a field that must hold a varint.
    #[inline]
    pub(super) fn varint_of(&self, value: &Value) -> Result<u64, DecodeError> {
        match value {
            Value::Varint(number) => Ok(*number),
            _ => Err(self.malformed("integer expected")),
        }
    }

    /// The number of a field that must hold a double.
    #[inline]
    pub(super) fn double_of(&self, value: &Value) -> Result<f64, DecodeError> {
        match value {
            Value::Fixed64(bits) => Ok(f64::from_bits(*bits)),
            _ => Err(self.malformed("double expected")),
        }
    }
}

/// The signed number that zigzag encoding makes of an unsigned one.
pub(super) const fn zigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -((n & 1).cast_signed())
}
