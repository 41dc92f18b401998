//! Connections that have a thread each.
//!
//! On threads that all connections share, a request is read by one, answered by another, which may
//! block, and sent by a third. Waking them takes longer than a short answer does. So the first few
//! connections get a thread each, which reads, answers and sends. It may block, so that stores
//! work right there as long as nothing else is under way on the connection ([`OwnThread`]).
//!
//! Such a thread ends with its connection. So what services start beside their answer (tasks, timers,
//! connections of their own) goes to the runtime of the process, which is the current one for
//! them wherever they are called or dropped.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::transport::Server;

use super::incoming::{Accepted, Connection, Tls, handshake};
use crate::process::Shutdown;

/// Connections that get a thread; what more there are share those of the process.
const THREADS_MAX: usize = 32;

/// Found among the extensions of a request: its answer is polled by a thread that nobody needs but
/// one connection, and that may block.
#[derive(Debug, Clone)]
pub struct OwnThread {
    /// Requests of the connection that are not answered yet.
    running: Arc<AtomicUsize>,
}

impl OwnThread {
    /// True while the connection has one request, so that nothing waits for whoever blocks.
    pub fn is_alone(&self) -> bool {
        self.running.load(Ordering::Relaxed) <= 1
    }
}

/// The threads of a server's connections.
pub(super) struct Threads<S> {
    builder: Server,
    service: S,
    tls: Option<Tls>,
    process: Handle,
    shutdown: Shutdown,
    /// One reference is ours, and each connection has one.
    running: Arc<()>,
}

impl<S> Threads<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    /// Threads that serve `service` as `builder` says, until `shutdown`. Called within the runtime
    /// of the process.
    pub(super) fn new(builder: Server, service: S, tls: Option<Tls>, shutdown: Shutdown) -> Self {
        Self {
            builder,
            service,
            tls,
            process: Handle::current(),
            shutdown,
            running: Arc::default(),
        }
    }

    /// Serves a connection on a thread of its own; gives it back when there are enough of these.
    pub(super) fn take(&self, accepted: Accepted) -> Option<Accepted> {
        if Arc::strong_count(&self.running) > THREADS_MAX {
            return Some(accepted);
        }
        let running = Arc::clone(&self.running);
        let Accepted { stream, place } = accepted;
        // Their reactor is another one.
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot serve a gRPC connection");
                return None;
            }
        };
        let (builder, shutdown) = (self.builder.clone(), self.shutdown.clone());
        let (tls, process) = (self.tls.clone(), self.process.clone());
        let service = Inside {
            inner: self.service.clone(),
            own: OwnThread {
                running: Arc::default(),
            },
            process: process.clone(),
        };
        let serve = move || {
            let served = serve(builder, service, (stream, place), tls, shutdown);
            if let Err(error) = served {
                tracing::warn!(%error, "cannot serve a gRPC connection");
            }
            drop(running);
        };
        let started = thread::Builder::new().name("grpc".to_owned()).spawn(serve);
        if let Err(error) = started {
            tracing::warn!(%error, "cannot start a thread for a gRPC connection");
        }
        None
    }

    /// Connections that are served.
    pub(super) fn running(&self) -> usize {
        Arc::strong_count(&self.running) - 1
    }
}

/// Serves a connection to its end.
fn serve<S>(
    builder: Server,
    service: Inside<S>,
    (stream, place): (std::net::TcpStream, OwnedSemaphorePermit),
    tls: Option<Tls>,
    mut shutdown: Shutdown,
) -> io::Result<()>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = TcpStream::from_std(stream)?;
        let accepted = Accepted { stream, place };
        let Some(mut connection) = handshake(accepted, tls.map(|tls| tls.look())).await else {
            return Ok(());
        };
        let mut closed = connection.closed();
        let incoming = stream::once(async { Ok::<Connection, io::Error>(connection) });
        // The server would be done once nothing comes in any more.
        let incoming = incoming.chain(stream::pending());
        let end = async move {
            tokio::select! {
                () = shutdown.requested() => {}
                _ = &mut closed => {}
            }
        };
        let served = builder.serve_with_incoming_shutdown(service, incoming, end);
        served.await.map_err(io::Error::other)
    })
}

/// A service that is called on the thread of a connection, and is inside of the runtime of the
/// process there.
#[derive(Clone)]
struct Inside<S> {
    inner: S,
    own: OwnThread,
    process: Handle,
}

impl<S> Service<Request<Body>> for Inside<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let running = Running::begin(&self.own);
        request.extensions_mut().insert(self.own.clone());
        let process = self.process.clone();
        let answering = {
            let _inside = process.enter();
            self.inner.call(request)
        };
        let mut answering = Within::new(process.clone(), Box::pin(answering));
        Box::pin(async move {
            let answer = std::future::poll_fn(|cx| answering.with(|it| it.as_mut().poll(cx))).await;
            answer.map(|answer| {
                answer.map(|body| {
                    Body::new(InsideBody {
                        body: Within::new(process, body),
                        _running: running,
                    })
                })
            })
        })
    }
}

/// A request that is not answered yet.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn begin(own: &OwnThread) -> Self {
        own.running.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&own.running))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Something that is used and dropped inside of a runtime.
struct Within<T> {
    runtime: Handle,
    /// There until it is dropped.
    value: Option<T>,
}

impl<T> Within<T> {
    const fn new(runtime: Handle, value: T) -> Self {
        let value = Some(value);
        Self { runtime, value }
    }

    fn with<R>(&mut self, using: impl FnOnce(&mut T) -> R) -> R {
        let _inside = self.runtime.enter();
        using(
            self.value
                .as_mut()
                .expect("it is there until it is dropped"),
        )
    }
}

impl<T> Drop for Within<T> {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        self.value = None;
    }
}

struct InsideBody {
    body: Within<Body>,
    _running: Running,
}

impl HttpBody for InsideBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.body.with(|body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.value.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.value.as_ref().map(HttpBody::size_hint);
        hint.unwrap_or_default()
    }
}
