use bytes::Bytes;
use model::{ErrorKind, Labels, MatchOp, Matcher, TimeRange};
use proptest::prelude::*;
use prost::Message as _;
use proto::thanos::series_response::Result as Answer;
use proto::thanos::{self as wire, AggrChunk, SeriesResponse};
use tsdb::Chunk;
use tsdb::chunk::Encoding;
use twox_hash::XxHash64;

use super::decode::Decoder;
use super::encode::{ChunkRef, DataRef};
use super::info::{self, EndpointInfo};
use super::message::{MessageWriter, Written};
use super::request;
use crate::catalog::Services;
use crate::store::{
    Aggregate, Aggregates, ChunkData, Frame, Info, InfoPart, LabelsRequest, PartialResponse,
    QueryHints, Series, SeriesChunk, SeriesRequest, Shard,
};

/// Bytes that gRPC has before a message.
const PREFIX_BYTES: usize = 5;

/// The messages of series, as the connection takes them, of at most `batch` each.
fn written(series: &[Series], batch: usize) -> Vec<Written> {
    let mut writer = MessageWriter::new(batch);
    let mut written = Vec::new();
    for series in series {
        let chunks: Vec<_> = series.chunks.iter().map(ChunkRef::from).collect();
        let pushed = writer.push_split(&series.labels, &chunks, &mut written);
        pushed.unwrap();
    }
    written.extend(writer.take());
    assert_eq!(writer.take(), None);
    written
}

/// The only message of series that fit into one.
fn encode(series: &[Series], batch: usize) -> Bytes {
    let written = written(series, batch);
    assert_eq!(written.len(), 1);
    written[0].bytes.slice(PREFIX_BYTES..)
}

fn decode(message: &Bytes) -> Option<Frame> {
    Decoder::default().decode(message).unwrap()
}

fn chunk(encoding: Encoding, data: &'static [u8]) -> Chunk {
    Chunk {
        encoding,
        data: Bytes::from_static(data),
    }
}

/// The message as the generated code has it.
fn generated(series: &Series) -> wire::Series {
    let part = |chunk: &Chunk| wire::Chunk {
        r#type: i32::from(chunk.encoding.as_byte()) - 1,
        data: chunk.data.clone(),
        hash: XxHash64::oneshot(0, &chunk.data),
    };
    let chunk = |c: &SeriesChunk| {
        let mut out = AggrChunk {
            min_time: c.min_time,
            max_time: c.max_time,
            ..AggrChunk::default()
        };
        match &c.data {
            ChunkData::Raw(raw) => out.raw = Some(part(raw)),
            ChunkData::Aggregates(a) => {
                out.count = a.count.as_ref().map(part);
                out.sum = a.sum.as_ref().map(part);
                out.min = a.min.as_ref().map(part);
                out.max = a.max.as_ref().map(part);
                out.counter = a.counter.as_ref().map(part);
            }
        }
        out
    };
    wire::Series {
        labels: wire::LabelSet::from(&series.labels).labels,
        chunks: series.chunks.iter().map(chunk).collect(),
    }
}

fn any_chunk() -> impl Strategy<Value = Chunk> {
    let encoding = prop_oneof![
        Just(Encoding::Xor),
        Just(Encoding::Histogram),
        Just(Encoding::FloatHistogram)
    ];
    (encoding, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(encoding, data)| Chunk {
        encoding,
        data: data.into(),
    })
}

fn any_data() -> impl Strategy<Value = ChunkData> {
    let part = || prop::option::of(any_chunk());
    let aggregates = (any_chunk(), part(), part(), part(), part()).prop_map(
        |(count, sum, min, max, counter)| {
            ChunkData::Aggregates(Box::new(Aggregates {
                count: Some(count),
                sum,
                min,
                max,
                counter,
            }))
        },
    );
    prop_oneof![any_chunk().prop_map(ChunkData::Raw), aggregates]
}

fn any_series() -> impl Strategy<Value = Series> {
    let labels = prop::collection::vec(("[a-zé_]{1,5}", "[^\0]{0,200}"), 0..8);
    let chunk = (any::<i64>(), any::<i64>(), any_data()).prop_map(|(min_time, max_time, data)| {
        SeriesChunk {
            min_time,
            max_time,
            data,
        }
    });
    (labels, prop::collection::vec(chunk, 0..4)).prop_map(|(labels, chunks)| Series {
        labels: Labels::from_pairs(labels),
        chunks,
    })
}

