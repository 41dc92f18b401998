//! Integer histogram chunks: whatever decodes can be encoded, and decodes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Histogram;
use tsdb::Chunk;
use tsdb::chunk::histogram::{Encoder, Samples};

fn check(chunk: &Chunk) {
    let mut samples = Samples::new(&chunk.data).expect("the header was just written");
    let mut histogram = Histogram::default();
    let mut read = 0;
    while let Some(time) = samples.next_into(&mut histogram) {
        time.expect("the sample was just written");
        read += 1;
    }
    assert_eq!(chunk.sample_count(), Ok(read));
}

fuzz_target!(|data: &[u8]| {
    let Ok(mut samples) = Samples::new(data) else {
        return;
    };
    let mut encoder = Encoder::new();
    let mut histogram = Histogram::default();
    while let Some(Ok(t)) = samples.next_into(&mut histogram) {
        if let Some(chunk) = encoder.append(t, &histogram).expect("what was read is sound") {
            check(&chunk);
        }
    }
    check(&encoder.chunk());
});
