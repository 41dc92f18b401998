//! A database against a plain map: days of writes, maintenance, crashes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Barrier;

use model::{ErrorKind, Histogram, Labels, MatchOp, Matcher, TimeRange, Value};
use tsdb::batch::{Batch, TimedHistogram};
use tsdb::block::{Interval, Tombstones};
use tsdb::db::leftovers::QUARANTINE;
use tsdb::db::{Db, DbOptions, Retention};
use tsdb::head::{HeadOptions, SyncMode};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Where time starts; not aligned to blocks.
const START: i64 = 1_700_000_000_000;

/// Times and bits of values by series.
type Samples = BTreeMap<Labels, BTreeMap<i64, u64>>;

pub(crate) fn options() -> DbOptions {
    DbOptions {
        head: HeadOptions {
            out_of_order_window: 30 * MINUTE,
            sync: SyncMode::None,
            replay_workers: 0,
            ..HeadOptions::default()
        },
        merge_max: Some(18 * HOUR),
        free_bytes_min: 0,
        ..DbOptions::default()
    }
}

pub(crate) fn open(dir: &Path, options: DbOptions) -> Db {
    Db::open(dir, options, &mut |_| {}).unwrap()
}

fn labels(i: u64) -> Labels {
    let pod = format!("pod-{i}");
    Labels::from_pairs([("__name__", "up"), ("job", "api"), ("pod", pod.as_str())])
}

/// A small generator of numbers; the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % n
    }
}

/// Writes a sample of most series at `t`, some of them late, and takes note of them.
fn write(db: &Db, t: i64, numbers: &mut Numbers, model: &mut Samples) {
    let mut batch = Batch::new();
    for i in 0..6 {
        if numbers.below(10) == 0 {
            continue;
        }
        let labels = labels(i);
        let late = match numbers.below(20) {
            0 => 1 + numbers.below(20) as i64,
            _ => 0,
        };
        let t = t - late * MINUTE - late;
        let samples = model.entry(labels.clone()).or_default();
        if samples.contains_key(&t) {
            continue;
        }
        let v = numbers.below(1000) as f64 / 8.0;
        batch.series(&labels);
        batch.float(t, v);
        samples.insert(t, v.to_bits());
    }
    let appended = db.append(&batch, t).unwrap();
    assert_eq!(appended.rejected, [], "at {}", t - START);
    db.commit(appended.commit).unwrap();
}

/// What a database has in a range.
pub(crate) fn read(db: &Db, range: TimeRange) -> Samples {
    let mut all = Samples::new();
    let mut last = None;
    for found in db.select(&[], range).unwrap() {
        let found = found.unwrap();
        assert!(last < Some(found.labels().clone()), "series are in order");
        last = Some(found.labels().clone());
        let mut samples = BTreeMap::new();
        let chunks = found.chunks().unwrap();
        // Whoever reads those that overlap takes them for replicas' and believes one.
        assert!(chunks.is_sorted_by(|a, b| a.max_time < b.min_time));
        for sample in chunks.iter().flat_map(|c| c.chunk.samples()) {
            let sample = sample.unwrap();
            let Value::Float(v) = sample.value else {
                panic!("only floats were written");
            };
            if range.contains(sample.t) {
                let before = samples.insert(sample.t, v.to_bits());
                assert!(before.is_none_or(|b| b == v.to_bits()));
            }
        }
        if !samples.is_empty() {
            all.insert(found.labels().clone(), samples);
        }
    }
    all
}

