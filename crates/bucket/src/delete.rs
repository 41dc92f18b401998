//! Deleting blocks in two steps: a mark, and after a delay the objects.
//!
//! Readers with an old view go on reading a marked block; the delay is for them. `meta.json` goes
//! first, so that nobody begins to read half of a block, and the mark last, so that a deletion that
//! was cut off is gone on with.

use futures::TryStreamExt as _;
use futures::stream::{self, StreamExt as _};
use ulid::Ulid;

use crate::client::Bucket;
use crate::error::Result;
use crate::fetch::View;
use crate::marks::{DeletionMark, MARK_SIZE_MAX, NoCompactMark, NoCompactReason, NoDownsampleMark};
use crate::paths::BlockObject;

/// Objects deleted at once.
const PARALLEL: usize = 8;

/// Marks a block for deletion at `now_ms`; false when it is marked already.
///
/// # Errors
/// [`crate::Error::Store`].
pub async fn mark_for_deletion(
    bucket: &Bucket,
    id: Ulid,
    details: &str,
    now_ms: i64,
) -> Result<bool> {
    let mark = DeletionMark::new(id, details, now_ms.div_euclid(1000));
    mark_once(bucket, BlockObject::DeletionMark(id), mark.to_json()).await
}

/// Whether a block is marked for deletion. As for who looks at the whole bucket, a mark that cannot be
/// understood is none.
///
/// # Errors
/// [`crate::Error::Store`].
pub async fn is_marked_for_deletion(bucket: &Bucket, id: Ulid) -> Result<bool> {
    let key = BlockObject::DeletionMark(id).to_string();
    let mark = bucket.find(&key, MARK_SIZE_MAX).await?;
    Ok(mark.is_some_and(|mark| DeletionMark::from_json(&mark).is_ok()))
}

/// Marks a block as not to be compacted; false when it is marked already.
///
/// # Errors
/// [`crate::Error::Store`].
pub async fn mark_no_compact(
    bucket: &Bucket,
    id: Ulid,
    reason: NoCompactReason,
    details: &str,
    now_ms: i64,
) -> Result<bool> {
    let mark = NoCompactMark::new(id, reason, details, now_ms.div_euclid(1000));
    mark_once(bucket, BlockObject::NoCompactMark(id), mark.to_json()).await
}

/// Marks a block as not to be downsampled; false when it is marked already.
///
/// # Errors
/// [`crate::Error::Store`].
pub async fn mark_no_downsample(
    bucket: &Bucket,
    id: Ulid,
    details: &str,
    now_ms: i64,
) -> Result<bool> {
    let mark = NoDownsampleMark::new(id, details, now_ms.div_euclid(1000));
    mark_once(bucket, BlockObject::NoDownsampleMark(id), mark.to_json()).await
}

async fn mark_once(bucket: &Bucket, object: BlockObject, json: Vec<u8>) -> Result<bool> {
    let key = object.to_string();
    if bucket.attributes(&key).await?.is_some() {
        return Ok(false);
    }
    bucket.put(&key, json).await?;
    Ok(true)
}

/// How long nothing may be added to an upload before it counts as given up, in milliseconds.
const GIVEN_UP_AFTER_MS: i64 = 48 * 3_600_000;

/// What is to be deleted by now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// Blocks that were marked long enough ago.
    pub marked: Vec<Ulid>,
    /// Uploads that nobody goes on with.
    pub given_up: Vec<Ulid>,
}

/// What of a bucket is to be deleted at `now_ms`, when marked blocks stay for `delay_ms`.
pub fn due_for_deletion(view: &View, delay_ms: i64, now_ms: i64) -> Due {
    let since = |at_s: i64| now_ms.saturating_sub(at_s.saturating_mul(1000));
    let marked = view.deletion_marks.iter();
    let marked = marked.filter(|(_, mark)| since(mark.time()) > delay_ms);
    let is_given_up = |id: &Ulid, newest_ms: i64| {
        let made_ms = i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX);
        let age_ms = now_ms.saturating_sub(made_ms.max(newest_ms));
        age_ms > GIVEN_UP_AFTER_MS && !view.deletion_marks.contains_key(id)
    };
    let given_up = view.partial.iter();
    let given_up = given_up.filter(|(id, files)| is_given_up(id, files.newest_ms));
    Due {
        marked: marked.map(|(id, _)| *id).collect(),
        given_up: given_up.map(|(id, _)| *id).collect(),
    }
}

/// Deletes all objects of a block now: `meta.json` first, the deletion mark last. Returns how many
/// there were.
///
/// # Errors
/// [`crate::Error::Store`]; the next try goes on where this one ended.
pub async fn delete_block(bucket: &Bucket, id: Ulid) -> Result<usize> {
    let (meta, mark) = (
        BlockObject::Meta(id).to_string(),
        BlockObject::DeletionMark(id).to_string(),
    );
    let objects: Vec<_> = bucket.list(&id.to_string()).try_collect().await?;
    let has = |key: &str| objects.iter().any(|o| o.key == key);
    if has(&meta) {
        bucket.delete(&meta).await?;
    }
    let rest = (objects.iter()).filter(|o| o.key != meta && o.key != mark);
    let deletions: Vec<_> = rest.map(|object| bucket.delete(&object.key)).collect();
    let deletions = stream::iter(deletions).buffer_unordered(PARALLEL);
    let () = deletions.try_collect().await?;
    if has(&mark) {
        bucket.delete(&mark).await?;
    }
    Ok(objects.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::FaultStore;

    #[tokio::test]
    async fn meta_goes_first_and_the_mark_last() {
        let inner = Bucket::in_memory();
        let id = Ulid::from_parts(1, 1);
        for name in ["chunks/000001", "chunks/000002", "index", "meta.json"] {
            inner.put(&format!("{id}/{name}"), "x").await.unwrap();
        }
        let (bucket, faults) = FaultStore::over(&inner);
        assert!(mark_for_deletion(&bucket, id, "why", 5_999).await.unwrap());
        assert!(
            !mark_for_deletion(&bucket, id, "again", 9_999)
                .await
                .unwrap()
        );
        let mark = inner
            .get(&format!("{id}/deletion-mark.json"), 999)
            .await
            .unwrap();
        assert_eq!(DeletionMark::from_json(&mark).unwrap().time(), 5);
        assert_eq!(delete_block(&bucket, id).await.unwrap(), 5);
        let log = faults.log();
        let deleted: Vec<_> = log.iter().filter(|l| l.contains("delete ")).collect();
        assert_eq!(deleted.len(), 5);
        assert!(deleted[0].ends_with("meta.json"), "{log:?}");
        assert!(deleted[4].ends_with("deletion-mark.json"), "{log:?}");
        assert_eq!(delete_block(&bucket, id).await.unwrap(), 0);
    }
}
