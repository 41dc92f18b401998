use proptest::prelude::*;

use super::*;
use crate::wal::SegmentReader;
use crate::wal::segment::SegmentError;
use crate::wal::testing::MemoryStore;

const OPTIONS: WriterOptions = WriterOptions {
    segment_size: 2 * PAGE_SIZE,
    compression: Compression::None,
};

fn count(segment: &[u8]) -> usize {
    let mut reader = SegmentReader::new(segment);
    std::iter::from_fn(|| reader.next_record().unwrap().map(drop)).count()
}

#[test]
fn what_was_synced_survives_a_power_cut() {
    let store = MemoryStore::default();
    let mut writer = Writer::create(store.clone(), 0, OPTIONS).unwrap();
    writer.log(&[b"one", b"two"]).unwrap();
    writer.sync().unwrap();
    writer.log(&[b"three"]).unwrap();
    assert_eq!(count(&store.after_power_cut()[0]), 2);
    assert_eq!(count(&store.segments()[0]), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_was_synced_is_read_after_a_power_cut_at_any_byte(
        batches in prop::collection::vec(
            (prop::collection::vec(0usize..20_000, 0..4), any::<bool>()),
            1..12,
        ),
        cut in 0.0..1.0f64,
    ) {
        let store = MemoryStore::default();
        let mut writer = Writer::create(store.clone(), 0, OPTIONS).unwrap();
        let (mut logged, mut synced) = (Vec::new(), 0);
        for (sizes, sync) in batches {
            let batch: Vec<_> = sizes.iter().map(|&size| vec![logged.len() as u8; size]).collect();
            writer.log(&batch).unwrap();
            logged.extend(batch);
            if sync {
                writer.end_block().unwrap();
                writer.sync().unwrap();
                synced = logged.len();
            }
        }
        // Of what was not synced, any prefix may have reached the disk.
        let mut segments = store.segments();
        let durable = store.after_power_cut();
        let (last, durable) = (segments.last_mut().unwrap(), durable.last().unwrap().len());
        last.truncate(durable + ((last.len() - durable) as f64 * cut) as usize);
        let mut found = Vec::new();
        for (i, segment) in segments.iter().enumerate() {
            let mut reader = SegmentReader::new(&segment[..]);
            loop {
                match reader.next_record() {
                    Ok(Some(record)) if record.first() == Some(&FILLER[0]) => {}
                    Ok(Some(record)) => found.push(record.to_vec()),
                    Ok(None) => break,
                    Err(SegmentError::Damaged { torn, .. }) => {
                        prop_assert!(torn && i + 1 == segments.len());
                        break;
                    }
                    Err(SegmentError::Io(e)) => panic!("slices cannot fail: {e}"),
                }
            }
        }
        prop_assert!(found.len() >= synced);
        prop_assert!(logged.starts_with(&found));
    }
}

#[test]
fn there_is_room_up_to_the_last_byte() {
    let writer = || Writer::create(MemoryStore::default(), 0, OPTIONS).unwrap();
    let room = 2 * (PAGE_SIZE - HEADER_SIZE);
    // A record alone may fill both pages; has_room leaves it the header of one that follows.
    assert!(writer().has_room(&[vec![1; room - HEADER_SIZE]]));
    assert!(!writer().has_room(&[vec![1; room + 1]]));
    let mut full = writer();
    full.log(&[vec![1; room]]).unwrap();
    assert!(full.has_room::<Vec<u8>>(&[]));
    assert!(!full.has_room(&[b""]));
}

proptest! {
    #[test]
    fn records_that_have_room_go_into_their_segment(
        batches in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![3 => 0usize..30, 1 => 0usize..20_000, 1 => 32_740usize..32_780],
                0..12,
            ),
            1..12,
        ),
    ) {
        let options = WriterOptions { segment_size: 3 * PAGE_SIZE, ..OPTIONS };
        let mut writer = Writer::create(MemoryStore::default(), 0, options).unwrap();
        for sizes in batches {
            let batch: Vec<_> = sizes.iter().map(|&size| vec![1; size]).collect();
            let (segment, has_room) = (writer.segment(), writer.has_room(&batch));
            writer.log(&batch).unwrap();
            prop_assert!(!has_room || writer.segment() == segment);
        }
    }
}

#[test]
fn a_segment_is_durable_before_the_next_one_begins() {
    let store = MemoryStore::default();
    let mut writer = Writer::create(store.clone(), 0, OPTIONS).unwrap();
    writer.log(&[vec![1; 40_000]]).unwrap();
    writer.log(&[vec![2; 40_000]]).unwrap();
    assert_eq!(writer.segment(), 1);
    let left = store.after_power_cut();
    assert_eq!(left[0].len(), 2 * PAGE_SIZE, "the last page is padded");
    assert_eq!(count(&left[0]), 1);
    assert!(left[1].is_empty());
}

