//! The file under construction: appended to in pieces, with frames whose length and count are
//! known only at their end.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest, checksum_combine};

use crate::cursor::crc32c;
use crate::error::{Error, Result};

/// Bytes gathered before a write.
const BUF: usize = 1 << 20;

/// An append-only file with a buffer.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    path: PathBuf,
    buf: Vec<u8>,
    /// Bytes in the file, where the buffer continues.
    written: u64,
    frame: Option<OpenFrame>,
}

/// A frame that has begun: a 32-bit length, a 32-bit count, entries, a checksum of count and
/// entries.
struct OpenFrame {
    /// Where the length is.
    at: u64,
    /// Checksum of the entries that have left the buffer.
    digest: Digest,
    /// Number of those bytes.
    digested: u64,
}

impl std::fmt::Debug for OpenFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFrame")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Length and count in front of a frame's entries.
const FRAME_HEAD: u64 = 8;

impl Output {
    /// Creates a file that must not exist.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|e| Error::io("create", path, e))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            buf: Vec::with_capacity(BUF + (BUF >> 4)),
            written: 0,
            frame: None,
        })
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next byte goes.
    pub(super) fn pos(&self) -> u64 {
        self.written + self.buf.len() as u64
    }

    /// Appends bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.buf.extend_from_slice(bytes);
        if self.buf.len() >= BUF {
            self.flush()?;
        }
        Ok(())
    }

    /// Appends zeros up to a multiple of `align`.
    pub(super) fn pad(&mut self, align: u64) -> Result<()> {
        let zeros = self.pos().next_multiple_of(align) - self.pos();
        self.buf.resize(self.buf.len() + zeros as usize, 0);
        Ok(())
    }

    /// Writes the buffer to the file.
    pub(super) fn flush(&mut self) -> Result<()> {
        if let Some(frame) = &mut self.frame {
            // Entries start after the head, which may be in this buffer.
            let entries_at = frame.at + FRAME_HEAD + frame.digested;
            let start = (entries_at - self.written) as usize;
            let entries = &self.buf[start..];
            frame.digest.update(entries);
            frame.digested += entries.len() as u64;
        }
        self.file
            .write_all_at(&self.buf, self.written)
            .map_err(|e| Error::io("write", &self.path, e))?;
        self.written += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }

    /// Begins a frame; what is put from here on are its entries.
    pub(super) fn begin_frame(&mut self) {
        assert!(self.frame.is_none(), "frames do not nest");
        self.frame = Some(OpenFrame {
            at: self.pos(),
            digest: Digest::new(CrcAlgorithm::Crc32Iscsi),
            digested: 0,
        });
        self.buf.extend_from_slice(&[0; FRAME_HEAD as usize]);
    }

    /// Ends the frame, whose number of entries is `count`.
    pub(super) fn end_frame(&mut self, count: u64, what: &str) -> Result<()> {
        let mut frame = self.frame.take().expect("a frame was begun");
        let too_large = || Error::Invalid(format!("{what} beyond 4 GiB; split the block"));
        let len = u32::try_from(self.pos() - frame.at - 4).map_err(|_| too_large())?;
        let count = u32::try_from(count).map_err(|_| too_large())?.to_be_bytes();
        let head = [len.to_be_bytes(), count].concat();
        let crc = match frame.at.checked_sub(self.written) {
            Some(start) => {
                let start = start as usize;
                self.buf[start..start + head.len()].copy_from_slice(&head);
                crc32c(&self.buf[start + 4..])
            }
            None => {
                self.file
                    .write_all_at(&head, frame.at)
                    .map_err(|e| Error::io("write", &self.path, e))?;
                frame.digest.update(&self.buf);
                let crc = checksum_combine(
                    CrcAlgorithm::Crc32Iscsi,
                    u64::from(crc32c(&count)),
                    frame.digest.finalize(),
                    u64::from(len) - 4,
                );
                u32::try_from(crc).expect("a 32-bit checksum")
            }
        };
        self.put(&crc.to_be_bytes())
    }

    /// Writes what is left and makes the file durable.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.file
            .sync_all()
            .map_err(|e| Error::io("sync", &self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_alike_whether_they_fit_the_buffer_or_not() {
        let dir = tempfile::tempdir().unwrap();
        for (name, pieces) in [("small", 3), ("large", 40)] {
            let path = dir.path().join(name);
            let mut out = Output::create(&path).unwrap();
            out.put(b"head").unwrap();
            out.begin_frame();
            for i in 0..pieces {
                out.put(&vec![i; 99_999]).unwrap();
            }
            out.end_frame(7, "frames").unwrap();
            out.sync().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let (payload, crc) = bytes[8..].split_last_chunk().unwrap();
            assert_eq!(bytes[4..8], (payload.len() as u32).to_be_bytes());
            assert_eq!(payload[..4], 7u32.to_be_bytes());
            assert_eq!(u32::from_be_bytes(*crc), crc32c(payload), "{name}");
        }
    }
}
