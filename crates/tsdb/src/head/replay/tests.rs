use std::fs;

use model::{Labels, Matcher, Sample, TimeRange, Value};

use super::*;
use crate::block::Interval;
use crate::chunk::{Chunk, Encoding, SeriesEncoder};
use crate::merge::merged_samples;
use crate::wal::head_chunks::{HeadChunkWriter, NewHeadChunk};
use crate::wal::record::{self, RefExemplar, RefMetadata, RefSample, RefSeries, RefTombstone};
use crate::wal::{MmapMarker, Writer, WriterOptions};

/// A data directory under construction.
struct Dir {
    dir: tempfile::TempDir,
    wal: Writer,
    wbl: Writer,
    chunks: HeadChunkWriter,
}

impl Dir {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = WriterOptions::default();
        Self {
            wal: Writer::open(&dir.path().join("wal"), options).unwrap(),
            wbl: Writer::open(&dir.path().join("wbl"), options).unwrap(),
            chunks: HeadChunkWriter::open(&dir.path().join("chunks_head")).unwrap(),
            dir,
        }
    }

    fn series(&mut self, series: u64, name: &str) {
        let labels = Labels::from_pairs([("__name__", name)]);
        let mut record = Vec::new();
        record::encode_series(&[RefSeries { series, labels }], &mut record);
        self.wal.log(&[record]).unwrap();
    }

    fn samples(&mut self, series: u64, times: &[i64]) {
        self.wal.log(&[samples(series, times)]).unwrap();
    }

    fn out_of_order(&mut self, series: u64, times: &[i64]) {
        self.wbl.log(&[samples(series, times)]).unwrap();
    }

    fn tombstone(&mut self, series: u64, min: i64, max: i64) {
        let mut record = Vec::new();
        record::encode_tombstones(&[RefTombstone { series, min, max }], &mut record);
        self.wal.log(&[record]).unwrap();
    }

    fn marker(&mut self, series: u64, chunk: u64) {
        let mut record = Vec::new();
        record::encode_markers(&[MmapMarker { series, chunk }], &mut record);
        self.wbl.log(&[record]).unwrap();
    }

    fn chunk(&mut self, series: u64, times: &[i64], out_of_order: bool) -> u64 {
        let mut encoder = SeriesEncoder::new();
        for &t in times {
            encoder.push_float(t, t as f64).unwrap();
        }
        let chunk = encoder.finish().unwrap().chunk;
        self.raw_chunk(series, times, &chunk, out_of_order)
    }

    fn raw_chunk(&mut self, series: u64, times: &[i64], chunk: &Chunk, out_of_order: bool) -> u64 {
        let chunk = NewHeadChunk {
            series,
            min_time: times[0],
            max_time: times[times.len() - 1],
            encoding: chunk.encoding,
            out_of_order,
            data: &chunk.data,
        };
        self.chunks.write(&chunk).unwrap()
    }

    fn replay(&self) -> (Head, ReplayReport) {
        // One worker, for some tests replay a thousand times; the golden directories take two.
        let options = ReplayOptions {
            workers: 1,
            ..ReplayOptions::default()
        };
        replay(self.dir.path(), &options).unwrap()
    }
}

fn samples(series: u64, times: &[i64]) -> Vec<u8> {
    let samples: Vec<_> = times
        .iter()
        .map(|&t| RefSample {
            series,
            t,
            value: t as f64,
        })
        .collect();
    let mut record = Vec::new();
    record::encode_samples(&samples, &mut record);
    record
}

/// Times of the samples of the only series called `name`; deleted ones left out.
fn times(head: &Head, name: &str) -> Vec<i64> {
    let found = head.select(&[Matcher::equal("__name__", name)], TimeRange::ALL);
    assert!(found.len() <= 1, "{found:?}");
    let Some(series) = found.first() else {
        return Vec::new();
    };
    merged_samples(series.chunks(TimeRange::ALL).unwrap())
        .map(|sample| match sample.unwrap() {
            Sample {
                t,
                value: Value::Float(v),
            } if v == t as f64 => t,
            other => panic!("invented: {other:?}"),
        })
        .filter(|t| !series.deleted().is_some_and(|d| d.contains(*t)))
        .collect()
}

#[test]
fn an_empty_directory_has_an_empty_head() {
    let dir = tempfile::tempdir().unwrap();
    let (head, report) = replay(dir.path(), &ReplayOptions::default()).unwrap();
    assert_eq!((head.series_count(), report.segments), (0, 0));
    assert_eq!(head.time_range(), None);
}

