use model::Labels;

use super::*;
use crate::wal::record::{RefExemplar, RefSample, RefSeries, RefTombstone};
use crate::wal::{Compression, PAGE_SIZE};

const OPTIONS: WriterOptions = WriterOptions {
    segment_size: PAGE_SIZE,
    compression: Compression::None,
};

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut record = Vec::new();
    encode(&mut record);
    record
}

fn sample(series: u64, t: i64) -> RefSample {
    RefSample {
        series,
        t,
        value: 1.0,
    }
}

fn metadata(series: u64, help: &str) -> RefMetadata {
    RefMetadata {
        series,
        metric_type: 1,
        unit: String::new(),
        help: help.to_owned(),
    }
}

/// Everything about two series, at the times 10 and 20.
fn records() -> Vec<Vec<u8>> {
    let labels = |i: u64| Labels::from_pairs([("__name__", format!("s{i}"))]);
    let series: Vec<_> = [1, 2]
        .map(|series| RefSeries {
            series,
            labels: labels(series),
        })
        .into();
    let stone = |series, min, max| RefTombstone { series, min, max };
    let exemplar = |series, t| RefExemplar {
        series,
        t,
        value: 2.0,
        labels: labels(9),
    };
    vec![
        encoded(|out| record::encode_series(&series, out)),
        encoded(|out| {
            let samples = [sample(1, 10), sample(2, 10), sample(1, 20), sample(2, 20)];
            record::encode_samples(&samples, out);
        }),
        encoded(|out| record::encode_tombstones(&[stone(1, 0, 14), stone(1, 0, 15)], out)),
        encoded(|out| record::encode_exemplars(&[exemplar(1, 10), exemplar(1, 20)], out)),
        encoded(|out| record::encode_metadata(&[metadata(1, "old"), metadata(2, "x")], out)),
        encoded(|out| record::encode_metadata(&[metadata(1, "new")], out)),
        vec![99, 1, 2, 3],
    ]
}

fn read(checkpoint: &Path) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for segment in LogDir::new(checkpoint).segments().unwrap() {
        segment
            .for_each_record(|r| {
                records.push(r.to_vec());
                Ok(())
            })
            .unwrap();
    }
    records
}

#[test]
fn keeps_what_is_still_needed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let log = LogDir::new(dir.path());
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    writer.log(&records()).unwrap();
    writer.next_segment().unwrap();
    // A left-over of an attempt that crashed.
    fs::create_dir(dir.path().join("checkpoint.00000000.tmp")).unwrap();

    let stats = write(&log, 0, |series| series == 1, 15, OPTIONS).unwrap();
    assert_eq!(stats, CheckpointStats { read: 13, kept: 6 });
    let found = read(&log.checkpoint_path(0));
    let mut series = Vec::new();
    record::decode_series(&found[0], &mut series).unwrap();
    assert_eq!(series.iter().map(|s| s.series).collect::<Vec<_>>(), [1]);
    let mut samples = Vec::new();
    record::decode_samples(&found[1], &mut samples).unwrap();
    assert_eq!(samples, [sample(1, 20), sample(2, 20)]);
    let mut stones = Vec::new();
    record::decode_tombstones(&found[2], &mut stones).unwrap();
    assert_eq!(stones.iter().map(|s| s.max).collect::<Vec<_>>(), [15]);
    let mut exemplars = Vec::new();
    record::decode_exemplars(&found[3], &mut exemplars).unwrap();
    assert_eq!(exemplars.iter().map(|e| e.t).collect::<Vec<_>>(), [20]);
    let mut kept = Vec::new();
    record::decode_metadata(&found[4], &mut kept).unwrap();
    assert_eq!(kept, [metadata(1, "new")]);
    assert_eq!(found.len(), 5, "unknown types are dropped");

    truncate(&log).unwrap();
    let left: Vec<_> = log.segments().unwrap().iter().map(|s| s.index).collect();
    assert_eq!(left, [1]);
}

#[test]
fn stands_on_the_checkpoint_before() {
    let dir = tempfile::tempdir().unwrap();
    let log = LogDir::new(dir.path());
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    writer.log(&records()).unwrap();
    writer.next_segment().unwrap();
    write(&log, 0, |_| true, 0, OPTIONS).unwrap();
    truncate(&log).unwrap();
    writer
        .log(&[encoded(|out| record::encode_samples(&[sample(2, 30)], out))])
        .unwrap();
    writer.next_segment().unwrap();
    write(&log, 1, |_| true, 20, OPTIONS).unwrap();
    truncate(&log).unwrap();

    let checkpoints = log.checkpoints().unwrap();
    assert_eq!(checkpoints.len(), 1);
    let mut samples = Vec::new();
    for found in read(&checkpoints[0].path) {
        if RecordType::of(&found) == Some(RecordType::Samples) {
            record::decode_samples(&found, &mut samples).unwrap();
        }
    }
    assert_eq!(samples, [sample(1, 20), sample(2, 20), sample(2, 30)]);
}

#[test]
fn damage_in_a_segment_leaves_the_log_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = LogDir::new(dir.path());
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    writer.log(&records()).unwrap();
    let path = dir.path().join("00000000");
    let mut bytes = fs::read(&path).unwrap();
    bytes[60] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = write(&log, 0, |_| true, 0, OPTIONS).unwrap_err();
    assert!(error.to_string().contains("00000000"), "{error}");
    assert_eq!(log.last_checkpoint().unwrap(), None);
}
