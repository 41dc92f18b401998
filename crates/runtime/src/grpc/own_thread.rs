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
use std::sync::mpsc::{SyncSender, sync_channel};
use std::task::{Context, Poll};
use std::thread;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::transport::Server;

use super::incoming::{Accepted, Connection, Tls, handshake};
use crate::process::{STACK_BYTES, Shutdown};

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

/// What answers the requests of a server.
pub(super) trait Answering:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Answering for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// The threads of a server's connections.
pub(super) struct Threads<S> {
    builder: Server,
    service: S,
    tls: Option<Tls>,
    process: Handle,
    shutdown: Shutdown,
    stack_bytes: usize,
    /// One reference is ours, and each connection has one.
    running: Arc<()>,
}

impl<S: Answering> Threads<S> {
    /// Threads that serve `service` as `builder` says, until `shutdown`. Called within the runtime
    /// of the process.
    pub(super) fn new(builder: Server, service: S, tls: Option<Tls>, shutdown: Shutdown) -> Self {
        Self {
            builder,
            service,
            tls,
            process: Handle::current(),
            shutdown,
            stack_bytes: STACK_BYTES,
            running: Arc::default(),
        }
    }

    /// Serves a connection on a thread of its own; gives it back when there are enough of these, or
    /// another cannot be had.
    pub(super) fn take(&self, accepted: Accepted) -> Option<Accepted> {
        if Arc::strong_count(&self.running) > THREADS_MAX {
            return Some(accepted);
        }
        match self.start() {
            Ok(thread) => thread.send(accepted).err().map(|unsent| unsent.0),
            Err(error) => {
                tracing::warn!(%error, "cannot start a thread for a gRPC connection; it shares those of the process");
                Some(accepted)
            }
        }
    }

    /// Starts a thread, which serves the connection that it is sent.
    fn start(&self) -> io::Result<SyncSender<Accepted>> {
        let reactor = Reactor::new()?;
        let running = Arc::clone(&self.running);
        let (builder, shutdown) = (self.builder.clone(), self.shutdown.clone());
        let (tls, process) = (self.tls.clone(), self.process.clone());
        let service = Inside {
            inner: self.service.clone(),
            own: OwnThread {
                running: Arc::default(),
            },
            process,
        };
        let (thread, sent) = sync_channel(1);
        let serve = move || {
            if let Ok(accepted) = sent.recv()
                && let Err(error) = serve(&reactor, builder, service, (accepted, tls), shutdown)
            {
                tracing::warn!(%error, "cannot serve a gRPC connection");
            }
            drop((reactor, running));
        };
        let named = thread::Builder::new().name("grpc".to_owned());
        named.stack_size(self.stack_bytes).spawn(serve)?;
        Ok(thread)
    }

    /// Connections that are served.
    pub(super) fn running(&self) -> usize {
        Arc::strong_count(&self.running) - 1
    }
}

/// The runtime of one connection.
struct Reactor {
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Reactor {
    fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let runtime = Some(runtime);
        Ok(Self { runtime })
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref();
        (runtime.expect("it is there until it is dropped")).block_on(future)
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        // Without a thread it is dropped where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Serves a connection to its end.
fn serve<S: Answering>(
    reactor: &Reactor,
    builder: Server,
    service: Inside<S>,
    (accepted, tls): (Accepted, Option<Tls>),
    mut shutdown: Shutdown,
) -> io::Result<()> {
    let Accepted { stream, place } = accepted;
    // Until here it is that of another reactor.
    let stream = stream.into_std()?;
    reactor.block_on(async {
        let stream = TcpStream::from_std(stream)?;
        let accepted = Accepted { stream, place };
        let connection = tokio::select! {
            connection = handshake(accepted, tls.map(|tls| tls.look())) => connection,
            () = shutdown.requested() => None,
        };
        let Some(mut connection) = connection else {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;
    use tonic::service::Routes;

    use super::*;

    #[tokio::test]
    async fn a_connection_for_which_there_is_no_thread_is_given_back() {
        let service = Routes::default().prepare();
        let (_trigger, shutdown) = Shutdown::new();
        let mut threads = Threads::new(Server::builder(), service, None, shutdown);
        // More than there are addresses for.
        threads.stack_bytes = 1 << 60;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) = tokio::join!(
            TcpStream::connect(listener.local_addr().unwrap()),
            listener.accept()
        );
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let (stream, _) = accepted.unwrap();
        let given_back = threads.take(Accepted { stream, place }).unwrap();
        let client = client.unwrap();
        assert_eq!(
            given_back.stream.peer_addr().unwrap(),
            client.local_addr().unwrap()
        );
        assert_eq!(threads.running(), 0);
    }
}