/// A message with gRPC's head.
fn with_head(message: &Bytes) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap();
    let head = [&[0][..], &len.to_be_bytes()].concat();
    [&head[..], message].concat()
}

proptest! {
    #[test]
    fn messages_have_their_lengths_before_them(
        series in prop::collection::vec(any_series(), 1..5),
    ) {
        for batch in [1, 5] {
            let written = written(&series, batch);
            prop_assert_eq!(written.iter().map(|w| w.series).sum::<u64>(), series.len() as u64);
            let mut read = Vec::new();
            for Written { bytes, .. } in written {
                let message = bytes.slice(PREFIX_BYTES..);
                prop_assert_eq!(&bytes, &with_head(&message));
                let Some(Frame::Series(more)) = decode(&message) else {
                    panic!("no series");
                };
                prop_assert!(more.len() <= batch);
                read.extend(more);
            }
            prop_assert_eq!(&read, &series);
        }
    }

    #[test]
    fn series_are_what_the_generated_code_makes_of_them(
        batch in prop::collection::vec(any_series(), 1..4),
    ) {
        let one = encode(&batch[..1], 1);
        let expected = SeriesResponse { result: Some(Answer::Series(generated(&batch[0]))) };
        prop_assert_eq!(&one[..], &expected.encode_to_vec()[..]);
        prop_assert_eq!(decode(&one), Some(Frame::Series(vec![batch[0].clone()])));

        let all = encode(&batch, 4);
        let expected = wire::SeriesBatch { series: batch.iter().map(generated).collect() };
        let expected = SeriesResponse { result: Some(Answer::Batch(expected)) };
        prop_assert_eq!(&all[..], &expected.encode_to_vec()[..]);
        prop_assert_eq!(decode(&all), Some(Frame::Series(batch)));
    }

    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Decoder::default().decode(&Bytes::from(bytes));
    }

    #[test]
    fn a_cut_message_is_no_panic(series in any_series(), share in 0.0..1.0_f64) {
        let whole = encode(&[series], 4);
        let cut = (whole.len() as f64 * share) as usize;
        let _ = Decoder::default().decode(&whole.slice(..cut));
    }
}

#[test]
fn labels_of_a_peer_are_put_in_order() {
    let label = |name: &'static str, value: &'static str| wire::Label {
        name: name.into(),
        value: value.into(),
    };
    let series = wire::Series {
        labels: vec![label("job", "api"), label("empty", ""), label("a", "b")],
        chunks: Vec::new(),
    };
    let message = SeriesResponse {
        result: Some(Answer::Series(series)),
    };
    let Some(Frame::Series(series)) = decode(&message.encode_to_vec().into()) else {
        panic!("no series");
    };
    assert_eq!(series[0].labels.to_string(), r#"{a="b", job="api"}"#);
}

#[test]
fn chunks_stay_where_they_were_received() {
    let series = Series {
        labels: Labels::from_pairs([("a", "b")]),
        chunks: vec![SeriesChunk {
            min_time: 1,
            max_time: 2,
            data: ChunkData::Raw(chunk(Encoding::Xor, b"some samples")),
        }],
    };
    let message = encode(&[series], 1);
    let Some(Frame::Series(series)) = decode(&message) else {
        panic!("no series");
    };
    let ChunkData::Raw(chunk) = &series[0].chunks[0].data else {
        panic!("no raw chunk");
    };
    assert!(message.as_ptr_range().contains(&chunk.data.as_ptr()));
}

#[test]
fn other_results_are_told_apart() {
    let warning = Written::warning("slow").bytes.slice(PREFIX_BYTES..);
    assert_eq!(decode(&warning), Some(Frame::Warning("slow".into())));
    let hints = SeriesResponse {
        result: Some(Answer::Hints(prost_types::Any::default())),
    };
    assert_eq!(decode(&hints.encode_to_vec().into()), None);
    let empty = SeriesResponse {
        result: Some(Answer::Batch(wire::SeriesBatch::default())),
    };
    assert_eq!(decode(&empty.encode_to_vec().into()), None);
}

#[test]
fn chunks_of_unknown_types_are_refused() {
    let raw = wire::Chunk {
        r#type: 3,
        ..wire::Chunk::default()
    };
    let message = SeriesResponse {
        result: Some(Answer::Series(wire::Series {
            labels: Vec::new(),
            chunks: vec![AggrChunk {
                raw: Some(raw),
                ..AggrChunk::default()
            }],
        })),
    };
    let error = Decoder::default()
        .decode(&message.encode_to_vec().into())
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("type 3"), "{error}");

    let at = |encoding| ChunkRef {
        min_time: 1,
        max_time: 2,
        data: DataRef::Raw(encoding, b"samples"),
    };
    let mut writer = MessageWriter::new(4);
    let mut out = Vec::new();
    let labels = Labels::from_pairs([("a", "b")]);
    let chunks = [at(Encoding::Xor), at(Encoding::Xor2)];
    let error = writer.push_split(&labels, &chunks, &mut out).unwrap_err();
    assert_eq!((error.kind, out.len()), (ErrorKind::Internal, 0));
    // Nothing is left of what failed.
    writer.push_split(&labels, &chunks[..1], &mut out).unwrap();
    let Some(Frame::Series(series)) = decode(&writer.take().unwrap().bytes.slice(PREFIX_BYTES..))
    else {
        panic!("no series");
    };
    assert_eq!((series.len(), series[0].chunks.len()), (1, 1));
}

