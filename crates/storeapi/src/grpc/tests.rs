use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use model::{ErrorKind, Labels, Matcher};
use proto::thanos::{self as wire, series_response::Result as Answer, store_client::StoreClient};
use runtime::flags::ListenAddress;
use runtime::grpc::{
    Connector, GrpcClientConfig, GrpcServerConfig, MessageLimit, Readiness, Server,
};
use runtime::process::{Shutdown, ShutdownTrigger};
use runtime::tasks::Owned;
use runtime::tls::{ClientTls, Identity, MinVersion, ServerTls};
use tonic::service::Routes;
use tsdb::Chunk;
use tsdb::chunk::Encoding;

use super::{
    CatalogService, ClientConfig, GrpcCatalog, GrpcStore, InfoService, Limits, Served, StoreService,
};
use crate::catalog::{Catalog, Services};
use crate::memory::{MemoryStore, float_chunk};
use crate::store::{
    ChunkData, Frame, Info, LabelsRequest, Series, SeriesChunk, SeriesRequest, Store, StoreError,
    Strings,
};
use crate::wire::info::EndpointInfo;

mod threads;

/// A server on the loopback that ends with it.
pub(crate) struct Loopback {
    address: SocketAddr,
    readiness: Readiness,
    _trigger: ShutdownTrigger,
    _task: Owned<()>,
}

impl Loopback {
    pub(crate) async fn start(store: Arc<dyn Store>, limits: Limits) -> Self {
        Self::start_as(store, limits, GrpcServerConfig::default()).await
    }

    async fn start_as(store: Arc<dyn Store>, limits: Limits, config: GrpcServerConfig) -> Self {
        let readiness = Readiness::new();
        let described = Arc::clone(&store);
        let info = InfoService::new(readiness.clone(), move || EndpointInfo {
            component: "sidecar".into(),
            store: Some(described.info()),
            ..EndpointInfo::default()
        });
        let routes = Routes::new(StoreService::new(store, limits)).add_service(info);
        Self::serve(routes, readiness, config).await
    }

    async fn serve(routes: Routes, readiness: Readiness, config: GrpcServerConfig) -> Self {
        let address = ListenAddress::parse("127.0.0.1:0").unwrap();
        let server = Server::bind(&address, config).await.unwrap();
        let address = server.local_addr().unwrap();
        let (trigger, shutdown) = Shutdown::new();
        let serving = server.serve(routes, readiness.clone(), shutdown);
        let task = Owned::spawn(async move { serving.await.unwrap() });
        Self {
            address,
            readiness,
            _trigger: trigger,
            _task: task,
        }
    }

    pub(crate) fn client(&self, config: ClientConfig) -> GrpcStore {
        let connector = Connector::new(&GrpcClientConfig::default()).unwrap();
        GrpcStore::new(&self.address.to_string(), &connector, config).unwrap()
    }
}

/// A client of a server of a catalog, and the server.
pub(crate) async fn catalog(
    catalog: Arc<dyn Catalog>,
    services: Services,
) -> (GrpcCatalog, Loopback) {
    let routes = CatalogService::add_to(Served::new(), catalog, services).finish();
    let server = Loopback::serve(routes, Readiness::new(), GrpcServerConfig::default()).await;
    (server.client(ClientConfig::default()).catalog(), server)
}

fn filled() -> MemoryStore {
    let mut store = MemoryStore::new(Labels::from_pairs([("cluster", "eu")]));
    for i in 0..100_i64 {
        let pod = format!("{i:03}");
        let labels = Labels::from_pairs([("__name__", "up"), ("pod", &pod)]);
        let at = i * 1_000;
        store.insert(labels, [float_chunk(&[(at, 1.0), (at + 15_000, 2.0)])]);
    }
    store
}

fn up() -> SeriesRequest {
    SeriesRequest {
        matchers: vec![Matcher::equal("__name__", "up")],
        ..SeriesRequest::default()
    }
}

