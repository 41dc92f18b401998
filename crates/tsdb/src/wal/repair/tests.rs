use super::*;
use crate::wal::record::{RefSample, encode_samples};
use crate::wal::{Compression, Writer, WriterOptions};

const OPTIONS: WriterOptions = WriterOptions {
    segment_size: PAGE_SIZE,
    compression: Compression::None,
};

fn record(i: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let sample = RefSample {
        series: 1,
        t: i,
        value: 1.0,
    };
    encode_samples(&[sample], &mut out);
    out
}

/// Three segments of three records each.
fn log() -> (tempfile::TempDir, LogDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    for segment in 0..3 {
        if segment > 0 {
            writer.next_segment().unwrap();
        }
        let records: Vec<_> = (0..3).map(|i| record(10 * segment + i)).collect();
        writer.log(&records).unwrap();
    }
    let log = LogDir::new(dir.path());
    (dir, log)
}

fn times(log: &LogDir) -> Vec<i64> {
    let mut samples = Vec::new();
    for segment in log.segments().unwrap() {
        segment
            .for_each_record(|r| {
                record::decode_samples(r, &mut samples).unwrap();
                Ok(())
            })
            .unwrap();
    }
    samples.into_iter().map(|s| s.t).collect()
}

fn flip(path: &Path, at: usize) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_sound_log_is_left_alone() {
    let (_dir, log) = log();
    assert!(matches!(repair(&log).unwrap(), Outcome::Sound));
    assert_eq!(times(&log), [0, 1, 2, 10, 11, 12, 20, 21, 22]);
}

#[test]
fn damage_and_what_follows_is_set_aside_whole() {
    let (dir, log) = log();
    let path = dir.path().join("00000001");
    // In the data of the second record, which begins at 34.
    let damaged = flip(&path, 50);
    let Outcome::SetAside { damage, moved } = repair(&log).unwrap() else {
        panic!("damage must be found");
    };
    let text = damage.to_string();
    assert!(
        text.contains("00000001") && text.contains("offset 37"),
        "{text}"
    );
    assert_eq!(times(&log), [0, 1, 2, 10]);
    assert_eq!(
        fs::read(&path).unwrap().len(),
        PAGE_SIZE,
        "the page is padded"
    );
    let quarantine = dir.path().join(QUARANTINE);
    assert_eq!(
        moved,
        [
            (path.clone(), quarantine.join("00000001.corrupt")),
            (
                dir.path().join("00000002"),
                quarantine.join("00000002.corrupt")
            ),
        ]
    );
    assert_eq!(fs::read(&moved[0].1).unwrap(), damaged);
    assert!(matches!(repair(&log).unwrap(), Outcome::Sound));

    // Damage in the same segment again finds another name.
    flip(&path, 20);
    let Outcome::SetAside { moved, .. } = repair(&log).unwrap() else {
        panic!("damage must be found");
    };
    assert_eq!(moved[0].1, quarantine.join("00000001.corrupt.1"));
    assert_eq!(times(&log), [0, 1, 2]);
}

#[test]
fn a_torn_record_at_the_end_is_cut_away() {
    let (dir, log) = log();
    let path = dir.path().join("00000002");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let outcome = repair(&log).unwrap();
    let Outcome::CutTornRecord { size_after, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(size_after, 68);
    assert_eq!(times(&log), [0, 1, 2, 10, 11, 12, 20, 21]);
    assert!(!dir.path().join(QUARANTINE).exists());
}

#[test]
fn a_torn_record_before_the_last_segment_is_damage() {
    let (dir, log) = log();
    let path = dir.path().join("00000001");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..50]).unwrap();
    assert!(matches!(repair(&log).unwrap(), Outcome::SetAside { .. }));
    assert_eq!(times(&log), [0, 1, 2, 10]);
}

#[test]
fn a_record_that_does_not_decode_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    let mut short = record(2);
    short.pop();
    writer.log(&[record(1), short, record(3)]).unwrap();
    let log = LogDir::new(dir.path());
    let Outcome::SetAside { damage, .. } = repair(&log).unwrap() else {
        panic!("damage must be found");
    };
    assert!(damage.to_string().contains("a float value"), "{damage}");
    assert_eq!(times(&log), [1]);
}

#[test]
fn head_chunk_files_are_set_aside_whole() {
    use crate::chunk::Encoding;
    use crate::wal::head_chunks::{HeadChunkWriter, NewHeadChunk, files};

    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut writer = HeadChunkWriter::open(dir.path()).unwrap();
        let chunk = NewHeadChunk {
            series: 1,
            min_time: 1,
            max_time: 2,
            encoding: Encoding::Xor,
            out_of_order: false,
            data: b"abc",
        };
        writer.write(&chunk).unwrap();
    }
    assert!(matches!(
        repair_head_chunks(dir.path()).unwrap(),
        Outcome::Sound
    ));
    let bytes = flip(&dir.path().join("000002"), 20);
    let Outcome::SetAside { damage, moved } = repair_head_chunks(dir.path()).unwrap() else {
        panic!("damage must be found");
    };
    assert!(damage.to_string().contains("000002"), "{damage}");
    assert_eq!(moved.len(), 2);
    assert_eq!(fs::read(&moved[0].1).unwrap(), bytes);
    assert_eq!(files(dir.path()).unwrap().len(), 1);
    assert!(matches!(
        repair_head_chunks(dir.path()).unwrap(),
        Outcome::Sound
    ));
}

#[test]
fn a_log_that_needs_repair_is_not_appended_to() {
    let (dir, log) = log();
    let path = dir.path().join("00000002");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let error = Writer::open(dir.path(), OPTIONS).unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::Corrupt);
    repair(&log).unwrap();
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    writer.log(&[record(30)]).unwrap();
    assert_eq!(times(&log), [0, 1, 2, 10, 11, 12, 20, 21, 30]);
}
