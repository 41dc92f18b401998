//! The objects of each block, from one listing of the bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt as _;
use ulid::Ulid;

use crate::client::{Bucket, Object};
use crate::error::Result;
use crate::paths::{BlockObject, parse_block_id};
use crate::tag::Tag;

/// What tells one content of an object from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// When it was written, in milliseconds since the Unix epoch, by the store's clock.
    pub modified_ms: i64,
    /// What the store says identifies its content.
    pub e_tag: Option<Tag>,
}

/// The objects of one block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockFiles {
    /// `meta.json`.
    pub meta: Option<Stamp>,
    /// `deletion-mark.json`.
    pub deletion_mark: Option<Stamp>,
    /// `no-compact-mark.json`.
    pub no_compact_mark: Option<Stamp>,
    /// `no-downsample-mark.json`.
    pub no_downsample_mark: Option<Stamp>,
    /// Size of the index.
    pub index_bytes: Option<u64>,
    /// What the store says identifies the index' content.
    pub index_e_tag: Option<Tag>,
    /// Sizes of the chunk segments by their numbers.
    pub segments: BTreeMap<u32, u64>,
    /// When the newest of its objects was written, in milliseconds since the Unix epoch.
    pub newest_ms: i64,
    /// Bytes of all objects.
    pub bytes: u64,
}

impl BlockFiles {
    fn add(&mut self, object: Object) {
        self.newest_ms = self.newest_ms.max(object.modified_ms);
        self.bytes += object.size;
        let size = object.size;
        let stamp = |object: Object| {
            Some(Stamp {
                size,
                modified_ms: object.modified_ms,
                e_tag: object.e_tag,
            })
        };
        match BlockObject::parse(&object.key) {
            Some(BlockObject::Meta(_)) => self.meta = stamp(object),
            Some(BlockObject::DeletionMark(_)) => self.deletion_mark = stamp(object),
            Some(BlockObject::NoCompactMark(_)) => self.no_compact_mark = stamp(object),
            Some(BlockObject::NoDownsampleMark(_)) => self.no_downsample_mark = stamp(object),
            Some(BlockObject::Index(_)) => {
                self.index_bytes = Some(size);
                self.index_e_tag = object.e_tag;
            }
            Some(BlockObject::Chunks(_, segment)) => {
                self.segments.insert(segment, size);
            }
            None => {}
        }
    }
}

/// Lists the bucket once. Memory: the names of blocks, and a few numbers for each object.
pub(super) async fn list(bucket: &Bucket) -> Result<BTreeMap<Ulid, Arc<BlockFiles>>> {
    let mut blocks: BTreeMap<Ulid, BlockFiles> = BTreeMap::new();
    let mut objects = bucket.list("");
    while let Some(object) = objects.try_next().await? {
        let dir = object.key.split_once('/').map(|(dir, _)| dir);
        if let Some(id) = dir.and_then(parse_block_id) {
            blocks.entry(id).or_default().add(object);
        }
    }
    let shared = blocks.into_iter().map(|(id, files)| (id, Arc::new(files)));
    Ok(shared.collect())
}
