//! How far a queue was read: a small file that is replaced as a whole. It need not be durable, since
//! an older mark only has records come again.

use std::fs;
use std::io;
use std::path::Path;

use tsdb::cursor::crc32c;

use super::Position;

const FILE: &str = "cursor";

/// The mark, or the very beginning when there is none that can be trusted.
pub(super) fn read(dir: &Path) -> Position {
    let bytes = fs::read(dir.join(FILE)).unwrap_or_default();
    let Some((body, crc)) = bytes.split_at_checked(16) else {
        return Position::default();
    };
    if crc != crc32c(body).to_le_bytes() {
        return Position::default();
    }
    let number = |at: usize| {
        let bytes = body[at..at + 8].try_into();
        u64::from_le_bytes(bytes.expect("eight bytes of sixteen"))
    };
    Position {
        segment: number(0),
        offset: number(8),
    }
}

/// Replaces the mark.
pub(super) fn write(dir: &Path, at: Position) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(20);
    bytes.extend_from_slice(&at.segment.to_le_bytes());
    bytes.extend_from_slice(&at.offset.to_le_bytes());
    bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
    let new = dir.join("cursor.tmp");
    fs::write(&new, bytes)?;
    fs::rename(new, dir.join(FILE))
}
