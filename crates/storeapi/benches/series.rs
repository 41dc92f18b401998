//! Series on their way: written, read, merged, and streamed over the loopback.
//!
//! Throughput is bytes of chunks. 2,000 series of nine labels with 24 chunks of 300 bytes, which is
//! twelve hours of floats scraped every 15 seconds.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use model::{Labels, Matcher};
use prost::Message as _;
use proto::thanos::SeriesResponse;
use runtime::flags::ListenAddress;
use runtime::grpc::{Connector, GrpcClientConfig, GrpcServerConfig, Readiness, Server};
use runtime::process::Shutdown;
use runtime::tasks::Owned;
use storeapi::grpc::{ClientConfig, GrpcStore, Limits, StoreService};
use storeapi::memory::MemoryStore;
use storeapi::merge::merged;
use storeapi::wire::decode::Decoder;
use storeapi::wire::encode::ChunkRef;
use storeapi::wire::message::{MessageWriter, Written};
use storeapi::{ChunkData, Frame, Series, SeriesChunk, SeriesRequest, Store, StoreError};
use tonic::service::Routes;
use tsdb::Chunk;
use tsdb::chunk::Encoding;

const SERIES: usize = 2_000;
const CHUNKS: usize = 24;
const CHUNK_BYTES: usize = 300;
const TOTAL_BYTES: u64 = (SERIES * CHUNKS * CHUNK_BYTES) as u64;
const BATCH: usize = 64;
/// Bytes that gRPC has before a message.
const PREFIX_BYTES: usize = 5;

fn series(i: usize, replica: &str) -> Series {
    let number = format!("{i:06}");
    let labels = Labels::from_pairs([
        ("__name__", "http_server_request_duration_seconds_count"),
        ("cluster", "eu-west-1"),
        ("container", "server"),
        ("instance", &format!("10.0.0.{number}:8080")),
        ("job", "kubernetes-pods"),
        ("method", "GET"),
        ("namespace", "production"),
        ("pod", &format!("server-7d9c6b5f4-{number}")),
        ("replica", replica),
    ]);
    let chunk = |at: usize| {
        let at_ms = at as i64 * 1_800_000;
        SeriesChunk {
            min_time: at_ms,
            max_time: at_ms + 1_785_000,
            data: ChunkData::Raw(Chunk {
                encoding: Encoding::Xor,
                data: Bytes::from(vec![(i * 31 + at) as u8; CHUNK_BYTES]),
            }),
        }
    };
    Series {
        labels,
        chunks: (0..CHUNKS).map(chunk).collect(),
    }
}

fn all(replica: &str) -> Vec<Series> {
    (0..SERIES).map(|i| series(i, replica)).collect()
}

/// Messages of series, as a connection takes them.
fn written(all: &[Series], without_hashes: bool) -> Vec<Written> {
    let mut writer = MessageWriter::new(BATCH).without_hashes(without_hashes);
    let mut out = Vec::new();
    for series in all {
        let chunks: Vec<_> = series.chunks.iter().map(ChunkRef::from).collect();
        writer
            .push_split(&series.labels, &chunks, &mut out)
            .unwrap();
    }
    out.extend(writer.take());
    out
}

fn wire(c: &mut Criterion) {
    let series = all("a");
    let mut group = c.benchmark_group("wire");
    group.throughput(Throughput::Bytes(TOTAL_BYTES));
    for (name, without_hashes) in [("encode", false), ("encode without hashes", true)] {
        group.bench_function(name, |b| {
            b.iter(|| black_box(written(black_box(&series), without_hashes)));
        });
    }
    let encoded = written(&series, false).into_iter();
    let encoded: Vec<_> = encoded.map(|w| w.bytes.slice(PREFIX_BYTES..)).collect();
    let mut decoder = Decoder::default();
    group.bench_function("decode", |b| {
        b.iter(|| {
            for message in &encoded {
                black_box(decoder.decode(black_box(message)).unwrap());
            }
        });
    });
    group.bench_function("decode by the generated code", |b| {
        b.iter(|| {
            for message in &encoded {
                black_box(SeriesResponse::decode(black_box(message).clone()).unwrap());
            }
        });
    });
    group.finish();
}

fn frames(series: &[Series]) -> BoxStream<'static, Result<Frame, StoreError>> {
    let frames: Vec<_> = series
        .chunks(BATCH)
        .map(|batch| Ok(Frame::Series(batch.to_vec())))
        .collect();
    stream::iter(frames).boxed()
}

async fn drain(mut frames: BoxStream<'static, Result<Frame, StoreError>>) -> usize {
    let mut count = 0;
    while let Some(frame) = frames.next().await {
        if let Frame::Series(series) = frame.unwrap() {
            count += series.len();
        }
    }
    count
}

fn merge(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut group = c.benchmark_group("merge");
    let replica = all("a");
    let streams = |n: usize| (0..n).map(|_| frames(&replica)).collect::<Vec<_>>();
    for replicas in [2, 4] {
        group.throughput(Throughput::Bytes(TOTAL_BYTES * replicas as u64));
        group.bench_function(format!("{replicas} equal replicas"), |b| {
            b.iter_batched(
                || streams(replicas),
                |inputs| assert_eq!(runtime.block_on(drain(merged(inputs))), SERIES),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    let apart: Vec<Vec<_>> = (0..8)
        .map(|n| replica.iter().skip(n).step_by(8).cloned().collect())
        .collect();
    group.throughput(Throughput::Bytes(TOTAL_BYTES));
    group.bench_function("8 stores of different series", |b| {
        b.iter_batched(
            || apart.iter().map(|series| frames(series)).collect(),
            |inputs| assert_eq!(runtime.block_on(drain(merged(inputs))), SERIES),
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Two replicas, each behind gRPC, merged.
fn stream_over_loopback(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut store = MemoryStore::new(Labels::empty());
    for series in all("a") {
        store.insert(series.labels, series.chunks);
    }
    let (trigger, shutdown) = Shutdown::new();
    let (client, _server) = runtime.block_on(async {
        let address = ListenAddress::parse("127.0.0.1:0").unwrap();
        let server = Server::bind(&address, GrpcServerConfig::default())
            .await
            .unwrap();
        let address = server.local_addr().unwrap().to_string();
        let routes = Routes::new(StoreService::new(Arc::new(store), Limits::default()));
        let serving = server.serve(routes, Readiness::new(), shutdown);
        let connector = Connector::new(&GrpcClientConfig::default()).unwrap();
        let client = GrpcStore::new(&address, &connector, ClientConfig::default()).unwrap();
        (client, Owned::spawn(serving))
    });
    let request = || SeriesRequest {
        matchers: vec![Matcher::not_equal("__name__", "")],
        ..SeriesRequest::default()
    };
    let mut group = c.benchmark_group("loopback");
    for replicas in [1, 2] {
        group.throughput(Throughput::Bytes(TOTAL_BYTES * replicas as u64));
        group.bench_function(format!("{replicas} replicas"), |b| {
            b.iter(|| {
                let inputs = (0..replicas).map(|_| client.series(request())).collect();
                assert_eq!(runtime.block_on(drain(merged(inputs))), SERIES);
            });
        });
    }
    group.finish();
    trigger.request();
}

criterion_group!(benches, wire, merge, stream_over_loopback);
criterion_main!(benches);
