//! The server: sockets, their limits, and draining them.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use hyper::header::HeaderName;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Handler;
use super::connection::Shared;
use super::figures::HttpMetrics;
use super::idle::IdleStream;
use super::password::Passwords;
use super::paths::WebPaths;
use super::request_line::RequestLine;
use crate::followed::Followed;
use crate::notifications::Notifications;
use crate::process::Shutdown;
use crate::readiness::Readiness;
use crate::request_log::CallLog;
use crate::web_config::{Web, WebConfig};
use crate::{Error, flags::ListenAddress};

/// Bytes of a request's line and headers, and of a connection's buffers.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// Time for a client to begin TLS.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection, as it does when it is out of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What clients may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at once; more wait in the system's queue.
    pub connections_max: usize,
    /// Time for the line and the headers of a request, which is how long a kept connection may
    /// wait for its next request.
    pub header_time_max: Duration,
    /// Time for a request's body.
    pub body_time_max: Duration,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// The flag that says how many, if there is one.
    pub body_flag: Option<&'static str>,
    /// How long a socket may be still in both directions.
    pub idle_max: Duration,
    /// How long a connection that may be of a [`RawProtocol`] may be silent before its first byte, once
    /// all places are taken; until then as long as `idle_max`.
    pub first_byte_max: Duration,
    /// How long a client may take nothing of an answer that is being written.
    pub stall_max: Duration,
    /// Small requests answered at once; see [`super::Cost`].
    pub small_max: usize,
    /// Large requests answered at once.
    pub large_max: usize,
    /// The flag that says how many, if there is one.
    pub large_flag: Option<&'static str>,
    /// How long a request waits for its place before it is refused.
    pub queue_time_max: Duration,
    /// How long a shutdown waits for requests that are being answered.
    pub grace: Duration,
}

impl Default for HttpLimits {
    /// Prometheus' limits where it has them: 512 connections, 5 minutes idle, 20 queries.
    fn default() -> Self {
        Self {
            connections_max: 512,
            header_time_max: Duration::from_secs(60),
            body_time_max: Duration::from_secs(60),
            body_bytes_max: 16 << 20,
            body_flag: None,
            idle_max: Duration::from_secs(300),
            first_byte_max: Duration::from_secs(5),
            stall_max: Duration::from_secs(30),
            small_max: 32,
            large_max: 20,
            large_flag: None,
            queue_time_max: Duration::from_secs(10),
            grace: Duration::from_secs(30),
        }
    }
}

impl HttpLimits {
    /// Threads that handlers may occupy together.
    pub const fn threads_max(&self) -> usize {
        self.small_max + self.large_max
    }
}

/// What a server serves: nothing but its health until the handler is there. Clones share it.
#[derive(Clone, Default)]
pub struct Service {
    handler: Arc<OnceLock<Arc<dyn Handler>>>,
    readiness: Arc<OnceLock<Readiness>>,
    early: Arc<OnceLock<(&'static str, Arc<dyn Handler>)>>,
    notifications: Arc<OnceLock<Notifications>>,
}

impl Service {
    /// Makes the server ready: requests go to `handler` from now on. A second call changes nothing.
    pub fn ready(&self, handler: Arc<dyn Handler>) {
        // The first handler stays.
        let _ = self.handler.set(handler);
    }

    /// Has `/-/ready` show a readiness that comes and goes, once the server is ready itself. A
    /// second call changes nothing.
    pub fn follow(&self, readiness: Readiness) {
        // The first one stays.
        let _ = self.readiness.set(readiness);
    }

    /// Has `/-/ready` say what an operator should know, below the line that it is ready. A second call
    /// changes nothing.
    pub fn remark(&self, notifications: Notifications) {
        // The first ones stay.
        let _ = self.notifications.set(notifications);
    }

