//! Telling a database that nobody needs any more: nothing was written for long, all that is there is
//! older than is kept, and nothing would be lost with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ulid::Ulid;

use super::database::Db;
use super::lock::LOCK_FILE;
use crate::error::{Error, Result};
use crate::wal::repair::QUARANTINE;

/// Directories of a head, which has no samples.
const HEAD_DIRS: [&str; 3] = ["wal", "wbl", "chunks_head"];

/// Where blocks are linked while they are uploaded, by Thanos as well.
const UPLOADS: &str = "thanos";

impl Db {
    /// Whether the directory may be removed: the head is empty, every block ended longer ago than time
    /// retention keeps, by `now_ms`, and nobody wrote meanwhile, for as long as the process can tell.
    /// Never without time retention, nor while the directory has what is no part of a database, as damaged
    /// blocks that were set aside.
    ///
    /// Where blocks are shipped ([`DbOptions::hold_unreleased`](super::DbOptions::hold_unreleased)) it is so
    /// once all are [released](Self::release), and idle heads are cut. Elsewhere the
    /// blocks are all there is, and a clock that jumps must not cost them: the process has to have seen
    /// nothing written for as long as blocks are kept. `state_file` is that of who ships.
    ///
    /// It looks at what [`Db::compact`] found last, which is to be called every few minutes.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be listed.
    pub fn is_abandoned(&self, now_ms: i64, state_file: &str) -> Result<bool> {
        let Some(kept_ms) = self.options.retention.time_ms else {
            return Ok(false);
        };
        let quiet_ms = self.maintenance.lock().quiet.length;
        let enough_ms = match self.options.hold_unreleased {
            true => self.options.head.chunk_range / 2 * 3,
            false => kept_ms,
        };
        let blocks = self.blocks();
        let is_old = |end: i64| now_ms.saturating_sub(end) > kept_ms;
        if self.head.time_range().is_some()
            || quiet_ms <= enough_ms
            || !blocks.iter().all(|block| is_old(block.meta().max_time))
        {
            return Ok(false);
        }
        let expendable: BTreeSet<Ulid> = match self.options.hold_unreleased {
            true => self.released.lock().clone(),
            false => blocks.iter().map(|block| block.meta().ulid).collect(),
        };
        let is_expendable = |name: &str| {
            let block = Ulid::from_string(name).ok();
            // What was set aside of a log is nowhere else.
            (HEAD_DIRS.contains(&name) && !self.dir.join(name).join(QUARANTINE).exists())
                || [LOCK_FILE, state_file].contains(&name)
                || block.is_some_and(|block| expendable.contains(&block))
                || (name == UPLOADS && has_no_file(&self.dir.join(name)))
        };
        let failed = |e| Error::io("list", &self.dir, e);
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if !name.to_str().is_some_and(is_expendable) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether there are only directories below; not if they cannot be listed.
fn has_no_file(dir: &Path) -> bool {
    let is_hollow = |entry: fs::DirEntry| {
        let kind = entry.file_type();
        kind.is_ok_and(|kind| kind.is_dir()) && has_no_file(&entry.path())
    };
    fs::read_dir(dir).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(is_hollow)))
}
