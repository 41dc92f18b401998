//! Connections to endpoints over gRPC.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::ErrorKind;
use runtime::grpc::{Connector, GrpcClientConfig, GrpcMetrics, MessageLimit};
use storeapi::grpc::{ClientConfig, GrpcStore};
use storeapi::wire::info::EndpointInfo;
use storeapi::{Catalog, Store, StoreError};

use super::config::ClientTls;
use super::peer::{Dial, Peer};

/// Makes connections over gRPC.
#[derive(Debug)]
pub struct GrpcDial {
    /// For endpoints that are not said to be connected to otherwise.
    connector: Connector,
    config: ClientConfig,
    info_timeout: Duration,
}

impl GrpcDial {
    /// Reads the certificates.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn new(
        tls: &GrpcClientConfig,
        silence_max: Duration,
        info_timeout: Duration,
    ) -> Result<Self, runtime::Error> {
        Ok(Self {
            connector: Connector::new(tls)?,
            config: ClientConfig { silence_max },
            info_timeout,
        })
    }

    /// What the calls of all endpoints are counted by.
    pub fn metrics(&self) -> Arc<GrpcMetrics> {
        self.connector.metrics()
    }
}

/// The same in the terms of the connector.
pub fn client_config(tls: &ClientTls, message_limit: MessageLimit) -> GrpcClientConfig {
    let identity = (tls.cert_file.clone()).zip(tls.key_file.clone());
    GrpcClientConfig {
        tls: tls.enabled.then(|| runtime::tls::ClientTls {
            identity: identity.map(|(cert, key)| runtime::tls::Identity { cert, key }),
            ca: tls.ca_file.clone(),
            server_name: tls.server_name.clone(),
            skip_verify: tls.skip_verify,
            ..runtime::tls::ClientTls::default()
        }),
        message_limit,
    }
}

impl Dial for GrpcDial {
    fn dial(&self, address: &str, tls: Option<&ClientTls>) -> Result<Arc<dyn Peer>, StoreError> {
        let own =
            tls.map(|tls| Connector::new(&client_config(tls, self.connector.message_limit())));
        let own = own.transpose();
        let own = own.map_err(|error| StoreError::new(ErrorKind::Invalid, error.chain()))?;
        let own = own.map(|own| own.counted_by(self.metrics()));
        let connector = own.as_ref().unwrap_or(&self.connector);
        let store = GrpcStore::new(address, connector, self.config)?;
        Ok(Arc::new(GrpcPeer {
            store: Arc::new(store),
            info_timeout: self.info_timeout,
        }))
    }
}

#[derive(Debug)]
struct GrpcPeer {
    store: Arc<GrpcStore>,
    info_timeout: Duration,
}

impl Peer for GrpcPeer {
    fn ask_info(&self) -> BoxFuture<'_, Result<EndpointInfo, StoreError>> {
        Box::pin(async {
            let info = self.store.fetch_info(self.info_timeout).await?;
            self.store.set_info(info.store.clone().unwrap_or_default());
            Ok(info)
        })
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::<GrpcStore>::clone(&self.store)
    }

    fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::new(self.store.catalog())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_cannot_be_read_is_said_with_the_reason() {
        let time = Duration::from_secs(1);
        let dial = GrpcDial::new(&GrpcClientConfig::default(), time, time).unwrap();
        let tls = ClientTls {
            enabled: true,
            ca_file: Some("/nowhere/ca.pem".into()),
            ..ClientTls::default()
        };
        let error = dial.dial("localhost:1", Some(&tls)).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("/nowhere/ca.pem"), "{error}");
        assert!(error.message.contains("No such file"), "{error}");
    }
}
