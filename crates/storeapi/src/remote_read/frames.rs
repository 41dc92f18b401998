//! Frames of a streamed answer: uvarint length, CRC-32C in big-endian order, message.

use bytes::{Buf as _, Bytes, BytesMut};
use tsdb::cursor::{VARINT_MAX_LEN, crc32c, put_uvarint};

use super::ReadError;

const CRC_LEN: usize = 4;

/// Appends a message as a frame.
pub(super) fn push(message: &[u8], out: &mut Vec<u8>) {
    put_uvarint(out, message.len() as u64);
    out.extend_from_slice(&crc32c(message).to_be_bytes());
    out.extend_from_slice(message);
}

/// Takes frames out of bytes that come piece by piece; messages are slices of what came.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    message_bytes_max: usize,
}

impl FrameReader {
    /// A reader of frames whose messages have at most `message_bytes_max` bytes.
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            message_bytes_max,
        }
    }

    /// Takes in what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, or nothing while it is not there in full.
    ///
    /// # Errors
    /// [`ReadError::Frame`] when a frame is too long or its checksum is wrong; nothing of the rest
    /// can be read then.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, ReadError> {
        let Some((len, header)) = self.header()? else {
            return Ok(None);
        };
        if self.buffer.len() < header + CRC_LEN + len {
            self.buffer
                .reserve(header + CRC_LEN + len - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(header);
        let expected = self.buffer.get_u32();
        let message = self.buffer.split_to(len).freeze();
        let found = crc32c(&message);
        if found != expected {
            return Err(ReadError::Frame(format!(
                "has the checksum {found:08x} instead of {expected:08x}"
            )));
        }
        Ok(Some(message))
    }

    /// Length of the next message and of the length itself.
    fn header(&self) -> Result<Option<(usize, usize)>, ReadError> {
        let mut len = 0_u64;
        for (i, byte) in self.buffer.iter().take(VARINT_MAX_LEN).enumerate() {
            len |= u64::from(byte & 0x7f)
                .checked_shl(7 * i as u32)
                .unwrap_or(0);
            if byte & 0x80 == 0 {
                let fits = usize::try_from(len).ok();
                let fits = fits.filter(|len| *len <= self.message_bytes_max);
                let len = fits.ok_or_else(|| {
                    ReadError::Frame(format!(
                        "has {len} bytes, of which {} are allowed",
                        self.message_bytes_max
                    ))
                })?;
                return Ok(Some((len, i + 1)));
            }
        }
        if self.buffer.len() >= VARINT_MAX_LEN {
            return Err(ReadError::Frame("has a length without an end".to_owned()));
        }
        Ok(None)
    }

    /// Checks that nothing is left over when the stream has ended.
    ///
    /// # Errors
    /// [`ReadError::Frame`] when it ended within a frame.
    pub fn finish(self) -> Result<(), ReadError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        Err(ReadError::Frame(format!(
            "is cut: the stream ended {} bytes into it",
            self.buffer.len()
        )))
    }
}
