//! Blocks in object storage, in Thanos' layout: where each object lies, and the marks beside a block.
//!
//! A block becomes visible when its `meta.json` is written, which every uploader does last; it
//! disappears when `meta.json` is deleted, which every deleter does first. Top-level directories
//! that are not ULIDs belong to somebody else and are left alone.
//!
//! Reading order: [`client`], [`tag`] and [`config`] (objects by key, from Thanos' YAML), [`ranges`],
//! [`transfer`], [`paths`], [`marks`], [`fetch`] (which blocks there are), [`ship`] (uploading),
//! [`delete`], [`lease`].

pub mod client;
pub mod config;
pub mod delete;
pub mod error;
#[cfg(any(test, feature = "testing"))]
pub mod faults;
pub mod fetch;
pub mod lease;
pub mod marks;
pub mod metrics;
mod pace;
pub mod paths;
pub mod ranges;
pub mod ship;
pub mod tag;
pub mod transfer;

pub use client::{Bucket, Object, Version};
pub use config::Patience;
pub use error::{Error, Result};
pub use fetch::{BlockFiles, BlockInfo, Fetcher, Filter, Outline, TimeBound, TimeBounds, View};
pub use marks::{DeletionMark, MarkError, NoCompactMark, NoCompactReason, NoDownsampleMark};
pub use paths::BlockObject;
pub use ranges::{Hedge, ReadPlan};
pub use ship::{
    HashFunction, Origin, Shipped, Shipper, ShipperConfig, Uploaded, upload_block, upload_block_if,
};
pub use tag::Tag;
