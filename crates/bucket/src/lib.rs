//! Blocks in object storage, in Thanos' layout: where each object lies, and the marks beside a block.
//!
//! A block becomes visible when its `meta.json` is written, which every uploader does last; it
//! disappears when `meta.json` is deleted, which every deleter does first. Top-level directories
//! that are not ULIDs belong to somebody else and are left alone.
//!
//! Reading order: [`paths`], [`marks`].

pub mod marks;
pub mod paths;

pub use marks::{DeletionMark, MarkError, NoCompactMark, NoCompactReason};
pub use paths::BlockObject;
