//! The one place that maps files.

#![expect(
    unsafe_code,
    reason = "a mapping serves warm ranges without a copy: `benches/index.rs` reads a series from \
              a mapped index several times faster than with a system call"
)]

use std::fs::File;
use std::io;

use bytes::Bytes;
use memmap2::Mmap;

/// Maps the whole of `file` for reading. An empty file yields no bytes.
pub(super) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is private to this process' view and read-only, and is taken over by
    // `Bytes`, which unmaps it only when the last slice of it is gone. What Rust cannot know is
    // that nobody changes the file under us: `Memory::map` demands files that are never truncated
    // or written below the mapped length, which holds for blocks (immutable from their rename on),
    // for the symbols of an index under construction (written once, then only appended to), and
    // for segments that are no longer the last.
    let map = unsafe { Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}
