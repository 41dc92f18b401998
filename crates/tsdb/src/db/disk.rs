//! Keeping a disk from filling up: no writes below a floor of free space, and again above it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::ErrorKind;

use crate::batch::WriteError;
use crate::error::{Error, Result};

/// Writes go on once the free space exceeds the floor by a fraction of one over this, so that they
/// do not stop and go with every sample.
const SLACK: u64 = 4;

/// Bytes that may still be written to the disk of `path` without privileges.
///
/// # Errors
/// [`Error::Io`].
pub fn free_bytes(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|e| Error::io("read the free space of", path, e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether there is room for writes.
#[derive(Debug)]
pub(super) struct DiskGuard {
    floor: u64,
    free: AtomicU64,
    is_full: AtomicBool,
}

impl DiskGuard {
    /// Admits writes until a check finds less than `floor` bytes free.
    pub(super) fn new(floor: u64) -> Self {
        Self {
            floor,
            free: AtomicU64::new(u64::MAX),
            is_full: AtomicBool::new(false),
        }
    }

    /// Takes note of the free space; true when that changed whether writes are admitted.
    pub(super) fn check(&self, free: u64) -> bool {
        self.free.store(free, Ordering::Relaxed);
        let was_full = self.is_full.load(Ordering::Relaxed);
        let needed = match was_full {
            true => self.floor.saturating_add(self.floor / SLACK),
            false => self.floor,
        };
        let is_full = free < needed;
        self.is_full.store(is_full, Ordering::Relaxed);
        is_full != was_full
    }

    /// Takes note of a write that found the disk full.
    pub(super) fn found_full(&self) {
        self.free.store(0, Ordering::Relaxed);
        self.is_full.store(true, Ordering::Relaxed);
    }

    /// True while writes are refused.
    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// True when `bytes` can be written without getting below the floor, as far as is known.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        let free = self.free.load(Ordering::Relaxed);
        free.saturating_sub(bytes) >= self.floor
    }

    /// # Errors
    /// [`WriteError::Refused`] while the disk is too full.
    pub(super) fn admit(&self) -> Result<(), WriteError> {
        if !self.is_full() {
            return Ok(());
        }
        let (free, floor) = (self.free.load(Ordering::Relaxed), self.floor);
        Err(WriteError::Refused {
            kind: ErrorKind::Unavailable,
            reason: format!(
                "read-only: the disk has {free} bytes free, and {floor} are kept in reserve; \
                 free some space, writes go on by themselves then"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_stop_below_the_floor_and_go_on_above_it() {
        let guard = DiskGuard::new(100);
        assert!(guard.admit().is_ok());
        assert!(!guard.check(100));
        assert!(guard.check(99));
        let error = guard.admit().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("99 bytes free"), "{error}");
        assert!(!guard.check(124));
        assert!(guard.admit().is_err());
        assert!(guard.check(125));
        assert!(guard.admit().is_ok());
        assert!(guard.has_room_for(25) && !guard.has_room_for(26));
        guard.found_full();
        assert!(guard.admit().is_err());
    }

    #[test]
    fn a_disk_has_free_space() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert!(free_bytes(&dir.path().join("absent")).is_err());
    }
}
