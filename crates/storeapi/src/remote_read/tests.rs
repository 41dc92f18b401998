//! Both kinds of answer, from a store to a client.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use model::{Labels, MatchOp, Matcher, Sample, TimeRange, Value};
use runtime::http::{Abandonment, HeaderMap, Method, Request, Response, StatusCode};
use tsdb::chunk::{SeriesEncoder, TimedChunk};

use super::*;
use crate::store::{
    ChunkData, Frame, Info, LabelsRequest, QueryHints, Series, SeriesChunk, SeriesRequest, Store,
    Strings,
};

/// Hands out what it was made with, whatever is asked.
#[derive(Debug)]
struct Fixed(Vec<Result<Frame, StoreError>>);

impl Store for Fixed {
    fn info(&self) -> Info {
        Info::default()
    }

    fn series(&self, _: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        // One that panics when it is asked after its end, as streams may.
        let frames = self.0.clone().into_iter();
        stream::unfold(frames, async |mut frames| {
            frames.next().map(|frame| (frame, frames))
        })
        .boxed()
    }

    fn label_names(&self, _: LabelsRequest) -> BoxFuture<'static, Result<Strings, StoreError>> {
        async { Ok(Strings::default()) }.boxed()
    }

    fn label_values(
        &self,
        _: String,
        _: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        async { Ok(Strings::default()) }.boxed()
    }
}

fn chunks(times: impl IntoIterator<Item = i64>) -> Vec<SeriesChunk> {
    let mut encoder = SeriesEncoder::new();
    let mut chunks: Vec<TimedChunk> = Vec::new();
    for t in times {
        chunks.extend(encoder.push_float(t, t as f64).unwrap());
    }
    chunks.extend(encoder.finish());
    chunks.into_iter().map(SeriesChunk::from).collect()
}

fn series(name: &str, chunks: Vec<SeriesChunk>) -> Series {
    Series {
        labels: Labels::from_pairs([("__name__", name)]),
        chunks,
    }
}

fn ask(store: Fixed, limits: ReadLimits, response_type: ResponseType) -> Response {
    let question = ReadRequest {
        queries: vec![ReadQuery {
            range: TimeRange::closed(5, 300),
            matchers: vec![Matcher::new(MatchOp::Equal, "__name__", "a").unwrap()],
            hints: QueryHints::default(),
        }],
        response_type,
    };
    let body = question.encode().unwrap();
    assert_eq!(ReadRequest::decode(&body, 1 << 20).unwrap(), question);
    let request = Request {
        method: Method::POST,
        path: "/api/v1/read".to_owned(),
        query: String::new(),
        headers: HeaderMap::new(),
        body: body.into(),
        peer: None,
        waited: std::time::Duration::ZERO,
        abandonment: Abandonment::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    RemoteRead::new(Arc::new(store), limits).answer(&request, "")
}

/// A store whose series `a` comes in two parts that overlap, followed by `b`.
fn two_series() -> Fixed {
    Fixed(vec![
        Ok(Frame::Warning("something".to_owned())),
        Ok(Frame::Series(vec![series(
            "a",
            chunks((0..400).step_by(2)),
        )])),
        Ok(Frame::Series(vec![
            series("a", chunks((1..400).step_by(2))),
            series("b", chunks([7])),
            series("c", chunks([1000])),
        ])),
    ])
}

fn times(series: &Series) -> Vec<i64> {
    let mut times = Vec::new();
    for chunk in &series.chunks {
        let ChunkData::Raw(chunk) = &chunk.data else {
            panic!("samples are raw");
        };
        times.extend(chunk.samples().map(|sample| sample.unwrap().t));
    }
    times
}

#[test]
fn samples_are_cut_to_the_range() {
    let response = ask(two_series(), ReadLimits::default(), ResponseType::Samples);
    assert_eq!(response.status(), StatusCode::OK);
    let answer = decode::samples(&response.into_bytes().unwrap(), 1 << 20).unwrap();
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].len(), 2, "c has no sample in the range");
    assert_eq!(times(&answer[0][0]), (5..=300).collect::<Vec<_>>());
    assert_eq!(times(&answer[0][1]), [7]);
}

