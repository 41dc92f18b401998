//! Write-ahead logs: records, fragments, segments, checkpoints, and the head chunk files beside
//! them.
//!
//! A log is a directory of numbered segment files. A segment is a row of 32 KiB pages; a record is
//! cut into fragments that never leave their page, and never spans two segments. Prometheus keeps
//! two such logs: the WAL (`wal/`) of everything appended, and the WBL (`wbl/`) of what was out of
//! order. The byte layouts are described in `docs/format/wal.md` and `docs/format/head-chunks.md`.
//!
//! Reading order: [`fragment`] and [`compression`] (bytes of a page), [`segment`] (reading records
//! off one file), [`writer`] (appending), [`record`] (what records say), [`dir`] (files of a log),
//! [`checkpoint`] (shortening a log), [`repair`] (setting damage aside), [`head_chunks`] (completed
//! chunks of the head).

pub mod checkpoint;
pub mod compression;
pub mod dir;
pub mod fragment;
pub mod head_chunks;
pub mod record;
pub(crate) mod references;
pub mod repair;
pub mod segment;
#[cfg(test)]
mod testing;
pub mod writer;

pub use compression::Compression;
pub use record::{
    MmapMarker, RecordType, RefExemplar, RefFloatHistogram, RefHistogram, RefMetadata, RefSample,
    RefSeries, RefTombstone, RefValue,
};
pub use segment::SegmentReader;
pub use writer::{Writer, WriterOptions};

/// Bytes of a page. No fragment crosses a page boundary.
pub const PAGE_SIZE: usize = 32 * 1024;

/// Bytes of a segment unless the writer is told otherwise.
pub const SEGMENT_SIZE: usize = 128 * 1024 * 1024;

/// Largest record that is read, decompressed; a whole default segment. Sizes beyond it are taken
/// for damage.
pub const RECORD_SIZE_MAX: usize = SEGMENT_SIZE;
