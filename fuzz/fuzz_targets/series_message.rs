//! Messages of the StoreAPI: what prost reads as one with text for labels, the decoder reads too, and
//! what it read comes back the same from what is written of it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use proto::thanos::{SeriesResponse, series_response::Result as Answer};
use storeapi::wire::decode::Decoder;
use storeapi::wire::encode::ChunkRef;
use storeapi::wire::message::MessageWriter;
use storeapi::{Frame, Series};

/// Bytes that gRPC has before a message.
const PREFIX_BYTES: usize = 5;

fuzz_target!(|data: &[u8]| {
    let message = Bytes::copy_from_slice(data);
    let mut decoder = Decoder::default();
    let ours = decoder.decode(&message);
    let Ok(Some(Frame::Series(series))) = ours else {
        return;
    };
    if let Ok(SeriesResponse { result: Some(Answer::Series(theirs)) }) = SeriesResponse::decode(data)
        && series.len() == 1
    {
        // An absent label is the same as one with an empty value, and of several the last counts.
        assert!(series[0].labels.len() <= theirs.labels.len());
        assert!(series[0].chunks.len() <= theirs.chunks.len());
    }
    let mut writer = MessageWriter::new(usize::MAX);
    let mut written = Vec::new();
    for series in &series {
        let chunks: Vec<_> = series.chunks.iter().map(ChunkRef::from).collect();
        let pushed = writer.push_split(&series.labels, &chunks, &mut written);
        pushed.expect("what was read can be written");
    }
    written.extend(writer.take());
    let mut again: Vec<Series> = Vec::new();
    for message in written {
        let message = message.bytes.slice(PREFIX_BYTES..);
        let read = decoder.decode(&message).expect("what was written can be read");
        let Some(Frame::Series(more)) = read else {
            panic!("no series: {read:?}");
        };
        again.extend(more);
    }
    // One that is too long for a message comes in parts.
    let chunks = |all: &[Series]| all.iter().flat_map(|s| s.chunks.clone()).collect::<Vec<_>>();
    assert_eq!(chunks(&again), chunks(&series));
    again.dedup_by(|a, b| a.labels == b.labels);
    let mut labels: Vec<_> = series.iter().map(|s| &s.labels).collect();
    labels.dedup();
    assert_eq!(again.iter().map(|s| &s.labels).collect::<Vec<_>>(), labels);
});