/// What the map has in a range.
fn expected(model: &Samples, range: TimeRange) -> Samples {
    let inside = |samples: &BTreeMap<i64, u64>| -> BTreeMap<i64, u64> {
        samples
            .range(range.min..range.max)
            .map(|(t, v)| (*t, *v))
            .collect()
    };
    model
        .iter()
        .map(|(labels, samples)| (labels.clone(), inside(samples)))
        .filter(|(_, samples)| !samples.is_empty())
        .collect()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn days_of_writes_are_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention {
        time_ms: Some(30 * HOUR),
        bytes: None,
    };
    let options = DbOptions {
        retention,
        ..options()
    };
    let mut db = open(dir.path(), options.clone());
    let (mut model, mut numbers) = (Samples::new(), Numbers(1));
    let (mut cut, mut merged) = (0, 0);
    for minute in 0..60 * 24 * 3 {
        let now = START + minute * MINUTE;
        write(&db, now, &mut numbers, &mut model);
        if minute % 30 != 7 {
            continue;
        }
        let done = db.compact(now).unwrap();
        db.retain().unwrap();
        cut += done.cut.len();
        merged += done.merged.len();
        if minute % 600 == 67 {
            drop(db);
            db = open(dir.path(), options.clone());
        }
        let kept = db.time_range().unwrap();
        let least = now - (28 * HOUR).min(minute * MINUTE);
        assert!(
            kept.max > now && kept.min <= least,
            "{kept:?} at minute {minute}"
        );
        let first = db.blocks().iter().map(|b| b.meta().min_time).min();
        let from = first.unwrap_or(START - HOUR);
        let width = 1 + numbers.below(20) as i64;
        let start = now - numbers.below(30) as i64 * HOUR;
        for range in [
            TimeRange::new(from, i64::MAX),
            TimeRange::new(start.max(from), (start + width * HOUR).max(from)),
            TimeRange::new(now - 5 * MINUTE, now + 1),
        ] {
            assert_eq!(
                read(&db, range),
                expected(&model, range),
                "{range} at minute {minute}"
            );
        }
    }
    assert!(cut > 35 && merged > 10, "{cut} cut, {merged} merged");
    let blocks = db.blocks();
    assert!(blocks.iter().any(|b| b.meta().compaction.level >= 3));
    for block in blocks.iter() {
        assert_eq!(block.verify(), [], "{}", block.meta().ulid);
    }
    let long = TimeRange::ALL;
    let names = db.label_names(&[], long, usize::MAX).unwrap();
    assert_eq!(names, ["__name__", "job", "pod"]);
    let pods = Matcher::new(MatchOp::Regex, "pod", "pod-[12]").unwrap();
    let values = db.label_values("pod", &[pods], long, usize::MAX).unwrap();
    assert_eq!(values, ["pod-1", "pod-2"]);
    assert_eq!(db.label_values("pod", &[], long, 1).unwrap(), ["pod-0"]);
}

/// A database with some hours of samples that are due to be cut.
pub(crate) fn filled(dir: &Path, hours: i64) -> (Db, Samples) {
    let db = open(dir, options());
    let (mut model, mut numbers) = (Samples::new(), Numbers(7));
    for minute in 0..60 * hours {
        write(&db, START + minute * MINUTE, &mut numbers, &mut model);
    }
    (db, model)
}

#[test]
fn a_crash_between_any_two_steps_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [before, cut, merged] = ["before", "cut", "merged"].map(|name| dir.path().join(name));
    let (db, model) = filled(&before, 12);
    drop(db);
    copy(&before, &cut);
    let unmerged = DbOptions {
        merge_max: None,
        ..options()
    };
    let db = open(&cut, unmerged.clone());
    assert!(db.compact(START).unwrap().cut.len() > 5);
    drop(db);
    copy(&cut, &merged);
    let db = open(&merged, options());
    assert!(!db.compact(START).unwrap().merged.is_empty());
    drop(db);

    let is_block = |name: &str| name.len() == 26;
    // Blocks of the first directory, all else of the second.
    let mix = |name: &str, blocks: &[&Path], rest: &Path| {
        let to = dir.path().join(name);
        copy(rest, &to);
        for from in blocks {
            for entry in fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                if is_block(entry.file_name().to_str().unwrap()) {
                    copy(&entry.path(), &to.join(entry.file_name()));
                }
            }
        }
        to
    };
    let states = [
        mix("1", &[], &before),
        mix("2", &[&cut], &before),
        mix("3", &[], &cut),
        mix("4", &[&merged], &cut),
        mix("5", &[&merged], &before),
        mix("6", &[&cut, &merged], &before),
        mix("7", &[], &merged),
    ];
    for (i, state) in states.iter().enumerate() {
        // A block that was being written, and one that was being removed.
        let half = state.join("01HF0000000000000000000000.tmp-for-creation");
        let doomed = state.join("01HF0000000000000000000001.tmp-for-deletion");
        fs::create_dir_all(half.join("chunks")).unwrap();
        fs::create_dir_all(&doomed).unwrap();
        for options in [unmerged.clone(), options()] {
            let db = open(state, options);
            assert!(!half.exists() && !doomed.exists());
            let all = TimeRange::ALL;
            assert_eq!(read(&db, all), model, "opened in state {}", i + 1);
            db.compact(START).unwrap();
            assert_eq!(read(&db, all), model, "compacted in state {}", i + 1);
        }
    }
}

