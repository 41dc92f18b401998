//! Merging what several sources hold of the same series.

pub mod samples;

pub use samples::{ChunkSamples, SampleMerge, merged_samples};
