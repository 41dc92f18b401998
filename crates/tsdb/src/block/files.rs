//! Making files and names durable, with errors that name them.

use std::path::Path;

use crate::durable;
use crate::error::{Error, Result};

/// Writes a file that must not exist and makes its bytes durable.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    durable::write_new(path, bytes).map_err(|e| Error::io("write", path, e))
}

/// Replaces a file of the directory `dir`, or makes it, so that after a crash either the old or the
/// new bytes are there.
pub(super) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    durable::replace(&path, bytes).map_err(|e| Error::io("replace", &path, e))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    durable::sync_dir(path).map_err(|e| Error::io("sync", path, e))
}