/// The length of a series takes as many bytes as it needs, whatever was guessed.
#[test]
fn lengths_of_series_of_any_size_are_as_short_as_can_be() {
    let data = vec![7; 300_000];
    for bytes in (0..300).chain(16_200..16_500).chain([200_000, 300_000]) {
        for labels in [&[][..], &[("a", "b"), ("c", "dd")][..]] {
            let series = Series {
                labels: Labels::from_pairs(labels.iter().copied()),
                chunks: vec![SeriesChunk {
                    min_time: 0,
                    max_time: 0,
                    data: ChunkData::Raw(Chunk {
                        encoding: Encoding::Xor,
                        data: Bytes::copy_from_slice(&data[..bytes]),
                    }),
                }],
            };
            let expected = SeriesResponse {
                result: Some(Answer::Series(generated(&series))),
            };
            assert!(encode(&[series], 1) == expected.encode_to_vec(), "{bytes}");
        }
    }
}

/// Strings of all lengths about those where a length takes another byte, on the wire or in a set.
#[test]
fn labels_of_any_length_are_what_the_generated_code_makes_of_them() {
    for (name, value) in (1..140).flat_map(|name| (1..140).map(move |value| (name, value))) {
        let (name, value) = ("n".repeat(name), "v".repeat(value));
        let series = Series {
            labels: Labels::from_pairs([("a", "b"), (&name, &value), ("z", "é")]),
            chunks: Vec::new(),
        };
        let expected = SeriesResponse {
            result: Some(Answer::Series(generated(&series))),
        };
        let message = encode(std::slice::from_ref(&series), 1);
        assert_eq!(message, expected.encode_to_vec());
        assert_eq!(decode(&message), Some(Frame::Series(vec![series])));
    }
}

#[test]
fn requests_for_series_cross_the_wire() {
    let full = SeriesRequest {
        range: TimeRange::new(-5, 100),
        matchers: vec![Matcher::new(MatchOp::Regex, "job", "a|b").unwrap()],
        max_resolution: 300_000,
        aggregates: vec![Aggregate::Counter, Aggregate::Raw],
        partial_response: PartialResponse::Abort,
        skip_chunks: true,
        without_replica_labels: vec!["replica".into()],
        shard: Some(Shard {
            index: 2,
            total: 3,
            by: true,
            labels: vec!["job".into()],
        }),
        limit: 7,
        hints: QueryHints {
            step_ms: 15_000,
            range_ms: 60_000,
            func: "rate".into(),
            grouping: vec!["job".into()],
            by: true,
        },
        tenant: "one".into(),
        may_block: false,
        without_hashes: false,
        fan_out: None,
        stop: model::Stop::never(),
    };
    for request in [full, SeriesRequest::default()] {
        let sent = request::series_to_wire(&request, 64).encode_to_vec();
        let received = wire::SeriesRequest::decode(sent.as_slice()).unwrap();
        let (decoded, batch) = request::series_from_wire(received, request.tenant.clone()).unwrap();
        assert_eq!(format!("{decoded:?}"), format!("{request:?}"));
        assert_eq!(batch, 64);
    }
}