#[test]
fn pages_are_written_once_and_filled_up_to_the_last_header() {
    let store = MemoryStore::default();
    let mut writer = Writer::create(store.clone(), 0, OPTIONS).unwrap();
    // Leaves six bytes in the page, too few for a header.
    let first = vec![7; PAGE_SIZE - 2 * HEADER_SIZE + 1];
    writer.log(&[&first[..], b"second"]).unwrap();
    let bytes = &store.segments()[0];
    assert_eq!(bytes.len(), PAGE_SIZE + HEADER_SIZE + 6);
    assert_eq!(bytes[PAGE_SIZE - 6..PAGE_SIZE], [0; 6]);
    assert_eq!(count(bytes), 2);
}

#[test]
fn a_block_of_which_little_is_left_is_filled() {
    let store = MemoryStore::default();
    let mut writer = Writer::create(store.clone(), 0, OPTIONS).unwrap();
    let mut expected = 0;
    let mut log = |bytes: usize, filled_to: Option<usize>| {
        writer.log(&[vec![1; bytes - HEADER_SIZE]]).unwrap();
        writer.end_block().unwrap();
        expected = filled_to.unwrap_or(expected + bytes);
        assert_eq!(store.segments()[0].len(), expected);
        // What is filled or not will not be filled again.
        writer.end_block().unwrap();
        assert_eq!(store.segments()[0].len(), expected);
    };
    log(BLOCK_SIZE / 2 - 1, None);
    log(1 + HEADER_SIZE, Some(BLOCK_SIZE));
    log(BLOCK_SIZE - HEADER_SIZE, None);
    log(HEADER_SIZE, None);
    log(BLOCK_SIZE - HEADER_SIZE - 1, Some(3 * BLOCK_SIZE));
    // The rest of the page, and the first of the next.
    log(PAGE_SIZE - 3 * BLOCK_SIZE - 100, Some(PAGE_SIZE));
    log(BLOCK_SIZE, None);
    assert_eq!(count(&store.segments()[0]), 7 + 3);
}

#[test]
fn a_record_larger_than_a_segment_is_refused_and_so_is_all_after_a_failure() {
    let store = MemoryStore::default();
    let mut writer = Writer::create(store.clone(), 0, OPTIONS).unwrap();
    assert!(writer.log(&[vec![1; 3 * PAGE_SIZE]]).is_err());

    let store = MemoryStore::default();
    let mut writer = Writer::create(store.clone(), 0, OPTIONS).unwrap();
    store.fail_writes(true);
    assert!(writer.log(&[b"one"]).is_err());
    store.fail_writes(false);
    let error = writer.log(&[b"two"]).unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::Unavailable);
    assert!(writer.sync().is_err());
}

#[test]
fn after_a_full_disk_it_goes_on_behind_the_last_whole_record() {
    let records: Vec<Vec<u8>> = (1..6).map(|n| vec![n; 9_000]).collect();
    for room in (0..40_000).step_by(307) {
        let store = MemoryStore::default();
        let mut writer = Writer::create(store.clone(), 0, OPTIONS).unwrap();
        writer.log(&[b"before"]).unwrap();
        store.limit(Some(room));
        assert!(writer.log(&records).is_err() && writer.is_full());
        assert!(writer.log(&[b"refused"]).is_err());
        let room_is_back = room % 2 == 0;
        store.limit(None);
        assert!(writer.recover().unwrap());
        assert_eq!((writer.segment(), writer.is_full()), (1, false));
        assert!(!writer.recover().unwrap());
        if !room_is_back {
            store.limit(Some(100));
            assert!(writer.log(&records).is_err());
            store.limit(None);
            assert!(writer.recover().unwrap());
        }
        writer.log(&records).unwrap();
        writer.sync().unwrap();
        // Nothing is torn in any segment, and what was logged once is there.
        let left = store.after_power_cut();
        let counts: Vec<usize> = left.iter().map(|bytes| count(bytes)).collect();
        assert_eq!(counts.first(), Some(&1), "room for {room}");
        assert_eq!(counts.last(), Some(&5), "room for {room}");
        assert!(left[0].len() < 100, "what was torn is cut off");
    }
}

#[test]
fn opening_begins_a_segment_after_the_last() {
    let dir = tempfile::tempdir().unwrap();
    for expected in 0..3 {
        let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
        assert_eq!(writer.segment(), expected);
        writer.log(&[b"x"]).unwrap();
    }
    std::fs::remove_file(dir.path().join("00000001")).unwrap();
    let error = Writer::open(dir.path(), OPTIONS).unwrap_err();
    assert!(error.to_string().contains("00000002"), "{error}");
}

#[test]
fn odd_segment_sizes_are_refused() {
    for segment_size in [0, PAGE_SIZE + 1] {
        let options = WriterOptions {
            segment_size,
            ..OPTIONS
        };
        assert!(Writer::create(MemoryStore::default(), 0, options).is_err());
    }
}
