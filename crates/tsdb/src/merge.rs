//! Merging what several sources hold of the same series.
//!
//! [`samples`] merges the samples of one series. [`compact`] merges whole blocks into one: series are
//! merged by their symbols, which are merged first and numbered in their order, so that label sets
//! compare as pairs of numbers and no string is touched again (`symbols`, `series`). A chunk that
//! overlaps no other chunk of its series and that no deletion touches is copied as it is; only its
//! checksum is verified. Chunks that overlap are decoded and their samples merged (`overlap`), or, where
//! blocks are of replicas that scraped each for itself, those of one replica taken (`penalty`, by what
//! [`replicas`] says).
//!
//! What is kept where samples disagree, how merged samples are cut into chunks, and what becomes of
//! histograms' counter resets is what Prometheus does when it compacts (`storage/merge.go` and
//! `tsdb/querier.go` there).
//!
//! Memory of a compaction: four bytes per symbol and block, and one series.

mod compact;
mod overlap;
mod penalty;
pub mod replicas;
mod rewrite;
pub mod samples;
mod series;
mod symbols;

pub use compact::{compact, compacted_meta};
pub(crate) use overlap::encode;
pub use overlap::{Overlap, merge_chunks};
pub use rewrite::{Edit, rewrite};
pub use samples::{ChunkSamples, SampleMerge, merged_samples};
