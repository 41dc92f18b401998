//! One process per data directory.
//!
//! The file `lock` in the directory is locked with `flock`, as by Prometheus, so that neither opens
//! a directory that the other writes to. The system gives the lock up when the process ends, however
//! it ends. The file says who holds it; it stays when the lock is given up, since removing it could
//! hit the lock of the next.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Name of the file.
pub(super) const LOCK_FILE: &str = "lock";
/// Of a foreign file, no more is shown.
const OWNER_LEN_MAX: u64 = 200;

/// A locked data directory, until it is dropped.
#[derive(Debug)]
pub struct DirLock {
    file: File,
    path: PathBuf,
    was_left: bool,
    /// What was left is in order again, or nothing was.
    is_in_order: bool,
}

impl DirLock {
    /// Locks the directory `dir`.
    ///
    /// # Errors
    /// [`Error::InUse`] when another has it locked, [`Error::Io`].
    pub fn acquire(dir: &Path) -> Result<Self> {
        let path = dir.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::InUse {
                    dir: dir.to_owned(),
                    owner: owner(&mut file),
                });
            }
            Err(e) => return Err(Error::io("lock", &path, e.into())),
        }
        let was_left = file.metadata().is_ok_and(|metadata| metadata.len() > 0);
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let me = format!("process {} on {host}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(me.as_bytes()))
            .map_err(|e| Error::io("write", &path, e))?;
        Ok(Self {
            file,
            path,
            was_left,
            is_in_order: !was_left,
        })
    }

    /// Whether who had it locked before ended without giving it up.
    pub const fn was_left(&self) -> bool {
        self.was_left
    }

    /// Notes that what somebody left who did not give the lock up was read and mended. Until then the
    /// directory counts as left, also when this lock is given up.
    pub const fn note_in_order(&mut self) {
        self.is_in_order = true;
    }
}

impl DirLock {
    /// Notes that nothing more is written, though the directory stays locked: whoever locks it next is
    /// told that it was given up.
    pub fn give_up(&self) {
        if let Err(error) = self.file.set_len(0) {
            // The next to lock it writes its own name anyway.
            tracing::debug!(path = %self.path.display(), %error, "cannot empty the lock file");
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        if self.is_in_order {
            self.give_up();
        }
    }
}

/// Who holds the lock, as far as the file says.
fn owner(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(OWNER_LEN_MAX).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use model::ErrorKind;

    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        let error = DirLock::acquire(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let me = format!("process {} on ", std::process::id());
        assert!(error.to_string().contains(&me), "{error}");
        assert!(!first.was_left(), "nobody had it before");
        drop(first);
        let second = DirLock::acquire(dir.path()).unwrap();
        assert!(!second.was_left(), "the first gave it up");
        second.give_up();
        assert!(DirLock::acquire(dir.path()).is_err(), "it is still locked");
        drop(second);
        std::fs::write(dir.path().join(LOCK_FILE), "process 1 on there\n").unwrap();
        for _ in 0..2 {
            let third = DirLock::acquire(dir.path()).unwrap();
            assert!(third.was_left(), "somebody was killed");
        }
        let mut fourth = DirLock::acquire(dir.path()).unwrap();
        fourth.note_in_order();
        drop(fourth);
        assert!(!DirLock::acquire(dir.path()).unwrap().was_left());
    }
}
