//! Connections to gRPC servers.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use super::figures::GrpcMetrics;
use super::flags::GrpcClientConfig;
use super::gathering::Gathering;
use super::message_limit::MessageLimit;
use super::{CONNECTION_WINDOW, FRAME_BYTES_MAX, STREAM_WINDOW};
use crate::Error;
use crate::followed::Followed;
use crate::tls::Protocol;

/// Time to connect, handshake included.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How often a connection is asked whether it lives, and how long it may think; Thanos' figures.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes channels to endpoints, all with the same TLS configuration.
#[derive(Clone)]
pub struct Connector {
    tls: Option<Arc<Followed<rustls::ClientConfig>>>,
    server_name: Option<String>,
    metrics: Arc<GrpcMetrics>,
    message_limit: MessageLimit,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("has_tls", &self.tls.is_some())
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Reads the certificates.
    ///
    /// # Errors
    /// [`Error::Start`] when one cannot be read.
    pub fn new(config: &GrpcClientConfig) -> Result<Self, Error> {
        Ok(Self {
            tls: config
                .tls
                .as_ref()
                .map(|tls| tls.follow(Protocol::Http2))
                .transpose()?,
            server_name: config.tls.as_ref().and_then(|tls| tls.server_name.clone()),
            metrics: GrpcMetrics::of_client(),
            message_limit: config.message_limit,
        })
    }

    /// The same, whose calls are counted with those of others.
    #[must_use]
    pub fn counted_by(self, metrics: Arc<GrpcMetrics>) -> Self {
        Self { metrics, ..self }
    }

    /// What calls over its channels are counted by.
    pub fn metrics(&self) -> Arc<GrpcMetrics> {
        Arc::clone(&self.metrics)
    }

    /// How large a message may be that is taken from an endpoint. Channels are not bounded by
    /// themselves, see [`super::BoundedChannel`].
    pub const fn message_limit(&self) -> MessageLimit {
        self.message_limit
    }

    /// A channel to `HOST:PORT`. It connects when it is first used, and again when the connection
    /// is lost.
    ///
    /// # Errors
    /// [`Error::Start`] when `address` is none.
    pub fn channel(&self, address: &str) -> Result<Channel, Error> {
        let invalid = |source: tonic::transport::Error| Error::Start {
            action: format!("connect to {address:?}, which is not HOST:PORT"),
            source: Box::new(source),
        };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(invalid)?;
        let endpoint = endpoint
            .user_agent(concat!("promontory/", env!("CARGO_PKG_VERSION")))
            .map_err(invalid)?
            .connect_timeout(CONNECT_TIME_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_BYTES_MAX)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        let mut endpoint = endpoint;
        if self.tls.is_some() {
            // The connection below speaks TLS by itself; requests say so.
            let origin = format!("https://{address}").parse::<Uri>();
            let origin = origin.map_err(|source| Error::Start {
                action: format!("connect to {address:?}, which is not HOST:PORT"),
                source: Box::new(source),
            })?;
            endpoint = endpoint.origin(origin);
        }
        Ok(endpoint.connect_with_connector_lazy(Dialer(self.clone())))
    }
}

/// Dials for a channel.
struct Dialer(Connector);

/// A connection as a channel takes it.
type Connection = TokioIo<Gathering<Box<dyn Duplex>>>;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Service<Uri> for Dialer {
    type Response = Connection;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(dial(self.0.clone(), uri))
    }
}

async fn dial(connector: Connector, uri: Uri) -> io::Result<Connection> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let default_port = if connector.tls.is_some() { 443 } else { 80 };
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(default_port))).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = connector.tls else {
        return Ok(connection(stream));
    };
    let name = connector.server_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.now().await)
        .connect(name, stream)
        .await?;
    Ok(connection(stream))
}

fn connection(stream: impl Duplex + 'static) -> Connection {
    TokioIo::new(Gathering::new(Box::new(stream)))
}
