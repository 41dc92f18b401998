//! Data directories that Prometheus wrote, with everything still in the logs.

use std::path::{Path, PathBuf};
use std::{fs, time};

use model::TimeRange;
use tsdb::block::Block;
use tsdb::db::DataDir;
use tsdb::db::dump::Line;

use crate::conformance::{dump_lines, tsdb_dir};

fn lines(dir: &DataDir, range: TimeRange) -> Vec<String> {
    let mut lines = Vec::new();
    for series in dir.select(&[], range).unwrap() {
        let series = series.unwrap();
        let mut line = Line::new(series.labels());
        lines.extend(series.samples().map(|s| line.of(&s.unwrap()).to_owned()));
    }
    lines
}

/// Every file below `dir` with its size and when it was last written to.
fn files(dir: &Path) -> Vec<(PathBuf, u64, time::SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path, metadata.len(), metadata.modified().unwrap()));
        }
    }
    found
}

#[test]
fn every_sample_is_that_of_the_dump() {
    let Some(dir) = tsdb_dir() else { return };
    for name in ["wal_none", "wal_snappy", "wal_zstd", "compacted"] {
        let mut expected = dump_lines(&dir.join(format!("{name}.dump.tsv.gz")));
        let before = files(&dir.join(name));
        let opened = DataDir::open(&dir.join(name), 2).unwrap();
        let report = opened.report();
        assert!(report.unreadable_blocks.is_empty(), "{report:?}");
        assert!(report.replay.damage.is_empty() && report.replay.torn.is_empty());
        assert_eq!(report.replay.unknown_series, 0);
        assert_eq!(files(&dir.join(name)), before, "a view does not write");
        let mut found = lines(&opened, TimeRange::ALL);
        expected.sort_unstable();
        found.sort_unstable();
        let mut different = 0;
        for (e, f) in expected.iter().zip(&found) {
            if e != f {
                different += 1;
                if different < 10 {
                    eprintln!("-{e}\n+{f}");
                }
            }
        }
        assert_eq!((different, found.len()), (0, expected.len()), "{name}");
    }
}

#[test]
fn every_line_of_a_block_is_in_its_dump() {
    let Some(dir) = tsdb_dir() else { return };
    for name in ["float", "hist", "fhist", "nhcb", "utf8"] {
        let parent = dir.join("blocks").join(name);
        let block = fs::read_dir(&parent)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let opened = DataDir::of_block(Block::open(&block).unwrap());
        let mut expected = dump_lines(&dir.join(format!("blocks/{name}.dump.tsv.gz")));
        let mut found = lines(&opened, TimeRange::ALL);
        expected.sort_unstable();
        found.sort_unstable();
        assert!(found == expected, "{name}");
    }
}
