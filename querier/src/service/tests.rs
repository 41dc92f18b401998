//! A querier over a querier over a block, through gRPC.

mod parameters;

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt as _;
use model::{Labels, Matcher, TimeRange};
use proto::thanos::query_client::QueryClient;
use proto::thanos::query_response::Result as Say;
use proto::thanos::{QueryRangeRequest, QueryRequest};
use runtime::flags::ListenAddress;
use runtime::grpc::{GrpcClientConfig, GrpcServerConfig, Server};
use runtime::http::{Abandonment, HeaderMap, HeaderValue, Method, Request};
use runtime::process::{Shutdown, ShutdownTrigger};
use runtime::tasks::Owned;
use runtime::{ManualClock, Reloads};
use serde_json::{Value, json};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tsdb::block::{BlockWriter, Meta};
use tsdb::chunk::SeriesEncoder;
use tsdb::db::DataDir;
use ulid::Ulid;

use super::*;
use crate::endpoints::dial::GrpcDial;
use crate::endpoints::resolve::Dns;
use crate::endpoints::{EndpointConfig, EndpointSet, SetOptions};
use crate::stores::{FixedStore, FixedStores};

const NOW_MS: i64 = 600_000;

/// Replicas of `up`, a sample every 15 s; the second starts 100 ms later and lacks some.
fn write_block(dir: &Path) {
    let ulid = Ulid::from_parts(1, 1);
    let mut writer = BlockWriter::create(dir, ulid).unwrap();
    for symbol in ["__name__", "a", "b", "job", "replica", "up", "x"] {
        writer.add_symbol(symbol).unwrap();
    }
    for (replica, late) in [("a", 0), ("b", 100)] {
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        for i in (0..40).filter(|i| late == 0 || i % 10 != 3) {
            let pushed = encoder.push_float(i * 15_000 + late, i as f64);
            chunks.extend(pushed.unwrap());
        }
        chunks.extend(encoder.finish());
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "x"), ("replica", replica)]);
        writer.add_series(&labels, &chunks).unwrap();
    }
    let meta = Meta::new(ulid, TimeRange::new(0, NOW_MS));
    writer.finish(meta).unwrap().unwrap();
}

fn about() -> About {
    About {
        version: "1.2.3",
        started_ms: 0,
        flags: [].into(),
        memory: runtime::Memory::default(),
        reloads: Reloads::default(),
    }
}

fn service(stores: Arc<dyn Stores>, local: Option<LocalStore>) -> Service {
    let log = QueryLog::new(Default::default(), Default::default);
    logging(stores, local, log)
}

fn logging(stores: Arc<dyn Stores>, local: Option<LocalStore>, log: QueryLog) -> Service {
    Service::new(Deps {
        stores,
        local,
        settings: Settings {
            replica_labels: vec!["replica".to_owned()],
            ..Settings::default()
        },
        store_limits: Limits::default(),
        queries_max: 20,
        telemetry: Bounds::default(),
        log: Arc::new(log),
        active: None,
        clock: Arc::new(ManualClock::new(NOW_MS)),
        about: about(),
    })
    .unwrap()
}

/// A querier over the block in `dir`.
fn over_block(dir: &Path) -> Service {
    let (stores, local) = block(dir);
    service(stores, Some(local))
}

/// The block in `dir`.
fn block(dir: &Path) -> (Arc<dyn Stores>, LocalStore) {
    let local = LocalStore::new(DataDir::open(dir, 0).unwrap());
    let stores = FixedStores::new(vec![FixedStore {
        component: "debug",
        name: "block".to_owned(),
        store: Arc::new(local.clone()),
        catalog: None,
    }]);
    (Arc::new(stores), local)
}

/// A querier over endpoints.
async fn over(endpoints: Vec<EndpointConfig>) -> (Service, Arc<EndpointSet>) {
    let options = SetOptions {
        endpoints,
        ..SetOptions::default()
    };
    let tls = GrpcClientConfig::default();
    let dial = GrpcDial::new(&tls, options.info_timeout, options.info_timeout).unwrap();
    let network = (
        Arc::new(dial) as Arc<_>,
        Arc::new(Dns::of_system().unwrap()) as Arc<_>,
    );
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let set = Arc::new(EndpointSet::new(options, Vec::new(), network, clock));
    set.update().await;
    (service(Arc::<EndpointSet>::clone(&set), None), set)
}

