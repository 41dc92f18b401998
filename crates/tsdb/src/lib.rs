//! Prometheus' storage formats: chunks, index, blocks, write-ahead logs, head chunks.
//!
//! Codecs are sans-IO: slices in, slices out, and a [`Corruption`] that says at which offset what
//! was expected. The few modules that touch files (`block`, `wal`, `db`) add the file's name and
//! turn it into an [`Error`]. Everything is synchronous; callers move it off their async workers.
//!
//! Reading order: `chunk` (samples to bytes), `source` (where bytes come from), `index` (labels to
//! chunks), `block` (a directory of both), `wal` (records, segments, checkpoints, head chunk
//! files), `batch` (what is written), `head` (replay of logs into queryable series), `merge` (k-way merge of series sets),
//! `db` (a whole data directory).

pub mod batch;
pub mod block;
pub mod chunk;
pub mod cursor;
pub mod db;
pub mod durable;
pub mod error;
pub mod head;
pub mod index;
pub mod merge;
pub mod source;
pub mod wal;

pub use chunk::{Chunk, ChunkMeta, Encoding};
pub use error::{Corruption, Error, Result};
