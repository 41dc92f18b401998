//! Copies of `meta.json` on disk.
//!
//! A file's size is compared with the listing, and what cannot be parsed is read from the bucket, so
//! that a copy may be torn by a crash; it is not worth a sync.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tsdb::block::{META_FILE, Meta};
use ulid::Ulid;

use super::listing::{BlockFiles, Stamp};
use crate::paths::parse_block_id;
use crate::transfer::on_blocking_thread;

#[derive(Debug)]
pub(super) struct DiskCache {
    dir: PathBuf,
}

impl DiskCache {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The copies of what is listed.
    pub(super) async fn read(
        &self,
        listed: &BTreeMap<Ulid, Arc<BlockFiles>>,
    ) -> Vec<(Ulid, (Stamp, Arc<Meta>))> {
        let dir = self.dir.clone();
        let wanted: Vec<(Ulid, Stamp)> = listed
            .iter()
            .filter_map(|(id, files)| Some((*id, files.meta.clone()?)))
            .collect();
        let read = on_blocking_thread(move || {
            let found = wanted.into_iter().filter_map(|(id, stamp)| {
                let meta = read_copy(&dir, id, &stamp)?;
                Some((id, (stamp, Arc::new(meta))))
            });
            Ok(found.collect())
        });
        read.await.unwrap_or_default()
    }

    /// Keeps a copy. That it cannot be kept costs a request after the next start.
    pub(super) async fn keep(&self, id: Ulid, bytes: Bytes) {
        let dir = self.dir.join(id.to_string());
        let kept = on_blocking_thread(move || {
            fs::create_dir_all(&dir)?;
            let tmp = dir.join("meta.json.tmp");
            fs::write(&tmp, bytes)?;
            fs::rename(tmp, dir.join(META_FILE))
        });
        if let Err(error) = kept.await {
            tracing::debug!(block = %id, %error, "copy of meta.json is not kept");
        }
    }

    /// Removes the copies of what is visible no more.
    pub(super) async fn remove_others(&self, listed: &BTreeMap<Ulid, Arc<BlockFiles>>) {
        let dir = self.dir.clone();
        let visible = listed.iter().filter(|(_, files)| files.meta.is_some());
        let listed: Vec<Ulid> = visible.map(|(id, _)| *id).collect();
        let removed = on_blocking_thread(move || remove_others(&dir, &listed));
        if let Err(error) = removed.await {
            tracing::debug!(%error, "copies of old meta.json are not removed");
        }
    }
}

fn read_copy(dir: &Path, id: Ulid, stamp: &Stamp) -> Option<Meta> {
    let path = dir.join(id.to_string()).join(META_FILE);
    let bytes = fs::read(&path).ok()?;
    let meta = (bytes.len() as u64 == stamp.size).then(|| Meta::parse(&bytes, &path).ok())??;
    (meta.ulid == id).then_some(meta)
}

/// `listed` is sorted.
fn remove_others(dir: &Path, listed: &[Ulid]) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(parse_block_id);
        if id.is_some_and(|id| listed.binary_search(&id).is_err()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
