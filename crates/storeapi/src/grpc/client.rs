//! A store that is somewhere else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use model::ErrorKind;
use parking_lot::RwLock;
use proto::thanos::info::InfoRequest;
use proto::thanos::info::info_client::InfoClient;
use proto::thanos::store_client::StoreClient;
use runtime::grpc::{BoundedChannel, Connector, GrpcMetrics, MessageLimit, Running, TENANT_KEY};
use tokio::time::timeout;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::catalog::GrpcCatalog;
use super::channels::Channels;
use super::receive::Received;
use super::status::from_status;
use super::{HASHES_KEY, NO_HASHES};
use crate::store::{Frame, Info, LabelsRequest, SeriesRequest, Store, StoreError, Strings};
use crate::wire::decode::Decoder;
use crate::wire::info::{EndpointInfo, from_wire};
use crate::wire::request;

/// Series that a peer is asked to put in a message, at most; with chunks, fewer are enough for one.
const BATCH_SIZE: usize = 256;

/// How an endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long an endpoint may send nothing of an answer that it owes; zero for ever.
    pub silence_max: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            silence_max: Duration::from_secs(120),
        }
    }
}

/// A store behind gRPC.
///
/// What it has is asked for by [`GrpcStore::fetch_info`] and remembered by
/// [`GrpcStore::set_info`]; when and how often is up to its owner.
pub struct GrpcStore {
    address: String,
    channels: Arc<Channels>,
    info: RwLock<Info>,
    config: ClientConfig,
    limit: MessageLimit,
    metrics: Arc<GrpcMetrics>,
}

