//! The StoreAPI: how components ask each other for series.
//!
//! [`Store`] is the seam; whoever has series implements it. External labels identify the producer of
//! a block or a head; they are not stored with its series but added to them on the way out, and they
//! win over a series' own label of the same name ([`external_labels`]).
//!
//! Reading order: [`store`] (the trait and what it speaks of), [`external_labels`], [`wire`] (the
//! same as messages), [`grpc`] (server and client), [`merge`] (sorted streams
//! to one), [`proxy`] (one store of many), [`memory`] (a store for tests); beside them [`catalog`]
//! (rules, targets, metadata, exemplars), [`remote_read`], Prometheus' protocol for the same question
//! as the StoreAPI, [`snappy`], and [`block_viewer`], which is HTTP for who works on a bucket.

#[cfg(any(test, feature = "acceptance"))]
pub mod acceptance;
pub mod block_viewer;
pub mod catalog;
pub mod external_labels;
pub mod grpc;
pub mod memory;
pub mod merge;
pub mod proxy;
pub mod remote_read;
mod shard;
pub mod snappy;
pub mod store;
pub mod wire;

pub use catalog::Catalog;
pub use store::{
    Aggregate, Aggregates, ChunkData, Frame, Info, InfoPart, LabelsRequest, PartialResponse,
    QueryHints, Series, SeriesChunk, SeriesRequest, Shard, Store, StoreError, Strings,
};
