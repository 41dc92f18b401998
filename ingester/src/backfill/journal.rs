//! What a run of backfilling promised and did, so that no run writes a block twice.
//!
//! The folder `.promontory-backfill` in the output directory holds one record for each input that
//! was read to its end, named by the input's digest and the duration of a block:
//!
//! - A record is written after the input was read and its samples are safe in spill files, and
//!   names the ULID of every block before the first is made. From then on a block is made only
//!   under its ULID and only if it was not made yet, so a run that goes on after a kill neither
//!   skips nor doubles one. Before then no block exists and a run starts over.
//! - A record stays when all is done; the same input is then known and not read into blocks again,
//!   even when Prometheus has compacted the blocks into others since.
//!
//! Beside the records lie spill files: in `reading` while an input is read, and in `NAME.spill` from
//! the time that the record `NAME.json` is written until its last block is made.
//!
//! Records are small; deleting the folder forgets them, nothing else. Prometheus and Thanos ignore
//! it, as its name is no ULID.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use tsdb::{Error, Result, durable};
use ulid::Ulid;

use super::input::Digest;

/// Folder in the output directory with what runs before did; deleting it forgets them.
pub const DIR: &str = ".promontory-backfill";

/// One input and the blocks made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Version of this form; 1.
    version: u32,
    /// Number of bytes of the input.
    bytes: u64,
    /// XXH3 (64 bits) over the input, in hexadecimal.
    xxh3: String,
    /// Where the input was a file: which, so that a resumed run need not read it again.
    pub(super) file: Option<FileStamp>,
    /// Duration of a block.
    duration_ms: i64,
    /// Labels that were added to every series.
    labels: Vec<(String, String)>,
    /// Every block, in order of time.
    pub(super) blocks: Vec<PlannedBlock>,
}

/// A block and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlannedBlock {
    /// Start of its range divided by the duration.
    pub(super) number: i64,
    /// Its name.
    pub(super) ulid: Ulid,
    /// It is in the output directory, or was.
    pub(super) done: bool,
}

/// A file as the system describes it; the same stamp means the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    path: PathBuf,
    bytes: u64,
    modified_ns: u64,
}

impl FileStamp {
    /// Describes an open file; `None` for a pipe or device, whose bytes are not known beforehand.
    ///
    /// # Errors
    /// [`Error::Io`] when the system does not tell.
    pub fn of(path: &Path, file: &File) -> Result<Option<Self>> {
        let describe = || {
            let meta = file.metadata()?;
            if !meta.is_file() {
                return Ok(None);
            }
            let modified = meta.modified()?.duration_since(UNIX_EPOCH);
            Ok(Some(Self {
                path: path.canonicalize()?,
                bytes: meta.len(),
                modified_ns: modified.map_or(0, |d| d.as_nanos() as u64),
            }))
        };
        describe().map_err(|e| Error::io("describe", path, e))
    }

    /// Size of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What has to be alike for a record to be about the same work.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) duration_ms: i64,
    pub(super) labels: Vec<(String, String)>,
}

impl Record {
    pub(super) fn new(
        digest: Digest,
        file: Option<FileStamp>,
        settings: Settings,
        blocks: Vec<PlannedBlock>,
    ) -> Self {
        Self {
            version: 1,
            bytes: digest.bytes,
            xxh3: format!("{:016x}", digest.hash),
            file,
            duration_ms: settings.duration_ms,
            labels: settings.labels,
            blocks,
        }
    }

    /// Name of the record's file and of its spill, without what follows the point.
    fn stem(&self) -> String {
        let first = self
            .blocks
            .first()
            .map_or_else(|| "empty".to_owned(), |block| block.ulid.to_string());
        format!("{}-{first}", self.xxh3)
    }

    pub(super) fn is_done(&self) -> bool {
        self.blocks.iter().all(|b| b.done)
    }

    fn is_of(&self, digest: Digest, settings: &Settings) -> bool {
        self.bytes == digest.bytes
            && self.xxh3 == format!("{:016x}", digest.hash)
            && self.fits(settings)
    }

