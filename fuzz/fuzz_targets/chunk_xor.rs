//! Float chunks: what decodes encodes to a chunk that decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::chunk::xor;

fn decode(data: &[u8]) -> Option<(Vec<i64>, Vec<u64>)> {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    let decoded = xor::decode_columns(data, &mut times, &mut values);
    assert_eq!(decoded.is_err(), xor::Encoder::resume(data).is_err());
    decoded.ok()?;
    Some((times, values.into_iter().map(f64::to_bits).collect()))
}

fuzz_target!(|data: &[u8]| {
    let Some((times, values)) = decode(data) else {
        return;
    };
    let mut encoder = xor::Encoder::new();
    for (&t, &v) in times.iter().zip(&values) {
        encoder.append(t, f64::from_bits(v));
    }
    assert_eq!(decode(&encoder.chunk().data), Some((times, values)));
});