#[test]
fn flushing_leaves_nothing_in_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let (db, model) = filled(dir.path(), 5);
    db.flush(START).unwrap();
    assert_eq!(db.stats().head_series, 0);
    assert_eq!(db.head().time_range(), None);
    assert_eq!(read(&db, TimeRange::ALL), model);
    let range = db.time_range().unwrap();
    drop(db);
    let db = open(dir.path(), options());
    assert_eq!(read(&db, TimeRange::ALL), model);
    assert_eq!(db.time_range(), Some(range));
}

#[test]
fn a_second_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), options());
    let error = Db::open(dir.path(), options(), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let me = format!("in use by process {}", std::process::id());
    assert!(error.to_string().contains(&me), "{error}");
    drop(first);
    open(dir.path(), options());
}

#[test]
fn writes_stop_before_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let options = DbOptions {
        free_bytes_min: 1000,
        ..options()
    };
    let db = open(dir.path(), options);
    let mut batch = Batch::new();
    batch.series(&labels(0));
    batch.float(START, 1.0);
    assert!(db.check_disk(999));
    let error = db.append(&batch, START).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().starts_with("read-only: "), "{error}");
    assert!(db.stats().is_read_only && read(&db, TimeRange::ALL).is_empty());
    assert!(db.check_disk(2000));
    assert_eq!(db.append(&batch, START).unwrap().floats, 1);
}

#[test]
fn a_damaged_block_is_set_aside_or_left_out_of_merges() {
    let dir = tempfile::tempdir().unwrap();
    let (db, model) = filled(dir.path(), 30);
    let unmerged = DbOptions {
        merge_max: None,
        ..options()
    };
    drop(db);
    let db = open(dir.path(), unmerged);
    db.compact(START).unwrap();
    let victim = db.blocks()[1].meta().clone();
    let blocks = db.blocks().len();
    drop(db);
    // A flipped bit in a chunk is noticed when it is read.
    let chunks = dir
        .path()
        .join(victim.ulid.to_string())
        .join("chunks/000001");
    let mut bytes = fs::read(&chunks).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&chunks, &bytes).unwrap();
    let db = open(dir.path(), options());
    let error = db.compact(START).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    // The others were merged, and the next time nothing fails.
    db.compact(START).unwrap();
    assert!(db.blocks().len() < blocks);
    let left = db
        .blocks()
        .iter()
        .find(|b| b.meta().ulid == victim.ulid)
        .cloned();
    assert!(left.unwrap().meta().compaction.failed);
    let after = TimeRange::new(victim.max_time + HOUR, i64::MAX);
    assert_eq!(read(&db, after), expected(&model, after));
    drop(db);

    // An index that cannot be opened.
    fs::write(dir.path().join(victim.ulid.to_string()).join("index"), b"?").unwrap();
    let db = open(dir.path(), options());
    let aside = &db.report().set_aside;
    let path = dir.path().join(QUARANTINE).join(victim.ulid.to_string());
    assert_eq!(aside[0].path, path);
    assert!(path.join("chunks/000001").exists());
    assert_eq!(read(&db, after), expected(&model, after));
}

#[test]
fn deleted_samples_are_hidden() {
    let dir = tempfile::tempdir().unwrap();
    let (db, mut model) = filled(dir.path(), 5);
    db.compact(START).unwrap();
    let block = &db.blocks()[0];
    let (ulid, start) = (block.meta().ulid, block.meta().min_time);
    let mut tombstones = Tombstones::default();
    let first = block
        .select(&[], TimeRange::ALL)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let interval = Interval {
        min: start,
        max: start + 30 * MINUTE,
    };
    tombstones.add(u64::from(first.reference.0), interval);
    tombstones
        .replace_in(&dir.path().join(ulid.to_string()))
        .unwrap();
    let recent = TimeRange::new(START + 290 * MINUTE, START + 295 * MINUTE);
    let at = db
        .head()
        .delete(&[Matcher::equal("pod", "pod-2")], recent)
        .unwrap();
    db.commit(at).unwrap();
    drop(db);

    let db = open(dir.path(), options());
    let samples = model.get_mut(&first.labels).unwrap();
    samples.retain(|t, _| !(interval.min..=interval.max).contains(t));
    let samples = model.get_mut(&labels(2)).unwrap();
    samples.retain(|t, _| !recent.contains(*t));
    assert_eq!(read(&db, TimeRange::ALL), model);
}

#[test]
fn retention_by_size_counts_the_logs() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = filled(dir.path(), 12);
    drop(db);
    let retention = Retention {
        time_ms: None,
        bytes: Some(1),
    };
    let options = DbOptions {
        retention,
        ..options()
    };
    let db = open(dir.path(), options);
    let done = db.compact(START).unwrap();
    assert!(done.cut.len() > 4);
    db.retain().unwrap();
    assert_eq!(db.blocks().len(), 0);
    let in_head = TimeRange::new(START + 9 * HOUR, i64::MAX);
    assert!(!read(&db, in_head).is_empty());
}

