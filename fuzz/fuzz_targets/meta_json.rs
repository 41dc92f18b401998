//! A `meta.json` of any bytes parses or fails, and what parses is the same after a round trip.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tsdb::block::Meta;

fuzz_target!(|data: &[u8]| {
    let path = Path::new("meta.json");
    if let Ok(meta) = Meta::parse(data, path) {
        let again = Meta::parse(&meta.to_bytes(), path).expect("what was written parses");
        assert_eq!(again.to_bytes(), meta.to_bytes());
    }
});
