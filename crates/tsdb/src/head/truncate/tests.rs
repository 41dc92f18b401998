use std::fs;
use std::path::Path;

use model::{Matcher, TimeRange};

use super::super::{Head, HeadOptions, SyncMode};
use crate::batch::{Batch, SeriesRef};
use crate::merge::merged_samples;
use crate::wal::{Compression, PAGE_SIZE, WriterOptions};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn open(dir: &Path) -> Head {
    let options = HeadOptions {
        out_of_order_window: 3 * HOUR,
        sync: SyncMode::None,
        wal: WriterOptions {
            segment_size: PAGE_SIZE,
            compression: Compression::None,
        },
        ..HeadOptions::default()
    };
    let (head, report) = Head::open(dir, options, &mut |_| ()).unwrap();
    assert!(
        report.repairs.is_empty() && report.replay.damage.is_empty(),
        "{report:?}"
    );
    assert_eq!(report.replay.unknown_series, 0, "{report:?}");
    head
}

fn append(head: &Head, name: &str, t: i64) -> SeriesRef {
    let mut batch = Batch::new();
    batch.series([("__name__", name), ("text", &*"x".repeat(200))]);
    batch.float(t, t as f64);
    let appended = head.append(&batch, t).unwrap();
    assert!(appended.rejected.is_empty(), "{name} {t}: {appended:?}");
    appended.series[0].unwrap()
}

fn times(head: &Head, name: &str) -> Vec<i64> {
    let found = head.select(&[Matcher::equal("__name__", name)], TimeRange::ALL);
    let chunks = found.iter().flat_map(|s| s.chunks(TimeRange::ALL).unwrap());
    merged_samples(chunks.collect())
        .map(|s| s.unwrap().t)
        .collect()
}

fn minutes(range: std::ops::Range<i64>) -> Vec<i64> {
    range.map(|m| m * MINUTE).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_old_goes_and_the_rest_survives_being_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let old = append(&head, "old", 0);
    for minute in 0..300 {
        append(&head, "a", minute * MINUTE);
        append(&head, &format!("churn_{minute}"), minute * MINUTE);
    }
    assert_eq!(head.series_count(), 302);
    let truncated = head.truncate(2 * HOUR).unwrap();
    assert_eq!(truncated.series, 121);
    assert!(truncated.checkpoint.is_some());
    let left = names(&dir.path().join("wal"));
    assert!(!left.contains(&"00000000".to_owned()), "{left:?}");
    assert_eq!(head.series_count(), 181);
    assert_eq!(head.in_order_span(), Some((2 * HOUR, 299 * MINUTE)));
    assert_eq!(times(&head, "a"), minutes(120..300));
    assert!(times(&head, "old").is_empty());
    assert!(
        head.label_values("__name__", &[])
            .iter()
            .all(|v| v != "churn_119")
    );
    // Dropped series come back as others.
    assert!(append(&head, "old", 299 * MINUTE) > old);
    drop(head);
    let head = open(dir.path());
    assert_eq!(times(&head, "old"), [299 * MINUTE]);
    assert_eq!(head.series_count(), 182);
    let later = minutes(120..300);
    assert!(times(&head, "a").ends_with(&later));
    // Shortened again, with nothing new.
    head.truncate(2 * HOUR).unwrap();
    assert_eq!(times(&head, "a"), later);
}

#[test]
fn damage_in_the_log_is_set_aside_and_does_not_stop_truncation() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    for minute in 0..300 {
        append(&head, &format!("churn_{minute}"), minute * MINUTE);
    }
    let wal = dir.path().join("wal");
    let mut bytes = fs::read(wal.join("00000001")).unwrap();
    bytes[5000] ^= 1;
    fs::write(wal.join("00000001"), bytes).unwrap();
    let truncated = head.truncate(2 * HOUR).unwrap();
    assert!(truncated.checkpoint.is_some());
    assert_eq!(names(&wal.join("quarantine")), ["00000001.corrupt"]);
    assert!(!names(&wal).contains(&"00000001".to_owned()));
}

