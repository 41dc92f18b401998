//! Connections as they come in: bounded in number, with TLS where it is spoken.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::gathering::Gathering;
use crate::followed::Followed;

/// Connections at once; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 1_024;
/// Handshakes at once.
const HANDSHAKES_MAX: usize = 64;
/// Time for a handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection, as it does when it is out of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How TLS is spoken, as files say now.
pub(super) type Tls = Arc<Followed<rustls::ServerConfig>>;

/// A connection before its handshake.
#[derive(Debug)]
pub(super) struct Accepted {
    /// The socket.
    pub(super) stream: TcpStream,
    /// Its place among all connections.
    pub(super) place: OwnedSemaphorePermit,
}

/// The connections of a listener but those that `elsewhere` takes. A handshake that fails ends its
/// connection only.
pub(super) fn connections(
    listener: TcpListener,
    tls: Option<Tls>,
    elsewhere: impl Fn(Accepted) -> Option<Accepted>,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accepted = futures::stream::unfold((listener, places), async |(listener, places)| {
        let accepted = accept(&listener, &places).await;
        Some((accepted, (listener, places)))
    });
    accepted
        .filter_map(move |accepted| std::future::ready(elsewhere(accepted)))
        .map(move |accepted| {
            let tls = tls.clone();
            async move {
                let tls = match tls {
                    Some(tls) => Some(tls.now().await),
                    None => None,
                };
                handshake(accepted, tls).await
            }
        })
        .buffer_unordered(HANDSHAKES_MAX)
        .filter_map(async |connection| connection.map(Ok))
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Accepted {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Frames are written whole.
                let _ = stream.set_nodelay(true);
                return Accepted { stream, place };
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a gRPC connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Agrees on TLS, where it is spoken.
pub(super) async fn handshake(
    Accepted { stream, place }: Accepted,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Option<Connection> {
    let Some(tls) = tls else {
        return Some(Connection::new(Io::Plain(stream), place));
    };
    let acceptor = TlsAcceptor::from(tls);
    match timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(Connection::new(Io::Tls(Box::new(stream)), place)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("TLS handshake took too long");
            None
        }
    }
}

/// A connection, which gives its place back when it ends.
#[derive(Debug)]
pub(super) struct Connection {
    io: Gathering<Io>,
    /// Dropped with the connection, for those who wait for that.
    open: Option<oneshot::Sender<()>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    const fn new(io: Io, place: OwnedSemaphorePermit) -> Self {
        Self {
            io: Gathering::new(io),
            open: None,
            _place: place,
        }
    }

    /// Comes to an error once the connection is gone.
    pub(super) fn closed(&mut self) -> oneshot::Receiver<()> {
        let (open, closed) = oneshot::channel();
        self.open = Some(open);
        closed
    }
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        match self.io.get_ref() {
            Io::Plain(stream) => stream.connect_info(),
            Io::Tls(stream) => stream.get_ref().0.connect_info(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
