//! A chunk segment of any bytes is walked and its chunks decoded, or fails. Half of the inputs are
//! one chunk with a right length and checksum.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tsdb::block::{ChunkReader, SegmentWalk};
use tsdb::cursor::{crc32c, put_uvarint};
use tsdb::source::Memory;

const HEADER: [u8; 8] = [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let mut bytes = HEADER.to_vec();
    if first % 2 == 0 || rest.is_empty() {
        bytes.extend(rest);
    } else {
        put_uvarint(&mut bytes, rest.len() as u64 - 1);
        bytes.extend(rest);
        bytes.extend(crc32c(rest).to_be_bytes());
    }
    let segment = Memory::new("000001", bytes);
    let reader = ChunkReader::new(vec![Arc::new(segment.clone())]).expect("the header is sound");
    for chunk in SegmentWalk::new(&segment).expect("the header is sound") {
        let Ok((at, chunk)) = chunk else { return };
        assert_eq!(reader.chunk(at).expect("it was walked"), chunk);
        let _ = chunk.sample_count();
        chunk.samples().for_each(drop);
    }
});
