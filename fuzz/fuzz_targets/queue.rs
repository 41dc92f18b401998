//! Segments of queues on disk and the records in them: any bytes are read or refused.
#![no_main]

use ingester::queue::record::RecordReader;
use ingester::queue::segment::{header, read_record, scan_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut segment = header().to_vec();
    segment.extend_from_slice(data);
    for bytes in [data, &segment] {
        if let Ok(scan) = scan_bytes(bytes) {
            assert!(scan.end <= bytes.len().max(8) as u64);
        }
    }
    let _ = read_record(data, 0, data.len() as u64);
    let _ = RecordReader::default().read(data);
});
