//! Figures of calls that a server answered or a client made, under the names of Go's gRPC middleware.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};

use super::call_log::GrpcCall;
use crate::metrics::{Collect, Exposition, Histogram};
use crate::request_log::CallLog;

/// Methods that are told apart; calls of others are not counted.
const METHODS_MAX: usize = 64;
/// Methods whose answer is one message; all others of Thanos' are streams.
const UNARY: [&str; 6] = [
    "LabelNames",
    "LabelValues",
    "Info",
    "RemoteWrite",
    "Check",
    "List",
];

/// What calls are counted as.
#[derive(Debug)]
struct Names {
    started: [&'static str; 2],
    handled: [&'static str; 2],
    seconds: [&'static str; 2],
}

/// Those that a server answers.
const OF_SERVER: Names = Names {
    started: ["grpc_server_started_total", "Calls that were started."],
    handled: [
        "grpc_server_handled_total",
        "Calls that were ended, well or not.",
    ],
    seconds: [
        "grpc_server_handling_seconds",
        "How long calls took, to the end of their answer.",
    ],
};

/// Those that a client makes.
const OF_CLIENT: Names = Names {
    started: [
        "grpc_client_started_total",
        "Calls of other servers that were started.",
    ],
    handled: [
        "grpc_client_handled_total",
        "Calls of other servers that were ended, well or not.",
    ],
    seconds: [
        "grpc_client_handling_seconds",
        "How long calls of other servers took, to the end of their answer.",
    ],
};

/// Counts calls by service and method.
#[derive(Debug)]
pub struct GrpcMetrics {
    names: Names,
    calls: Mutex<BTreeMap<Method, Calls>>,
}

/// Service and method.
type Method = (String, String);

#[derive(Debug)]
struct Calls {
    started: u64,
    by_code: BTreeMap<&'static str, u64>,
    seconds: Histogram,
}

impl GrpcMetrics {
    /// Counts the calls that a server answers.
    pub fn of_server() -> Arc<Self> {
        Arc::new(Self {
            names: OF_SERVER,
            calls: Mutex::default(),
        })
    }

    /// Counts the calls that a client makes.
    pub fn of_client() -> Arc<Self> {
        Arc::new(Self {
            names: OF_CLIENT,
            calls: Mutex::default(),
        })
    }

    /// Counts a call of the method at `path`, which is `/SERVICE/METHOD`, as begun.
    pub fn started(self: &Arc<Self>, path: &str) -> Running {
        let begun = || {
            let (service, method) = path.strip_prefix('/')?.split_once('/')?;
            let key = (service.to_owned(), method.to_owned());
            let mut calls = self.calls.lock();
            if !calls.contains_key(&key) && calls.len() >= METHODS_MAX {
                return None;
            }
            let of_method = calls.entry(key.clone()).or_insert_with(|| Calls {
                started: 0,
                by_code: BTreeMap::new(),
                seconds: Histogram::new(Histogram::THANOS_SECONDS),
            });
            of_method.started += 1;
            Some((Arc::clone(self), key))
        };
        Running {
            of: begun(),
            begin: Instant::now(),
            logged: None,
        }
    }
}

impl Collect for GrpcMetrics {
    fn collect(&self, out: &mut Exposition) {
        for ((service, method), calls) in &*self.calls.lock() {
            let kind = kind_of(method);
            let labels = [
                ("grpc_method", method.as_str()),
                ("grpc_service", service),
                ("grpc_type", kind),
            ];
            let [name, help] = self.names.started;
            out.counter(name, help, &labels, calls.started);
            let [name, help] = self.names.handled;
            for (code, count) in &calls.by_code {
                let labels = [("grpc_code", *code), labels[0], labels[1], labels[2]];
                out.counter(name, help, &labels, *count);
            }
            let [name, help] = self.names.seconds;
            out.histogram(name, help, &labels, &calls.seconds);
        }
    }
}

/// What answers of a method are.
pub(super) fn kind_of(method: &str) -> &'static str {
    match method {
        "ServerReflectionInfo" => "bidi_stream",
        _ if UNARY.contains(&method) => "unary",
        _ => "server_stream",
    }
}

/// A call that goes on. One that is dropped was not wanted any more.
#[derive(Debug)]
pub struct Running {
    /// What it is counted by, until it has ended.
    of: Option<(Arc<GrpcMetrics>, Method)>,
    begin: Instant,
    /// How its end is logged, until it has ended, if it is.
    logged: Option<GrpcCall>,
}

impl Running {
    /// Counts it as ended, once.
    pub fn end(&mut self, code: Code) {
        if let Some(logged) = self.logged.take() {
            logged.finished((code, name_of(code)), self.begin.elapsed());
        }
        let Some((metrics, method)) = self.of.take() else {
            return;
        };
        let took = self.begin.elapsed().as_secs_f64();
        if let Some(calls) = metrics.calls.lock().get_mut(&method) {
            *calls.by_code.entry(name_of(code)).or_default() += 1;
            calls.seconds.observe(took);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// A code as Go names it.
const fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// Counts and logs the calls of the service within.
#[derive(Debug, Clone)]
pub(super) struct Measure<S> {
    inner: S,
    metrics: Arc<GrpcMetrics>,
    /// Which calls are logged.
    log: Option<Arc<CallLog>>,
}

impl<S> Measure<S> {
    pub(super) fn new(inner: S, metrics: Arc<GrpcMetrics>, log: Option<CallLog>) -> Self {
        Self {
            inner,
            metrics,
            log: log.map(Arc::new),
        }
    }
}

impl<S> Service<Request<Body>> for Measure<S>
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut running = self.metrics.started(request.uri().path());
        let log = self.log.as_ref();
        running.logged = log.and_then(|log| GrpcCall::of(&request, log));
        let mut watched = Watched {
            body: Body::empty(),
            running,
        };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let (head, body) = answering.await?.into_parts();
            // An answer that is an error is no more than its headers.
            if let Some(code) = code_in(&head.headers) {
                watched.running.end(code);
            }
            watched.body = body;
            Ok(Response::from_parts(head, Body::new(watched)))
        })
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    Status::from_header_map(headers).map(|status| status.code())
}

/// A body whose end is the end of a call.
struct Watched {
    body: Body,
    running: Running,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let code = code_in(trailers).unwrap_or(Code::Unknown);
                    self.running.end(code);
                }
            }
            Some(Err(status)) => self.running.end(status.code()),
            None => self.running.end(Code::Ok),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
