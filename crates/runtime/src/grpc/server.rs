//! The gRPC server.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::sleep;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use super::figures::{GrpcMetrics, Measure};
use super::flags::GrpcServerConfig;
use super::incoming::{Tls, connections};
use super::message_limit::BoundedRequests;
use super::own_thread::Threads;
use super::snappy::Decompress;
use super::{CONNECTION_WINDOW, FRAME_BYTES_MAX, Readiness, STREAM_WINDOW};
use crate::Error;
use crate::flags::ListenAddress;
use crate::process::Shutdown;
use crate::tls::Protocol;

/// Requests at once on a connection.
const STREAMS_MAX: u32 = 1_000;
/// Bytes of a request's metadata.
const METADATA_BYTES_MAX: u32 = 64 << 10;
/// How often a connection without traffic is asked whether it lives, and how long it may think.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection that is too old may take to finish its requests.
const AGE_GRACE: Duration = Duration::from_secs(120);
/// How often a server that stops looks whether connections with a thread of their own are done.
const THREADS_PAUSE: Duration = Duration::from_millis(5);

/// A server with its socket bound.
pub struct Server {
    listener: TcpListener,
    config: GrpcServerConfig,
    metrics: Arc<GrpcMetrics>,
    tls: Option<Tls>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the socket and reads the certificates.
    ///
    /// # Errors
    /// [`Error::System`] when the address cannot be had, [`Error::Start`] when a certificate cannot.
    pub async fn bind(address: &ListenAddress, config: GrpcServerConfig) -> Result<Self, Error> {
        let tls = config
            .tls
            .as_ref()
            .map(|tls| tls.follow(Protocol::Http2))
            .transpose()?;
        let (host, port) = (address.host.as_str(), address.port);
        let listener = TcpListener::bind((host, port)).await;
        let listener = listener.map_err(|source| Error::System {
            action: format!("listen on {host}:{port}"),
            source,
        })?;
        Ok(Self {
            listener,
            config,
            metrics: GrpcMetrics::of_server(),
            tls,
        })
    }

    /// Figures of its calls, to be registered.
    pub fn metrics(&self) -> Arc<GrpcMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves `routes`, and gRPC's health service from `readiness`, until `shutdown`; then finishes
    /// the requests at hand within the grace period.
    ///
    /// # Errors
    /// [`Error::Start`] when the transport fails as a whole; a connection that fails does not.
    pub async fn serve(
        self,
        routes: Routes,
        readiness: Readiness,
        shutdown: Shutdown,
    ) -> Result<(), Error> {
        let (reporter, health) = health_reporter();
        let mut builder = tonic::transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_header_list_size(METADATA_BYTES_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
        if !self.config.connection_age_max.is_zero() {
            builder = builder
                .max_connection_age(self.config.connection_age_max)
                .max_connection_age_grace(AGE_GRACE);
        }
        let mut stop = shutdown.clone();
        let limit = self.config.message_limit;
        let service = Decompress::new(routes.add_service(health).prepare(), limit);
        let service = BoundedRequests::new(service, limit);
        let service = Measure::new(service, self.metrics, self.config.log.clone());
        let threads = Arc::new(Threads::new(
            builder.clone(),
            service.clone(),
            self.tls.clone(),
            shutdown.clone(),
        ));
        let own = Arc::clone(&threads);
        let incoming = connections(self.listener, self.tls, move |accepted| own.take(accepted));
        let serving = builder.serve_with_incoming_shutdown(service, incoming, async move {
            stop.requested().await;
        });
        let reporting = report_health(&reporter, readiness, shutdown.clone());
        let mut stop = shutdown;
        let grace = self.config.grace;
        let overtime = async move {
            stop.requested().await;
            sleep(grace).await;
        };
        let serving = async {
            serving.await?;
            while threads.running() > 0 {
                sleep(THREADS_PAUSE).await;
            }
            Ok(())
        };
        tokio::select! {
            served = serving => served.map_err(|source: tonic::transport::Error| Error::Start {
                action: "serve gRPC".to_owned(),
                source: Box::new(source),
            }),
            () = overtime => {
                tracing::warn!("gRPC requests were not answered within the grace period");
                Ok(())
            }
            never = reporting => match never {},
        }
    }
}

/// Keeps the health service at what `readiness` says; a server that stops is not healthy.
async fn report_health(
    reporter: &HealthReporter,
    readiness: Readiness,
    mut shutdown: Shutdown,
) -> std::convert::Infallible {
    let mut changes = readiness.watch();
    loop {
        let status = if *changes.borrow_and_update() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        reporter.set_service_status("", status).await;
        tokio::select! {
            changed = changes.changed() => changed.expect("this function holds the sender too"),
            () = shutdown.requested() => break,
        }
    }
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    std::future::pending().await
}
