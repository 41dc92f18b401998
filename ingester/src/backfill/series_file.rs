//! The labels of all series on disk, by number, for the run that makes the blocks.
//!
//! ```text
//! { labels uvarint | { len uvarint | name | len uvarint | value }* }* | crc32c u32
//! ```

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use model::Labels;
use tsdb::cursor::{Cursor, crc32c, put_uvarint, put_uvarint_str};
use tsdb::{Corruption, Error, Result};

fn path_in(dir: &Path) -> PathBuf {
    dir.join("series")
}

/// Writes the labels, synced.
pub(super) fn write(dir: &Path, series: &[Labels]) -> Result<()> {
    let mut out = Vec::new();
    for labels in series {
        put_uvarint(&mut out, labels.len() as u64);
        for (name, value) in labels {
            put_uvarint_str(&mut out, name);
            put_uvarint_str(&mut out, value);
        }
    }
    let crc = crc32c(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    let path = path_in(dir);
    File::create(&path)
        .and_then(|mut file| {
            file.write_all(&out)?;
            file.sync_all()
        })
        .map_err(|e| Error::io("write", &path, e))
}

/// Reads the labels back.
pub(super) fn read(dir: &Path) -> Result<Vec<Labels>> {
    let path = path_in(dir);
    let bytes = fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    parse(&bytes).map_err(|c| c.in_file(&path))
}

fn parse(bytes: &[u8]) -> Result<Vec<Labels>, Corruption> {
    let mut cursor = Cursor::new(bytes);
    let body = cursor.take(bytes.len().saturating_sub(4), "labels of series")?;
    if cursor.be32("a checksum")? != crc32c(body) {
        return Err(Corruption::new(0, "series that match their checksum"));
    }
    let mut cursor = Cursor::new(body);
    let mut series = Vec::new();
    let mut pairs = Vec::new();
    while !cursor.is_empty() {
        pairs.clear();
        for _ in 0..cursor.uvarint("a number of labels")? {
            let name = cursor.uvarint_str("a label name")?;
            pairs.push((name, cursor.uvarint_str("a label value")?));
        }
        series.push(Labels::from_pairs(pairs.iter().copied()));
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_survive_and_damage_is_noticed() {
        let series = [
            Labels::from_pairs([("__name__", "a"), ("b", "é\n")]),
            Labels::empty(),
            Labels::from_pairs([("__name__", "c")]),
        ];
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &series).unwrap();
        assert_eq!(read(dir.path()).unwrap(), series);
        let mut bytes = fs::read(path_in(dir.path())).unwrap();
        bytes[4] ^= 1;
        assert!(parse(&bytes).is_err());
        assert!(parse(&bytes[..3]).is_err());
    }
}