    /// What `/-/ready` says of a server that is ready.
    pub(super) fn remarks(&self) -> String {
        let remarks = self.notifications.get().map(Notifications::texts);
        let lines = ["Promontory is ready."].into_iter();
        lines
            .chain(remarks.unwrap_or_default())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Has requests for one path go to `handler` until the server is ready. A second call changes
    /// nothing.
    pub fn before_ready(&self, path: &'static str, handler: Arc<dyn Handler>) {
        // The first one stays.
        let _ = self.early.set((path, handler));
    }

    pub(super) fn early_handler(&self, path: &str) -> Option<Arc<dyn Handler>> {
        let (of, handler) = self.early.get()?;
        (*of == path).then(|| Arc::clone(handler))
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state().is_ready()
    }

    /// Whether it is ready, now and later.
    pub(super) fn state(&self) -> ServiceState {
        ServiceState {
            handler: Arc::downgrade(&self.handler),
            readiness: Arc::clone(&self.readiness),
        }
    }

    pub(super) fn handler(&self) -> Option<Arc<dyn Handler>> {
        self.handler.get().cloned()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("is_ready", &self.is_ready())
            .finish()
    }
}

/// Tells whether a [`Service`] is ready, without keeping what it serves: that may be the figures which
/// show this. A service that is gone is not ready.
#[derive(Clone)]
pub(super) struct ServiceState {
    handler: Weak<OnceLock<Arc<dyn Handler>>>,
    readiness: Arc<OnceLock<Readiness>>,
}

impl ServiceState {
    pub(super) fn is_ready(&self) -> bool {
        let handler = self.handler.upgrade();
        handler.is_some_and(|handler| handler.get().is_some())
            && self.readiness.get().is_none_or(Readiness::get)
    }
}

impl fmt::Debug for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceState")
            .field("is_ready", &self.is_ready())
            .finish()
    }
}

/// A protocol that shares a port with HTTP and is told apart by the first byte of a connection.
pub trait RawProtocol: Send + Sync + 'static {
    /// True when a connection that begins with `byte` speaks it.
    fn begins_with(&self, byte: u8) -> bool;

    /// Serves a connection to its end, and ends it soon once `shutdown` is requested.
    fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        shutdown: Shutdown,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A server with its socket bound.
pub struct Server {
    listener: TcpListener,
    limits: HttpLimits,
    raw: Option<Arc<dyn RawProtocol>>,
    web: Option<Arc<Followed<Web>>>,
    /// The web configuration speaks TLS, which only a restart changes.
    has_tls: bool,
    /// Where it is found; at the root, and paths are taken as they are, unless said.
    paths: Option<WebPaths>,
    metrics: Arc<HttpMetrics>,
    /// How its requests are logged, if they are.
    log: Option<CallLog>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the socket.
    ///
    /// # Errors
    /// [`Error::System`] when the address cannot be had.
    pub async fn bind(address: &ListenAddress, limits: HttpLimits) -> Result<Self, Error> {
        let (host, port) = (address.host.as_str(), address.port);
        let listener = TcpListener::bind((host, port)).await;
        let listener = listener.map_err(|source| Error::System {
            action: format!("listen on {host}:{port}"),
            source,
        })?;
        Ok(Self {
            listener,
            limits,
            raw: None,
            web: None,
            has_tls: false,
            paths: None,
            metrics: Arc::default(),
            log: None,
        })
    }

    /// The same, as a web configuration says, and whatever it says when its files change.
    ///
    /// # Errors
    /// As [`ServerTls::follow`](crate::tls::ServerTls::follow).
    pub fn with_web(mut self, web: &WebConfig) -> Result<Self, Error> {
        self.web = web.follow()?;
        self.has_tls = web.tls.is_some();
        Ok(self)
    }

    /// The same, found where `paths` say. Who asks for an odd path, such as one with two slashes, is
    /// redirected to what it means.
    #[must_use]
    pub fn with_paths(mut self, paths: WebPaths) -> Self {
        self.paths = Some(paths);
        self
    }

    /// The same, as the web configuration of `other` says, whose files are looked at for both.
    #[must_use]
    pub fn with_web_of(mut self, other: &Self) -> Self {
        self.web.clone_from(&other.web);
        self.has_tls = other.has_tls;
        self
    }

    /// The same, whose figures tell tenants apart by a header; requests without it are those of
    /// `default`.
    #[must_use]
    pub fn with_tenants(mut self, header: HeaderName, default: &str) -> Self {
        self.metrics = Arc::new(HttpMetrics::of_tenants(header, default.to_owned()));
        self
    }

    /// The same, with its requests logged as `log` says.
    #[must_use]
    pub fn with_log(mut self, log: Option<CallLog>) -> Self {
        self.log = log;
        self
    }

    /// The same, with `raw` for the connections that speak it.
    #[must_use]
    pub fn with_raw(mut self, raw: Arc<dyn RawProtocol>) -> Self {
        self.raw = Some(raw);
        self
    }

