//! The files of a log: numbered segments, and directories of checkpoints.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segment::{SegmentError, SegmentReader};
use crate::durable::sync_dir;
use crate::error::{Error, Result};

/// A segment open for appending.
pub trait SegmentFile: Write + Send {
    /// Makes all bytes written so far durable.
    ///
    /// # Errors
    /// The operating system's.
    fn sync(&mut self) -> io::Result<()>;

    /// Takes away everything behind the first `len` bytes, of which there are as many at least.
    ///
    /// # Errors
    /// The operating system's.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

/// Where a writer's segments go; a directory, or memory in a simulation.
pub trait SegmentStore {
    /// A segment open for appending.
    type File: SegmentFile;

    /// Makes segment `index`, which must not exist.
    ///
    /// # Errors
    /// The operating system's.
    fn create(&mut self, index: u32) -> io::Result<Self::File>;

    /// The name of segment `index`, for errors.
    fn path(&self, index: u32) -> PathBuf;
}

/// Shared, so that a segment can be made durable while the next records are written to it.
impl SegmentFile for Arc<File> {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(drop)
    }
}

/// A segment file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub index: u32,
    /// Its path.
    pub path: PathBuf,
}

impl Segment {
    /// Hands every record to `f`, until it fails.
    ///
    /// # Errors
    /// Those of `f`; [`Error::Corrupt`] at the first damage, [`Error::Io`].
    pub fn for_each_record(&self, mut f: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let file = File::open(&self.path).map_err(|e| Error::io("open", &self.path, e))?;
        let mut reader = SegmentReader::new(file);
        loop {
            match reader.next_record() {
                Ok(Some(record)) => f(record)?,
                Ok(None) => return Ok(()),
                Err(SegmentError::Io(e)) => return Err(Error::io("read", &self.path, e)),
                Err(SegmentError::Damaged { corruption, .. }) => {
                    return Err(corruption.in_file(&self.path));
                }
            }
        }
    }
}

/// The directory of a log.
#[derive(Debug, Clone)]
pub struct LogDir {
    path: PathBuf,
}

impl LogDir {
    /// Names a directory; does no I/O.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The segments in order of their numbers; none when the directory does not exist.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a number is missing between two segments, [`Error::Io`] when the
    /// directory cannot be read.
    pub fn segments(&self) -> Result<Vec<Segment>> {
        let mut segments: Vec<Segment> = entries(&self.path)?
            .into_iter()
            .filter_map(|path| {
                let index = digits(path.file_name()?.to_str()?)?;
                Some(Segment { index, path })
            })
            .collect();
        segments.sort_unstable_by_key(|s| s.index);
        for pair in segments.windows(2) {
            if pair[1].index != pair[0].index + 1 {
                return Err(Error::Invalid(format!(
                    "no segment between {} and {}; restore it, or move the later segments away",
                    pair[0].path.display(),
                    pair[1].path.display()
                )));
            }
        }
        Ok(segments)
    }

    /// The number for a further segment: after the last one, and after what the newest checkpoint
    /// covers.
    ///
    /// # Errors
    /// As [`LogDir::segments`].
    pub fn next_segment(&self) -> Result<u32> {
        let last = self.segments()?.last().map(|s| s.index);
        let covered = self.last_checkpoint()?.map(|c| c.index);
        Ok(last.max(covered).map_or(0, |index| index + 1))
    }

    /// The newest checkpoint: the number of the last segment that it covers, and its directory.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be read.
    pub fn last_checkpoint(&self) -> Result<Option<Segment>> {
        Ok(self.checkpoints()?.pop())
    }

    /// All checkpoints in order of their numbers, unfinished ones not counted.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<Segment>> {
        let mut found: Vec<Segment> = entries(&self.path)?
            .into_iter()
            .filter_map(|path| {
                let index = digits(path.file_name()?.to_str()?.strip_prefix("checkpoint.")?)?;
                Some(Segment { index, path })
            })
            .collect();
        found.sort_unstable_by_key(|s| s.index);
        Ok(found)
    }

    /// Where the checkpoint that covers segments up to `index` belongs.
    pub fn checkpoint_path(&self, index: u32) -> PathBuf {
        self.path.join(format!("checkpoint.{index:08}"))
    }
}

impl SegmentStore for LogDir {
    type File = Arc<File>;

    fn create(&mut self, index: u32) -> io::Result<Arc<File>> {
        let path = SegmentStore::path(self, index);
        let file = File::options().write(true).create_new(true).open(&path)?;
        sync_dir(&self.path).inspect_err(|_| {
            // Without a name for sure, it is made anew by who tries again.
            let _ = fs::remove_file(&path);
        })?;
        Ok(Arc::new(file))
    }

    fn path(&self, index: u32) -> PathBuf {
        self.path.join(format!("{index:08}"))
    }
}

/// Paths in `dir`; none when it does not exist.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = match fs::read_dir(dir) {
        Ok(read) => read,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", dir, e)),
    };
    read.map(|entry| entry.map(|e| e.path()))
        .collect::<io::Result<_>>()
        .map_err(|e| Error::io("list", dir, e))
}

/// A file name of digits only, as a number.
pub(super) fn digits(name: &str) -> Option<u32> {
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()))
        .then(|| name.parse().ok())
        .flatten()
}
