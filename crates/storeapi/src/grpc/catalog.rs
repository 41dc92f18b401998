//! `thanos.Rules`, `thanos.Targets`, `thanos.Metadata` and `thanos.Exemplars`: a server for any
//! [`Catalog`], and a client that is one.

mod client;
mod service;

pub use client::GrpcCatalog;
pub use service::CatalogService;

#[cfg(doc)]
use crate::catalog::Catalog;