async fn all(store: &dyn Store, request: SeriesRequest) -> Result<Vec<Frame>, StoreError> {
    store.series(request).try_collect().await
}

fn series_of(frames: Vec<Frame>) -> Vec<Series> {
    let series = frames.into_iter().filter_map(|frame| match frame {
        Frame::Series(series) => Some(series),
        Frame::Warning(_) => None,
    });
    series.flatten().collect()
}

/// Both ends have the same flag, and each says of which one it was the limit.
#[tokio::test(flavor = "multi_thread")]
async fn messages_are_as_large_as_their_receiver_allows() {
    let small = MessageLimit { bytes: 400 };
    for (server_limit, client_limit, refused) in [
        (MessageLimit::default(), MessageLimit::default(), [false; 3]),
        (small, MessageLimit::default(), [true, false, false]),
        (MessageLimit::default(), small, [true; 3]),
    ] {
        let config = GrpcServerConfig {
            message_limit: server_limit,
            ..GrpcServerConfig::default()
        };
        let server = Loopback::start_as(Arc::new(filled()), Limits::default(), config).await;
        let connector = Connector::new(&GrpcClientConfig {
            message_limit: client_limit,
            ..GrpcClientConfig::default()
        });
        let address = server.address.to_string();
        let config = ClientConfig::default();
        let client = GrpcStore::new(&address, &connector.unwrap(), config).unwrap();
        let pods = |matchers| LabelsRequest {
            matchers,
            ..LabelsRequest::default()
        };
        let long = Matcher::not_equal("job", &"x".repeat(2_000));
        let asked = client.label_values("pod".into(), pods(vec![long])).await;
        let values = client.label_values("pod".into(), pods(Vec::new())).await;
        let answers = [
            asked.map(|answer| answer.values.len()),
            values.map(|answer| answer.values.len()),
            all(&client, up())
                .await
                .map(|frames| series_of(frames).len()),
        ];
        for (answer, refused) in answers.into_iter().zip(refused) {
            match answer {
                Ok(count) => assert_eq!((count, refused), (100, false)),
                Err(error) => {
                    assert!(refused, "{error}");
                    assert_eq!(error.kind, ErrorKind::Exhausted);
                    let said = "limit of its receiver is 400 bytes (--grpc.max-message-size)";
                    assert!(error.message.contains(said), "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_store_answers_alike_behind_grpc() {
    let store = Arc::new(filled());
    let server = Loopback::start(Arc::clone(&store) as _, Limits::default()).await;
    let client = server.client(ClientConfig::default());
    let near = series_of(all(&*store, up()).await.unwrap());
    let far = series_of(all(&client, up()).await.unwrap());
    assert_eq!(near.len(), 100);
    assert_eq!(near, far);

    let labels = LabelsRequest::default;
    assert_eq!(
        client.label_names(labels()).await,
        store.label_names(labels()).await
    );
    let values = client.label_values("pod".into(), labels()).await.unwrap();
    assert_eq!(values.values.len(), 100);
}

#[tokio::test]
async fn info_is_refused_until_ready() {
    let store = Arc::new(filled());
    let server = Loopback::start(Arc::clone(&store) as _, Limits::default()).await;
    let client = server.client(ClientConfig::default());
    let patience = Duration::from_secs(10);
    let error = client.fetch_info(patience).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    server.readiness.set(true);
    let info = client.fetch_info(patience).await.unwrap();
    assert_eq!(info.component, "sidecar");
    assert_eq!(info.store, Some(store.info()));
    client.set_info(info.store.unwrap());
    assert_eq!(client.info(), store.info());
}

#[tokio::test]
async fn old_askers_get_one_series_in_a_message() {
    let server = Loopback::start(Arc::new(filled()), Limits::default()).await;
    let client = server.client(ClientConfig::default());
    let ask = async |response_batch_size| {
        let request = wire::SeriesRequest {
            response_batch_size,
            ..crate::wire::request::series_to_wire(&up(), 0)
        };
        let answer = StoreClient::new(client.channel()).series(request).await;
        let messages: Vec<_> = answer.unwrap().into_inner().try_collect().await.unwrap();
        let batch = |message: &wire::SeriesResponse| match message.result.as_ref().unwrap() {
            Answer::Series(_) => 0,
            Answer::Batch(batch) => batch.series.len(),
            other => panic!("{other:?}"),
        };
        messages.iter().map(batch).collect::<Vec<_>>()
    };
    assert_eq!(ask(0).await, [0; 100]);
    assert_eq!(ask(1).await, [0; 100]);
    assert_eq!(ask(40).await, [40, 40, 20]);
}

#[tokio::test]
async fn limits_refuse_and_say_so() {
    let limits = Limits {
        series_max: 99,
        samples_max: 0,
    };
    let server = Loopback::start(Arc::new(filled()), limits).await;
    let client = server.client(ClientConfig::default());
    let error = all(&client, up()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exhausted);
    assert!(
        error.message.contains("limit of the store is 99"),
        "{error}"
    );

    let limits = Limits {
        series_max: 0,
        samples_max: 199,
    };
    let server = Loopback::start(Arc::new(filled()), limits).await;
    let client = server.client(ClientConfig::default());
    let error = all(&client, up()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exhausted);
    let few = SeriesRequest { limit: 99, ..up() };
    assert_eq!(series_of(all(&client, few).await.unwrap()).len(), 99);
}

/// Answers what it was told to.
struct Scripted {
    frames: Vec<Result<Frame, StoreError>>,
    /// Never ends.
    hangs: bool,
    /// Set once an answer was dropped.
    dropped: Arc<AtomicBool>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Store for Scripted {
    fn info(&self) -> Info {
        Info::default()
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        let guard = SetOnDrop(Arc::clone(&self.dropped));
        let tenant = (!request.tenant.is_empty()).then_some(Ok(Frame::Warning(request.tenant)));
        let mut frames: Vec<_> = tenant.into_iter().collect();
        frames.extend(self.frames.iter().cloned());
        let frames = stream::iter(frames);
        let frames = match self.hangs {
            true => frames.chain(stream::pending()).boxed(),
            false => frames.boxed(),
        };
        frames
            .inspect(move |_| {
                let _guard = &guard;
            })
            .boxed()
    }

    fn label_names(&self, _: LabelsRequest) -> BoxFuture<'static, Result<Strings, StoreError>> {
        Box::pin(async {
            Ok(Strings {
                values: vec!["b".into(), "a".into()],
                warnings: vec!["half".into()],
            })
        })
    }

    fn label_values(
        &self,
        _: String,
        _: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        Box::pin(async { Err(StoreError::new(ErrorKind::Corrupt, "no index")) })
    }
}

fn scripted(frames: Vec<Result<Frame, StoreError>>, hangs: bool) -> Scripted {
    Scripted {
        frames,
        hangs,
        dropped: Arc::default(),
    }
}

fn series(name: &str, chunk_sizes: &[usize]) -> Series {
    let chunk = |(i, size): (usize, &usize)| SeriesChunk {
        min_time: i as i64,
        max_time: i as i64,
        data: ChunkData::Raw(Chunk {
            encoding: Encoding::Xor,
            data: Bytes::from(vec![7; *size]),
        }),
    };
    Series {
        labels: Labels::from_pairs([("__name__", name)]),
        chunks: chunk_sizes.iter().enumerate().map(chunk).collect(),
    }
}

#[tokio::test]
async fn warnings_errors_and_tenants_pass() {
    let frames = vec![
        Ok(Frame::Warning("one block is gone".into())),
        Ok(Frame::Series(vec![series("a", &[1])])),
        Err(StoreError::new(
            ErrorKind::Unavailable,
            "the bucket is gone",
        )),
    ];
    let server =
        Loopback::start(Arc::new(scripted(frames.clone(), false)), Limits::default()).await;
    let client = server.client(ClientConfig::default());
    let request = SeriesRequest {
        tenant: "team-a".into(),
        ..up()
    };
    let received: Vec<_> = client.series(request).collect().await;
    let mut expected = frames;
    expected.insert(0, Ok(Frame::Warning("team-a".into())));
    assert_eq!(received, expected);

    let names = client.label_names(LabelsRequest::default()).await.unwrap();
    assert_eq!(names.values, ["a", "b"]);
    assert_eq!(names.warnings, ["half"]);
    let error = client
        .label_values("a".into(), LabelsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(error, StoreError::new(ErrorKind::Corrupt, "no index"));
    let error = client
        .label_values(String::new(), LabelsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn long_series_come_in_several_messages() {
    let long = series("a", &[175_000; 6]);
    let short = series("b", &[1; 3]);
    let frames = vec![Ok(Frame::Series(vec![long.clone(), short.clone()]))];
    let server = Loopback::start(Arc::new(scripted(frames, false)), Limits::default()).await;
    let client = server.client(ClientConfig::default());
    let frames = all(&client, up()).await.unwrap();
    assert_eq!(
        frames.len(),
        4,
        "three of the long series, one of the short"
    );
    let parts = series_of(frames);
    assert_eq!(parts.len(), 4);
    assert_eq!(parts[3], short);
    let chunks: Vec<_> = parts[..3].iter().flat_map(|p| p.chunks.clone()).collect();
    assert_eq!(chunks, long.chunks);
    assert!(parts[..3].iter().all(|p| p.labels == long.labels));
}

#[tokio::test]
async fn silence_ends_an_answer_and_frees_the_store() {
    let store = scripted(vec![Ok(Frame::Series(vec![series("a", &[1])]))], true);
    let dropped = Arc::clone(&store.dropped);
    let server = Loopback::start(Arc::new(store), Limits::default()).await;
    let client = server.client(ClientConfig {
        silence_max: Duration::from_secs(2),
    });
    let received: Vec<_> = client.series(up()).collect().await;
    assert_eq!(received.len(), 2);
    assert!(received[0].is_ok());
    let error = received[1].clone().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("sent nothing"), "{error}");
    while !dropped.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_waits_for_answers_but_not_for_ever() {
    let address = ListenAddress::parse("127.0.0.1:0").unwrap();
    let stop_after_an_answer_began = async |hangs: bool, grace: Duration| {
        let config = GrpcServerConfig {
            grace,
            ..GrpcServerConfig::default()
        };
        let server = Server::bind(&address, config).await.unwrap();
        let at = server.local_addr().unwrap().to_string();
        let frames = vec![Ok(Frame::Series(vec![series("a", &[1])]))];
        let store = Arc::new(scripted(frames, hangs));
        let routes = Routes::new(StoreService::new(store, Limits::default()));
        let (trigger, shutdown) = Shutdown::new();
        let serving = Owned::spawn(server.serve(routes, Readiness::new(), shutdown));
        let connector = Connector::new(&GrpcClientConfig::default()).unwrap();
        let client = GrpcStore::new(&at, &connector, ClientConfig::default()).unwrap();
        let mut answer = client.series(up());
        answer.next().await.unwrap().unwrap();
        let begin = std::time::Instant::now();
        trigger.request();
        if !hangs {
            assert!(answer.next().await.is_none());
        }
        serving.await.unwrap().unwrap();
        begin.elapsed()
    };
    let (long, short) = (Duration::from_secs(60), Duration::from_secs(1));
    assert!(stop_after_an_answer_began(false, long).await < long);
    assert!(stop_after_an_answer_began(true, short).await >= short);
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error() {
    let connector = Connector::new(&GrpcClientConfig::default()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let client = GrpcStore::new(&address, &connector, ClientConfig::default()).unwrap();
    let error = all(&client, up()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("refused"), "{error}");
    assert!(GrpcStore::new("not an address", &connector, ClientConfig::default()).is_err());
}

fn test_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/tls")
        .join(name)
}

fn identity(name: &str) -> Identity {
    Identity {
        cert: test_file(&format!("{name}.pem")),
        key: test_file(&format!("{name}.key")),
    }
}

#[tokio::test]
async fn tls_lets_in_who_is_known() {
    let config = GrpcServerConfig {
        tls: Some(ServerTls {
            identity: identity("server"),
            client_ca: Some(test_file("ca.pem")),
            min_version: MinVersion::V13,
        }),
        ..GrpcServerConfig::default()
    };
    let server = Loopback::start_as(Arc::new(filled()), Limits::default(), config).await;
    let ask = async |tls: Option<ClientTls>| {
        let config = GrpcClientConfig {
            tls,
            ..GrpcClientConfig::default()
        };
        let connector = Connector::new(&config).unwrap();
        let address = server.address.to_string();
        let client = GrpcStore::new(&address, &connector, ClientConfig::default()).unwrap();
        all(&client, up())
            .await
            .map(|frames| series_of(frames).len())
    };
    let known = ClientTls {
        identity: Some(identity("client")),
        ca: Some(test_file("ca.pem")),
        server_name: Some("store.test".into()),
        ..ClientTls::default()
    };
    assert_eq!(ask(Some(known.clone())).await, Ok(100));
    let trusting = ClientTls {
        ca: None,
        server_name: None,
        skip_verify: true,
        ..known.clone()
    };
    assert_eq!(ask(Some(trusting)).await, Ok(100));
    for (tls, why) in [
        (None, "plain text"),
        (
            Some(ClientTls {
                identity: None,
                ..known.clone()
            }),
            "without a certificate",
        ),
        (
            Some(ClientTls {
                server_name: Some("other.test".into()),
                ..known
            }),
            "for another server",
        ),
    ] {
        ask(tls).await.expect_err(why);
    }
}

#[tokio::test]
async fn certificates_that_are_replaced_are_shown_and_asked_for_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let put = |from: &str, to: &str| {
        std::fs::copy(test_file(from), at("new")).unwrap();
        std::fs::rename(at("new"), at(to)).unwrap();
    };
    for extension in ["pem", "key"] {
        put(
            &format!("server.{extension}"),
            &format!("server.{extension}"),
        );
        put(
            &format!("client.{extension}"),
            &format!("client.{extension}"),
        );
    }
    put("ca.pem", "authority.pem");
    let replaced = |name: &str| Identity {
        cert: at(&format!("{name}.pem")),
        key: at(&format!("{name}.key")),
    };
    let config = GrpcServerConfig {
        tls: Some(ServerTls {
            identity: replaced("server"),
            client_ca: Some(at("authority.pem")),
            min_version: MinVersion::V13,
        }),
        ..GrpcServerConfig::default()
    };
    let server = Loopback::start_as(Arc::new(filled()), Limits::default(), config).await;
    let connector = Connector::new(&GrpcClientConfig {
        tls: Some(ClientTls {
            identity: Some(replaced("client")),
            ca: Some(test_file("ca.pem")),
            server_name: Some("store.test".into()),
            ..ClientTls::default()
        }),
        ..GrpcClientConfig::default()
    });
    let connector = connector.unwrap();
    let ask = async || {
        // Of its own connection.
        let address = server.address.to_string();
        let client = GrpcStore::new(&address, &connector, ClientConfig::default()).unwrap();
        all(&client, up()).await.map(series_of).map(|s| s.len())
    };
    assert_eq!(ask().await, Ok(100));
    // Half of a new pair is not shown yet.
    put("client.pem", "server.pem");
    assert_eq!(ask().await, Ok(100));
    put("server.pem", "server.pem");
    assert_eq!(ask().await, Ok(100));
    // An authority that issued no client's certificate.
    put("server.pem", "authority.pem");
    ask().await.expect_err("clients of the new authority only");
    put("ca.pem", "authority.pem");
    assert_eq!(ask().await, Ok(100));
}