impl fmt::Debug for GrpcStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcStore")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl GrpcStore {
    /// The store at `address`, which is `HOST:PORT`. Connections are made when they are needed, on
    /// the async runtime that this is called on.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `address` is none.
    pub fn new(
        address: &str,
        connector: &Connector,
        config: ClientConfig,
    ) -> Result<Self, StoreError> {
        let channels = Channels::new(address, connector)
            .map_err(|error| StoreError::new(ErrorKind::Invalid, error.to_string()))?;
        Ok(Self {
            address: address.to_owned(),
            channels: Arc::new(channels),
            info: RwLock::new(Info {
                // Anything, until it says what.
                min_time: i64::MIN,
                max_time: i64::MAX,
                ..Info::default()
            }),
            config,
            limit: connector.message_limit(),
            metrics: connector.metrics(),
        })
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A connection, for services beside the StoreAPI.
    pub fn channel(&self) -> Channel {
        self.channels.next()
    }

    /// Asks the endpoint what it is and has, waiting for at most `patience`.
    ///
    /// # Errors
    /// When it is not ready or does not answer.
    pub async fn fetch_info(&self, patience: Duration) -> Result<EndpointInfo, StoreError> {
        // Always the same connection, so that one that is never used otherwise is not made.
        let mut client = InfoClient::new(BoundedChannel::new(self.channels.first(), self.limit))
            .max_decoding_message_size(usize::MAX);
        let asking = Asking {
            patience,
            ..self.asking("/thanos.info.Info/Info")
        };
        from_wire(asking.answer(client.info(InfoRequest {})).await?)
    }

    /// Remembers what the store has, as its [`Store::info`] from now on.
    pub fn set_info(&self, info: Info) {
        *self.info.write() = info;
    }

    /// What it serves beside series.
    pub fn catalog(&self) -> GrpcCatalog {
        GrpcCatalog::new(self.channels.first(), self.limit, self.asking(""))
    }

    /// For asking the method at `path`.
    fn asking(&self, path: &'static str) -> Asking {
        Asking {
            path,
            address: self.address.clone(),
            patience: self.patience(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// How long to wait for an answer.
    fn patience(&self) -> Duration {
        match self.config.silence_max {
            Duration::ZERO => Duration::MAX,
            max => max,
        }
    }
}

impl Store for GrpcStore {
    fn is_portable(&self) -> bool {
        true
    }

    fn info(&self) -> Info {
        self.info.read().clone()
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        let channels = Arc::clone(&self.channels);
        let asking = self.asking("/thanos.Store/Series");
        let limit = self.limit;
        let opening = async move {
            let metadata = match metadata(&request) {
                Ok(metadata) => metadata,
                Err(error) => return failed(error),
            };
            let mut running = asking.started();
            let message = request::series_to_wire(&request, BATCH_SIZE);
            let opening = Received::call(channels.here(), limit, asking.path, metadata, &message);
            match asking.wait(&mut running, opening).await {
                Ok(messages) => Frames {
                    messages,
                    decoder: Decoder::default(),
                    asking,
                    running,
                }
                .into_stream(),
                Err(error) => failed(error),
            }
        };
        stream::once(opening).flatten().boxed()
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let channels = Arc::clone(&self.channels);
        let asking = self.asking("/thanos.Store/LabelNames");
        let limit = self.limit;
        Box::pin(async move {
            let mut client = client(channels.here(), limit);
            let asked = with_tenant(request::names_to_wire(&request), &request.tenant)?;
            let answer = asking.answer(client.label_names(asked)).await?;
            Ok(sorted(answer.names, answer.warnings))
        })
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let channels = Arc::clone(&self.channels);
        let asking = self.asking("/thanos.Store/LabelValues");
        let limit = self.limit;
        Box::pin(async move {
            let mut client = client(channels.here(), limit);
            let asked = request::values_to_wire(name, &request);
            let asked = with_tenant(asked, &request.tenant)?;
            let answer = asking.answer(client.label_values(asked)).await?;
            Ok(sorted(answer.values, answer.warnings))
        })
    }
}

fn client(channel: Channel, limit: MessageLimit) -> StoreClient<BoundedChannel> {
    StoreClient::new(BoundedChannel::new(channel, limit)).max_decoding_message_size(usize::MAX)
}

fn metadata(request: &SeriesRequest) -> Result<MetadataMap, StoreError> {
    let mut metadata = with_tenant((), &request.tenant)?.into_parts().0;
    metadata.insert(HASHES_KEY, MetadataValue::from_static(NO_HASHES));
    Ok(metadata)
}

/// One method of one endpoint, and how it is asked.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) path: &'static str,
    pub(super) address: String,
    pub(super) patience: Duration,
    pub(super) metrics: Arc<GrpcMetrics>,
}

impl Asking {
    /// Counts a call as begun.
    pub(super) fn started(&self) -> Running {
        self.metrics.started(self.path)
    }

    /// Waits for the next thing that a call gives. One that fails has ended.
    pub(super) async fn wait<T>(
        &self,
        running: &mut Running,
        next: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, StoreError> {
        match timeout(self.patience, next).await {
            Ok(Ok(given)) => Ok(given),
            Ok(Err(status)) => {
                running.end(status.code());
                Err(from_status(&status))
            }
            Err(_) => {
                running.end(Code::DeadlineExceeded);
                Err(StoreError::new(
                    ErrorKind::Unavailable,
                    format!("{} sent nothing for {:?}", self.address, self.patience),
                ))
            }
        }
    }

    /// Waits for the only answer of a call.
    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, StoreError> {
        let mut running = self.started();
        let answer = self.wait(&mut running, call).await?;
        running.end(Code::Ok);
        Ok(answer.into_inner())
    }
}

/// The frames of an answer.
struct Frames {
    messages: Received,
    decoder: Decoder,
    asking: Asking,
    running: Running,
}

impl Frames {
    /// The next frame; nothing after the last.
    async fn next(&mut self) -> Result<Option<Frame>, StoreError> {
        loop {
            let message = self.messages.message();
            let Some(message) = self.asking.wait(&mut self.running, message).await? else {
                self.running.end(Code::Ok);
                return Ok(None);
            };
            // One that holds nothing for us decodes to nothing.
            if let Some(frame) = self.decoder.decode(&message)? {
                return Ok(Some(frame));
            }
        }
    }

    fn into_stream(self) -> BoxStream<'static, Result<Frame, StoreError>> {
        stream::unfold(Some(self), async |frames| {
            let mut frames = frames?;
            match frames.next().await.transpose()? {
                Ok(frame) => Some((Ok(frame), Some(frames))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

fn failed(error: StoreError) -> BoxStream<'static, Result<Frame, StoreError>> {
    stream::iter([Err(error)]).boxed()
}

pub(super) fn with_tenant<T>(message: T, tenant: &str) -> Result<Request<T>, StoreError> {
    let mut request = Request::new(message);
    if !tenant.is_empty() {
        let value = MetadataValue::try_from(tenant).map_err(|_| {
            StoreError::new(
                ErrorKind::Invalid,
                format!("tenant {tenant:?} cannot be sent; use visible ASCII characters"),
            )
        })?;
        request.metadata_mut().insert(TENANT_KEY, value);
    }
    Ok(request)
}

/// A peer's strings as the trait promises them, whatever the peer does.
fn sorted(mut values: Vec<String>, warnings: Vec<String>) -> Strings {
    if !values.is_sorted_by(|a, b| a < b) {
        values.sort_unstable();
        values.dedup();
    }
    Strings { values, warnings }
}
