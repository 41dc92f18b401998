//! The endpoints that a querier asks: where they come from, and how they are.
//!
//! Addresses come from flags, from a configuration and from files, and are resolved through DNS
//! ([`address`], [`config`], [`files`], [`resolve`]). All together they are the [`set`], which asks
//! every endpoint what it has, every few seconds, and holds those that answer ready for queries.
//! Endpoints of a group are alike; one of them answers ([`group`]). The network is behind [`peer`],
//! of which [`dial`] is the one over gRPC.

pub mod address;
pub mod config;
pub mod dial;
pub mod files;
pub mod group;
pub mod peer;
pub mod resolve;
pub mod set;

pub use address::{Address, Lookup};
pub use config::{ClientTls, EndpointConfig};
pub use peer::{Dial, Peer};
pub use resolve::Resolve;
pub use set::{EndpointSet, SetOptions};