#[test]
fn head_chunks_come_first_and_the_wal_goes_on() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.chunk(1, &[10, 20], false);
    dir.samples(1, &[10, 20, 30]);
    dir.series(2, "b");
    dir.samples(2, &[5]);
    dir.samples(3, &[5]);
    let (head, report) = dir.replay();
    assert_eq!(times(&head, "a"), [10, 20, 30]);
    assert_eq!(times(&head, "b"), [5]);
    assert_eq!((report.head_chunks, report.unknown_series), (1, 1));
    assert_eq!(head.time_range(), Some(TimeRange::closed(5, 30)));
}

#[test]
fn two_references_of_the_same_labels_are_one_series() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.samples(1, &[10]);
    dir.series(7, "a");
    dir.chunk(7, &[20, 30], false);
    dir.samples(7, &[20, 30, 40]);
    dir.samples(1, &[50]);
    assert_eq!(times(&dir.replay().0, "a"), [10, 20, 30, 40, 50]);
}

#[test]
fn damaged_head_chunks_are_read_from_the_wal() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.samples(1, &[10, 20, 30, 40, 50]);
    dir.chunk(1, &[10, 20], false);
    dir.chunk(1, &[30, 40], false);
    drop(std::mem::replace(
        &mut dir.chunks,
        HeadChunkWriter::open(&dir.dir.path().join("chunks_head")).unwrap(),
    ));
    dir.chunk(1, &[50], false);
    let path = dir.dir.path().join("chunks_head/000001");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (head, report) = dir.replay();
    assert_eq!(times(&head, "a"), [10, 20, 30, 40, 50]);
    assert_eq!(report.head_chunks, 1);
    assert!(
        report.damage[0].to_string().contains("000001"),
        "{report:?}"
    );
}

#[test]
fn a_head_chunk_of_another_encoding_is_read_from_the_wal() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.samples(1, &[10, 20, 30]);
    let unreadable = Chunk {
        encoding: Encoding::Xor2,
        data: vec![1, 2, 3].into(),
    };
    dir.raw_chunk(1, &[10], &unreadable, false);
    dir.chunk(1, &[20], false);
    let marker = dir.raw_chunk(1, &[5], &unreadable, true);
    dir.out_of_order(1, &[5]);
    dir.marker(1, marker);
    let (head, report) = dir.replay();
    assert_eq!(times(&head, "a"), [5, 10, 20, 30]);
    assert_eq!(report.damage.len(), 1);
}

#[test]
fn out_of_order_samples_are_merged_and_markers_forget_them() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.samples(1, &[100, 200]);
    dir.out_of_order(1, &[50, 40]);
    let chunk = dir.chunk(1, &[40, 50], true);
    dir.marker(1, chunk);
    dir.out_of_order(1, &[150]);
    // The chunk that this one names never reached the disk.
    dir.marker(1, chunk + 1000);
    dir.out_of_order(9, &[1]);
    let (head, report) = dir.replay();
    assert_eq!(times(&head, "a"), [40, 50, 100, 150, 200]);
    assert_eq!(report.unknown_series, 1);
    let series = &head.select(&[], TimeRange::ALL)[0];
    assert_eq!(series.chunks(TimeRange::ALL).unwrap().len(), 3);
    let between = series.chunks(TimeRange::new(160, 180)).unwrap();
    assert_eq!(between.len(), 1);
}

/// Chunk files are written behind the log, so that a crash may leave the marker of a chunk and not the
/// chunk.
#[test]
fn a_marker_of_a_chunk_that_never_was_forgets_nothing() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.samples(1, &[100, 200]);
    let before = dir.chunk(1, &[100], false);
    dir.out_of_order(1, &[50, 40]);
    dir.marker(1, before + 1);
    dir.out_of_order(1, &[150]);
    dir.chunk(1, &[200], false);
    let (head, report) = dir.replay();
    assert_eq!(times(&head, "a"), [40, 50, 100, 150, 200]);
    assert!(report.damage.is_empty());
    drop(head);

    // Whoever writes there next makes it true, for readers that believe the marker.
    let path = dir.dir.path().to_owned();
    drop((dir.wal, dir.wbl, dir.chunks));
    let (head, _) = Head::open(&path, HeadOptions::default(), &mut |_| {}).unwrap();
    drop(head);
    let out_of_order = || {
        let mut found = Vec::new();
        for file in crate::wal::head_chunks::files(&path.join("chunks_head")).unwrap() {
            let bytes = fs::read(&file.path).unwrap();
            let chunks = crate::wal::head_chunks::HeadChunks::new(&bytes).unwrap();
            let chunks = chunks.map(Result::unwrap).filter(|c| c.out_of_order);
            found.extend(chunks.map(|c| (c.min_time, c.max_time)));
        }
        found
    };
    assert_eq!(out_of_order(), [(40, 50), (150, 150)]);
    // Once: later ones find that it is true.
    let (head, _) = Head::open(&path, HeadOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(times(&head, "a"), [40, 50, 100, 150, 200]);
    assert_eq!(out_of_order(), [(40, 50), (150, 150)]);
}

