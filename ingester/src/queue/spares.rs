//! Segments whose place on the disk is kept, for when the disk is full.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use tsdb::db::disk::free_bytes;

/// Files that are nothing but their place on the disk.
#[derive(Debug)]
pub(super) struct Spares {
    dir: PathBuf,
    bytes: u64,
    wanted: usize,
    files: Vec<PathBuf>,
    next: usize,
}

impl Spares {
    /// Finds or makes `wanted` spares of `bytes` in `dir`. Where the disk has no place for them there
    /// are fewer.
    pub(super) fn open(dir: &Path, bytes: u64, wanted: usize) -> io::Result<Self> {
        let mut spares = Self {
            dir: dir.to_owned(),
            bytes,
            wanted,
            files: Vec::new(),
            next: 0,
        };
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let is_spare = path
                .extension()
                .is_some_and(|extension| extension == "spare");
            if !is_spare {
                continue;
            }
            let name = path.file_stem().and_then(|stem| stem.to_str());
            let number = name.and_then(|name| name.parse::<usize>().ok());
            spares.next = spares.next.max(number.map_or(0, |n| n + 1));
            let is_whole = path.metadata()?.len() == bytes;
            if is_whole && spares.files.len() < wanted {
                spares.files.push(path);
            } else {
                fs::remove_file(path)?;
            }
        }
        spares.replenish();
        Ok(spares)
    }

    fn replenish(&mut self) {
        while self.files.len() < self.wanted {
            let path = self.dir.join(format!("{}.spare", self.next));
            self.next += 1;
            let made = create(&path).and_then(|file| allocate(&file, self.bytes));
            if let Err(error) = made {
                tracing::warn!(path = %path.display(), %error, "cannot keep place for a buffer");
                // It is worth nothing.
                let _ = fs::remove_file(path);
                return;
            }
            self.files.push(path);
        }
    }

    /// A new file at `path` with place for a segment, of a spare when fewer than `free_min` bytes
    /// would be free otherwise.
    pub(super) fn segment(&mut self, path: &Path, free_min: u64) -> io::Result<File> {
        let free = free_bytes(&self.dir).unwrap_or(u64::MAX);
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let error = if free < free_min.saturating_add(self.bytes) {
            full()
        } else {
            let file = create(path)?;
            match allocate(&file, self.bytes) {
                Ok(()) => return Ok(file),
                Err(error) => {
                    fs::remove_file(path)?;
                    error
                }
            }
        };
        let Some(spare) = self.files.pop() else {
            return Err(error);
        };
        fs::rename(&spare, path)?;
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// Removes the segment at `path`; its place is kept where spares are missing.
    pub(super) fn take_back(&mut self, path: &Path) -> io::Result<()> {
        if self.files.len() >= self.wanted {
            return fs::remove_file(path);
        }
        // What it held must not be read as records again.
        let spare = self.dir.join(format!("{}.spare", self.next));
        fs::remove_file(path)?;
        self.next += 1;
        let file = create(&spare)?;
        allocate(&file, self.bytes)?;
        self.files.push(spare);
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    options.open(path)
}

/// Gives a file its place on the disk; it reads as zeros.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // File systems without that have no place to keep.
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
