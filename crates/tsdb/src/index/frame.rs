//! What symbols, postings lists and offset tables are wrapped in: a 32-bit length, the payload,
//! and the payload's checksum.

use crate::cursor::{Cursor, crc32c};
use crate::error::{Corruption, Result};
use crate::source::{ByteSource, View, corrupt, view};

/// The payload of the frame at offset `at`, its checksum verified. It must end by `limit`.
///
/// The payload starts 4 bytes after `at`.
pub(super) fn read_frame<'a>(
    source: &'a dyn ByteSource,
    at: u64,
    limit: u64,
    what: &'static str,
) -> Result<View<'a>> {
    let damage =
        |offset: usize, expected: String| corrupt(source, at, Corruption::new(offset, expected));
    if at.checked_add(8).is_none_or(|end| end > limit) {
        return Err(damage(0, format!("{what}, which ends by offset {limit}")));
    }
    let head = view(source, at..at + 4)?;
    let len = Cursor::new(&head)
        .be32(what)
        .map_err(|c| corrupt(source, at, c))?;
    let end = at + 4 + u64::from(len);
    if end + 4 > limit {
        return Err(damage(
            0,
            format!("a length of {what} that ends by offset {limit}, not {len}"),
        ));
    }
    let mut payload = view(source, at + 4..end + 4)?;
    let stored = u32::from_be_bytes(
        *payload
            .last_chunk()
            .expect("the range has four bytes after the payload"),
    );
    match &mut payload {
        View::Borrowed(bytes) => *bytes = &bytes[..len as usize],
        View::Owned(bytes) => bytes.truncate(len as usize),
    }
    let computed = crc32c(&payload);
    if stored != computed {
        return Err(damage(
            4 + len as usize,
            format!("checksum {computed:08x} of {what}, not {stored:08x}"),
        ));
    }
    Ok(payload)
}