#[test]
fn deletes_hide_samples_and_dropped_series_begin_anew() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.samples(1, &[10, 20, 30, 40]);
    dir.tombstone(1, 15, 20);
    dir.tombstone(1, 21, 30);
    dir.series(2, "b");
    dir.samples(2, &[10, 20]);
    dir.tombstone(2, i64::MIN, i64::MAX);
    dir.series(3, "b");
    dir.samples(3, &[5, 15]);
    dir.series(4, "c");
    dir.samples(4, &[1]);
    dir.tombstone(4, i64::MIN, i64::MAX);
    let (head, _) = dir.replay();
    assert_eq!(times(&head, "a"), [10, 40]);
    let found = head.select(&[], TimeRange::ALL);
    let deleted = found[0].deleted().unwrap();
    assert_eq!(deleted.as_slice(), [Interval { min: 15, max: 30 }]);
    assert_eq!(times(&head, "b"), [5, 15]);
    assert!(times(&head, "c").is_empty());
    assert_eq!(head.series_count(), 2);
}

#[test]
fn what_blocks_hold_is_skipped() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.chunk(1, &[10, 20], false);
    dir.samples(1, &[10, 20, 99, 100, 110]);
    let options = ReplayOptions {
        min_valid_time: 100,
        workers: 1,
        ..ReplayOptions::default()
    };
    let (head, report) = replay(dir.dir.path(), &options).unwrap();
    assert_eq!(times(&head, "a"), [100, 110]);
    assert_eq!(report.head_chunks, 0);
}

#[test]
fn exemplars_and_metadata_are_kept() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    let exemplar = |t| RefExemplar {
        series: 1,
        t,
        value: 0.5,
        labels: Labels::from_pairs([("trace_id", "x")]),
    };
    let metadata = |help: &str| RefMetadata {
        series: 1,
        metric_type: 2,
        unit: "s".to_owned(),
        help: help.to_owned(),
    };
    let (mut exemplars, mut meta) = (Vec::new(), Vec::new());
    record::encode_exemplars(&[exemplar(1), exemplar(2), exemplar(3)], &mut exemplars);
    record::encode_metadata(&[metadata("old"), metadata("new")], &mut meta);
    dir.wal.log(&[exemplars, meta, vec![200, 1]]).unwrap();
    dir.samples(1, &[1]);
    let options = ReplayOptions {
        exemplars_max: 2,
        ..ReplayOptions::default()
    };
    let (head, report) = replay(dir.dir.path(), &options).unwrap();
    let kept = head.exemplars(&[Vec::new()], TimeRange::ALL);
    let kept: Vec<_> = kept[0].exemplars.iter().map(|e| e.t).collect();
    assert_eq!(kept, [2, 3]);
    let (name, metadata) = &head.metadata()[0];
    assert_eq!((&**name, &*metadata.help), ("a", "new"));
    assert_eq!(report.unknown_records, 1);
}

#[test]
fn checkpoints_come_before_the_segments_that_they_do_not_cover() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.samples(1, &[10, 20]);
    dir.wal.next_segment().unwrap();
    dir.samples(1, &[30]);
    let log = LogDir::new(&dir.dir.path().join("wal"));
    crate::wal::checkpoint::write(&log, 0, |_| true, 15, WriterOptions::default()).unwrap();
    // Segment 0 is still there, as after a crash before it is removed.
    assert_eq!(times(&dir.replay().0, "a"), [20, 30]);
    crate::wal::checkpoint::truncate(&log).unwrap();
    assert_eq!(times(&dir.replay().0, "a"), [20, 30]);
}

#[test]
fn damage_ends_its_log_only_and_a_torn_end_is_none() {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.samples(1, &[10]);
    dir.samples(1, &[20]);
    dir.wal.next_segment().unwrap();
    dir.samples(1, &[30]);
    dir.out_of_order(1, &[5]);
    let path = dir.dir.path().join("wal/00000000");
    let bytes = fs::read(&path).unwrap();
    // Inside of the last record.
    let mut damaged = bytes.clone();
    let at = damaged.iter().rposition(|&b| b != 0).unwrap();
    damaged[at] ^= 0x10;
    fs::write(&path, damaged).unwrap();
    let (head, report) = dir.replay();
    assert_eq!(times(&head, "a"), [5, 10]);
    assert_eq!((report.damage.len(), report.torn.len()), (1, 0));

    fs::write(&path, bytes).unwrap();
    let path = dir.dir.path().join("wal/00000001");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let (head, report) = dir.replay();
    assert_eq!(times(&head, "a"), [5, 10, 20]);
    assert_eq!((report.damage.len(), report.torn.len()), (0, 1));
}

