//! Head chunk files: chunks lie inside of the file, in order, and their payloads decode or say why.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::wal::head_chunks::HeadChunks;

fuzz_target!(|data: &[u8]| {
    let Ok(chunks) = HeadChunks::new(data) else {
        return;
    };
    let mut end = 0;
    for chunk in chunks {
        let Ok(chunk) = chunk else {
            return;
        };
        assert!(end <= chunk.offset as usize && chunk.min_time <= chunk.max_time);
        end = chunk.data.end;
        assert!(end <= data.len());
    }
});