#[test]
fn ranges_are_closed_on_the_wire() {
    let check = |range, expected| {
        let request = SeriesRequest {
            range,
            ..SeriesRequest::default()
        };
        let sent = request::series_to_wire(&request, 0);
        assert_eq!((sent.min_time, sent.max_time), expected);
    };
    check(TimeRange::new(10, 20), (10, 19));
    check(TimeRange::closed(10, 20), (10, 20));
    check(TimeRange::ALL, (i64::MIN, i64::MAX));
    check(TimeRange::new(i64::MIN, i64::MIN), (i64::MIN, i64::MIN));
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let shard = |shard_index, total_shards| {
        let request = wire::SeriesRequest {
            shard_info: Some(wire::ShardInfo {
                shard_index,
                total_shards,
                ..wire::ShardInfo::default()
            }),
            ..wire::SeriesRequest::default()
        };
        request::series_from_wire(request, String::new()).map(|(request, _)| request.shard)
    };
    assert_eq!(shard(5, 0), Ok(None));
    assert_eq!(shard(0, -1), Ok(None));
    assert!(shard(0, 1).unwrap().is_some());
    assert_eq!(shard(2, 2).unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(shard(-1, 2).unwrap_err().kind, ErrorKind::Invalid);

    let unnamed = wire::LabelValuesRequest::default();
    let error = request::values_from_wire(unnamed, String::new()).unwrap_err();
    assert!(error.message.contains("label name"), "{error}");

    let broken = wire::LabelNamesRequest {
        matchers: vec![wire::LabelMatcher {
            r#type: 2,
            name: "a".into(),
            value: "(".into(),
        }],
        ..wire::LabelNamesRequest::default()
    };
    let error = request::names_from_wire(broken, String::new()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[test]
fn requests_for_labels_cross_the_wire() {
    let asked = LabelsRequest {
        range: TimeRange::new(1, 9),
        matchers: vec![Matcher::equal("job", "api")],
        partial_response: PartialResponse::Abort,
        without_replica_labels: vec!["replica".into()],
        limit: 3,
        tenant: "one".into(),
        may_block: false,
    };
    let shown = format!("{asked:?}");
    let names = request::names_to_wire(&asked);
    let names = request::names_from_wire(names, "one".into()).unwrap();
    assert_eq!(format!("{names:?}"), shown);
    let values = request::values_to_wire("job".into(), &asked);
    let (name, values) = request::values_from_wire(values, "one".into()).unwrap();
    assert_eq!((name.as_str(), format!("{values:?}")), ("job", shown));
}

#[test]
fn info_crosses_the_wire() {
    let labels = Labels::from_pairs([("cluster", "eu"), ("replica", "a")]);
    let full = EndpointInfo {
        component: "sidecar".into(),
        store: Some(Info {
            label_sets: vec![labels.clone()],
            min_time: 5,
            max_time: i64::MAX,
            parts: vec![InfoPart {
                labels,
                min_time: 5,
                max_time: i64::MAX,
            }],
            supports_without_replica_labels: true,
            supports_sharding: true,
        }),
        catalog: Services {
            rules: true,
            targets: true,
            metadata: true,
            exemplars: Some((1, 2)),
            statistics: true,
        },
        query: true,
    };
    for info in [full, EndpointInfo::default()] {
        let sent = info::to_wire(&info).encode_to_vec();
        let received = wire::info::InfoResponse::decode(sent.as_slice()).unwrap();
        assert_eq!(info::from_wire(received).unwrap(), info);
    }
}

/// As Thanos' sidecar and receiver say it.
#[test]
fn exemplars_of_no_stated_time_are_of_any() {
    let said = wire::info::InfoResponse {
        exemplars: Some(wire::info::ExemplarsInfo::default()),
        ..wire::info::InfoResponse::default()
    };
    let read = info::from_wire(said).unwrap();
    assert_eq!(read.catalog.exemplars, Some((i64::MIN, i64::MAX)));
}
