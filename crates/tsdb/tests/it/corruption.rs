//! Damage to a block is reported with file, offset and expectation, and never changes a sample.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use model::{Histogram, Labels, Matcher, Sample, Span, TimeRange, Value};
use tsdb::block::{Block, BlockWriter, Interval, Meta, SEGMENT_SIZE, Tombstones};
use tsdb::chunk::{Chunk, SeriesEncoder, TimedChunk, aggregate, xor};
use tsdb::{Error, Result};

use crate::conformance::dump_fields;

fn histogram(k: i64) -> Value {
    Value::Histogram(Box::new(Histogram {
        schema: 1,
        count: 5 + k as u64,
        sum: k as f64,
        positive_spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        positive_buckets: vec![2 + k, 1],
        ..Histogram::default()
    }))
}

/// A block of two float series and a histogram series, one of them with a deleted interval.
fn small_block(parent: &Path) -> PathBuf {
    let ulid = ulid::Ulid::from_parts(1, 1);
    let mut writer = BlockWriter::with_segment_size(parent, ulid, SEGMENT_SIZE).unwrap();
    for symbol in ["1", "2", "__name__", "f", "h", "i"] {
        writer.add_symbol(symbol).unwrap();
    }
    for (name, i) in [("f", "1"), ("f", "2"), ("h", "1")] {
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        for k in 0..130 {
            let value = match name {
                "f" => Value::Float(k as f64),
                _ => histogram(k),
            };
            chunks.extend(encoder.push(&Sample { t: k * 10, value }).unwrap());
        }
        chunks.extend(encoder.finish());
        let labels = Labels::from_pairs([("__name__", name), ("i", i)]);
        writer.add_series(&labels, &chunks).unwrap();
    }
    writer
        .finish(Meta::new(ulid, TimeRange::new(0, 2000)))
        .unwrap();
    let path = parent.join(ulid.to_string());

    let block = Block::open(&path).unwrap();
    let mut tombstones = Tombstones::default();
    let series = block.index().all_postings().unwrap().next().unwrap();
    tombstones.add(u64::from(series.0), Interval { min: 100, max: 300 });
    tombstones.replace_in(&path).unwrap();
    path
}

type Lines = BTreeSet<(String, [String; 3])>;

