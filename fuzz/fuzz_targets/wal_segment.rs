//! Segments of a log: records come out, then perhaps an error, then nothing; a segment cut at its
//! sound end has no error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::wal::SegmentReader;

/// Number of records, offset after the last, and whether an error ended them.
fn read(segment: &[u8]) -> (usize, u64, bool) {
    let mut reader = SegmentReader::new(segment);
    let mut count = 0;
    loop {
        match reader.next_record() {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, reader.sound_end(), false),
            Err(_) => {
                assert!(matches!(reader.next_record(), Ok(None)));
                return (count, reader.sound_end(), true);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let (count, sound_end, _) = read(data);
    let sound_end = usize::try_from(sound_end).expect("an offset in a slice");
    let (again, _, failed) = read(&data[..sound_end]);
    assert!(count == again && !failed);
});
