//! Blocks that Prometheus wrote: read, verified and written again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Labels, Matcher, Sample, TimeRange};
use tsdb::Result;
use tsdb::block::{Block, BlockWriter, ChunkReader, Interval, Meta, TOMBSTONES_FILE, Tombstones};
use tsdb::chunk::{SeriesEncoder, TimedChunk};
use tsdb::index::{Reader, SeriesEntry};
use tsdb::source::Memory;

use crate::conformance::{dump_fields, dump_lines, tsdb_dir};

/// The directories inside `dir` that are blocks.
pub(crate) fn block_dirs(dir: &Path) -> Vec<PathBuf> {
    let mut blocks: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("meta.json").is_file())
        .collect();
    blocks.sort();
    assert!(!blocks.is_empty(), "no blocks in {}", dir.display());
    blocks
}

fn golden_blocks(dir: &Path) -> Vec<PathBuf> {
    [
        "blocks/float",
        "blocks/utf8",
        "blocks/hist",
        "blocks/fhist",
        "blocks/nhcb",
        "compacted",
    ]
    .iter()
    .flat_map(|name| block_dirs(&dir.join(name)))
    .collect()
}

/// The block in `dir` with other tombstones than its own.
fn open_with(dir: &Path, tombstones: Tombstones) -> Block {
    let meta = Block::open(dir).unwrap().meta().clone();
    let index = Arc::new(Memory::map(&dir.join("index")).unwrap());
    let chunks = ChunkReader::open(&dir.join("chunks")).unwrap();
    Block::new(meta, Reader::open(index).unwrap(), chunks, tombstones)
}

/// Every sample that is not deleted.
pub(crate) fn samples(block: &Block) -> Result<Vec<(Labels, Sample)>> {
    let mut all = Vec::new();
    for series in block.select(&[], TimeRange::ALL)? {
        let series = series?;
        for meta in &series.chunks {
            let chunk = block.chunk(meta.reference)?;
            for sample in chunk.samples() {
                let segment = Path::new("a chunk");
                let sample = sample.map_err(|d| d.in_file(segment))?;
                if !series.deleted.contains(sample.t) {
                    all.push((series.labels.clone(), sample));
                }
            }
        }
    }
    Ok(all)
}

/// Writes what `block` holds as a block of the same name into `parent`.
fn rewrite(block: &Block, parent: &Path, segment_size: u64) -> PathBuf {
    let meta = block.meta().clone();
    let ulid = meta.ulid;
    let mut writer = BlockWriter::with_segment_size(parent, ulid, segment_size).unwrap();
    block
        .index()
        .for_each_symbol(|symbol| writer.add_symbol(symbol))
        .unwrap();
    let mut walk = block.index().walk();
    let mut entry = SeriesEntry::default();
    while walk.next_into(&mut entry).unwrap().is_some() {
        let chunks: Vec<TimedChunk> = entry
            .chunks
            .iter()
            .map(|meta| TimedChunk {
                min_time: meta.min_time,
                max_time: meta.max_time,
                chunk: block.chunk(meta.reference).unwrap(),
            })
            .collect();
        let labels = block.index().labels(&entry).unwrap();
        writer.add_series(&labels, &chunks).unwrap();
    }
    writer.finish(meta).unwrap().unwrap();
    parent.join(ulid.to_string())
}

/// A block of float series; `value` gives the sample of a series at a time, if there is one.
pub(crate) fn write_floats(
    parent: &Path,
    range: TimeRange,
    series: &BTreeSet<Labels>,
    samples: impl Fn(usize) -> Vec<(i64, f64)>,
) -> PathBuf {
    let ulid = ulid::Ulid::from_parts(1_700_000_000_000, 7);
    let mut writer = BlockWriter::create(parent, ulid).unwrap();
    let symbols: BTreeSet<&str> = series
        .iter()
        .flat_map(|l| l.iter().flat_map(|(n, v)| [n, v]))
        .collect();
    for symbol in symbols {
        writer.add_symbol(symbol).unwrap();
    }
    for (i, labels) in series.iter().enumerate() {
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        for (t, v) in samples(i) {
            chunks.extend(encoder.push_float(t, v).unwrap());
        }
        chunks.extend(encoder.finish());
        writer.add_series(labels, &chunks).unwrap();
    }
    writer.finish(Meta::new(ulid, range)).unwrap().unwrap();
    parent.join(ulid.to_string())
}