/// Reads all samples by matchers, so that symbols, postings, series and chunks are all used; what
/// was read before an error is kept.
fn read(path: &Path, lines: &mut Lines) -> Result<()> {
    let block = Block::open(path)?;
    for name in ["f", "h"] {
        for series in block.select(&[Matcher::equal("__name__", name)], TimeRange::ALL)? {
            let series = series?;
            for meta in &series.chunks {
                let chunk = block.chunk(meta.reference)?;
                for sample in chunk.samples() {
                    let sample = sample.map_err(|d| d.in_file(path))?;
                    if !series.deleted.contains(sample.t) {
                        lines.insert((series.labels.to_string(), dump_fields(&sample)));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Damages `file` of the block with `damage` and checks what a reader makes of it.
fn check(path: &Path, file: &str, original: &Lines, bad: &[u8], what: &str) {
    let damaged = path.join(file);
    let sound = fs::read(&damaged).unwrap();
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, bad).unwrap();
    let mut lines = Lines::new();
    match read(path, &mut lines) {
        Ok(()) => assert!(
            lines == *original,
            "{file} {what}: samples were lost or invented"
        ),
        Err(e) => {
            assert!(
                lines.is_subset(original),
                "{file} {what}: samples were invented"
            );
            let text = e.to_string();
            assert!(text.contains(file), "{file} {what}: {text}");
            assert!(text.contains("expected"), "{file} {what}: {text}");
            let says_where = matches!(e, Error::Corrupt { .. }) || text.contains("version");
            assert!(says_where, "{file} {what}: {text}");
        }
    }
    if let Ok(block) = Block::open(path) {
        // Must not panic; what it reports is tested elsewhere.
        let _ = block.verify();
    }
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, sound).unwrap();
}

const FILES: [&str; 4] = ["meta.json", "index", "chunks/000001", "tombstones"];

#[test]
fn every_flipped_byte_is_reported_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let path = small_block(dir.path());
    let mut original = Lines::new();
    read(&path, &mut original).unwrap();
    assert_eq!(original.len(), 3 * 130 - 21);
    for file in FILES {
        let bytes = fs::read(path.join(file)).unwrap();
        for i in 0..bytes.len() {
            for flip in [1, 0x80] {
                let mut bad = bytes.clone();
                bad[i] ^= flip;
                check(&path, file, &original, &bad, &format!("byte {i} ^ {flip}"));
            }
        }
    }
}

#[test]
fn every_truncation_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = small_block(dir.path());
    let mut original = Lines::new();
    read(&path, &mut original).unwrap();
    for file in FILES {
        let bytes = fs::read(path.join(file)).unwrap();
        for len in 0..bytes.len() {
            check(
                &path,
                file,
                &original,
                &bytes[..len],
                &format!("cut to {len}"),
            );
        }
    }
}

/// What `verify` says when one thing is wrong.
fn problems(path: &Path) -> String {
    let problems = Block::open(path).unwrap().verify();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn verification_finds_what_reading_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = small_block(dir.path());
    assert_eq!(problems(&path), "");
    let meta = Block::open(&path).unwrap().meta().clone();
    let with_meta = |change: &dyn Fn(&mut Meta)| {
        let mut changed = meta.clone();
        change(&mut changed);
        changed.replace_in(&path).unwrap();
        let text = problems(&path);
        meta.replace_in(&path).unwrap();
        text
    };
    let text = with_meta(&|m| m.stats.num_samples += 1);
    assert!(
        text.contains("meta.json: numSamples is 391, where the block has 390"),
        "{text}"
    );
    let text = with_meta(&|m| m.max_time = 1290);
    assert!(
        text.contains("chunk 1200 to 1290 of {__name__=\"f\", i=\"1\"} is outside"),
        "{text}"
    );

    // A chunk more than series have, then a damaged one.
    let segment = path.join("chunks/000001");
    let bytes = fs::read(&segment).unwrap();
    let mut more = bytes.clone();
    more.extend_from_slice(&[0; 7]);
    fs::remove_file(&segment).unwrap();
    fs::write(&segment, &more).unwrap();
    let text = problems(&path);
    assert!(
        text.contains("bytes of chunks, where series have"),
        "{text}"
    );
    more.clone_from(&bytes);
    more[40] ^= 1;
    fs::write(&segment, &more).unwrap();
    let text = problems(&path);
    assert!(
        text.contains("000001 at offset") && text.contains("checksum of the chunk"),
        "{text}"
    );
    fs::write(&segment, &bytes).unwrap();

    let mut tombstones = Tombstones::default();
    tombstones.add(12345, Interval { min: 0, max: 1 });
    tombstones.replace_in(&path).unwrap();
    let text = problems(&path);
    assert!(text.contains("tombstone of series 12345"), "{text}");
}

/// Thanos leaves counts by kind as they were before downsampling, and once wrote aggregates of nothing.
#[test]
fn downsampled_blocks_of_thanos_are_sound() {
    let floats = |points: &[(i64, f64)]| -> Chunk {
        let mut encoder = xor::Encoder::new();
        points.iter().for_each(|(t, v)| encoder.append(*t, *v));
        encoder.chunk()
    };
    let write = |dir: &Path, sum: &[(i64, f64)]| {
        let ulid = ulid::Ulid::from_parts(1, 1);
        let mut writer = BlockWriter::create(dir, ulid).unwrap();
        for symbol in ["__name__", "f"] {
            writer.add_symbol(symbol).unwrap();
        }
        let counts = floats(&[(299, 5.0), (599, 4.0)]);
        let chunk = TimedChunk {
            min_time: 299,
            max_time: 599,
            chunk: aggregate::encode(&[Some(counts), Some(floats(sum)), None, None, None]),
        };
        let labels = Labels::from_pairs([("__name__", "f")]);
        writer.add_series(&labels, &[chunk]).unwrap();
        let meta = Meta::new(ulid, TimeRange::new(0, 600));
        let mut meta = writer.finish(meta).unwrap().unwrap();
        meta.stats.num_float_samples = 16_200;
        let path = dir.join(ulid.to_string());
        meta.replace_in(&path).unwrap();
        problems(&path)
    };
    let dir = || tempfile::tempdir().unwrap();
    assert_eq!(write(dir().path(), &[(299, 1.0), (599, 2.0)]), "");
    assert_eq!(write(dir().path(), &[]), "");
    let text = write(dir().path(), &[(299, 1.0), (500, 2.0)]);
    assert!(text.contains("samples are from 299 to 500"), "{text}");
}
