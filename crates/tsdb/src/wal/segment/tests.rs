use proptest::prelude::*;

use super::*;
use crate::wal::record::{RecordType, RefSample, encode_samples};
use crate::wal::testing::MemoryStore;
use crate::wal::{Writer, WriterOptions};

fn write(records: &[Vec<u8>], options: WriterOptions) -> Vec<Vec<u8>> {
    let store = MemoryStore::default();
    let mut writer = Writer::create(store.clone(), 0, options).unwrap();
    for batch in records.chunks(3) {
        writer.log(batch).unwrap();
    }
    store.segments()
}

/// All whole records, and the error that ended them.
fn read(segment: &[u8]) -> (Vec<Vec<u8>>, Option<(Corruption, bool)>) {
    let mut reader = SegmentReader::new(segment);
    let mut records = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => records.push(record.to_vec()),
            Ok(None) => return (records, None),
            Err(SegmentError::Damaged { corruption, torn }) => {
                assert!(
                    reader.next_record().unwrap().is_none(),
                    "an error is the end"
                );
                return (records, Some((corruption, torn)));
            }
            Err(SegmentError::Io(e)) => panic!("slices cannot fail: {e}"),
        }
    }
}

fn options(compression: Compression) -> WriterOptions {
    WriterOptions {
        segment_size: 4 * PAGE_SIZE,
        compression,
    }
}

fn any_compression() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::None),
        Just(Compression::Snappy),
        Just(Compression::Zstd)
    ]
}

/// Records of all sizes from none to more than a page, some of them compressible.
fn any_records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let record = (
        prop::collection::vec(any::<u8>(), 0..300),
        0usize..200,
        any::<bool>(),
    )
        .prop_map(|(bytes, repeat, long)| if long { bytes.repeat(repeat) } else { bytes });
    prop::collection::vec(record, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_round_trip(records in any_records(), compression in any_compression()) {
        let segments = write(&records, options(compression));
        let mut found = Vec::new();
        for segment in &segments {
            prop_assert!(segment.len() <= 4 * PAGE_SIZE);
            let (records, error) = read(segment);
            prop_assert_eq!(error, None);
            found.extend(records);
        }
        prop_assert_eq!(found, records);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }
}

fn small_records() -> Vec<Vec<u8>> {
    (0..12)
        .map(|i| {
            let samples: Vec<_> = (0..i)
                .map(|s| RefSample {
                    series: s,
                    t: i64::try_from(1000 * s).unwrap(),
                    value: f64::from(u32::try_from(i).unwrap()),
                })
                .collect();
            let mut record = Vec::new();
            encode_samples(&samples, &mut record);
            assert_eq!(RecordType::of(&record), Some(RecordType::Samples));
            record
        })
        .collect()
}

#[test]
fn a_cut_at_any_byte_keeps_every_record_before_it() {
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let records = small_records();
        let segment = write(&records, options(compression)).remove(0);
        let mut ends = Vec::new();
        let mut reader = SegmentReader::new(&segment[..]);
        while reader.next_record().unwrap().is_some() {
            ends.push(usize::try_from(reader.sound_end()).unwrap());
        }
        for cut in 0..=segment.len() {
            let (found, error) = read(&segment[..cut]);
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            assert_eq!(found, records[..whole], "cut at {cut}");
            let at_boundary = cut == 0 || ends.contains(&cut);
            assert_eq!(error.is_none(), at_boundary, "cut at {cut}: {error:?}");
            assert!(error.is_none_or(|(_, torn)| torn), "cut at {cut}");
        }
    }
}

#[test]
fn a_flipped_bit_keeps_every_record_before_it_and_invents_none() {
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let records = small_records();
        let mut segment = write(&records, options(compression)).remove(0);
        for at in 0..segment.len() {
            for bit in 0..8 {
                segment[at] ^= 1 << bit;
                let (found, error) = read(&segment);
                assert!(records.starts_with(&found), "byte {at}, bit {bit}");
                // The three reserved bits of a fragment's type carry nothing.
                if let Some((corruption, _)) = error {
                    assert!(
                        corruption.offset <= at as u64 + 7,
                        "byte {at}: {corruption}"
                    );
                } else {
                    assert_eq!(found, records, "byte {at}, bit {bit}");
                }
                segment[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn a_record_that_never_ends_is_torn_at_the_end_of_the_file() {
    let big: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let options = WriterOptions {
        segment_size: 32 * PAGE_SIZE,
        compression: Compression::None,
    };
    let segment = write(&[b"first".to_vec(), big], options).remove(0);
    let (found, error) = read(&segment[..2 * PAGE_SIZE]);
    assert_eq!(found, [b"first"]);
    let (corruption, torn) = error.unwrap();
    assert!(torn);
    assert_eq!(corruption.offset, 2 * PAGE_SIZE as u64);
}

#[test]
fn fragments_in_the_wrong_order_are_damage() {
    use crate::wal::fragment::{Part, encode};
    for (parts, at) in [
        (&[Part::Middle][..], 0),
        (&[Part::Full, Part::Last][..], 8),
        (&[Part::First, Part::Full][..], 8),
        (&[Part::First, Part::Middle, Part::First][..], 16),
    ] {
        let mut segment = Vec::new();
        for &part in parts {
            encode(&mut segment, part, Compression::None, b"x");
        }
        let (corruption, torn) = read(&segment).1.unwrap();
        assert_eq!(corruption.offset, at, "{parts:?}");
        assert!(!torn);
    }
}