fn dump_line((labels, sample): &(Labels, Sample)) -> [String; 4] {
    let [t, kind, fields] = dump_fields(sample);
    [labels.to_string(), t, kind, fields]
}

fn lines(block: &Block) -> Vec<[String; 4]> {
    samples(block).unwrap().iter().map(dump_line).collect()
}

/// A dump's line without the value as people read it.
fn essence(line: &str) -> [String; 4] {
    let columns: Vec<&str> = line.split('\t').collect();
    [columns[0], columns[1], columns[2], columns[4]].map(str::to_owned)
}

#[test]
fn every_sample_of_a_block_is_in_its_dump() {
    let Some(dir) = tsdb_dir() else { return };
    for name in ["float", "utf8", "hist", "fhist", "nhcb"] {
        let blocks = block_dirs(&dir.join("blocks").join(name));
        let mut read: Vec<_> = blocks
            .iter()
            .flat_map(|b| lines(&Block::open(b).unwrap()))
            .collect();
        let mut dump: Vec<_> = dump_lines(&dir.join(format!("blocks/{name}.dump.tsv.gz")))
            .iter()
            .map(|l| essence(l))
            .collect();
        read.sort();
        dump.sort();
        assert!(
            read == dump,
            "{name}: {} and {} samples",
            read.len(),
            dump.len()
        );
    }
}

#[test]
fn every_sample_of_compacted_blocks_is_in_the_dump_of_the_directory() {
    let Some(dir) = tsdb_dir() else { return };
    // The hint depends on what is merged in between.
    let without_hint = |[labels, t, kind, fields]: [String; 4]| {
        let rest = fields.strip_prefix("hint=").and_then(|f| f.split_once(' '));
        let fields = rest.map_or(fields.clone(), |(_, rest)| rest.to_owned());
        [labels, t, kind, fields]
    };
    let dump: BTreeSet<_> = dump_lines(&dir.join("compacted.dump.tsv.gz"))
        .iter()
        .map(|line| without_hint(essence(line)))
        .collect();
    let mut compared = 0;
    for block in block_dirs(&dir.join("compacted")) {
        for line in lines(&Block::open(&block).unwrap()) {
            let line = without_hint(line);
            assert!(dump.contains(&line), "{line:?} is not in the dump");
            compared += 1;
        }
    }
    assert!(compared > 17_000, "only {compared} samples");
}