#[test]
fn retention_waits_for_who_copies_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let options = DbOptions {
        retention: Retention {
            time_ms: Some(1),
            bytes: Some(1),
        },
        hold_unreleased: true,
        merge_max: None,
        ..options()
    };
    drop(filled(dir.path(), 12));
    let db = open(dir.path(), options);
    db.compact(START).unwrap();
    let ids: Vec<_> = db.blocks().iter().map(|b| b.meta().ulid).collect();
    assert!(ids.len() > 2, "{ids:?}");
    // Only what was named goes, and only if it would go anyway.
    db.release([ids[0], ids[ids.len() - 1]].into());
    db.retain().unwrap();
    let left: Vec<_> = db.blocks().iter().map(|b| b.meta().ulid).collect();
    assert_eq!(left, ids[1..ids.len() - 1]);
}

#[test]
fn a_clock_that_jumps_changes_neither_blocks_nor_data() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let end = START + 9 * HOUR;
    let far = 100 * 365 * 24 * HOUR;
    let clocks = [
        [end, end + HOUR, end + 2 * HOUR, end + 3 * HOUR],
        [end + HOUR, end - HOUR, 0, end + far],
    ];
    let mut seen = Vec::new();
    for (dir, clock) in dirs.iter().zip(clocks) {
        let (db, mut model) = filled(dir.path(), 9);
        let (mut numbers, mut names) = (Numbers(11), Vec::new());
        for (hour, now_ms) in (0..).zip(clock) {
            db.compact(now_ms).unwrap();
            db.retain().unwrap();
            names.extend(
                db.blocks()
                    .iter()
                    .map(|b| (b.meta().ulid, b.meta().range())),
            );
            assert_eq!(read(&db, TimeRange::ALL), model, "when it is {now_ms}");
            for minute in 0..60 {
                let t = end + hour * HOUR + minute * MINUTE;
                write(&db, t, &mut numbers, &mut model);
            }
        }
        // In order of their names is the order in which they were made, whatever the clock said.
        names.sort_by_key(|(ulid, _)| *ulid);
        names.dedup();
        seen.push(names.iter().map(|(_, range)| *range).collect::<Vec<_>>());
        drop(db);
        let again = open(dir.path(), options());
        assert_eq!(read(&again, TimeRange::ALL), model, "after a restart");
    }
    assert_eq!(seen[0], seen[1], "blocks are cut by the times of samples");
}

#[test]
fn late_histograms_are_merged_with_those_they_lie_between() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), options());
    let histogram = |i: i64| Histogram {
        count: i.unsigned_abs(),
        zero_count: i.unsigned_abs(),
        sum: i as f64,
        ..Histogram::default()
    };
    let append = |times: &[i64]| {
        let mut batch = Batch::new();
        batch.series(&labels(0));
        for &i in times {
            batch.histogram(TimedHistogram::Integer(START + i, histogram(i)));
        }
        let appended = db.append(&batch, START).unwrap();
        assert_eq!(appended.rejected, []);
        db.commit(appended.commit).unwrap();
    };
    append(&(0..200).step_by(4).collect::<Vec<_>>());
    append(&(0..197).filter(|i| i % 4 != 0).collect::<Vec<_>>());
    let check = || {
        let found = db.select(&[], TimeRange::ALL).unwrap().next().unwrap();
        let chunks = found.unwrap().chunks().unwrap();
        assert!(chunks.is_sorted_by(|a, b| a.max_time < b.min_time));
        let samples = chunks.iter().flat_map(|c| c.chunk.samples());
        let samples = samples.map(|sample| {
            let sample = sample.unwrap();
            let Value::Histogram(found) = sample.value else {
                panic!("only histograms were written");
            };
            (sample.t - START, found.count)
        });
        let all = (0..197).map(|i: i64| (i, i.unsigned_abs()));
        assert_eq!(samples.collect::<Vec<_>>(), all.collect::<Vec<_>>());
    };
    check();
    // As two blocks, of what came in order and of what did not.
    db.flush(START).unwrap();
    assert!(db.blocks().len() >= 2);
    check();
}

