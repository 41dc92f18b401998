use std::fs;

use proptest::prelude::*;

use super::*;

fn chunk(series: u64, data: &[u8], out_of_order: bool) -> NewHeadChunk<'_> {
    NewHeadChunk {
        series,
        min_time: -5,
        max_time: 10,
        encoding: Encoding::Histogram,
        out_of_order,
        data,
    }
}

/// The bytes of one file with the given payloads, and the references of the chunks.
fn write(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = HeadChunkWriter::open(dir.path()).unwrap();
    let references = (1..)
        .zip(payloads)
        .map(|(i, data)| writer.write(&chunk(i, data, i % 2 == 0)).unwrap())
        .collect();
    writer.sync().unwrap();
    let bytes = fs::read(dir.path().join("000001")).unwrap_or_default();
    (bytes, references)
}

fn read(bytes: &[u8]) -> (Vec<HeadChunk>, Option<Corruption>) {
    let mut found = Vec::new();
    match HeadChunks::new(bytes) {
        Ok(chunks) => {
            for chunk in chunks {
                match chunk {
                    Ok(chunk) => found.push(chunk),
                    Err(e) => return (found, Some(e)),
                }
            }
            (found, None)
        }
        Err(e) => (found, Some(e)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn chunks_round_trip(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
        reserved in 0usize..100,
    ) {
        let (mut bytes, references) = write(&payloads);
        bytes.extend(std::iter::repeat_n(0, reserved));
        let (found, error) = read(&bytes);
        prop_assert_eq!(error, None);
        prop_assert_eq!(found.len(), payloads.len());
        for (i, chunk) in found.iter().enumerate() {
            prop_assert_eq!(chunk.series, i as u64 + 1);
            prop_assert_eq!((chunk.min_time, chunk.max_time), (-5, 10));
            prop_assert_eq!(chunk.encoding, Encoding::Histogram.as_byte());
            prop_assert_eq!(chunk.out_of_order, i % 2 == 1);
            prop_assert_eq!(&bytes[chunk.data.clone()], &payloads[i][..]);
            prop_assert_eq!(references[i], chunk_reference(1, chunk.offset));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        read(&bytes);
        let mut file = MAGIC.to_be_bytes().to_vec();
        file.extend([VERSION, 0, 0, 0]);
        file.extend(bytes);
        read(&file);
    }
}

#[test]
fn damage_keeps_the_chunks_before_it_and_says_where() {
    let payloads = vec![vec![1; 20], vec![2; 20], vec![3; 20]];
    let (bytes, _) = write(&payloads);
    let (sound, _) = read(&bytes);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let (found, error) = read(&flipped);
        assert!(sound.starts_with(&found), "byte {at}");
        // The padding of the file header carries nothing.
        assert_eq!(error.is_none(), (5..8).contains(&at), "byte {at}");
        if let Some(error) = error {
            assert!(error.offset <= at as u64 + 50, "byte {at}: {error}");
        }
        let (found, error) = read(&bytes[..at]);
        assert!(sound.starts_with(&found), "cut at {at}");
        // Zeroes at the end may as well be reserved room.
        let end = found
            .last()
            .map_or(if at < 8 { 0 } else { 8 }, |c| c.data.end + 4);
        let is_room = bytes[end..at].iter().all(|&b| b == 0);
        assert_eq!(error.is_none(), is_room, "cut at {at}");
    }
}

#[test]
fn a_writer_never_appends_to_a_file_that_was_there() {
    let dir = tempfile::tempdir().unwrap();
    for expected in 1..4 {
        let mut writer = HeadChunkWriter::open(dir.path()).unwrap();
        let reference = writer.write(&chunk(1, b"abc", false)).unwrap();
        assert_eq!(reference, chunk_reference(expected, 8));
    }
    assert_eq!(files(dir.path()).unwrap().len(), 3);
}