/// A service at an address, until it is stopped.
struct Served {
    address: String,
    stop: ShutdownTrigger,
    serving: Owned<Result<(), Error>>,
}

async fn serve(service: &Service) -> Served {
    let any = ListenAddress::parse("127.0.0.1:0").unwrap();
    let server = Server::bind(&any, GrpcServerConfig::default())
        .await
        .unwrap();
    let address = server.local_addr().unwrap().to_string();
    let readiness = Readiness::new();
    readiness.set(true);
    let (stop, shutdown) = Shutdown::new();
    let routes = service.grpc(&readiness).finish();
    Served {
        address,
        stop,
        serving: Owned::spawn(server.serve(routes, readiness, shutdown)),
    }
}

/// Status, `Cache-Control` and body of an answer.
async fn get(service: &Service, target: &str) -> (u16, bool, Value) {
    let handler = service.http();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: Method::GET,
        path: format!("/api/v1/{path}"),
        query: query.to_owned(),
        headers: HeaderMap::new(),
        body: Default::default(),
        peer: None,
        waited: std::time::Duration::ZERO,
        abandonment: Abandonment::default(),
    };
    let answer = runtime::process::blocking(move || {
        let response = handler.handle(request);
        let is_uncached =
            (response.headers().get("cache-control")).is_some_and(|v| v == "no-store");
        (
            response.status().as_u16(),
            is_uncached,
            response.into_bytes().unwrap(),
        )
    });
    let (status, is_uncached, body) = answer.await;
    (status, is_uncached, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queriers_stack() {
    let dir = tempfile::tempdir().unwrap();
    write_block(dir.path());
    let inner = over_block(dir.path());
    let served = serve(&inner).await;
    let endpoint = EndpointConfig::new(&served.address, false, false).unwrap();
    let (middle, _set) = over(vec![endpoint]).await;
    let served_middle = serve(&middle).await;
    let endpoint = EndpointConfig::new(&served_middle.address, false, false).unwrap();
    let (outer, _set) = over(vec![endpoint]).await;
    for target in [
        "query?query=sum(up)&time=500",
        "query?query=up&time=500&dedup=false",
        "query_range?query=up&start=0&end=600&step=15",
        "query_range?query=rate(up[1m])&start=60&end=600&step=15&dedup=0",
        "labels",
        "label/replica/values",
        "series?match[]=up",
        "series?match[]=up&dedup=false",
        "query?query=up&time=500&replicaLabels[]=job",
    ] {
        let expected = get(&inner, target).await;
        assert_eq!(expected.0, 200, "{target}: {}", expected.2);
        assert_eq!(get(&outer, target).await, expected, "{target}");
    }
    let one = get(&outer, "query?query=count(up)&time=500").await.2;
    assert_eq!(one["data"]["result"][0]["value"][1], "1");
    let stores = get(&outer, "stores").await.2;
    let store = &stores["data"]["query"][0];
    assert_eq!(store["name"], json!(served_middle.address));
    assert_eq!(store["lastError"], Value::Null);
    assert_eq!(store["maxTime"], NOW_MS - 1);
    let here = format!(
        "query?query=up&time=500&storeMatch[]={{__address__=\"{}\"}}",
        served_middle.address
    );
    assert_eq!(
        get(&outer, &here).await.2["data"]["result"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let elsewhere = get(
        &outer,
        "query?query=up&time=500&storeMatch[]={__address__=\"x\"}",
    )
    .await;
    assert_eq!(elsewhere.2["data"]["result"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_is_a_warning_or_an_error() {
    let dir = tempfile::tempdir().unwrap();
    write_block(dir.path());
    let inner = over_block(dir.path());
    let (served, other) = (serve(&inner).await, serve(&inner).await);
    let endpoints =
        [&served, &other].map(|s| EndpointConfig::new(&s.address, true, false).unwrap());
    let (outer, set) = over(endpoints.into()).await;
    let target = "query?query=up&time=500";
    let (status, is_uncached, whole) = get(&outer, target).await;
    assert_eq!((status, is_uncached), (200, false));
    assert!(whole.get("warnings").is_none(), "{whole}");

    other.stop.request();
    other.serving.await.unwrap().unwrap();
    set.update().await;
    let (status, is_uncached, partial) = get(&outer, target).await;
    assert_eq!((status, is_uncached), (200, true));
    assert_eq!(partial["data"], whole["data"]);
    let warning = partial["warnings"][0].as_str().unwrap();
    assert!(warning.contains(&other.address), "{warning}");
    let (status, is_uncached, failed) =
        get(&outer, &format!("{target}&partial_response=false")).await;
    assert!(status >= 500 && is_uncached, "{failed}");
    let (_, _, labels) = get(&outer, "labels").await;
    assert_eq!(labels["data"], json!(["__name__", "job", "replica"]));
    assert!(labels["warnings"].is_array());
    // Partial answers are not kept.
    let range = "query_range?query=up&start=0&end=60&step=15";
    for _ in 0..2 {
        assert!(get(&outer, range).await.2["warnings"].is_array());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expressions_are_evaluated_over_grpc() {
    let dir = tempfile::tempdir().unwrap();
    write_block(dir.path());
    let served = serve(&over_block(dir.path())).await;
    let mut client = QueryClient::connect(format!("http://{}", served.address))
        .await
        .unwrap();
    let mut ask = async |query: &str, (dedup, replica_labels): (bool, &[&str])| {
        let request = QueryRequest {
            query: query.to_owned(),
            time_seconds: 500,
            enable_dedup: dedup,
            replica_labels: replica_labels.iter().map(|&l| l.to_owned()).collect(),
            ..QueryRequest::default()
        };
        let mut stream = client.query(request).await?.into_inner();
        let mut said = Vec::new();
        while let Some(response) = stream.message().await? {
            said.extend(response.result);
        }
        Ok::<_, tonic::Status>(said)
    };
    let said = ask("up", (true, &["replica"])).await.unwrap();
    let [Say::Timeseries(series), Say::Stats(_)] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(series.labels.len(), 2);
    assert_eq!(series.samples[0].value, 33.0);
    // A ruler of Thanos wants replicas joined, and leaves it to the querier by what.
    assert_eq!(ask("up", (true, &[])).await.unwrap(), said);
    assert_eq!(ask("up", (true, &["job"])).await.unwrap().len(), 3);
    assert_eq!(ask("up", (false, &["replica"])).await.unwrap().len(), 3);
    let refused = ask("up(", (true, &[])).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_over_grpc_are_noted_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    write_block(dir.path());
    let file = dir.path().join("query.log");
    let log = QueryLog::with_file(Default::default(), Some(file.clone())).unwrap();
    let (stores, local) = block(dir.path());
    let service = logging(stores, Some(local), log);
    let registry = Registry::default();
    service.show_figures(&registry);
    let served = serve(&service).await;
    let address = format!("http://{}", served.address);
    let mut client = QueryClient::connect(address).await.unwrap();
    let request = QueryRangeRequest {
        query: "sum(up)".to_owned(),
        start_time_seconds: 60,
        end_time_seconds: 120,
        interval_seconds: 30,
        ..QueryRangeRequest::default()
    };
    let mut request = tonic::Request::new(request);
    let metadata = request.metadata_mut();
    metadata.insert(runtime::grpc::TENANT_KEY, "acme".parse().unwrap());
    metadata.insert("x-dashboard-uid", "d1".parse().unwrap());
    let mut answer = client.query_range(request).await.unwrap().into_inner();
    while answer.message().await.unwrap().is_some() {}
    let line: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for (pointer, expected) in [
        ("/params/query", json!("sum(up)")),
        ("/params/start", json!("1970-01-01T00:01:00.000Z")),
        ("/params/end", json!("1970-01-01T00:02:00.000Z")),
        ("/params/step", json!(30)),
        ("/httpRequest/path", json!("/thanos.Query/QueryRange")),
        ("/httpRequest/clientIP", json!("127.0.0.1")),
        ("/tenant", json!("acme")),
        ("/grafana/dashboardUID", json!("d1")),
    ] {
        assert_eq!(line.pointer(pointer), Some(&expected), "{line}");
    }
    let text = registry.text();
    for shown in [
        "thanos_query_concurrent_gate_queries_total 1",
        "prometheus_engine_query_log_enabled 1",
        r#"thanos_store_api_query_duration_seconds_count{samples_le="100",series_le="10",tenant="acme"} 1"#,
    ] {
        assert!(text.contains(shown), "{shown}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_served_is_told_by_reflection() {
    let dir = tempfile::tempdir().unwrap();
    write_block(dir.path());
    let served = serve(&over_block(dir.path())).await;
    let channel = tonic::transport::Endpoint::new(format!("http://{}", served.address));
    let channel = channel.unwrap().connect().await.unwrap();
    let mut client = ServerReflectionClient::new(channel);
    let mut ask = async |question: MessageRequest| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        };
        let asked = client.server_reflection_info(futures::stream::iter([request]));
        let answer = asked.await.unwrap().into_inner().message().await.unwrap();
        answer.and_then(|answer| answer.message_response).unwrap()
    };
    let MessageResponse::ListServicesResponse(all) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("services were asked for");
    };
    let names: Vec<String> = all
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for name in [
        "grpc.health.v1.Health",
        "thanos.Query",
        "thanos.Rules",
        "thanos.Store",
        "thanos.info.Info",
    ] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|name| name == "thanos.WriteableStore"));
    let symbol = MessageRequest::FileContainingSymbol("thanos.Query".to_owned());
    assert!(matches!(
        ask(symbol).await,
        MessageResponse::FileDescriptorResponse(_)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remote_read_sees_one_of_the_replicas_and_one_tenant() {
    let dir = tempfile::tempdir().unwrap();
    write_block(dir.path());
    let service = over_block(dir.path());
    let read = async |store: &Arc<dyn Store>, tenant: &str| {
        let request = SeriesRequest {
            matchers: vec![Matcher::equal("__name__", "up")],
            tenant: tenant.to_owned(),
            ..SeriesRequest::default()
        };
        let frames: Vec<Frame> = store.series(request).try_collect().await.unwrap();
        let series = frames.into_iter().flat_map(|frame| match frame {
            Frame::Series(series) => series,
            Frame::Warning(warning) => panic!("{warning}"),
        });
        series.collect::<Vec<_>>()
    };
    let all = AllStores::with(&service.queries.evaluator, Replicas::Joined);
    let [series] = &read(&all, "").await[..] else {
        panic!("replicas are one series");
    };
    assert_eq!(series.labels.to_string(), "{__name__=\"up\", job=\"x\"}");
    let samples = series.chunks.iter().flat_map(|chunk| match &chunk.data {
        storeapi::ChunkData::Raw(chunk) => chunk.samples().map(|s| s.unwrap().t),
        storeapi::ChunkData::Aggregates(_) => panic!("samples were asked for"),
    });
    // The first replica has all; samples of both would be 100 ms apart.
    let expected: Vec<i64> = (0..40).map(|i| i * 15_000).collect();
    assert_eq!(samples.collect::<Vec<_>>(), expected);

    let mut settings = service.queries.evaluator.settings.clone();
    settings.tenancy.is_enforced = true;
    settings.tenancy.label = "job".to_owned();
    let enforced = Arc::new(Evaluator {
        stores: Arc::clone(&service.queries.evaluator.stores),
        pool: Arc::clone(&service.queries.evaluator.pool),
        runtime: service.queries.evaluator.runtime.clone(),
        lanes: Arc::clone(&service.queries.evaluator.lanes),
        settings,
        active: None,
    });
    let enforced = AllStores::with(&enforced, Replicas::Joined);
    assert_eq!(read(&enforced, "x").await.len(), 1);
    assert_eq!(read(&enforced, "").await.len(), 0);
}
