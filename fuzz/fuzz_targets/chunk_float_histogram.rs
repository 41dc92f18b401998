//! Float histogram chunks: whatever decodes can be encoded, and decodes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::FloatHistogram;
use tsdb::Chunk;
use tsdb::chunk::histogram::{FloatEncoder, FloatSamples};

fn check(chunk: &Chunk) {
    let mut samples = FloatSamples::new(&chunk.data).expect("the header was just written");
    let mut histogram = FloatHistogram::default();
    let mut read = 0;
    while let Some(time) = samples.next_into(&mut histogram) {
        time.expect("the sample was just written");
        read += 1;
    }
    assert_eq!(chunk.sample_count(), Ok(read));
}

fuzz_target!(|data: &[u8]| {
    let Ok(mut samples) = FloatSamples::new(data) else {
        return;
    };
    let mut encoder = FloatEncoder::new();
    let mut histogram = FloatHistogram::default();
    while let Some(Ok(t)) = samples.next_into(&mut histogram) {
        if let Some(chunk) = encoder.append(t, &histogram).expect("what was read is sound") {
            check(&chunk);
        }
    }
    check(&encoder.chunk());
});
