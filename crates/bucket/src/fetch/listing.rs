//! The objects of each block, from one listing of the bucket.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::Error as StoreError;
use ulid::Ulid;

use super::PARALLEL;
use super::known::Listed;
use crate::client::{Bucket, Object};
use crate::error::Error;
use crate::paths::{BlockObject, parse_block_id};
use crate::tag::Tag;

/// What tells one content of an object from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    pub deletion_mark: Option<Box<Stamp>>,
    /// `no-compact-mark.json`.
    pub no_compact_mark: Option<Box<Stamp>>,
    /// `no-downsample-mark.json`.
    pub no_downsample_mark: Option<Box<Stamp>>,
    /// Size of the index.
    pub index_bytes: Option<u64>,
    /// What the store says identifies the index' content.
    pub index_e_tag: Option<Tag>,
    /// Sizes of the chunk segments.
    pub segments: Segments,
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
        let stamp = |object: Object| Stamp {
            size,
            modified_ms: object.modified_ms,
            e_tag: object.e_tag,
        };
        let mark = |object: Object| Some(Box::new(stamp(object)));
        match BlockObject::parse(&object.key) {
            Some(BlockObject::Meta(_)) => self.meta = Some(stamp(object)),
            Some(BlockObject::DeletionMark(_)) => self.deletion_mark = mark(object),
            Some(BlockObject::NoCompactMark(_)) => self.no_compact_mark = mark(object),
            Some(BlockObject::NoDownsampleMark(_)) => self.no_downsample_mark = mark(object),
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

/// Sizes of chunk segments by their numbers, in order of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segments(Vec<(u32, u64)>);

impl Segments {
    /// Sets the size of the segment `number`.
    pub fn insert(&mut self, number: u32, bytes: u64) {
        match self.place(number) {
            Ok(at) => self.0[at].1 = bytes,
            Err(at) => {
                // Most blocks have one.
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (number, bytes));
            }
        }
    }

    /// The size of the segment `number`, if there is one.
    pub fn get(&self, number: u32) -> Option<u64> {
        self.place(number).ok().map(|at| self.0[at].1)
    }

    /// Numbers and sizes.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.0.iter().copied()
    }

    /// The numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.iter().map(|(number, _)| number)
    }

    fn place(&self, number: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |(number, _)| *number)
    }
}

/// Lists the bucket once. Memory: the names of blocks, and a few numbers for each object.
///
/// One object of anybody whose name the store's client does not take, as `a//b`, would end such a
/// listing. Then the directories of blocks are listed one by one.
pub(super) async fn list(bucket: &Bucket) -> crate::Result<Listed> {
    let mut blocks = Listed::new();
    let mut objects = bucket.list("");
    loop {
        match objects.try_next().await {
            Ok(Some(object)) => add(&mut blocks, object),
            Ok(None) => return Ok(blocks),
            Err(error) if is_of_a_name(&error) => {
                let error = error.chain();
                tracing::warn!(
                    %error,
                    "an object in the bucket has a name that cannot be read; each block is listed by itself, which takes longer: remove the object"
                );
                return list_each(bucket).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Lists the directories of blocks; one with an object of such a name is left out.
async fn list_each(bucket: &Bucket) -> crate::Result<Listed> {
    let dirs = bucket.directories().await?;
    let ids: Vec<Ulid> = dirs.iter().filter_map(|dir| parse_block_id(dir)).collect();
    let lists = ids.into_iter().map(|id| list_one(bucket, id));
    let mut lists = stream::iter(lists).buffer_unordered(PARALLEL);
    let mut blocks = Listed::new();
    while let Some((block, objects)) = lists.next().await {
        match objects {
            Ok(objects) => objects.into_iter().for_each(|o| add(&mut blocks, o)),
            Err(error) if is_of_a_name(&error) => {
                tracing::warn!(%block, error = error.chain(), "block is left out");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(blocks)
}

async fn list_one(bucket: &Bucket, id: Ulid) -> (Ulid, crate::Result<Vec<Object>>) {
    let objects = bucket.list(&id.to_string());
    (id, objects.try_collect().await)
}

fn add(blocks: &mut Listed, object: Object) {
    let dir = object.key.split_once('/').map(|(dir, _)| dir);
    if let Some(id) = dir.and_then(parse_block_id) {
        Arc::make_mut(blocks.entry(id).or_default()).add(object);
    }
}

fn is_of_a_name(error: &Error) -> bool {
    matches!(
        error,
        Error::Store {
            source: StoreError::InvalidPath { .. },
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_in_order_of_their_numbers() {
        let mut segments = Segments::default();
        for (number, bytes) in [(2, 20), (1, 10), (4, 40), (2, 21)] {
            segments.insert(number, bytes);
        }
        let found: Vec<_> = segments.iter().collect();
        assert_eq!(found, [(1, 10), (2, 21), (4, 40)]);
        assert_eq!((segments.get(2), segments.get(3)), (Some(21), None));
    }
}
