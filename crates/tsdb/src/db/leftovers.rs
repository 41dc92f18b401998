//! What a start finds in a data directory beside sound blocks.
//!
//! A block under construction that its writer never finished is removed: where its samples come from
//! is still there. A block that was about to be removed is. A damaged block is set aside, unchanged,
//! so that the others can be read, here and by Prometheus, which does not start beside one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ulid::Ulid;

use super::blocks::Blocks;
use crate::block::{TMP_SUFFIX, sync_dir};
use crate::durable;
use crate::error::{Error, Result};

/// What the name of a block ends with while it is removed. Prometheus removes such directories when
/// it starts.
const REMOVAL_SUFFIX: &str = ".tmp-for-deletion";
/// As [`TMP_SUFFIX`], of old versions of Prometheus.
const OLD_TMP_SUFFIX: &str = ".tmp";
/// The directory within a data directory that takes damaged blocks.
pub const QUARANTINE: &str = "quarantine";

/// Removes what was to be removed, or never finished, and returns what that was.
///
/// # Errors
/// [`Error::Io`] when the directory cannot be listed, or something not be removed.
pub(super) fn clear(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))? {
        let entry = entry.map_err(|e| Error::io("list", dir, e))?;
        let name = entry.file_name();
        let of_block = name.to_str().and_then(|name| {
            [TMP_SUFFIX, REMOVAL_SUFFIX, OLD_TMP_SUFFIX]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
        });
        if of_block.is_some_and(|name| Ulid::from_string(name).is_ok()) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(|e| Error::io("remove", &path, e))?;
            removed.push(path);
        }
    }
    Ok(removed)
}

/// Removes the block `ulid`, so that a crash leaves it whole or as one to be removed.
///
/// # Errors
/// [`Error::Io`]. A block that is not there is no error.
pub(super) fn remove_block(dir: &Path, ulid: Ulid) -> Result<()> {
    let path = dir.join(ulid.to_string());
    let doomed = dir.join(format!("{ulid}{REMOVAL_SUFFIX}"));
    match fs::rename(&path, &doomed) {
        Ok(()) => sync_dir(dir)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("rename", &path, e)),
    }
    fs::remove_dir_all(&doomed).map_err(|e| Error::io("remove", &doomed, e))
}

/// A block that was set aside.
#[derive(Debug)]
pub struct SetAside {
    /// Why.
    pub damage: Error,
    /// Where it is now.
    pub path: PathBuf,
}

/// Moves damaged blocks into [`QUARANTINE`]. Those that cannot be read for another reason stay in
/// `blocks`: they may be readable again later.
///
/// # Errors
/// [`Error::Io`] when one cannot be moved.
pub(super) fn set_aside<B>(dir: &Path, blocks: &mut Blocks<B>) -> Result<Vec<SetAside>> {
    let (damaged, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut blocks.unreadable)
        .into_iter()
        .partition(|(_, error)| is_damage(error));
    blocks.unreadable = rest;
    let mut moved = Vec::new();
    for (path, damage) in damaged {
        let to = quarantine(dir, &path)?;
        moved.push(SetAside { damage, path: to });
    }
    Ok(moved)
}

/// Damage, or files that are missing.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Corrupt { .. } => true,
        Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn quarantine(dir: &Path, block: &Path) -> Result<PathBuf> {
    let quarantine = dir.join(QUARANTINE);
    durable::create_dir_all(&quarantine).map_err(|e| Error::io("create", &quarantine, e))?;
    let name = block.file_name().unwrap_or_default().to_string_lossy();
    let names = std::iter::once(name.to_string()).chain((1..).map(|i| format!("{name}.{i}")));
    let to = names
        .map(|name| quarantine.join(name))
        .find(|path| !path.exists())
        .expect("numbers do not end");
    fs::rename(block, &to).map_err(|e| Error::io("set aside", block, e))?;
    sync_dir(&quarantine)?;
    sync_dir(dir)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leftovers_of_blocks_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let ulid = Ulid(7);
        let names = [
            format!("{ulid}"),
            format!("{ulid}.tmp-for-creation"),
            format!("{ulid}.tmp-for-deletion"),
            format!("{ulid}.tmp"),
            "mine.tmp".to_owned(),
            "wal".to_owned(),
        ];
        for name in &names {
            fs::create_dir_all(dir.path().join(name).join("chunks")).unwrap();
        }
        assert_eq!(clear(dir.path()).unwrap().len(), 3);
        remove_block(dir.path(), ulid).unwrap();
        remove_block(dir.path(), ulid).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["mine.tmp", "wal"]);
    }

    #[test]
    fn a_damaged_block_is_kept_under_a_free_name() {
        let dir = tempfile::tempdir().unwrap();
        for expected in ["", ".1"] {
            let path = dir.path().join(Ulid(7).to_string());
            fs::create_dir(&path).unwrap();
            fs::write(path.join("index"), b"?").unwrap();
            let mut blocks = Blocks::open(dir.path()).unwrap();
            let moved = set_aside(dir.path(), &mut blocks).unwrap();
            let name = format!("{}{expected}", Ulid(7));
            assert_eq!(moved[0].path, dir.path().join(QUARANTINE).join(name));
            assert_eq!(fs::read(moved[0].path.join("index")).unwrap(), b"?");
            assert!(blocks.unreadable.is_empty() && !path.exists());
        }
    }
}
