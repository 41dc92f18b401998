//! The StoreAPI over gRPC: a server for any [`Store`](crate::Store), and a client that is one.
//!
//! Reading order: [`service`] (`thanos.Store`), [`info`] (`thanos.info.Info`), [`client`],
//! [`limits`], [`catalog`] (what there is beside series); `frames`, `body` and [`codec`] are what a
//! stream of series goes through.

mod body;
pub mod catalog;
pub mod client;
pub mod codec;
mod frames;
pub mod info;
pub mod limits;
pub mod service;
mod status;

pub use catalog::{CatalogService, GrpcCatalog};
pub use client::{ClientConfig, GrpcStore};
pub use info::InfoService;
pub use limits::Limits;
pub use service::StoreService;
pub use status::{from_status, to_status};

use tonic::metadata::MetadataMap;

/// The tenant that a request is for, as its metadata says; empty for the default one.
pub fn tenant_of(metadata: &MetadataMap) -> String {
    let tenant = metadata.get(runtime::grpc::TENANT_KEY);
    let tenant = tenant.and_then(|value| value.to_str().ok());
    tenant.unwrap_or_default().to_owned()
}

#[cfg(test)]
pub(crate) mod tests;
