//! The queries that are being evaluated, in a file, so that those that were when the process died can be
//! told by the next.
//!
//! The file is Prometheus' `queries.active`: `[`, then a slot of [`SLOT_BYTES`] for each query that may be
//! evaluated at once. A slot that is taken has a JSON object with `query` and `timestamp_sec`, zeros, and a
//! comma at its end; a free one has zeros. Without its zeros, and with its last comma made `]`, the file is a
//! list in JSON.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::Clock;
use serde::Serialize;

/// The file, in the directory that is said.
const FILE: &str = "queries.active";
/// Bytes of a slot.
const SLOT_BYTES: usize = 1000;
/// Bytes of a file of an earlier process that are looked at.
const READ_BYTES_MAX: u64 = 16 << 20;

#[derive(Serialize)]
struct Entry<'a> {
    query: &'a str,
    timestamp_sec: i64,
}

/// The queries that are being evaluated.
#[derive(Debug)]
pub struct ActiveQueries {
    file: File,
    /// Slots by number, the next one last.
    free: Mutex<Vec<usize>>,
    clock: Arc<dyn Clock>,
}

impl ActiveQueries {
    /// Keeps up to `slots` queries in the directory `dir`, which is made if need be. Queries that an
    /// earlier process did not finish are named in the log of this one.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(dir: &Path, slots: usize, clock: Arc<dyn Clock>) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path)?;
        // Whose queries are in it must not be who is still at them.
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process keeps its queries there"),
            TryLockError::Error(error) => error,
        })?;
        if let Some(queries) = unfinished(&file)? {
            tracing::warn!(queries, "these queries did not finish in the last run");
        }
        file.set_len(0)?;
        file.set_len((1 + slots * SLOT_BYTES) as u64)?;
        file.write_all_at(b"[", 0)?;
        Ok(Self {
            file,
            free: Mutex::new((0..slots).rev().collect()),
            clock,
        })
    }

    /// Notes that a query begins; it ends with what is returned. Nothing when no slot is free, or nothing
    /// can be written: the query is more important.
    pub fn begin(&self, query: &str) -> Option<ActiveQuery<'_>> {
        let slot = self.free.lock().pop()?;
        let active = ActiveQuery { all: self, slot };
        let seconds = self.clock.now_ms().div_euclid(1000);
        active.write(&filled(query, seconds)).ok()?;
        Some(active)
    }
}

/// A query that is being evaluated.
#[derive(Debug)]
pub struct ActiveQuery<'a> {
    all: &'a ActiveQueries,
    slot: usize,
}

impl ActiveQuery<'_> {
    fn write(&self, bytes: &[u8; SLOT_BYTES]) -> io::Result<()> {
        let at = 1 + self.slot * SLOT_BYTES;
        self.all.file.write_all_at(bytes, at as u64)
    }
}

impl Drop for ActiveQuery<'_> {
    fn drop(&mut self) {
        // A slot that stays as it is names a query that was there.
        let _ = self.write(&[0; SLOT_BYTES]);
        self.all.free.lock().push(self.slot);
    }
}

/// A slot with as much of a query as it takes.
fn filled(query: &str, timestamp_sec: i64) -> [u8; SLOT_BYTES] {
    let entry = |query| {
        let entry = Entry {
            query,
            timestamp_sec,
        };
        // Numbers and strings alone.
        serde_json::to_vec(&entry).unwrap_or_default()
    };
    let mut left = (SLOT_BYTES - 1).saturating_sub(entry("").len());
    let mut end = 0;
    for (at, c) in query.char_indices() {
        let bytes = match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..' ' => 6,
            c => c.len_utf8(),
        };
        if bytes > left {
            break;
        }
        left -= bytes;
        end = at + c.len_utf8();
    }
    let entry = entry(&query[..end]);
    let mut slot = [0; SLOT_BYTES];
    slot[..entry.len()].copy_from_slice(&entry);
    slot[SLOT_BYTES - 1] = b',';
    slot
}

/// The queries that a file names, as a list in JSON; nothing where there is none in it.
fn unfinished(file: &File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    bytes.retain(|byte| *byte != 0);
    let text = String::from_utf8_lossy(&bytes);
    let entries = text.trim_start_matches('[').trim_end_matches(',');
    Ok((!entries.is_empty()).then(|| format!("[{entries}]")))
}

#[cfg(test)]
mod tests {
    use runtime::ManualClock;
    use serde_json::{Value, json};

    use super::*;

    fn open(dir: &Path) -> ActiveQueries {
        ActiveQueries::open(dir, 2, Arc::new(ManualClock::new(7_000))).unwrap()
    }

    /// What the file of a process that ended now says.
    fn left(dir: &Path) -> Option<Value> {
        let text = unfinished(&File::open(dir.join(FILE)).unwrap()).unwrap()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn queries_are_in_the_file_while_they_are_evaluated() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let active = open(&dir);
        assert_eq!(left(&dir), None);
        let other = ActiveQueries::open(&dir, 2, Arc::new(ManualClock::new(0)));
        assert!(other.is_err_and(|error| error.to_string().contains("another process")));
        let up = active.begin("up").unwrap();
        let sum = active.begin("sum(\"x\n\")").unwrap();
        assert!(active.begin("more").is_none(), "two slots");
        let entry = |query: &str| json!({"query": query, "timestamp_sec": 7});
        assert_eq!(
            left(&dir),
            Some(json!([entry("up"), entry("sum(\"x\n\")")]))
        );
        drop(up);
        assert_eq!(left(&dir), Some(json!([entry("sum(\"x\n\")")])));
        // The process dies; the next one begins anew.
        std::mem::forget(sum);
        drop(active);
        assert!(left(&dir).is_some());
        let active = open(&dir);
        assert_eq!(left(&dir), None);
        drop(active.begin("up"));
        assert_eq!(left(&dir), None);
        let len = std::fs::metadata(dir.join(FILE)).unwrap().len();
        assert_eq!(len, 2_001);
    }

    #[test]
    fn long_queries_are_cut_to_their_slot() {
        let dir = tempfile::tempdir().unwrap();
        for part in ["a", "ü", "\"", "\u{1}", "\n", "€x\\"] {
            let active = open(dir.path());
            let query = part.repeat(2_000);
            let _first = active.begin(&query).unwrap();
            let _second = active.begin("up").unwrap();
            let found = left(dir.path()).unwrap();
            assert_eq!(found[1]["query"], "up", "{part:?}");
            let cut = found[0]["query"].as_str().unwrap();
            assert!(query.starts_with(cut), "{part:?}");
            let json = serde_json::to_string(cut).unwrap();
            assert!(json.len() > 940, "{part:?}: {}", json.len());
        }
    }

    #[test]
    fn any_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        for bytes in [
            &b""[..],
            b"[",
            b"\0\0",
            b"[,",
            b"\xff\xfe",
            b"[{\"query\":\"a",
        ] {
            std::fs::write(&path, bytes).unwrap();
            drop(open(dir.path()));
            assert_eq!(left(dir.path()), None);
        }
    }
}