#[test]
fn chunks_come_in_frames_without_overlap() {
    let response = ask(
        two_series(),
        ReadLimits::default(),
        ResponseType::StreamedXorChunks,
    );
    let body = response.into_bytes().unwrap();
    // However the stream is cut, the same frames come out.
    for piece in [1, 7, body.len()] {
        let mut reader = FrameReader::new(2 << 20);
        let mut found = Vec::new();
        for bytes in body.chunks(piece) {
            reader.push(bytes);
            while let Some(message) = reader.next_message().unwrap() {
                let frame = decode::chunked_frame(message).unwrap();
                assert_eq!((frame.query, frame.series.len()), (0, 1));
                found.extend(frame.series);
            }
        }
        reader.finish().unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(times(&found[0]), (0..400).collect::<Vec<_>>());
        assert_eq!(times(&found[1]), [7]);
    }
}

#[test]
fn damage_of_a_frame_is_found() {
    let response = ask(
        two_series(),
        ReadLimits::default(),
        ResponseType::StreamedXorChunks,
    );
    let body = response.into_bytes().unwrap();
    let first_error = |body: &[u8], max: usize| {
        let mut reader = FrameReader::new(max);
        reader.push(body);
        loop {
            match reader.next_message() {
                Ok(Some(_)) => {}
                Ok(None) => return reader.finish().err(),
                Err(error) => return Some(error),
            }
        }
    };
    assert!(first_error(&body, 2 << 20).is_none());
    assert!(first_error(&body[..body.len() - 1], 2 << 20).is_some());
    assert!(first_error(&body, 10).is_some());
    assert!(first_error(&[0xff; 12], 2 << 20).is_some());
    let mut flipped = body.to_vec();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert!(first_error(&flipped, 2 << 20).is_some());
}

#[test]
fn a_large_series_takes_several_frames() {
    // Values that do not compress: 8 bytes a sample, so 2 MB in all.
    let mut encoder = SeriesEncoder::new();
    let mut all = Vec::new();
    let mut random = 1_u64;
    for t in 0..260_000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let value = Value::Float(f64::from_bits(random >> 2));
        all.extend(encoder.push(&Sample { t, value }).unwrap());
    }
    all.extend(encoder.finish());
    let all: Vec<_> = all.into_iter().map(SeriesChunk::from).collect();
    let count = all.len();
    let store = Fixed(vec![Ok(Frame::Series(vec![series("a", all)]))]);
    let response = ask(
        store,
        ReadLimits::default(),
        ResponseType::StreamedXorChunks,
    );
    let body = response.into_bytes().unwrap();
    let mut reader = FrameReader::new(2 << 20);
    reader.push(&body);
    let mut frames = Vec::new();
    while let Some(message) = reader.next_message().unwrap() {
        frames.push(
            decode::chunked_frame(message).unwrap().series[0]
                .chunks
                .len(),
        );
    }
    assert!(frames.len() >= 2, "{frames:?}");
    assert_eq!(frames.iter().sum::<usize>(), count);
}

#[test]
fn limits_and_failures_have_their_status() {
    let limits = ReadLimits {
        samples_max: 100,
        ..ReadLimits::default()
    };
    let refused = ask(two_series(), limits, ResponseType::Samples);
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let text = refused.into_bytes().unwrap();
    assert!(text.starts_with(b"exceeded sample limit (100)"), "{text:?}");

    let failing = || {
        Fixed(vec![Err(StoreError::new(
            ErrorKind::Unavailable,
            "it is down",
        ))])
    };
    for kind in [ResponseType::Samples, ResponseType::StreamedXorChunks] {
        let response = ask(failing(), ReadLimits::default(), kind);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    let busy = ReadLimits {
        concurrent_max: 0,
        queue_time_max: std::time::Duration::from_millis(1),
        ..ReadLimits::default()
    };
    let response = ask(two_series(), busy, ResponseType::Samples);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn a_client_that_takes_neither_is_told() {
    use prost::Message as _;
    let message = proto::prometheus::ReadRequest {
        queries: Vec::new(),
        accepted_response_types: vec![9],
    };
    let body = crate::snappy::compress(&message.encode_to_vec()).unwrap();
    let error = ReadRequest::decode(&body, 1 << 20).unwrap_err();
    assert!(matches!(error, ReadError::ResponseTypes(types) if types == [9]));
}