#[test]
fn head_chunk_files_that_nobody_needs_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    for minute in 0..400 {
        append(&head, "a", minute * MINUTE);
    }
    let chunks = dir.path().join("chunks_head");
    assert_eq!(names(&chunks), ["000001"]);
    let selected = head.select(&[], TimeRange::ALL);
    let read = selected[0].chunks(TimeRange::ALL).unwrap();
    drop(selected);
    head.truncate(2 * HOUR).unwrap();
    for minute in 400..700 {
        append(&head, "a", minute * MINUTE);
    }
    assert_eq!(names(&chunks), ["000001", "000002"]);
    head.truncate(8 * HOUR).unwrap();
    assert_eq!(names(&chunks), ["000002"]);
    assert_eq!(times(&head, "a"), minutes(480..700));
    // What was read before is still readable.
    let first: Vec<i64> = merged_samples(read).map(|s| s.unwrap().t).collect();
    assert_eq!(first, minutes(0..400));
    drop(head);
    let head = open(dir.path());
    assert!(times(&head, "a").ends_with(&minutes(480..700)));
}

#[test]
fn a_reference_that_only_a_head_chunk_knows_is_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let mut chunked = SeriesRef(0);
    for minute in 0..130 {
        chunked = append(&head, "a", minute * MINUTE);
    }
    drop(head);
    // As after checkpoints that no longer need it.
    fs::remove_dir_all(dir.path().join("wal")).unwrap();
    let head = open(dir.path());
    assert!(append(&head, "b", 500 * MINUTE) > chunked);
    drop(head);
    assert_eq!(times(&open(dir.path()), "b"), [500 * MINUTE]);
}

#[test]
fn what_came_out_of_order_is_cut_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    assert_eq!(head.begin_out_of_order_cut().unwrap(), None);
    append(&head, "a", 300 * MINUTE);
    for minute in 200..240 {
        append(&head, "a", minute * MINUTE);
    }
    let cut = head.begin_out_of_order_cut().unwrap().unwrap();
    assert_eq!(cut.span, (200 * MINUTE, 239 * MINUTE));
    append(&head, "a", 150 * MINUTE);
    let series: Vec<_> = head
        .cut_out_of_order(&cut, TimeRange::ALL)
        .map(Result::unwrap)
        .collect();
    assert_eq!(series.len(), 1);
    let cut_times = merged_samples(series[0].chunks.clone()).map(|s| s.unwrap().t);
    assert_eq!(cut_times.collect::<Vec<_>>(), minutes(200..240));
    let in_order: Vec<_> = head.cut(TimeRange::ALL).map(Result::unwrap).collect();
    assert_eq!(in_order[0].chunks.len(), 1);
    head.finish_out_of_order_cut(&cut).unwrap();
    let left = [150 * MINUTE, 300 * MINUTE];
    assert_eq!(times(&head, "a"), left);
    drop(head);
    assert_eq!(times(&open(dir.path()), "a"), left);
}

#[test]
fn deleted_samples_stay_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    for minute in 0..10 {
        append(&head, "a", minute * MINUTE);
    }
    let range = TimeRange::new(2 * MINUTE, 50 * MINUTE);
    head.delete(&[Matcher::equal("__name__", "a")], range)
        .unwrap();
    append(&head, "a", 10 * MINUTE);
    let deleted = |head: &Head| {
        let found = head.select(&[], TimeRange::ALL);
        let deleted = found[0].deleted().unwrap();
        (0..11)
            .filter(|m| deleted.contains(m * MINUTE))
            .collect::<Vec<_>>()
    };
    assert_eq!(deleted(&head), (2..10).collect::<Vec<_>>());
    drop(head);
    assert_eq!(deleted(&open(dir.path())), (2..10).collect::<Vec<_>>());
}

#[test]
fn a_stalled_reader_gets_an_error_and_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let options = HeadOptions {
        reader_patience: std::time::Duration::from_millis(10),
        sync: SyncMode::None,
        ..HeadOptions::default()
    };
    let (head, _) = Head::open(dir.path(), options, &mut |_| ()).unwrap();
    for minute in 0..300 {
        append(&head, "a", minute * MINUTE);
    }
    let stalled = head.select(&[], TimeRange::ALL);
    stalled[0].chunks(TimeRange::ALL).unwrap();
    head.truncate(2 * HOUR).unwrap();
    assert_eq!(times(&head, "a"), minutes(120..300));
    let error = stalled[0].chunks(TimeRange::ALL).unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::Unavailable);
    assert!(error.to_string().contains("ask again"), "{error}");
}
