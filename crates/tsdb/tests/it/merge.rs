//! Merging blocks: nothing is lost, nothing is invented, and Prometheus reads the result.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use model::{Labels, Sample, TimeRange, Value};
use proptest::prelude::*;
use tsdb::block::{Block, BlockWriter, Interval, Meta, Tombstones};
use tsdb::chunk::SeriesEncoder;
use tsdb::db::DataDir;
use tsdb::db::dump::Line;
use tsdb::merge::{Overlap, compact};
use ulid::Ulid;

use crate::conformance::tsdb_dir;

fn lines(dir: &DataDir) -> Vec<String> {
    let mut lines = Vec::new();
    for series in dir.select(&[], TimeRange::ALL).unwrap() {
        let series = series.unwrap();
        let mut line = Line::new(series.labels());
        lines.extend(series.samples().map(|s| line.of(&s.unwrap()).to_owned()));
    }
    lines
}

/// Lines without the counter reset hint, which depends on where chunks begin.
fn without_hints(lines: Vec<String>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| match line.split_once("\thint=") {
            Some((head, rest)) => format!("{head}{}", rest.get(1..).unwrap_or_default()),
            None => line,
        })
        .collect()
}

fn open_blocks(dir: &Path) -> Vec<Block> {
    let mut blocks: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("meta.json").exists())
        .map(|path| Block::open(&path).unwrap())
        .collect();
    blocks.sort_by_key(|b| b.meta().min_time);
    blocks
}

#[test]
fn blocks_of_prometheus_merge_without_loss() {
    let Some(dir) = tsdb_dir() else { return };
    let blocks = open_blocks(&dir.join("compacted"));
    assert_eq!(blocks.len(), 3);
    let to = tempfile::tempdir().unwrap();
    let ulid = Ulid::from_parts(1, 1);
    let all: Vec<_> = blocks.iter().collect();
    let meta = compact(&all, to.path(), ulid, Overlap::Union)
        .unwrap()
        .unwrap();
    assert_eq!(
        (meta.compaction.level, meta.compaction.parents.len()),
        (3, 3)
    );
    assert_eq!(meta.compaction.sources.len(), 4);

    let merged = Block::open(&to.path().join(ulid.to_string())).unwrap();
    assert_eq!(merged.verify(), []);
    // The blocks alone, without the logs beside them.
    let alone = tempfile::tempdir().unwrap();
    for block in &blocks {
        copy(
            &dir.join("compacted").join(block.meta().ulid.to_string()),
            &alone.path().join(block.meta().ulid.to_string()),
        );
    }
    let before = lines(&DataDir::open(alone.path(), 1).unwrap());
    let after = lines(&DataDir::of_block(merged));
    assert_eq!(without_hints(after), without_hints(before));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Samples by series and time.
type Data = BTreeMap<u8, BTreeMap<i64, f64>>;

fn labels(series: u8) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("s", format!("{series:03}"))])
}

fn write(dir: &Path, ulid: Ulid, data: &Data, deleted: Option<Interval>) -> Block {
    let mut symbols = vec!["__name__".to_owned(), "m".to_owned(), "s".to_owned()];
    symbols.extend(data.keys().map(|s| format!("{s:03}")));
    symbols.sort();
    let mut writer = BlockWriter::create(dir, ulid).unwrap();
    symbols.iter().for_each(|s| writer.add_symbol(s).unwrap());
    for (series, samples) in data {
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        for (t, v) in samples {
            chunks.extend(encoder.push_float(*t, *v).unwrap());
        }
        chunks.extend(encoder.finish());
        writer.add_series(&labels(*series), &chunks).unwrap();
    }
    let meta = Meta::new(ulid, TimeRange::new(0, 10_000));
    writer.finish(meta).unwrap().unwrap();
    let path = dir.join(ulid.to_string());
    if let Some(interval) = deleted {
        let block = Block::open(&path).unwrap();
        let mut stones = Tombstones::default();
        for series in block.select(&[], TimeRange::ALL).unwrap() {
            stones.add(u64::from(series.unwrap().reference.0), interval);
        }
        stones.replace_in(&path).unwrap();
    }
    Block::open(&path).unwrap()
}

fn read(block: Block) -> Data {
    let dir = DataDir::of_block(block);
    let mut data = Data::new();
    for series in dir.select(&[], TimeRange::ALL).unwrap() {
        let series = series.unwrap();
        let number = series.labels().get("s").unwrap().parse().unwrap();
        for sample in series.samples() {
            let Sample {
                t,
                value: Value::Float(v),
            } = sample.unwrap()
            else {
                panic!("only floats went in")
            };
            data.entry(number).or_default().insert(t, v);
        }
    }
    data
}

fn data() -> impl Strategy<Value = Data> {
    let samples = proptest::collection::btree_set(0i64..2_000, 1..300);
    let of = |times: std::collections::BTreeSet<i64>| {
        times
            .into_iter()
            .map(|t| (t, t as f64))
            .collect::<BTreeMap<_, _>>()
    };
    proptest::collection::btree_map(0u8..6, samples.prop_map(of), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_merge_of_blocks_is_the_union_of_their_samples(
        blocks in proptest::collection::vec((data(), proptest::option::of((0i64..2_000, 0i64..800))), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = Data::new();
        let mut opened = Vec::new();
        for (i, (data, deleted)) in blocks.iter().enumerate() {
            let deleted = deleted.map(|(min, span)| Interval { min, max: min + span });
            opened.push(write(dir.path(), Ulid::from_parts(1, i as u128 + 1), data, deleted));
            for (series, samples) in data {
                let kept = samples.iter().filter(|(t, _)| {
                    deleted.is_none_or(|d| !(d.min..=d.max).contains(*t))
                });
                let into = expected.entry(*series).or_default();
                into.extend(kept.map(|(t, v)| (*t, *v)));
            }
        }
        expected.retain(|_, samples| !samples.is_empty());
        let ulid = Ulid::from_parts(2, 1);
        let all: Vec<_> = opened.iter().collect();
        match compact(&all, dir.path(), ulid, Overlap::Union).unwrap() {
            None => prop_assert!(expected.is_empty()),
            Some(meta) => {
                prop_assert_eq!(meta.stats.num_series, expected.len() as u64);
                let merged = Block::open(&dir.path().join(ulid.to_string())).unwrap();
                prop_assert_eq!(merged.verify(), []);
                prop_assert_eq!(read(merged), expected);
            }
        }
    }
}

#[test]
fn chunks_that_need_no_change_are_copied() {
    let dir = tempfile::tempdir().unwrap();
    let half = |from: i64| -> Data {
        let samples = (from..from + 500).map(|t| (t, (t * t) as f64)).collect();
        Data::from([(1, samples)])
    };
    let (a, b) = (half(0), half(1000));
    let blocks = [
        write(dir.path(), Ulid::from_parts(1, 1), &a, None),
        write(dir.path(), Ulid::from_parts(1, 2), &b, None),
    ];
    let ulid = Ulid::from_parts(2, 1);
    compact(&[&blocks[0], &blocks[1]], dir.path(), ulid, Overlap::Union)
        .unwrap()
        .unwrap();
    let merged = Block::open(&dir.path().join(ulid.to_string())).unwrap();
    let chunks = |block: &Block| -> Vec<_> {
        let series = block
            .select(&[], TimeRange::ALL)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        series
            .chunks
            .iter()
            .map(|c| block.chunk(c.reference).unwrap())
            .collect()
    };
    let before: Vec<_> = blocks.iter().flat_map(chunks).collect();
    assert_eq!(chunks(&merged), before);
}
