//! Remote read: questions, answers of samples, frames cut anywhere and the chunks in them never panic, nor take more
//! memory than their limit; a question that was read is written and read again as the same one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use storeapi::remote_read::decode::{chunked_frame, samples};
use storeapi::remote_read::{FrameReader, ReadRequest};
use storeapi::snappy;

const BYTES_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    // The bodies are compressed here, so that what lies behind the compression is reached.
    let body = snappy::compress(data).expect("it is short");
    if let Ok(request) = ReadRequest::decode(&body, BYTES_MAX) {
        let again = request.encode().expect("what was read can be written");
        let again = ReadRequest::decode(&again, BYTES_MAX).expect("what was written can be read");
        assert_eq!(format!("{request:?}"), format!("{again:?}"));
    }
    let _ = ReadRequest::decode(data, BYTES_MAX);
    let _ = samples(&body, BYTES_MAX);
    let _ = samples(data, BYTES_MAX);
    let _ = chunked_frame(data.to_vec().into());

    // However the stream is cut, the same frames come out of it.
    let whole = frames(&[data]);
    let at = usize::from(first).min(data.len());
    assert_eq!(frames(&[&data[..at], &data[at..]]), whole);
});

/// The messages that a stream in these parts has, and how it ends.
fn frames(parts: &[&[u8]]) -> (Vec<Vec<u8>>, Option<String>) {
    let mut reader = FrameReader::new(BYTES_MAX);
    let mut found = Vec::new();
    for part in parts {
        reader.push(part);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => {
                    let _ = chunked_frame(message.clone());
                    found.push(message.to_vec());
                }
                Ok(None) => break,
                Err(error) => return (found, Some(error.to_string())),
            }
        }
    }
    let end = reader.finish().err();
    (found, end.map(|error| error.to_string()))
}
