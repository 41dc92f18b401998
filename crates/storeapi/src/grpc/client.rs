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
use runtime::grpc::{Connector, MESSAGE_BYTES_MAX, TENANT_KEY};
use tokio::time::timeout;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

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
        let mut client =
            InfoClient::new(self.channels.first()).max_decoding_message_size(MESSAGE_BYTES_MAX);
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
        GrpcCatalog::new(self.channels.first(), self.address.clone(), self.patience())
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
        let patience = self.patience();
        let address = self.address.clone();
        let opening = async move {
            let opened = timeout(patience, open(channels.here(), &request)).await;
            match opened {
                Ok(Ok(messages)) => Frames {
                    messages,
                    decoder: Decoder::default(),
                    patience,
                    address,
                }
                .into_stream(),
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
        let channels = Arc::clone(&self.channels);
        let patience = self.patience();
        let address = self.address.clone();
        Box::pin(async move {
            let mut client = client(channels.here());
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
        let channels = Arc::clone(&self.channels);
        let patience = self.patience();
        let address = self.address.clone();
        Box::pin(async move {
            let mut client = client(channels.here());
            let asked = request::values_to_wire(name, &request);
            let asked = with_tenant(asked, &request.tenant)?;
            let answer = timeout(patience, client.label_values(asked)).await;
            let answer = answer.map_err(|_| silent(&address, patience))?;
            let answer = answer.map_err(|status| from_status(&status))?.into_inner();
            Ok(sorted(answer.values, answer.warnings))
        })
    }
}

fn client(channel: Channel) -> StoreClient<Channel> {
    StoreClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

async fn open(channel: Channel, request: &SeriesRequest) -> Result<Received, StoreError> {
    let message = request::series_to_wire(request, BATCH_SIZE);
    let mut metadata = with_tenant((), &request.tenant)?.into_parts().0;
    metadata.insert(HASHES_KEY, MetadataValue::from_static(NO_HASHES));
    let received = Received::call(channel, "/thanos.Store/Series", metadata, &message).await;
    received.map_err(|status| from_status(&status))
}

/// The frames of an answer.
struct Frames {
    messages: Received,
    decoder: Decoder,
    patience: Duration,
    address: String,
}

impl Frames {
    /// The next frame; nothing after the last.
    async fn next(&mut self) -> Result<Option<Frame>, StoreError> {
        loop {
            let message = timeout(self.patience, self.messages.message()).await;
            let message = message.map_err(|_| silent(&self.address, self.patience))?;
            let Some(message) = message.map_err(|status| from_status(&status))? else {
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

pub(super) fn silent(address: &str, patience: Duration) -> StoreError {
    StoreError::new(
        ErrorKind::Unavailable,
        format!("{address} sent nothing for {patience:?}"),
    )
}
