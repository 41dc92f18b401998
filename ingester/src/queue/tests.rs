use proptest::prelude::*;
use tsdb::batch::Batch;

use super::record::{RecordReader, encode};
use super::*;

const OPTIONS: QueueOptions = QueueOptions {
    segment_bytes: 256,
    bytes_max: 1024,
    when_full: WhenFull::Refuse,
    free_bytes_min: 0,
    spares: 0,
};

fn payload(i: u32) -> Vec<u8> {
    vec![i as u8 + 1; 40]
}

fn append(queue: &Queue, i: u32) -> Position {
    let end = queue.append(i64::from(i), i, &payload(i)).unwrap();
    queue.sync(end).unwrap();
    end
}

/// What is left in the queue, by its samples.
fn left(queue: &Queue) -> Vec<u32> {
    let mut left = Vec::new();
    let mut at = queue.front();
    while let Some(entry) = queue.read(at).unwrap() {
        assert_eq!(entry.payload, payload(entry.samples));
        assert_eq!(entry.time_ms, i64::from(entry.samples));
        left.push(entry.samples);
        at = entry.end;
    }
    left
}

#[test]
fn records_are_read_in_order_and_once_consumed_never_again() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path(), OPTIONS).unwrap();
    assert!(queue.is_empty());
    let ends: Vec<_> = (0..10).map(|i| append(&queue, i)).collect();
    assert_eq!(left(&queue), (0..10).collect::<Vec<_>>());
    let stats = queue.stats();
    assert_eq!((stats.records, stats.samples), (10, 45));
    assert_eq!(stats.oldest_ms, Some(0));
    queue.consume(ends[3]);
    assert_eq!(queue.stats().oldest_ms, Some(4));
    drop(queue);

    let queue = Queue::open(dir.path(), OPTIONS).unwrap();
    assert_eq!(left(&queue), (4..10).collect::<Vec<_>>());
    append(&queue, 10);
    assert_eq!(left(&queue), (4..11).collect::<Vec<_>>());
    let before = segment::numbers(dir.path()).unwrap().len();
    queue.consume(Position {
        segment: u64::MAX,
        offset: 0,
    });
    assert!(queue.is_empty() && left(&queue).is_empty());
    assert!(segment::numbers(dir.path()).unwrap().len() < before);
    append(&queue, 11);
    assert_eq!(left(&queue), [11]);
}

#[test]
fn what_was_given_away_is_known_to_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path(), OPTIONS).unwrap();
    assert_eq!(queue.given(), Position::default());
    let ends: Vec<_> = (0..10).map(|i| append(&queue, i)).collect();
    queue.give(ends[4]);
    queue.give(ends[3]);
    queue.consume(ends[1]);
    drop(queue);
    let queue = Queue::open(dir.path(), OPTIONS).unwrap();
    assert_eq!((queue.front(), queue.given()), (ends[1], ends[4]));
}

#[test]
fn a_full_queue_refuses_or_drops_what_is_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path(), OPTIONS).unwrap();
    let taken = (0..100).take_while(|i| queue.append(0, *i, &payload(*i)).is_ok());
    let taken = taken.count() as u32;
    assert!((10..18).contains(&taken), "{taken}");
    let error = queue.append(0, 1, &payload(1)).unwrap_err();
    assert!(
        matches!(error, QueueError::Full { max: 1024, .. }),
        "{error}"
    );
    let first = queue.read(queue.front()).unwrap().unwrap();
    let mut at = first.end;
    while at.segment == first.end.segment {
        at = queue.read(at).unwrap().unwrap().end;
    }
    queue.consume(at);
    queue.append(0, 1, &payload(1)).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let options = QueueOptions {
        when_full: WhenFull::DropOldest,
        ..OPTIONS
    };
    let queue = Queue::open(dir.path(), options).unwrap();
    for i in 0..100 {
        append(&queue, i);
    }
    let left = left(&queue);
    assert_eq!(left.last(), Some(&99));
    assert!((8..18).contains(&left.len()), "{left:?}");
    let dropped: u64 = (0..u64::from(left[0])).sum();
    assert_eq!(queue.stats().dropped_samples, dropped);
    assert!(queue.stats().bytes <= 1024);
}

#[test]
fn a_reader_that_was_overtaken_goes_on_with_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let options = QueueOptions {
        when_full: WhenFull::DropOldest,
        ..OPTIONS
    };
    let queue = Queue::open(dir.path(), options).unwrap();
    append(&queue, 0);
    let first = queue.read(queue.front()).unwrap().unwrap();
    for i in 1..100 {
        append(&queue, i);
    }
    let next = queue.read(first.end).unwrap().unwrap();
    assert!(next.samples > 50);
    queue.consume(first.end);
    assert_eq!(queue.read(queue.front()).unwrap().unwrap(), next);
}

