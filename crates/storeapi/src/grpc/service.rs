//! `thanos.Store` for any store.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream;
use parking_lot::Mutex;
use proto::thanos::{
    LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, SeriesRequest,
};
use runtime::grpc::{MessageLimit, OwnThread};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, CompressionEncoding, Service, StdError, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::body::MessageBody;
use super::frames::{MessageStream, messages};
use super::limits::Limits;
use super::status::to_status;
use super::{HASHES_KEY, NO_HASHES, tenant_of};
use crate::store::{Store, StoreError, Strings};
use crate::wire::request;

/// Serves a store as `thanos.Store`.
#[derive(Debug, Clone)]
pub struct StoreService {
    store: Arc<dyn Store>,
    limits: Limits,
}

impl StoreService {
    /// A service for `store`; each answer keeps within `limits`.
    pub fn new(store: Arc<dyn Store>, limits: Limits) -> Self {
        Self { store, limits }
    }
}

impl NamedService for StoreService {
    const NAME: &'static str = "thanos.Store";
}

impl<B> Service<http::Request<B>> for StoreService
where
    B: tonic::codegen::Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        match request.uri().path() {
            "/thanos.Store/Series" => Box::pin(async move {
                let mut grpc = accepting(&request, Grpc::new(ProstCodec::default()));
                let answer = Arc::default();
                let method = SeriesMethod {
                    service,
                    answer: Arc::clone(&answer),
                };
                let response = grpc.server_streaming(method, request).await;
                let messages = answer.lock().take();
                Ok(match messages {
                    Some(messages) => response.map(|_| Body::new(MessageBody::new(messages))),
                    None => response,
                })
            }),
            "/thanos.Store/LabelNames" => Box::pin(async move {
                let mut grpc = accepting(&request, Grpc::new(ProstCodec::default()));
                Ok(grpc.unary(NamesMethod(service), request).await)
            }),
            "/thanos.Store/LabelValues" => Box::pin(async move {
                let mut grpc = accepting(&request, Grpc::new(ProstCodec::default()));
                Ok(grpc.unary(ValuesMethod(service), request).await)
            }),
            _ => Box::pin(async { Ok(Status::unimplemented("no such method").into_http()) }),
        }
    }
}

/// Takes what clients may send; the server has bounded it, but for what comes compressed.
fn accepting<B, T: tonic::codec::Codec>(request: &http::Request<B>, grpc: Grpc<T>) -> Grpc<T> {
    let limit = request.extensions().get::<MessageLimit>().copied();
    grpc.max_decoding_message_size(limit.unwrap_or_default().bytes)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
}

/// Reads the request and leaves the answer where it is taken from: it is not written by tonic,
/// which would copy it.
struct SeriesMethod {
    service: StoreService,
    answer: Arc<Mutex<Option<MessageStream>>>,
}

impl Service<Request<SeriesRequest>> for SeriesMethod {
    type Response = Response<stream::Empty<Result<(), Status>>>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<SeriesRequest>) -> Self::Future {
        let tenant = tenant_of(request.metadata());
        let may_block = may_block(&request);
        let hashes = request.metadata().get(HASHES_KEY);
        let without_hashes = hashes.is_some_and(|value| value == NO_HASHES);
        let decoded = request::series_from_wire(request.into_inner(), tenant);
        let decoded = decoded.map_err(|error| to_status(&error));
        ready(decoded.map(|(mut request, batch)| {
            let StoreService { store, limits } = &self.service;
            request.may_block = may_block;
            request.without_hashes = without_hashes;
            *self.answer.lock() = Some(messages(&**store, request, batch, *limits));
            Response::new(stream::empty())
        }))
    }
}

struct NamesMethod(StoreService);

impl Service<Request<LabelNamesRequest>> for NamesMethod {
    type Response = Response<LabelNamesResponse>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<LabelNamesRequest>) -> Self::Future {
        let store = Arc::clone(&self.0.store);
        Box::pin(async move {
            let tenant = tenant_of(request.metadata());
            let may_block = may_block(&request);
            let request = request::names_from_wire(request.into_inner(), tenant);
            let mut request = request.map_err(|error| to_status(&error))?;
            request.may_block = may_block;
            let Strings { values, warnings } = answer(store.label_names(request).await)?;
            Ok(Response::new(LabelNamesResponse {
                names: values,
                warnings,
                hints: None,
            }))
        })
    }
}

struct ValuesMethod(StoreService);

impl Service<Request<LabelValuesRequest>> for ValuesMethod {
    type Response = Response<LabelValuesResponse>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<LabelValuesRequest>) -> Self::Future {
        let store = Arc::clone(&self.0.store);
        Box::pin(async move {
            let tenant = tenant_of(request.metadata());
            let may_block = may_block(&request);
            let request = request::values_from_wire(request.into_inner(), tenant);
            let (name, mut request) = request.map_err(|error| to_status(&error))?;
            request.may_block = may_block;
            let Strings { values, warnings } = answer(store.label_values(name, request).await)?;
            Ok(Response::new(LabelValuesResponse {
                values,
                warnings,
                hints: None,
            }))
        })
    }
}

/// Whether the answer is polled by a thread that has nothing else to do.
fn may_block<T>(request: &Request<T>) -> bool {
    let own = request.extensions().get::<OwnThread>();
    own.is_some_and(OwnThread::is_alone)
}

fn answer(answer: Result<Strings, StoreError>) -> Result<Strings, Status> {
    answer.map_err(|error| to_status(&error))
}