    /// Figures of its requests, to be registered.
    pub fn metrics(&self) -> Arc<HttpMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then finishes the requests at hand within the grace period.
    pub async fn serve(self, service: Service, mut shutdown: Shutdown) {
        let limits = self.limits;
        let port = self.listener.local_addr().map_or(0, |at| at.port());
        let shared = Arc::new(Shared {
            service,
            log: self.log.map(|log| (log, port)),
            limits,
            metrics: Arc::clone(&self.metrics),
            small: Arc::new(Semaphore::new(limits.small_max)),
            large: Arc::new(Semaphore::new(limits.large_max)),
            web: self.web.clone(),
            passwords: Passwords::default(),
            paths: self.paths,
            shutdown: shutdown.clone(),
        });
        let tls = self.web.filter(|_| self.has_tls);
        let places = Arc::new(Semaphore::new(limits.connections_max));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                () = shutdown.requested() => break,
                stream = accept(&self.listener, &places) => stream,
                // Ended connections are taken out as they end.
                Some(_) = connections.join_next() => continue,
            };
            let (stream, place) = stream;
            let peer = stream.peer_addr().ok();
            let peer = peer.map(|address| address.ip().to_canonical());
            let shared = Arc::clone(&shared);
            let watcher = graceful.watcher();
            let (raw, mut shutdown) = (self.raw.clone(), shutdown.clone());
            let places = Arc::clone(&places);
            let tls = tls.clone();
            connections.spawn(async move {
                let _place = place;
                if let Some(raw) = raw {
                    let first = tokio::select! {
                        first = first_byte(&stream, &limits, &places) => first,
                        () = shutdown.requested() => return,
                    };
                    match first {
                        Some(byte) if raw.begins_with(byte) => {
                            raw.serve(stream, shutdown).await;
                            // Held until here, so that draining waits for this connection too.
                            drop(watcher);
                            return;
                        }
                        Some(_) => {}
                        None => return,
                    }
                }
                let stream = IdleStream::new(stream, limits.idle_max);
                let Some(tls) = acceptor(tls).await else {
                    return connection(stream, (shared, peer), watcher).await;
                };
                if let Some(stream) = handshake(tls, stream, shutdown).await {
                    connection(stream, (shared, peer), watcher).await;
                }
            });
        }
        drop(self.listener);
        if timeout(limits.grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "requests were not answered within the grace period"
            );
        }
        connections.shutdown().await;
    }
}

/// The first byte of a connection, which stays unread; nothing when it ends before, or is silent for too
/// long.
///
/// Agents connect when they have a first value, and may fill a buffer before they send it: what they
/// send to a connection that was closed meanwhile is lost. So the silent have to go only when they
/// keep others out. See docs/adr/0250-silence-counts-when-places-are-scarce.md.
async fn first_byte(stream: &TcpStream, limits: &HttpLimits, places: &Semaphore) -> Option<u8> {
    let begin = Instant::now();
    let mut byte = [0];
    loop {
        match timeout(limits.first_byte_max, stream.peek(&mut byte)).await {
            Ok(Ok(1)) => return Some(byte[0]),
            Ok(_) => return None,
            Err(_) if places.available_permits() == 0 || begin.elapsed() >= limits.idle_max => {
                return None;
            }
            Err(_) => {}
        }
    }
}

/// How TLS is spoken now, if it is.
async fn acceptor(web: Option<Arc<Followed<Web>>>) -> Option<TlsAcceptor> {
    let web = web?.now().await;
    web.tls.clone().map(TlsAcceptor::from)
}

/// Agrees with a client on TLS, unless that takes it too long or the server stops.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    tls: TlsAcceptor,
    stream: S,
    mut shutdown: Shutdown,
) -> Option<TlsStream<S>> {
    let accepted = tokio::select! {
        accepted = timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)) => accepted,
        () = shutdown.requested() => return None,
    };
    match accepted {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no TLS with a client");
            None
        }
        Err(_) => {
            tracing::debug!("a client took too long to begin TLS");
            None
        }
    }
}

/// Answers the requests of a connection from `peer`, one after the other.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (shared, peer): (Arc<Shared>, Option<IpAddr>),
    watcher: Watcher,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header_time_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(RequestLine::new(stream)),
            service_fn(move |request| Arc::clone(&shared).answer(request, peer)),
        );
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended early");
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let place = Arc::clone(places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written whole or in large pieces.
                let _ = stream.set_nodelay(true);
                return (stream, place);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
