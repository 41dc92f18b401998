//! Messages of the StoreAPI: what prost reads as one with text for labels, the decoder reads too, and
//! what it read comes back the same from what is written of it.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use proto::thanos::{SeriesResponse, series_response::Result as Answer};
use storeapi::Frame;
use storeapi::wire::decode::Decoder;
use storeapi::wire::encode::{Encoder, Message};

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
    let mut written = BytesMut::new();
    let batch = Message::Batch(series.clone());
    Encoder::default().encode(&batch, &mut written).expect("what was read can be written");
    let again = decoder.decode(&written.freeze()).expect("what was written can be read");
    assert_eq!(again, Some(Frame::Series(series)));
});
