//! Making files and names durable.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a file that must not exist and makes its bytes durable.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create_new(path).map_err(|e| Error::io("create", path, e))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|e| Error::io("write", path, e))
}

/// Replaces a file of the directory `dir`, or makes it, so that after a crash either the old or the
/// new bytes are there.
pub(super) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let tmp = dir.join(format!("{name}.tmp"));
    match fs::remove_file(&tmp) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &tmp, e));
        }
        _ => write_new(&tmp, bytes)?,
    }
    let path = dir.join(name);
    fs::rename(&tmp, &path).map_err(|e| Error::io("rename to", &path, e))?;
    sync_dir(dir)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| Error::io("sync", path, e))
}
