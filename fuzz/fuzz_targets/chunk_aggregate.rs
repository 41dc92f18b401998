//! Aggregate chunks: the inner chunks of one that splits make the same again, and decode or say why.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tsdb::chunk::{Aggregate, aggregate};

fuzz_target!(|data: &[u8]| {
    let data = Bytes::copy_from_slice(data);
    for (i, aggregate) in Aggregate::ALL.into_iter().enumerate() {
        let one = aggregate::get(&data, aggregate);
        if let Ok(chunks) = aggregate::decode(&data) {
            assert_eq!(one.as_ref(), Ok(&chunks[i]));
        }
        if let Ok(Some(chunk)) = one {
            for sample in chunk.samples().take(1000) {
                if sample.is_err() {
                    break;
                }
            }
        }
    }
    if let Ok(chunks) = aggregate::decode(&data) {
        let joined = aggregate::encode(&chunks);
        assert_eq!(aggregate::decode(&joined.data), Ok(chunks));
    }
});
