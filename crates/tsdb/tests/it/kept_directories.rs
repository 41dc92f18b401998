//! Data directories that earlier versions left behind, each as it is after a crash: blocks, head chunk
//! files, logs with what is in no chunk yet. They are kept for ever, and every version reads them.
//!
//! Before a format changes, the directory of the version before is added: set `KEEP_DATA_DIR` to a new
//! name and run this test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use model::{Histogram, Labels, TimeRange, Value};
use tsdb::batch::{Batch, TimedHistogram};
use tsdb::db::leftovers::QUARANTINE;
use tsdb::db::{Db, DbOptions};
use tsdb::head::{HeadOptions, SyncMode};
use tsdb::wal::{RecordType, Writer, WriterOptions};

use crate::db::copy;

const MINUTE: i64 = 60_000;
const START: i64 = 1_700_000_000_000;
const MINUTES: i64 = 360;
const SERIES: i64 = 4;

/// By series, the value at each time; the sum stands for a histogram.
type Samples = BTreeMap<String, BTreeMap<i64, f64>>;

fn directories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data-dirs")
}

fn options() -> DbOptions {
    DbOptions {
        head: HeadOptions {
            out_of_order_window: 30 * MINUTE,
            sync: SyncMode::None,
            ..HeadOptions::default()
        },
        free_bytes_min: 0,
        ..DbOptions::default()
    }
}

fn open(dir: &Path) -> Db {
    Db::open(dir, options(), &mut |_| {}).unwrap()
}

fn name(series: i64) -> String {
    format!("kept_{series}")
}

/// What is written in one minute, and so is in every directory: the name of the series, time, value.
/// The first series has samples out of order too, the last ones histograms.
fn minute(n: i64) -> Vec<(String, i64, f64)> {
    let t = START + n * MINUTE;
    let value = |series| (series * 1000 + n) as f64;
    let mut samples: Vec<_> = (0..SERIES).map(|i| (name(i), t, value(i))).collect();
    if n > 20 && n % 2 == 0 {
        samples.push((name(0), t - 20 * MINUTE + 500, -value(0)));
    }
    samples.push(("kept_histogram".to_owned(), t, n as f64));
    samples
}

fn written() -> Samples {
    let mut all = Samples::new();
    for (name, t, value) in (0..MINUTES).flat_map(minute) {
        all.entry(name).or_default().insert(t, value);
    }
    all
}

fn read(db: &Db) -> Samples {
    let mut all = Samples::new();
    for found in db.select(&[], TimeRange::ALL).unwrap() {
        let found = found.unwrap();
        let name = found.labels().get("__name__").unwrap().to_owned();
        let samples = all.entry(name).or_default();
        for sample in found
            .chunks()
            .unwrap()
            .iter()
            .flat_map(|c| c.chunk.samples())
        {
            let sample = sample.unwrap();
            let value = match sample.value {
                Value::Float(v) => v,
                Value::Histogram(h) => h.sum,
                Value::FloatHistogram(h) => h.sum,
            };
            assert!(samples.insert(sample.t, value).is_none_or(|v| v == value));
        }
    }
    all
}

/// Writes everything as this version does, and leaves it as after a crash.
fn make(dir: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let db = open(scratch.path());
    for n in 0..MINUTES {
        let mut batch = Batch::new();
        for (name, t, value) in minute(n) {
            let labels = Labels::from_pairs([("__name__", name.as_str()), ("job", "kept")]);
            batch.series(&labels);
            if name != "kept_histogram" {
                batch.float(t, value);
                continue;
            }
            let histogram = Histogram {
                zero_threshold: 0.001,
                zero_count: n.unsigned_abs(),
                count: n.unsigned_abs(),
                sum: value,
                ..Histogram::default()
            };
            batch.histogram(TimedHistogram::Integer(t, histogram));
        }
        let appended = db.append(&batch, START + n * MINUTE).unwrap();
        assert_eq!(appended.rejected, []);
        db.commit(appended.commit).unwrap();
        if n % 60 == 59 {
            db.compact(START + n * MINUTE).unwrap();
        }
    }
    copy(scratch.path(), dir);
    fs::remove_file(dir.join("lock")).unwrap();
}