/// A small directory that has something in every file.
fn everything() -> Dir {
    let mut dir = Dir::new();
    dir.series(1, "a");
    dir.series(2, "b");
    dir.samples(1, &[10, 20, 30]);
    dir.wal.next_segment().unwrap();
    let log = LogDir::new(&dir.dir.path().join("wal"));
    crate::wal::checkpoint::write(&log, 0, |_| true, 0, WriterOptions::default()).unwrap();
    crate::wal::checkpoint::truncate(&log).unwrap();
    dir.samples(2, &[100, 110]);
    dir.samples(1, &[40, 50, 60, 70]);
    dir.wal.next_segment().unwrap();
    dir.samples(2, &[120]);
    dir.chunk(1, &[10, 20, 30], false);
    let chunk = dir.chunk(2, &[5, 6], true);
    dir.chunk(1, &[40, 50], false);
    dir.out_of_order(2, &[5, 6]);
    dir.marker(2, chunk);
    dir.out_of_order(2, &[7, 105]);
    dir
}

/// All samples, which must not be invented.
fn all_samples(head: &Head) -> Vec<(String, i64)> {
    ["a", "b"]
        .iter()
        .flat_map(|name| times(head, name).into_iter().map(|t| (name.to_string(), t)))
        .collect()
}

/// Overwrites one byte in place: file systems flush files that are written anew.
fn poke(path: &Path, at: usize, byte: u8) {
    use std::os::unix::fs::FileExt;
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&[byte], at as u64).unwrap();
}

/// The samples when the log of the file `name` ends at `end`.
fn ends_at(dir: &Dir, name: &str, bytes: &[u8], end: usize) -> Vec<(String, i64)> {
    let path = |name: &str| dir.dir.path().join(name);
    fs::write(path(name), &bytes[..end]).unwrap();
    // Damage to a segment ends the log, damage to a checkpoint only that.
    let later = path("wal/00000002");
    let set_aside = path("set-aside");
    let ends_log = name == "wal/00000001";
    if ends_log {
        fs::rename(&later, &set_aside).unwrap();
    }
    let found = all_samples(&dir.replay().0);
    if ends_log {
        fs::rename(&set_aside, &later).unwrap();
    }
    fs::write(path(name), bytes).unwrap();
    found
}

#[test]
fn a_flip_of_any_byte_of_a_log_is_reported_and_invents_nothing() {
    let dir = everything();
    let sound = all_samples(&dir.replay().0);
    assert_eq!(sound.len(), 7 + 7);
    for name in [
        "wal/checkpoint.00000000/00000000",
        "wal/00000001",
        "wal/00000002",
        "wbl/00000000",
    ] {
        let path = dir.dir.path().join(name);
        let bytes = fs::read(&path).unwrap();
        // Where records end, and what there is when the log ends there.
        let mut prefixes = vec![(0, ends_at(&dir, name, &bytes, 0))];
        let mut reader = SegmentReader::new(&bytes[..]);
        while reader.next_record().unwrap().is_some() {
            let end = usize::try_from(reader.sound_end()).unwrap();
            prefixes.push((end, ends_at(&dir, name, &bytes, end)));
        }
        for (at, &byte) in bytes.iter().enumerate() {
            poke(&path, at, byte ^ (1 << (at % 8)));
            let (head, report) = dir.replay();
            let found = all_samples(&head);
            assert!(found.iter().all(|s| sound.contains(s)), "{name}, byte {at}");
            let errors = report.damage.iter().chain(&report.torn);
            let texts: Vec<_> = errors.map(ToString::to_string).collect();
            match &texts[..] {
                // The three bits of a fragment's type that carry nothing.
                [] => assert_eq!(found, sound, "{name}, byte {at}"),
                [text] => {
                    let says =
                        text.contains(name) && text.contains("offset") && text.contains("expected");
                    assert!(says, "{name}, byte {at}: {text}");
                }
                more => panic!("{name}, byte {at}: {more:?}"),
            }
            // What is before the damage is there: a log that ends there has no more.
            if !texts.is_empty() {
                let before = prefixes.partition_point(|(end, _)| *end <= at) - 1;
                assert_eq!(found, prefixes[before].1, "{name}, byte {at}");
            }
            poke(&path, at, byte);
        }
    }
}

#[test]
fn a_flip_of_any_byte_of_a_head_chunk_loses_nothing() {
    let dir = everything();
    let sound = all_samples(&dir.replay().0);
    let path = dir.dir.path().join("chunks_head/000001");
    let bytes = fs::read(&path).unwrap();
    for (at, &byte) in bytes.iter().enumerate() {
        poke(&path, at, byte ^ (1 << (at % 8)));
        let (head, report) = dir.replay();
        assert_eq!(all_samples(&head), sound, "byte {at}");
        let is_padding = (5..8).contains(&at);
        assert_eq!(
            report.damage.is_empty(),
            is_padding,
            "byte {at}: {report:?}"
        );
        poke(&path, at, byte);
    }
}