#[test]
fn blocks_are_written_to_the_bytes_that_prometheus_wrote() {
    let Some(dir) = tsdb_dir() else { return };
    for golden in golden_blocks(&dir) {
        let block = Block::open(&golden).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let ours = rewrite(&block, parent.path(), tsdb::block::SEGMENT_SIZE);
        for file in ["index", "chunks/000001", "meta.json", TOMBSTONES_FILE] {
            // Deletions are the caller's to carry over.
            if !block.tombstones().is_empty() && ["meta.json", TOMBSTONES_FILE].contains(&file) {
                continue;
            }
            let (theirs, ours) = (golden.join(file), ours.join(file));
            assert!(
                fs::read(&theirs).unwrap() == fs::read(ours).unwrap(),
                "{}",
                theirs.display()
            );
        }
        assert_eq!(
            fs::read_dir(parent.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }
}

#[test]
fn small_segments_hold_the_same_chunks() {
    let Some(dir) = tsdb_dir() else { return };
    for golden in golden_blocks(&dir) {
        let block = Block::open(&golden).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let ours = Block::open(&rewrite(&block, parent.path(), 2000)).unwrap();
        assert!(ours.chunks().segments().len() > 1 || block.meta().stats.num_chunks < 20);
        assert_eq!(ours.verify(), []);
        let theirs = open_with(&golden, Tombstones::default());
        assert!(lines(&ours) == lines(&theirs), "{}", golden.display());
    }
}

#[test]
fn blocks_of_prometheus_pass_verification_and_their_files_are_rewritten_alike() {
    let Some(dir) = tsdb_dir() else { return };
    for golden in golden_blocks(&dir) {
        let block = Block::open(&golden).unwrap();
        assert_eq!(block.verify(), [], "{}", golden.display());
        let meta = fs::read(golden.join("meta.json")).unwrap();
        assert_eq!(block.meta().to_bytes(), meta, "{}", golden.display());
        let tombstones = fs::read(golden.join(TOMBSTONES_FILE)).unwrap();
        assert_eq!(
            block.tombstones().encode(),
            tombstones,
            "{}",
            golden.display()
        );
    }
}

#[test]
fn selection_honours_matchers_time_and_tombstones() {
    let Some(dir) = tsdb_dir() else { return };
    let golden = &block_dirs(&dir.join("blocks/float"))[0];
    let block = Block::open(golden).unwrap();
    let all: Vec<_> = block
        .select(&[], TimeRange::ALL)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(all.len(), 5);
    let first = &all[0];
    let [_, second, ..] = first.chunks[..] else {
        panic!("several chunks")
    };

    let matchers = [
        Matcher::equal("i", "0"),
        Matcher::equal("__name__", "m_float"),
    ];
    let select = |block: &Block, range| -> Vec<_> {
        block
            .select(&matchers, range)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let only = select(&block, TimeRange::closed(second.min_time, second.min_time));
    assert_eq!(only[0].chunks, [second]);
    let between = TimeRange::new(first.chunks[0].max_time + 1, second.min_time);
    assert_eq!(select(&block, between), []);

    let mut deleted = Tombstones::default();
    let interval = Interval {
        min: second.min_time,
        max: i64::MAX,
    };
    deleted.add(u64::from(first.reference.0), interval);
    let block = open_with(golden, deleted);
    let left = select(&block, TimeRange::ALL);
    assert_eq!(left[0].chunks, first.chunks[..1]);
    assert_eq!(left[0].deleted.as_slice(), [interval]);
    assert_eq!(block.verify(), []);
}

#[test]
fn an_aborted_or_empty_block_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ulid = ulid::Ulid::from_parts(1, 1);
    let labels = Labels::from_pairs([("a", "b")]);
    let chunk = |t: i64| {
        let mut encoder = SeriesEncoder::new();
        encoder.push_float(t, 1.0).unwrap();
        encoder.finish().unwrap()
    };
    let start = || {
        let mut writer = BlockWriter::create(dir.path(), ulid).unwrap();
        writer.add_symbol("a").unwrap();
        writer.add_symbol("b").unwrap();
        assert!(writer.tmp_dir().is_dir());
        writer
    };
    let is_empty = || fs::read_dir(dir.path()).unwrap().next().is_none();
    let meta = || Meta::new(ulid, TimeRange::new(0, 100));

    drop(start());
    assert!(is_empty());
    let mut empty = start();
    empty.add_series(&labels, &[]).unwrap();
    assert_eq!(empty.finish(meta()).unwrap(), None);
    assert!(is_empty());
    let mut outside = start();
    outside.add_series(&labels, &[chunk(100)]).unwrap();
    let err = outside.finish(meta()).unwrap_err().to_string();
    assert!(
        err.contains("outside of the block's range [0, 100)"),
        "{err}"
    );
    assert!(is_empty());
    let mut whole = start();
    whole.add_series(&labels, &[chunk(99)]).unwrap();
    let meta = whole.finish(meta()).unwrap().unwrap();
    assert_eq!(
        (meta.stats.num_samples, meta.stats.num_float_samples),
        (1, 1)
    );
    assert!(dir.path().join(ulid.to_string()).is_dir());
}

#[test]
fn a_missing_segment_and_a_missing_tombstones_file() {
    let dir = tempfile::tempdir().unwrap();
    let series = (0..30)
        .map(|i| Labels::from_pairs([("i", i.to_string())]))
        .collect();
    let path = write_floats(dir.path(), TimeRange::new(0, 1000), &series, |i| {
        (0..50)
            .map(|t| (t * 10, (i as f64).sqrt() * t as f64))
            .collect()
    });
    fs::remove_file(path.join(TOMBSTONES_FILE)).unwrap();
    let block = Block::open(&path).unwrap();
    assert!(block.tombstones().is_empty());
    let parent = tempfile::tempdir().unwrap();
    let many = rewrite(&block, parent.path(), 500);
    assert!(many.join("chunks/000003").is_file());
    fs::remove_file(many.join("chunks/000002")).unwrap();
    let err = Block::open(&many).unwrap_err().to_string();
    assert!(err.contains("expected segment 000002"), "{err}");
}
