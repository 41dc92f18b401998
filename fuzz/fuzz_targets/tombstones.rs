//! Tombstones of any bytes decode or fail, and what decodes is the same after a round trip. Half of
//! the inputs get a right header and checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::block::Tombstones;
use tsdb::cursor::crc32c;

fuzz_target!(|data: &[u8]| {
    let _ = Tombstones::decode(data);
    let mut file = vec![0x01, 0x30, 0xba, 0x30, 1];
    file.extend(data);
    file.extend(crc32c(data).to_be_bytes());
    if let Ok(tombstones) = Tombstones::decode(&file) {
        let again = Tombstones::decode(&tombstones.encode()).expect("what was encoded decodes");
        assert_eq!(again, tombstones);
    }
});
