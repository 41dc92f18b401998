//! How far a queue was read: a small file that is replaced as a whole. It need not be durable, since
//! an older mark only has records come again.

use std::fs;
use std::io;
use std::path::Path;

use tsdb::cursor::crc32c;

use super::Position;

const FILE: &str = "cursor";

/// How far a queue was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// What is before it is done with.
    pub(super) consumed: Position,
    /// What is before it was given away, and may have arrived.
    pub(super) given: Position,
}

/// The mark, or the very beginning when there is none that can be trusted.
pub(super) fn read(dir: &Path) -> Mark {
    let bytes = fs::read(dir.join(FILE)).unwrap_or_default();
    let Some((body, crc)) = bytes.split_at_checked(32) else {
        return Mark::default();
    };
    if crc != crc32c(body).to_le_bytes() {
        return Mark::default();
    }
    let number = |at: usize| {
        let bytes = body[at..at + 8].try_into();
        u64::from_le_bytes(bytes.expect("eight bytes of thirty-two"))
    };
    let position = |at: usize| Position {
        segment: number(at),
        offset: number(at + 8),
    };
    Mark {
        consumed: position(0),
        given: position(16),
    }
}

/// Replaces the mark.
pub(super) fn write(dir: &Path, mark: Mark) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(36);
    for at in [mark.consumed, mark.given] {
        bytes.extend_from_slice(&at.segment.to_le_bytes());
        bytes.extend_from_slice(&at.offset.to_le_bytes());
    }
    bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
    let new = dir.join("cursor.tmp");
    fs::write(&new, bytes)?;
    fs::rename(new, dir.join(FILE))
}
