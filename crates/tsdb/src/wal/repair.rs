//! Repairing a log: every whole record before the damage stays, everything else is set aside.
//!
//! Records after damage cannot be trusted to make sense: the series that they refer to may have
//! been in what is lost. Prometheus deletes them; here the damaged segment and all later ones are
//! moved, unchanged, into `quarantine/` within the log's directory, which readers ignore, and the
//! sound beginning of the damaged segment takes its place. A record that the end of the last
//! segment cuts off, as a crash leaves it, was never whole: it is cut away without further ado.
//!
//! Head chunk files are set aside whole: the log still has what they hold.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::PAGE_SIZE;
use super::SegmentReader;
use super::dir::{LogDir, Segment};
use super::head_chunks::{self, HeadChunks};
use super::record;
use super::segment::SegmentError;
use crate::durable::{self, sync_dir};
use crate::error::{Error, Result};

/// The directory within a log that takes what a repair sets aside.
pub const QUARANTINE: &str = "quarantine";

/// What a repair found and did.
#[derive(Debug)]
pub enum Outcome {
    /// All segments read without an error.
    Sound,
    /// The last segment ended within a record, as after a crash; it now ends before it.
    CutTornRecord {
        /// The segment.
        segment: PathBuf,
        /// Its size before.
        size_before: u64,
        /// Bytes that it keeps, without padding.
        size_after: u64,
    },
    /// Damage was found and set aside.
    SetAside {
        /// The damage: file, offset, what was expected.
        damage: Error,
        /// The damaged file and those after it, and where each is now.
        moved: Vec<(PathBuf, PathBuf)>,
    },
}

/// The first damage of a log.
struct Found {
    /// Position in the list of segments.
    at: usize,
    /// Bytes of whole records in that segment.
    sound_end: u64,
    torn: bool,
    damage: Error,
}

/// Repairs the log in `log`, if it needs it. Nobody may be writing to it.
///
/// Interrupted at any point, the log can be repaired again and nothing is lost.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read, written or moved.
pub fn repair(log: &LogDir) -> Result<Outcome> {
    let segments = log.segments()?;
    let Some(found) = find_damage(&segments)? else {
        return Ok(Outcome::Sound);
    };
    let damaged = &segments[found.at];
    if found.torn && found.at + 1 == segments.len() {
        return cut(&damaged.path, found.sound_end);
    }
    let quarantine = make_quarantine(log.path())?;
    let mut moved = set_aside(&segments[found.at + 1..], &quarantine)?;
    let to = free_name(&quarantine, &damaged.path);
    keep_prefix(damaged, found.sound_end, &to)
        .and_then(|()| sync_dir(&quarantine))
        .and_then(|()| sync_dir(log.path()))
        .map_err(|e| Error::io("repair", &damaged.path, e))?;
    moved.insert(0, (damaged.path.clone(), to));
    Ok(Outcome::SetAside {
        damage: found.damage,
        moved,
    })
}

/// Repairs one segment of a log that is being written to, if it needs it; not the last one. Its
/// sound beginning takes its place; later segments stay, for the writer still has what they lack.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read, written or moved.
pub fn repair_segment(segment: &Segment, quarantine_in: &Path) -> Result<Outcome> {
    let Some(found) = find_damage(std::slice::from_ref(segment))? else {
        return Ok(Outcome::Sound);
    };
    let quarantine = make_quarantine(quarantine_in)?;
    let to = free_name(&quarantine, &segment.path);
    keep_prefix(segment, found.sound_end, &to)
        .and_then(|()| sync_dir(&quarantine))
        .map_err(|e| Error::io("repair", &segment.path, e))?;
    Ok(Outcome::SetAside {
        damage: found.damage,
        moved: vec![(segment.path.clone(), to)],
    })
}

