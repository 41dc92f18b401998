//! The StoreAPI over gRPC: a server for any [`Store`](crate::Store), and a client that is one.
//!
//! Reading order: [`service`] (`thanos.Store`), [`info`] (`thanos.info.Info`), [`client`],
//! [`limits`], [`catalog`] (what there is beside series); `frames`, `body` and `receive` are what a
//! stream of series goes through.

mod body;
pub mod catalog;
mod channels;
pub mod client;
mod frames;
pub mod info;
pub mod limits;
mod receive;
mod served;
pub mod service;
mod status;

pub use catalog::{CatalogService, GrpcCatalog};
pub use client::{ClientConfig, GrpcStore};
pub use info::InfoService;
pub use limits::Limits;
pub use served::Served;
pub use service::StoreService;
pub use status::{from_status, to_status};

use tonic::metadata::MetadataMap;

/// The metadata key by which a request for series says that chunks' hashes are not needed, and its
/// value. Others than ours do not know it, and send and expect hashes.
const HASHES_KEY: &str = "promontory-chunk-hashes";
const NO_HASHES: &str = "none";

/// The tenant that a request is for, as its metadata says; empty for the default one.
pub fn tenant_of(metadata: &MetadataMap) -> String {
    let tenant = metadata.get(runtime::grpc::TENANT_KEY);
    let tenant = tenant.and_then(|value| value.to_str().ok());
    tenant.unwrap_or_default().to_owned()
}

#[cfg(test)]
pub(crate) mod tests;