#[test]
fn what_nobody_writes_to_any_more_is_cut_and_may_be_written_to_again() {
    let dir = tempfile::tempdir().unwrap();
    let (db, mut model) = filled(dir.path(), 1);
    let mut numbers = Numbers(3);
    let mut now = START + HOUR;
    let wait = |now: &mut i64, step: i64, until: i64| {
        while *now < until {
            *now += step;
            db.compact(*now).unwrap();
        }
    };
    // As long as the head could still grow, and when a clock jumps.
    wait(&mut now, MINUTE, START + 4 * HOUR - 15 * MINUTE);
    db.compact(START + 10_000 * HOUR).unwrap();
    db.compact(now).unwrap();
    assert_eq!(db.blocks().len(), 0);
    wait(&mut now, MINUTE, START + 5 * HOUR);
    let blocks = db.blocks();
    let in_order = blocks.iter().filter(|b| {
        let hints = &b.meta().compaction.hints;
        hints.is_empty()
    });
    // The hour goes over a border of blocks.
    assert!((1..=2).contains(&in_order.count()));
    assert_eq!(db.head().time_range(), None);
    assert_eq!(read(&db, TimeRange::ALL), model);
    // Whoever comes back is taken in, also with what is a little older.
    for minute in 0..90 {
        write(
            &db,
            START + HOUR + minute * MINUTE,
            &mut numbers,
            &mut model,
        );
        db.compact(now).unwrap();
    }
    assert_eq!(read(&db, TimeRange::ALL), model);
    // What is of long ago is not cut while it is being written.
    let cut = db.blocks().len();
    now = START + 1_000 * HOUR;
    for minute in 90..400 {
        now += MINUTE;
        write(
            &db,
            START + HOUR + minute * MINUTE,
            &mut numbers,
            &mut model,
        );
        if minute % 10 == 0 {
            db.compact(now).unwrap();
        }
    }
    let by_length = 6;
    assert!(db.blocks().len() <= cut + by_length);
    assert!(db.head().time_range().is_some());
    assert_eq!(read(&db, TimeRange::ALL), model);
    drop(db);
    let again = open(dir.path(), options());
    assert_eq!(read(&again, TimeRange::ALL), model, "after a restart");
}

#[test]
fn nothing_is_lost_of_who_comes_back_while_the_head_is_cut() {
    let has_cut = (0..8).filter(|_| who_comes_back_while_it_is_cut()).count();
    assert!(has_cut > 0, "whoever writes was first each time");
}

/// Writes to a head that is about to be cut as nobody wrote to it for long; whether it was.
fn who_comes_back_while_it_is_cut() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let (db, mut model) = filled(dir.path(), 1);
    let last = START + HOUR;
    for step in 1..=19 {
        db.compact(last + step * 10 * MINUTE).unwrap();
    }
    assert_eq!(db.blocks().len(), 0, "it is cut below");
    let both = Barrier::new(2);
    std::thread::scope(|scope| {
        let cutting = scope.spawn(|| {
            both.wait();
            (20..30).for_each(|step| drop(db.compact(last + step * 10 * MINUTE).unwrap()));
        });
        both.wait();
        // New series too, and times before the newest.
        let mut batch = Batch::new();
        for i in 0..500_u64 {
            let labels = labels(100 + i);
            let t = last - 20 * MINUTE + i as i64;
            batch.clear();
            batch.series(&labels);
            batch.float(t, 1.0);
            let appended = db.append(&batch, last).unwrap();
            assert_eq!(appended.rejected, []);
            let samples = model.entry(labels).or_default();
            samples.insert(t, 1.0_f64.to_bits());
        }
        cutting.join().unwrap();
    });
    assert_eq!(read(&db, TimeRange::ALL), model);
    !db.blocks().is_empty()
}

/// Between two late samples there may be ages, which nobody walks through.
#[test]
fn late_samples_of_long_ago_are_cut_without_delay() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.head.out_of_order_window = i64::MAX;
    let db = open(dir.path(), options);
    let write = |i: u64, t: i64| {
        let mut batch = Batch::new();
        batch.series(&labels(i));
        batch.float(t, 1.0);
        assert_eq!(db.append(&batch, START).unwrap().rejected, []);
    };
    const LONG: i64 = 1 << 52;
    let times = [START, START - LONG, START - LONG / 2, START - HOUR];
    for (i, t) in [0, 1].iter().flat_map(|i| times.map(|t| (*i, t))) {
        write(i, t);
    }
    let all = read(&db, TimeRange::ALL);
    let mut cut = db.flush(START).unwrap().cut;
    cut.dedup();
    assert_eq!(cut.len(), 4);
    assert_eq!(read(&db, TimeRange::ALL), all);
    assert_eq!(all[&labels(1)].len(), 4);
}