#[test]
fn directories_of_all_versions_are_read() {
    if let Some(name) = std::env::var_os("KEEP_DATA_DIR") {
        make(&directories().join(name));
    }
    let kept: Vec<_> = fs::read_dir(directories()).unwrap().collect();
    assert!(!kept.is_empty());
    for entry in kept {
        let path = entry.unwrap().path();
        let what = path.display();
        let dir = tempfile::tempdir().unwrap();
        copy(&path, dir.path());
        for _ in 0..2 {
            let db = open(dir.path());
            let report = &db.report().head;
            assert!(report.repairs.is_empty(), "{what}: {report:?}");
            assert_eq!(report.replay.unknown_records, 0, "{what}");
            assert!(!db.blocks().is_empty(), "{what} has no blocks");
            assert!(report.replay.head_chunks > 0, "{what} has no head chunks");
            assert!(
                report.replay.samples > 0,
                "{what} has no samples in its logs"
            );
            assert_eq!(read(&db), written(), "{what}");
        }
    }
}

#[test]
fn what_this_version_writes_is_read_too() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    assert_eq!(read(&open(dir.path())), written());
}

#[test]
fn records_of_a_later_version_are_skipped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let wal = dir.path().join("wal");
    let unknown = vec![200, 1, 2, 3];
    assert_eq!(RecordType::of(&unknown), None);
    let mut writer = Writer::open(&wal, WriterOptions::default()).unwrap();
    writer.log(&[unknown.clone(), unknown]).unwrap();
    drop(writer);
    let db = open(dir.path());
    assert_eq!(db.report().head.replay.unknown_records, 2);
    assert!(db.report().head.repairs.is_empty());
    assert_eq!(read(&db), written());
}

/// A file of a format that this version does not know is no damage: it stays where it is, and
/// what can be done is said.
#[test]
fn blocks_of_a_later_version_stay_and_are_named() {
    for (file, at, byte, said) in [
        ("index", 4, 9, "version 9"),
        ("chunks/000001", 4, 9, "version 9"),
        ("meta.json", 0, 0, "version 2"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let victim = open(dir.path()).blocks()[0].meta().ulid;
        let block = dir.path().join(victim.to_string());
        let path = block.join(file);
        let mut bytes = fs::read(&path).unwrap();
        match file {
            "meta.json" => {
                let text = String::from_utf8(bytes).unwrap();
                let at = text.rfind("\"version\": 1").unwrap();
                bytes = format!("{}{}", &text[..at], text[at..].replacen('1', "2", 1)).into();
            }
            _ => bytes[at] = byte,
        }
        fs::write(&path, bytes).unwrap();
        let db = open(dir.path());
        assert!(
            block.is_dir() && !dir.path().join(QUARANTINE).exists(),
            "{file}"
        );
        let unreadable = &db.report().unreadable;
        assert_eq!(unreadable.len(), 1, "{file}");
        let error = unreadable[0].1.to_string();
        let named = path.display().to_string();
        assert!(error.contains(&named) && error.contains(said), "{error}");
        assert!(error.contains("a later"), "{error}");
        assert_eq!(
            db.blocks()
                .iter()
                .filter(|b| b.meta().ulid == victim)
                .count(),
            0
        );
    }
}

/// Head chunk files of a later version are set aside; their samples come from the log.
#[test]
fn head_chunks_of_a_later_version_cost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let files = fs::read_dir(dir.path().join("chunks_head")).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut bytes = fs::read(&files[0]).unwrap();
    bytes[4] = 9;
    fs::write(&files[0], bytes).unwrap();
    let db = open(dir.path());
    assert_eq!(db.report().head.repairs.len(), 1);
    let in_order = |samples: Samples| -> Samples {
        let is_in_order = |t: &i64| (t - START) % MINUTE == 0;
        let keep = |(name, samples): (String, BTreeMap<i64, f64>)| {
            (
                name,
                samples
                    .into_iter()
                    .filter(|(t, _)| is_in_order(t))
                    .collect(),
            )
        };
        samples.into_iter().map(keep).collect()
    };
    assert_eq!(in_order(read(&db)), in_order(written()));
}
