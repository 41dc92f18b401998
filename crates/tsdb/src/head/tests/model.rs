//! A head against a model of it, and what is left of it after crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::{fs, thread};

use model::{Labels, TimeRange, Value};
use proptest::prelude::*;

use super::MINUTE;
use crate::batch::{Batch, Reject};
use crate::head::{FloatRecords, Head, HeadOptions, SyncMode};
use crate::merge::merged_samples;
use crate::wal::{Compression, PAGE_SIZE, WriterOptions};

/// Times of the samples by the value of the label `i`.
type Times = BTreeMap<u8, BTreeSet<i64>>;

/// Values are a function of series and time, so that it does not matter which of two wins.
fn value(series: u8, t: i64) -> f64 {
    (t * 7 + i64::from(series)) as f64
}

fn options(window: i64) -> HeadOptions {
    HeadOptions {
        chunk_range: 100 * MINUTE,
        out_of_order_window: window * MINUTE,
        out_of_order_cap: 4,
        sync: SyncMode::None,
        wal: WriterOptions {
            segment_size: PAGE_SIZE,
            compression: Compression::Snappy,
        },
        replay_workers: 1,
        ..HeadOptions::default()
    }
}

fn open(dir: &Path, options: HeadOptions) -> Head {
    Head::open(dir, options, &mut |_| ()).unwrap().0
}

/// Everything that a head has.
fn contents(head: &Head) -> Times {
    let mut found = Times::new();
    for series in head.select(&[], TimeRange::ALL) {
        let i: u8 = series.labels().get("i").unwrap().parse().unwrap();
        let times = found.entry(i).or_default();
        for sample in merged_samples(series.chunks(TimeRange::ALL).unwrap()) {
            let sample = sample.unwrap();
            assert_eq!(sample.value, Value::Float(value(i, sample.t)));
            assert!(times.insert(sample.t));
        }
    }
    found
}

fn labels(i: u8) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("i", i.to_string())])
}

fn batch(samples: &[(u8, i64)]) -> Batch {
    let mut batch = Batch::new();
    for &(i, t) in samples {
        batch.series(&labels(i));
        batch.float(t, value(i, t));
    }
    batch
}

/// Prometheus' rules, said once more and simply.
#[derive(Debug, Default)]
struct Model {
    times: Times,
    newest: BTreeMap<u8, i64>,
    newest_of_all: Option<i64>,
}