#[test]
fn spares_are_used_when_the_disk_is_too_full_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = QueueOptions {
        free_bytes_min: u64::MAX / 2,
        spares: 2,
        ..OPTIONS
    };
    let spares = || {
        let names = fs::read_dir(dir.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".spare")).count()
    };
    let queue = Queue::open(dir.path(), options).unwrap();
    assert_eq!(spares(), 2);
    let taken: Vec<_> = (0..100)
        .map_while(|i| queue.append(0, i, &payload(i)).ok())
        .collect();
    assert_eq!((taken.len(), spares()), (8, 0));
    drop(queue);
    let queue = Queue::open(dir.path(), options).unwrap();
    let mut read = 0;
    let mut at = queue.front();
    while let Some(entry) = queue.read(at).unwrap() {
        (read, at) = (read + 1, entry.end);
    }
    assert_eq!(read, 8);
    queue.consume(at);
    assert_eq!(spares(), 2);
}

/// A segment with three records, and where they end.
fn segment_bytes() -> (Vec<u8>, Vec<u64>) {
    let mut bytes = segment::header().to_vec();
    let mut ends = Vec::new();
    for i in 0..3 {
        let header = RecordHeader::new(i64::from(i), i, &payload(i)).unwrap();
        header.push(&mut bytes);
        bytes.extend_from_slice(&payload(i));
        ends.push(bytes.len() as u64);
    }
    (bytes, ends)
}

#[test]
fn a_segment_cut_anywhere_keeps_its_whole_records() {
    let (bytes, ends) = segment_bytes();
    for len in 0..=bytes.len() {
        for zeros in [0, 300] {
            let mut cut = bytes[..len].to_vec();
            cut.resize(len + zeros, 0);
            let scan = segment::scan_bytes(&*cut).unwrap();
            let whole = ends.iter().filter(|end| **end <= len as u64).count();
            assert_eq!(scan.records.len(), whole, "{len} {zeros}");
            // The header ends with zeros itself.
            let in_header = (1..5).contains(&len) && zeros > 0;
            assert_eq!(scan.is_damaged, in_header, "{len} {zeros}");
        }
    }
}

#[test]
fn a_flipped_byte_loses_no_record_before_it_and_invents_none() {
    let (bytes, ends) = segment_bytes();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x40;
        let scan = segment::scan_bytes(&*flipped).unwrap();
        let sound = ends.iter().filter(|end| **end <= at as u64).count();
        assert_eq!(scan.records.len(), sound, "{at}");
    }
}

#[test]
fn damage_in_the_middle_is_set_aside_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path(), OPTIONS).unwrap();
    for i in 0..10 {
        append(&queue, i);
    }
    drop(queue);
    let first = segment::path(dir.path(), 1);
    let mut bytes = fs::read(&first).unwrap();
    bytes[100] ^= 1;
    fs::write(&first, bytes).unwrap();
    let queue = Queue::open(dir.path(), OPTIONS).unwrap();
    assert_eq!(queue.stats().damaged_segments, 1);
    assert_eq!(left(&queue), [0, 4, 5, 6, 7, 8, 9]);
    queue.consume(Position {
        segment: 2,
        offset: 0,
    });
    assert!(first.with_extension("damaged").exists());
}

proptest! {
    #[test]
    fn any_bytes_are_a_segment_or_damage(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut with_header = segment::header().to_vec();
        with_header.extend_from_slice(&bytes);
        for bytes in [&bytes, &with_header] {
            let scan = segment::scan_bytes(&**bytes).unwrap();
            prop_assert!(scan.end <= bytes.len().max(8) as u64);
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = RecordReader::default().read(&bytes);
    }
}

#[test]
fn batches_come_back_from_records() {
    let mut batch = Batch::new();
    batch.series([("__name__", "up"), ("job", "a")]);
    batch.float(5, 1.5);
    let records: Vec<_> = encode("acme", &batch).collect();
    let [(1, record)] = &records[..] else {
        panic!()
    };
    let mut reader = RecordReader::default();
    let (tenant, read) = reader.read(record).unwrap();
    assert_eq!((tenant, read.len()), ("acme", 1));
    assert_eq!(read.get(0).labels, batch.get(0).labels);
    assert_eq!(read.get(0).floats, batch.get(0).floats);
    for cut in 0..record.len() {
        assert!(reader.read(&record[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn a_large_batch_is_several_records() {
    let mut batch = Batch::new();
    for i in 0..20_000 {
        batch.series([("__name__", "up"), ("i", &*i.to_string())]);
        batch.float(i, 1.5);
    }
    let mut reader = RecordReader::default();
    let mut next = 0;
    for (samples, record) in encode("", &batch) {
        let (_, piece) = reader.read(&record).unwrap();
        assert_eq!(piece.len(), samples as usize);
        for series in piece.iter() {
            assert_eq!(series.floats[0].t, next);
            next += 1;
        }
    }
    assert_eq!(next, 20_000);
}
