//! Remote write: from the bytes of a request to samples that are durable.
//!
//! A decoder ([`v1`], [`v2`], and [`message`] for what gRPC has decoded already) fills [`Decoded`]:
//! one [`Batch`](tsdb::batch::Batch) for each tenant, and what was refused on the way. [`Receiver`]
//! appends it, waits until it is durable, and says what became of it as an [`Outcome`]; [`http`] and
//! [`grpc`] put that into the words of their protocols.
//!
//! A request that is damaged is refused as a whole, before anything is written. A series or sample
//! that is wrong is refused by itself; the rest of its request is kept, and the answer counts by
//! reason what is missing and names the first.
//!
//! Sources: the remote write specifications 1.0 and 2.0, Prometheus' `prompb`, Thanos' `pkg/receive`.

mod body;
mod counters;
mod decoded;
mod error;
pub mod grpc;
mod histogram;
pub mod http;
mod in_force;
pub(crate) mod known;
mod labels;
pub mod limits;
pub mod message;
mod metadata;
mod outcome;
pub(crate) mod pieces;
mod receiver;
mod tenant;
pub mod v1;
pub mod v2;
mod wire;

#[cfg(test)]
mod tests;

pub use body::Encoding;
pub(crate) use body::{BodyError, decompress};
pub use decoded::{DecodeOptions, Decoded};
pub use error::ReceiveError;
pub use in_force::LIMITS_FILE;
pub use known::Known;
pub use labels::LabelLimits;
pub(crate) use labels::normalize;
pub use metadata::MetadataStore;
pub use outcome::{Outcome, Reason, Refusals};
pub use receiver::{Receiver, Settings};
pub use tenant::TenantSettings;
pub use wire::DecodeError;
