//! `thanos.shipper.json`: the blocks of a directory that are in the bucket.
//!
//! Prometheus can be told to keep blocks until they are named here
//! (`--storage.tsdb.delay-compact-file.path`).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tsdb::durable;
use ulid::Ulid;

/// The file's usual name.
pub const META_FILE_NAME: &str = "thanos.shipper.json";

/// The only version there is.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    #[serde(default)]
    uploaded: Option<Vec<Ulid>>,
}

/// The blocks that the file names; none when there is no such file, or none that can be read: each
/// block is then looked for in the bucket.
pub(super) fn read(path: &Path) -> BTreeSet<Ulid> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return BTreeSet::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "list of shipped blocks cannot be read");
            return BTreeSet::new();
        }
    };
    match serde_json::from_slice::<State>(&bytes) {
        Ok(state) if state.version == VERSION => {
            state.uploaded.unwrap_or_default().into_iter().collect()
        }
        Ok(state) => {
            tracing::warn!(path = %path.display(), version = state.version, "list of shipped blocks has another version and is made anew");
            BTreeSet::new()
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "list of shipped blocks is damaged and is made anew");
            BTreeSet::new()
        }
    }
}

/// Writes the file so that after a crash it has its old content or the new one.
pub(super) fn write(path: &Path, uploaded: &[Ulid]) -> io::Result<()> {
    let state = State {
        version: VERSION,
        uploaded: Some(uploaded.to_vec()),
    };
    let mut bytes = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut json = serde_json::Serializer::with_formatter(&mut bytes, indent);
    state.serialize(&mut json)?;
    bytes.push(b'\n');
    durable::replace(path, &bytes)
}