impl Model {
    fn append(&mut self, samples: &[(u8, i64)], window: i64) -> Vec<(usize, Reject)> {
        let head_max = self.newest_of_all.unwrap_or(samples[0].1);
        let mut rejected = Vec::new();
        for (n, &(i, t)) in samples.iter().enumerate() {
            let newest = self.newest.get(&i).copied();
            let is_recent = t >= head_max - 50 * MINUTE;
            let verdict = if is_recent && newest.is_none_or(|newest| t >= newest) {
                self.newest.insert(i, t);
                self.newest_of_all = self.newest_of_all.max(Some(t));
                Ok(())
            } else if window > 0 {
                let is_inside = t >= head_max - window * MINUTE;
                is_inside.then_some(()).ok_or(Reject::TooOld)
            } else if is_recent {
                Err(Reject::OutOfOrder)
            } else {
                Err(Reject::OutOfBounds)
            };
            match verdict {
                Ok(()) => drop(self.times.entry(i).or_default().insert(t)),
                Err(reason) => rejected.push((n, reason)),
            }
        }
        rejected
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Series, and minutes to go forward (or back) from the newest time so far.
    Append(Vec<(u8, i64)>),
    OpenAgain,
    CloseAndOpen,
}

fn any_step() -> impl Strategy<Value = Step> {
    let samples = prop::collection::vec((0u8..4, -120i64..20), 1..12);
    prop_oneof![
        12 => samples.prop_map(Step::Append),
        2 => Just(Step::OpenAgain),
        1 => Just(Step::CloseAndOpen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_head_is_its_model(
        window in prop_oneof![Just(0i64), Just(30), Just(200)],
        float_records in prop_oneof![Just(FloatRecords::Changes), Just(FloatRecords::Samples)],
        steps in prop::collection::vec(any_step(), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let options = HeadOptions { float_records, ..options(window) };
        let mut head = open(dir.path(), options);
        let mut model = Model::default();
        let mut now = 1_000 * MINUTE;
        for step in steps {
            match step {
                Step::Append(samples) => {
                    let samples: Vec<_> =
                        samples.iter().map(|(i, ahead)| (*i, now + ahead * MINUTE)).collect();
                    let appended = head.append(&batch(&samples), now + 20 * MINUTE).unwrap();
                    let expected = model.append(&samples, window);
                    let rejected: Vec<_> =
                        appended.rejected.iter().map(|r| (r.series, r.reason)).collect();
                    prop_assert_eq!(rejected, expected);
                    prop_assert_eq!(appended.floats + appended.rejected.len(), samples.len());
                    now = samples.iter().map(|s| s.1).max().unwrap().max(now);
                }
                Step::OpenAgain => {
                    drop(head);
                    head = open(dir.path(), options);
                }
                Step::CloseAndOpen => {
                    head.close();
                    drop(head);
                    head = open(dir.path(), options);
                }
            }
            prop_assert_eq!(contents(&head), model.times.clone());
        }
        drop(head);
        prop_assert_eq!(contents(&open(dir.path(), options)), model.times);
    }
}

#[test]
fn changes_take_a_fraction_of_the_bytes_and_go_on_in_every_segment() {
    let written = |float_records| {
        let dir = tempfile::tempdir().unwrap();
        let wal = WriterOptions {
            segment_size: 2 * PAGE_SIZE,
            compression: Compression::Snappy,
        };
        let options = HeadOptions {
            wal,
            float_records,
            ..options(0)
        };
        let head = open(dir.path(), options);
        // Every batch is larger than a page, so that segments end at many places.
        let series: Vec<u8> = (0..250).collect();
        for t in (0..90).map(|t| t * MINUTE) {
            let samples: Vec<_> = series.iter().flat_map(|&i| [(i, t), (i, t + 7)]).collect();
            assert!(
                head.append(&batch(&samples), t)
                    .unwrap()
                    .rejected
                    .is_empty()
            );
        }
        let before = contents(&head);
        drop(head);
        assert_eq!(contents(&open(dir.path(), options)), before);
        let segments = fs::read_dir(dir.path().join("wal")).unwrap();
        segments
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum::<u64>()
    };
    let (changes, samples) = (
        written(FloatRecords::Changes),
        written(FloatRecords::Samples),
    );
    assert!(changes * 2 < samples, "{changes} and {samples} bytes");
}

#[test]
fn appenders_at_the_same_time_lose_nothing() {
    const THREADS: u8 = 4;
    const ROUNDS: i64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let options = HeadOptions {
        sync: SyncMode::Always,
        ..options(0)
    };
    let head = open(dir.path(), options);
    let clock = AtomicI64::new(0);
    // All threads write the series 0, and each one of its own; each remembers what was taken.
    let taken: Vec<Vec<(u8, i64)>> = thread::scope(|scope| {
        let write = |own: u8| {
            let mut taken = Vec::new();
            for _ in 0..ROUNDS {
                let t = clock.fetch_add(1, Relaxed);
                let samples = [(0, t), (own, t), (10 + (t % 7) as u8, t)];
                let appended = head.append(&batch(&samples), 0).unwrap();
                head.commit(appended.commit).unwrap();
                let is_refused = |n: usize| appended.rejected.iter().any(|r| r.series == n);
                let kept = samples.into_iter().enumerate();
                taken.extend(kept.filter(|(n, _)| !is_refused(*n)).map(|(_, s)| s));
            }
            taken
        };
        let threads: Vec<_> = (1..=THREADS)
            .map(|own| scope.spawn(move || write(own)))
            .collect();
        while threads.iter().any(|t| !t.is_finished()) {
            contents(&head);
        }
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let mut expected = Times::new();
    for (i, t) in taken.into_iter().flatten() {
        expected.entry(i).or_default().insert(t);
    }
    assert_eq!(expected[&1].len(), ROUNDS as usize);
    assert_eq!(contents(&head), expected);
    drop(head);
    assert_eq!(contents(&open(dir.path(), options)), expected);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn a_log_cut_anywhere_has_all_that_was_committed_before() {
    let dir = tempfile::tempdir().unwrap();
    let options = HeadOptions {
        wal: WriterOptions::default(),
        ..options(0)
    };
    let head = open(dir.path(), options);
    let segment = dir.path().join("wal/00000000");
    // What was there when the log had which size.
    let mut committed = vec![(0, Times::new())];
    for t in 0..60 {
        let samples: Vec<_> = (0..20).map(|i| (i, t * MINUTE)).collect();
        let appended = head.append(&batch(&samples), t * MINUTE).unwrap();
        // Without a filler, of which may be missing what will.
        let len = fs::metadata(&segment).unwrap().len();
        head.flush().unwrap();
        assert!(appended.rejected.is_empty());
        committed.push((len, contents(&head)));
    }
    drop(head);
    let len = fs::metadata(&segment).unwrap().len();
    for round in 0..40 {
        let cut = len - (round * 7919 + round * round) % len;
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        let file = fs::File::options()
            .write(true)
            .open(copied.path().join("wal/00000000"));
        file.unwrap().set_len(cut).unwrap();
        let sure = committed.partition_point(|(len, _)| *len <= cut) - 1;
        for opened in 0..2 {
            let head = open(copied.path(), options);
            assert_eq!(
                contents(&head),
                committed[sure].1,
                "cut at {cut}, opened {opened}"
            );
        }
        let head = open(copied.path(), options);
        let appended = head
            .append(&batch(&[(0, 100 * MINUTE)]), 100 * MINUTE)
            .unwrap();
        assert_eq!(appended.floats, 1);
        drop(head);
        assert!(contents(&open(copied.path(), options))[&0].contains(&(100 * MINUTE)));
    }
}

#[test]
fn after_an_error_of_the_log_nothing_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path(), options(0));
    let appended = head.append(&batch(&[(0, 0)]), 0).unwrap();
    head.commit(appended.commit).unwrap();
    // The next segment cannot be made.
    fs::remove_dir_all(dir.path().join("wal")).unwrap();
    let failed = (1..100_000).find_map(|t| head.append(&batch(&[(0, t)]), 0).err());
    let error = failed.unwrap();
    assert_eq!(error.kind(), model::ErrorKind::NotFound, "{error}");
    assert!(head.append(&batch(&[(1, 200_000)]), 0).is_err());
    assert!(head.flush().is_ok() || head.commit(appended.commit).is_ok());
}