    fn fits(&self, settings: &Settings) -> bool {
        self.version == 1
            && self.duration_ms == settings.duration_ms
            && self.labels == settings.labels
    }
}

/// The folder of records, locked against other runs.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl Journal {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when another run holds the lock, [`Error::Io`].
    pub(super) fn open(output: &Path) -> Result<Self> {
        let dir = output.join(DIR);
        fs::create_dir_all(&dir).map_err(|e| Error::io("create", &dir, e))?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(|e| Error::io("create", &path, e))?;
        match lock.try_lock() {
            Ok(()) => {
                let journal = Self { dir, _lock: lock };
                journal.sweep()?;
                Ok(journal)
            }
            Err(fs::TryLockError::WouldBlock) => Err(Error::Invalid(format!(
                "another run is making blocks in {}; wait for it to end",
                output.display()
            ))),
            Err(fs::TryLockError::Error(e)) => Err(Error::io("lock", &path, e)),
        }
    }

    /// An empty folder for the spill of an input that is about to be read.
    pub(super) fn start_reading(&self) -> Result<PathBuf> {
        let dir = self.dir.join("reading");
        fs::create_dir(&dir).map_err(|e| Error::io("create", &dir, e))?;
        Ok(dir)
    }

    /// Where the spill of a record lies, unless it is gone.
    pub(super) fn spill(&self, record: &Record) -> Option<PathBuf> {
        Some(self.spill_path(record)).filter(|dir| dir.is_dir())
    }

    /// Makes what was just read the spill of a record.
    pub(super) fn keep_spill(&self, record: &Record) -> Result<PathBuf> {
        let (from, to) = (self.dir.join("reading"), self.spill_path(record));
        fs::rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
        Ok(to)
    }

    /// Deletes the spill of a record that is done.
    pub(super) fn drop_spill(&self, record: &Record) -> Result<()> {
        remove_dir(&self.spill_path(record))
    }

    fn spill_path(&self, record: &Record) -> PathBuf {
        self.dir.join(format!("{}.spill", record.stem()))
    }

    /// Deletes what killed runs left and nobody can go on with.
    fn sweep(&self) -> Result<()> {
        remove_dir(&self.dir.join("reading"))?;
        let entries = fs::read_dir(&self.dir).map_err(|e| Error::io("list", &self.dir, e))?;
        for entry in entries {
            let path = entry.map_err(|e| Error::io("list", &self.dir, e))?.path();
            let orphan = path.extension().is_some_and(|e| e == "spill")
                && !path.with_extension("json").exists();
            if orphan {
                remove_dir(&path)?;
            }
        }
        Ok(())
    }

    /// The record of a file that was not touched since.
    pub(super) fn of_file(&self, file: &FileStamp, settings: &Settings) -> Result<Option<Record>> {
        self.find(|r| r.file.as_ref() == Some(file) && r.fits(settings))
    }

    /// The record of an input with these bytes.
    pub(super) fn of_digest(&self, digest: Digest, settings: &Settings) -> Result<Option<Record>> {
        self.find(|r| r.is_of(digest, settings))
    }

    /// Writes a record, or writes it anew; on disk when this returns.
    pub(super) fn write(&self, record: &Record) -> Result<()> {
        let path = self.dir.join(format!("{}.json", record.stem()));
        let text = serde_json::to_vec_pretty(record).expect("a record is plain data");
        durable::replace(&path, &text).map_err(|e| Error::io("write", &path, e))
    }

    fn find(&self, wanted: impl Fn(&Record) -> bool) -> Result<Option<Record>> {
        let entries = fs::read_dir(&self.dir).map_err(|e| Error::io("list", &self.dir, e))?;
        for entry in entries {
            let path = entry.map_err(|e| Error::io("list", &self.dir, e))?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let text = fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
            let record: Record = serde_json::from_slice(&text).map_err(|e| {
                Error::Invalid(format!(
                    "{} is no record of a backfill ({e}); delete it if its blocks are not needed again",
                    path.display()
                ))
            })?;
            if wanted(&record) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

/// Deletes a directory with all that is in it, if it is there.
pub(super) fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("delete", dir, e)),
        _ => Ok(()),
    }
}
