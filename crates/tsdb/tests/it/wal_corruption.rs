//! Logs that Prometheus wrote, cut short: every whole record before the cut is read, and nothing
//! else.

use std::fs;
use std::path::Path;

use tsdb::wal::SegmentReader;
use tsdb::wal::record::Checker;
use tsdb::wal::segment::SegmentError;

use crate::conformance::tsdb_dir;

/// A hash and the end of a record.
type Record = (u64, u64);

/// The records of a segment, and where the error that ended it is and whether it says torn.
fn read(segment: &[u8]) -> (Vec<Record>, Option<(u64, bool)>) {
    let mut reader = SegmentReader::new(segment);
    let mut found = Vec::new();
    loop {
        let hash = match reader.next_record() {
            Ok(Some(record)) => hash(record),
            Ok(None) => return (found, None),
            Err(SegmentError::Damaged { corruption, torn }) => {
                return (found, Some((corruption.offset, torn)));
            }
            Err(SegmentError::Io(e)) => panic!("slices cannot fail: {e}"),
        };
        found.push((hash, reader.sound_end()));
    }
}

/// Cheap, for this is done for every cut: length, beginning and end.
fn hash(record: &[u8]) -> u64 {
    let edge = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0u64, |h, &b| h.rotate_left(8) ^ u64::from(b))
    };
    let end = &record[record.len().saturating_sub(16)..];
    (record.len() as u64) << 48 ^ edge(&record[..record.len().min(16)]) ^ edge(end).rotate_left(5)
}

/// Cuts at every byte of the first `dense` bytes, and every `step` bytes from there on.
fn check_cuts(path: &Path, dense: usize, step: usize) {
    let segment = fs::read(path).unwrap();
    let (whole, error) = read(&segment);
    assert_eq!(error, None, "{}", path.display());
    assert!(!whole.is_empty());
    let mut checker = Checker::default();
    let mut reader = SegmentReader::new(&segment[..]);
    while let Some(record) = reader.next_record().unwrap() {
        checker.check(record).unwrap();
    }
    let dense = dense.min(segment.len());
    for cut in (0..dense).chain((dense..segment.len()).step_by(step)) {
        let (found, error) = read(&segment[..cut]);
        let expected = whole.partition_point(|(_, end)| *end <= cut as u64);
        assert!(
            found == whole[..expected],
            "{} cut at {cut}",
            path.display()
        );
        if let Some((offset, torn)) = error {
            let sound_end = found.last().map_or(0, |(_, end)| *end);
            assert!(
                torn && (sound_end..=cut as u64).contains(&offset),
                "{cut}: {offset}"
            );
        } else {
            // Between two records, or within padding.
            let sound_end = usize::try_from(found.last().map_or(0, |(_, end)| *end)).unwrap();
            assert!(
                segment[sound_end..cut].iter().all(|&b| b == 0),
                "cut at {cut}"
            );
        }
    }
}

#[test]
fn a_cut_at_any_byte_keeps_every_record_before_it() {
    let Some(dir) = tsdb_dir() else { return };
    check_cuts(&dir.join("wal_none/wbl/00000000"), usize::MAX, 1);
    check_cuts(&dir.join("wal_none/wal/00000000"), usize::MAX, 1);
    // Records are decompressed whole, so that far fewer cuts take as long.
    for name in ["wal_snappy", "wal_zstd"] {
        check_cuts(&dir.join(name).join("wal/00000000"), 1000, 211);
        check_cuts(&dir.join(name).join("wbl/00000000"), 1000, 29);
    }
    check_cuts(
        &dir.join("compacted/wal/checkpoint.00000001/00000000"),
        1000,
        29,
    );
}
