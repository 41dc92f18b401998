//! Copies of `meta.json` on disk.
//!
//! They have the layout of a bucket, so that for one that is a folder here its own files do. A file's size is compared with the listing, and what cannot be parsed is read from the bucket, so
//! that a copy may be torn by a crash; it is not worth a sync.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tsdb::block::meta::META_SIZE_MAX;
use tsdb::block::{META_FILE, Meta};
use ulid::Ulid;

use super::known::{KnownBlock, Listed};
use super::listing::Stamp;
use super::outline::{Keep, LabelSets};
use crate::client::Bucket;
use crate::paths::parse_block_id;
use crate::transfer::on_blocking_thread;

#[derive(Debug)]
pub(super) struct DiskCache {
    dir: PathBuf,
    /// The directory is the bucket, and left as it is.
    is_bucket: bool,
}

/// Blocks whose copies were read, and the label sets that they share.
pub(super) type ReadCopies<M> = (Vec<KnownBlock<M>>, LabelSets);

impl DiskCache {
    /// Copies of what is in `bucket`, below `data_dir`; none without it.
    pub(super) fn new(bucket: &Bucket, data_dir: Option<&Path>) -> Option<Self> {
        if let Some(dir) = bucket.local_path("") {
            let is_bucket = true;
            return Some(Self { dir, is_bucket });
        }
        let dir = data_dir?.join("meta-syncer");
        let is_bucket = false;
        Some(Self { dir, is_bucket })
    }

    /// The copies of what is listed, of each of which no more is held than has to be.
    pub(super) async fn read<M: Keep>(
        &self,
        listed: &Listed,
        mut sets: LabelSets,
    ) -> ReadCopies<M> {
        let dir = self.dir.clone();
        let wanted: Vec<(Ulid, Stamp)> = listed
            .iter()
            .filter_map(|(id, files)| Some((*id, files.meta.clone()?)))
            .collect();
        let read = on_blocking_thread(move || {
            let found = wanted.into_iter().filter_map(|(id, stamp)| {
                let meta = read_copy(&dir, id, Some(stamp.size))?;
                Some(KnownBlock::new(&stamp, meta, &mut sets))
            });
            Ok((found.collect(), sets))
        });
        read.await.unwrap_or_default()
    }

    /// The copy of a block's `meta.json`. Blocks while it is read.
    pub(super) fn copy(&self, id: Ulid) -> Option<Meta> {
        read_copy(&self.dir, id, None)
    }

    /// The same, where nothing may block.
    pub(super) async fn find(&self, id: Ulid) -> Option<Meta> {
        let dir = self.dir.clone();
        let read = on_blocking_thread(move || Ok(read_copy(&dir, id, None)));
        read.await.ok()?
    }

    /// Keeps a copy. That it cannot be kept costs a request after the next start.
    pub(super) async fn keep(&self, id: Ulid, bytes: Bytes) {
        if self.is_bucket {
            return;
        }
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
    pub(super) async fn remove_others(&self, listed: &Listed) {
        if self.is_bucket {
            return;
        }
        let dir = self.dir.clone();
        let visible = listed.iter().filter(|(_, files)| files.meta.is_some());
        let listed: Vec<Ulid> = visible.map(|(id, _)| *id).collect();
        let removed = on_blocking_thread(move || remove_others(&dir, &listed));
        if let Err(error) = removed.await {
            tracing::debug!(%error, "copies of old meta.json are not removed");
        }
    }
}

fn read_copy(dir: &Path, id: Ulid, size: Option<u64>) -> Option<Meta> {
    let path = dir.join(id.to_string()).join(META_FILE);
    let mut bytes = Vec::new();
    let file = fs::File::open(&path).ok()?;
    file.take(META_SIZE_MAX).read_to_end(&mut bytes).ok()?;
    if size.is_some_and(|size| size != bytes.len() as u64) {
        return None;
    }
    let meta = Meta::parse(&bytes, &path).ok()?;
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