/// Repairs the head chunk files in `dir`: the first damaged one and all later ones are set aside. A
/// replay then takes their samples from the log.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read or moved.
pub fn repair_head_chunks(dir: &Path) -> Result<Outcome> {
    let files = head_chunks::files(dir)?;
    for (at, file) in files.iter().enumerate() {
        let bytes = fs::read(&file.path).map_err(|e| Error::io("read", &file.path, e))?;
        let damage = match HeadChunks::new(&bytes) {
            Ok(mut chunks) => chunks.find_map(Result::err),
            Err(corruption) => Some(corruption),
        };
        if let Some(corruption) = damage {
            let quarantine = make_quarantine(dir)?;
            let moved = set_aside(&files[at..], &quarantine)?;
            sync_dir(&quarantine)
                .and_then(|()| sync_dir(dir))
                .map_err(|e| Error::io("sync", dir, e))?;
            return Ok(Outcome::SetAside {
                damage: corruption.in_file(&file.path),
                moved,
            });
        }
    }
    Ok(Outcome::Sound)
}

fn make_quarantine(dir: &Path) -> Result<PathBuf> {
    let quarantine = dir.join(QUARANTINE);
    durable::create_dir_all(&quarantine).map_err(|e| Error::io("create", &quarantine, e))?;
    Ok(quarantine)
}

/// Moves files, and says whence and whither. From the last on, so that what stays has no gap.
fn set_aside(files: &[Segment], quarantine: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut moved = Vec::new();
    for file in files.iter().rev() {
        let to = free_name(quarantine, &file.path);
        fs::rename(&file.path, &to).map_err(|e| Error::io("move", &file.path, e))?;
        moved.push((file.path.clone(), to));
    }
    moved.reverse();
    Ok(moved)
}

/// Reads everything, and decodes every record, up to the first damage.
fn find_damage(segments: &[Segment]) -> Result<Option<Found>> {
    for (at, segment) in segments.iter().enumerate() {
        let file = File::open(&segment.path).map_err(|e| Error::io("open", &segment.path, e))?;
        let mut reader = SegmentReader::new(file);
        let mut checker = record::Checker::default();
        loop {
            let sound_end = reader.sound_end();
            let (corruption, torn) = match reader.next_record() {
                Ok(None) => break,
                Ok(Some(bytes)) => match checker.check(bytes) {
                    Ok(()) => continue,
                    Err(in_record) => (in_record.shift(reader.record_start()), false),
                },
                Err(SegmentError::Io(e)) => return Err(Error::io("read", &segment.path, e)),
                Err(SegmentError::Damaged { corruption, torn }) => (corruption, torn),
            };
            return Ok(Some(Found {
                at,
                sound_end,
                torn,
                damage: corruption.in_file(&segment.path),
            }));
        }
    }
    Ok(None)
}

/// Cuts a segment in place and pads its last page.
fn cut(path: &Path, sound_end: u64) -> Result<Outcome> {
    let io = |e| Error::io("cut", path, e);
    let mut file = File::options().append(true).open(path).map_err(io)?;
    let size_before = file.metadata().map_err(io)?.len();
    file.set_len(sound_end)
        .and_then(|()| file.write_all(&padding(sound_end)))
        .and_then(|()| file.sync_all())
        .map_err(io)?;
    Ok(Outcome::CutTornRecord {
        segment: path.to_owned(),
        size_before,
        size_after: sound_end,
    })
}

/// Zeroes that fill the page in which a segment of `len` bytes ends.
fn padding(len: u64) -> Vec<u8> {
    let page = PAGE_SIZE as u64;
    let missing = len.next_multiple_of(page) - len;
    vec![0; usize::try_from(missing).expect("less than a page")]
}

/// Replaces `segment` by its first `len` bytes; the whole of it is then at `to`.
fn keep_prefix(segment: &Segment, len: u64, to: &Path) -> io::Result<()> {
    let unfinished = segment.path.with_extension("repair.tmp");
    let mut prefix = File::create(&unfinished)?;
    let mut source = File::open(&segment.path)?.take(len);
    io::copy(&mut source, &mut prefix)?;
    prefix.write_all(&padding(len))?;
    prefix.sync_all()?;
    // A second name before the first is taken over: at no time is either content without a name.
    fs::hard_link(&segment.path, to)?;
    fs::rename(&unfinished, &segment.path)
}

/// A name in `quarantine` that nothing has yet.
fn free_name(quarantine: &Path, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (0u32..)
        .map(|n| match n {
            0 => quarantine.join(format!("{name}.corrupt")),
            n => quarantine.join(format!("{name}.corrupt.{n}")),
        })
        .find(|candidate| !candidate.exists())
        .expect("some number is free")
}

#[cfg(test)]
mod tests;
