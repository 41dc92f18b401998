//! What the set of endpoints needs of a connection.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use storeapi::wire::info::EndpointInfo;
use storeapi::{Catalog, Store, StoreError};

use super::config::ClientTls;

/// A connection to an endpoint, which may be down.
pub trait Peer: Send + Sync + fmt::Debug {
    /// What the endpoint says of itself.
    fn ask_info(&self) -> BoxFuture<'_, Result<EndpointInfo, StoreError>>;

    /// Its series.
    fn store(&self) -> Arc<dyn Store>;

    /// What it knows beside series.
    fn catalog(&self) -> Arc<dyn Catalog>;
}

/// Makes connections.
pub trait Dial: Send + Sync + fmt::Debug {
    /// A connection to the endpoint at `HOST:PORT`; it is made when it is used.
    ///
    /// # Errors
    /// When it can never be made, as with a certificate that cannot be read.
    fn dial(&self, address: &str, tls: Option<&ClientTls>) -> Result<Arc<dyn Peer>, StoreError>;
}
