//! Checking the logs of a data directory in depth: WAL, WBL, checkpoint, head chunks.
//!
//! Blocks check themselves, see [`Block::verify`](crate::block::Block::verify).

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use crate::block::Problem;
use crate::chunk::{Chunk, Encoding};
use crate::error::{Error, Result};
use crate::wal::dir::{LogDir, Segment};
use crate::wal::head_chunks::{self, HeadChunks};
use crate::wal::record::Checker;
use crate::wal::segment::{SegmentError, SegmentReader};

/// What a check of the logs met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logs {
    /// Segments read, those of checkpoints included.
    pub segments: usize,
    /// Whole records in them.
    pub records: u64,
    /// Sound chunks in head chunk files.
    pub head_chunks: u64,
    /// Damage, at most one place for each file: what follows it cannot be told apart.
    pub problems: Vec<Problem>,
    /// A record at the end of a log that a crash cut short, which is no damage.
    pub torn: Vec<Problem>,
}

/// Reads every log in the data directory `dir`, any of which may be absent.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read; damage is part of the result.
pub fn logs(dir: &Path) -> Result<Logs> {
    let mut found = Logs::default();
    for name in ["wal", "wbl"] {
        log(&LogDir::new(&dir.join(name)), &mut found)?;
    }
    for file in head_chunks::files(&dir.join("chunks_head"))? {
        head_chunk_file(&file.path, &mut found)?;
    }
    Ok(found)
}

fn problem(file: &Path, offset: Option<u64>, what: impl Into<String>) -> Problem {
    Problem {
        file: file.to_owned(),
        offset,
        what: what.into(),
    }
}

fn log(log: &LogDir, found: &mut Logs) -> Result<()> {
    if let Some(checkpoint) = log.last_checkpoint()? {
        for file in LogDir::new(&checkpoint.path).segments()? {
            segment(&file, false, found)?;
        }
    }
    let segments = match log.segments() {
        Err(Error::Invalid(what)) => {
            found.problems.push(problem(log.path(), None, what));
            return Ok(());
        }
        segments => segments?,
    };
    for (i, file) in segments.iter().enumerate() {
        segment(file, i + 1 == segments.len(), found)?;
    }
    Ok(())
}

/// Reads a segment to its end or to the first damage.
fn segment(file: &Segment, is_last: bool, found: &mut Logs) -> Result<()> {
    found.segments += 1;
    let io = |e| Error::io("read", &file.path, e);
    let source = File::open(&file.path).map_err(|e| Error::io("open", &file.path, e))?;
    let mut reader = SegmentReader::new(BufReader::new(source));
    let mut checker = Checker::default();
    loop {
        let checked = match reader.next_record() {
            Ok(None) => return Ok(()),
            Ok(Some(record)) => checker.check(record),
            Err(SegmentError::Io(e)) => return Err(io(e)),
            Err(SegmentError::Damaged { corruption, torn }) => {
                let what = format!("expected {}", corruption.expected);
                let list = if torn && is_last {
                    &mut found.torn
                } else {
                    &mut found.problems
                };
                list.push(problem(&file.path, Some(corruption.offset), what));
                return Ok(());
            }
        };
        if let Err(corruption) = checked {
            let what = format!("a record that does not decode: {corruption}");
            found
                .problems
                .push(problem(&file.path, Some(reader.record_start()), what));
            return Ok(());
        }
        found.records += 1;
    }
}

fn head_chunk_file(path: &Path, found: &mut Logs) -> Result<()> {
    let bytes = fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let damage =
        |c: crate::Corruption| problem(path, Some(c.offset), format!("expected {}", c.expected));
    let mut chunks = match HeadChunks::new(&bytes) {
        Ok(chunks) => chunks,
        Err(corruption) => {
            found.problems.push(damage(corruption));
            return Ok(());
        }
    };
    for item in chunks.by_ref() {
        let chunk = match item {
            Ok(chunk) => chunk,
            Err(corruption) => {
                found.problems.push(damage(corruption));
                return Ok(());
            }
        };
        let at = u64::from(chunk.offset);
        let readable = Encoding::from_byte(chunk.encoding)
            .ok_or_else(|| format!("unknown chunk encoding {}", chunk.encoding))
            .and_then(|e| e.check_readable().map(|()| e).map_err(|e| e.to_string()));
        let checked = readable.and_then(|encoding| {
            let data = bytes::Bytes::copy_from_slice(&bytes[chunk.data.clone()]);
            let decoded = Chunk { encoding, data };
            decoded
                .samples()
                .try_for_each(|s| s.map(drop))
                .map_err(|c| c.to_string())
        });
        match checked {
            Ok(()) => found.head_chunks += 1,
            Err(what) => found.problems.push(problem(path, Some(at), what)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::{Writer, WriterOptions};

    #[test]
    fn damage_is_told_from_a_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        let wal = dir.path().join("wal");
        let mut writer = Writer::open(&wal, WriterOptions::default()).unwrap();
        // A record of an unknown type is sound.
        let record: [u8; 40] = std::array::from_fn(|i| 99 + i as u8);
        writer.log(&[record, record]).unwrap();
        drop(writer);
        let sound = logs(dir.path()).unwrap();
        assert_eq!((sound.segments, sound.records), (1, 2));
        assert!(sound.problems.is_empty() && sound.torn.is_empty());

        let path = wal.join("00000000");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..60]).unwrap();
        let torn = logs(dir.path()).unwrap();
        assert_eq!(
            (torn.records, torn.problems.len(), torn.torn.len()),
            (1, 0, 1)
        );

        let mut flipped = whole;
        flipped[10] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let damaged = logs(dir.path()).unwrap();
        assert_eq!((damaged.records, damaged.problems.len()), (0, 1));
        assert_eq!(damaged.problems[0].file, path);
    }
}
