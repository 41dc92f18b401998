//! A store that is somewhere else.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use model::ErrorKind;
use parking_lot::RwLock;
use proto::thanos::info::InfoRequest;
use proto::thanos::info::info_client::InfoClient;
use proto::thanos::store_client::StoreClient;
use runtime::grpc::{Connector, MESSAGE_BYTES_MAX, TENANT_KEY};
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::catalog::GrpcCatalog;
use super::codec::ClientCodec;
use super::status::from_status;
use crate::store::{Frame, Info, LabelsRequest, SeriesRequest, Store, StoreError, Strings};
use crate::wire::info::{EndpointInfo, from_wire};
use crate::wire::request;

/// Series that a peer is asked to put in a message, at most; with chunks, fewer are enough for one.
const BATCH_SIZE: usize = 256;
/// Connections to an endpoint: one carries about what a core can encrypt or copy.
const CHANNELS: usize = 3;

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
    channels: Vec<Channel>,
    next_channel: AtomicUsize,
    info: RwLock<Info>,
    config: ClientConfig,
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
        let channel = |_| connector.channel(address);
        let channels = (0..CHANNELS).map(channel).collect::<Result<_, _>>();
        let channels =
            channels.map_err(|error| StoreError::new(ErrorKind::Invalid, error.to_string()))?;
        Ok(Self {
            address: address.to_owned(),
            channels,
            next_channel: AtomicUsize::new(0),
            info: RwLock::new(Info {
                // Anything, until it says what.
                min_time: i64::MIN,
                max_time: i64::MAX,
                ..Info::default()
            }),
            config,
        })
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A connection, for services beside the StoreAPI.
    pub fn channel(&self) -> Channel {
        let next = self.next_channel.fetch_add(1, Ordering::Relaxed);
        self.channels[next % self.channels.len()].clone()
    }

    /// Asks the endpoint what it is and has, waiting for at most `patience`.
    ///
    /// # Errors
    /// When it is not ready or does not answer.
    pub async fn fetch_info(&self, patience: Duration) -> Result<EndpointInfo, StoreError> {
        // Always the same connection, so that one that is never used otherwise is not made.
        let mut client =
            InfoClient::new(self.channels[0].clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let answer = timeout(patience, client.info(InfoRequest {})).await;
        let answer = answer.map_err(|_| self.silent(patience))?;
        from_wire(answer.map_err(|status| from_status(&status))?.into_inner())
    }

    /// Remembers what the store has, as its [`Store::info`] from now on.
    pub fn set_info(&self, info: Info) {
        *self.info.write() = info;
    }

    /// What it serves beside series.
    pub fn catalog(&self) -> GrpcCatalog {
        GrpcCatalog::new(
            self.channels[0].clone(),
            self.address.clone(),
            self.patience(),
        )
    }

    fn silent(&self, patience: Duration) -> StoreError {
        silent(&self.address, patience)
    }

    /// How long to wait for an answer.
    fn patience(&self) -> Duration {
        match self.config.silence_max {
            Duration::ZERO => Duration::MAX,
            max => max,
        }
    }

    fn client(&self) -> StoreClient<Channel> {
        StoreClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

impl Store for GrpcStore {
    fn info(&self) -> Info {
        self.info.read().clone()
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        let channel = self.channel();
        let patience = self.patience();
        let address = self.address.clone();
        let opening = async move {
            let opened = timeout(patience, open(channel, &request)).await;
            match opened {
                Ok(Ok(messages)) => received(messages, patience, address).boxed(),
                Ok(Err(error)) => failed(error),
                Err(_) => failed(silent(&address, patience)),
            }
        };
        stream::once(opening).flatten().boxed()
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let mut client = self.client();
        let patience = self.patience();
        let address = self.address.clone();
        Box::pin(async move {
            let asked = with_tenant(request::names_to_wire(&request), &request.tenant)?;
            let answer = timeout(patience, client.label_names(asked)).await;
            let answer = answer.map_err(|_| silent(&address, patience))?;
            let answer = answer.map_err(|status| from_status(&status))?.into_inner();
            Ok(sorted(answer.names, answer.warnings))
        })
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let mut client = self.client();
        let patience = self.patience();
        let address = self.address.clone();
        Box::pin(async move {
            let asked = request::values_to_wire(name, &request);
            let asked = with_tenant(asked, &request.tenant)?;
            let answer = timeout(patience, client.label_values(asked)).await;
            let answer = answer.map_err(|_| silent(&address, patience))?;
            let answer = answer.map_err(|status| from_status(&status))?.into_inner();
            Ok(sorted(answer.values, answer.warnings))
        })
    }
}

async fn open(
    channel: Channel,
    request: &SeriesRequest,
) -> Result<Streaming<Option<Frame>>, StoreError> {
    let asked = with_tenant(
        request::series_to_wire(request, BATCH_SIZE),
        &request.tenant,
    )?;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let unreachable =
        |error: tonic::transport::Error| from_status(&Status::from_error(error.into()));
    grpc.ready().await.map_err(unreachable)?;
    let path = PathAndQuery::from_static("/thanos.Store/Series");
    let answer = grpc.server_streaming(asked, path, ClientCodec).await;
    Ok(answer.map_err(|status| from_status(&status))?.into_inner())
}

/// The frames of an answer.
fn received(
    messages: Streaming<Option<Frame>>,
    patience: Duration,
    address: String,
) -> impl futures::Stream<Item = Result<Frame, StoreError>> {
    stream::unfold(Some(messages), move |messages| {
        let address = address.clone();
        async move {
            let mut messages = messages?;
            loop {
                match timeout(patience, messages.message()).await {
                    Ok(Ok(Some(Some(frame)))) => return Some((Ok(frame), Some(messages))),
                    Ok(Ok(Some(None))) => {}
                    Ok(Ok(None)) => return None,
                    Ok(Err(status)) => return Some((Err(from_status(&status)), None)),
                    Err(_) => return Some((Err(silent(&address, patience)), None)),
                }
            }
        }
    })
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

pub(super) fn silent(address: &str, patience: Duration) -> StoreError {
    StoreError::new(
        ErrorKind::Unavailable,
        format!("{address} sent nothing for {patience:?}"),
    )
}
