//! The bucket's client: objects by their keys, whatever the store.
//!
//! Retries are the store's own (`object_store` repeats what failed on the way); none are stacked on
//! top. An answer is checked for its length, since a cut body is a failure and must never be cached.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use model::ErrorKind;
use object_store::path::Path;
use object_store::{
    Attributes, Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};

use crate::error::{Error, Result};
use crate::metrics::{Metrics, Operation};
use crate::tag::Tag;

/// A bucket, or the part of one below a prefix. Clones share everything.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    name: Arc<str>,
    prefix: Arc<str>,
    /// The directory that the store is, when it is a local one.
    root: Option<Arc<std::path::Path>>,
    /// What every object that is written bears.
    attributes: Arc<Attributes>,
    metrics: Arc<Metrics>,
    /// Cleared for a store that compares tags other than those that it lists.
    compares_tags: Arc<AtomicBool>,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Key below the bucket's prefix.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was last written, in milliseconds since the Unix epoch, by the store's clock.
    pub modified_ms: i64,
    /// What the store says identifies its content.
    pub e_tag: Option<Tag>,
}

/// An object, or one content of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'a> {
    /// Key below the bucket's prefix.
    pub key: &'a str,
    /// What a listing said identifies the content that is meant; without it any will do.
    pub e_tag: Option<&'a Tag>,
}

impl<'a> From<&'a str> for Version<'a> {
    fn from(key: &'a str) -> Self {
        Self { key, e_tag: None }
    }
}

impl<'a> From<&'a String> for Version<'a> {
    fn from(key: &'a String) -> Self {
        Self::from(key.as_str())
    }
}

impl Bucket {
    /// The part of `store` below `prefix`; an empty prefix is all of it. `name` is for metrics and
    /// messages.
    pub fn new(store: Arc<dyn ObjectStore>, name: &str, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = match prefix.is_empty() {
            true => String::new(),
            false => format!("{prefix}/"),
        };
        Self {
            store,
            name: name.into(),
            prefix: prefix.into(),
            root: None,
            attributes: Arc::default(),
            metrics: Arc::default(),
            compares_tags: Arc::new(AtomicBool::new(true)),
        }
    }

    /// The same bucket, whose objects are written with `attributes`, such as a storage class.
    #[must_use]
    pub(crate) fn with_attributes(self, attributes: Attributes) -> Self {
        Self {
            attributes: Arc::new(attributes),
            ..self
        }
    }

    /// What every object that is written bears.
    pub(crate) fn written_with(&self) -> &Attributes {
        &self.attributes
    }

    fn put_options(&self, mode: PutMode) -> PutOptions {
        PutOptions {
            mode,
            attributes: Attributes::clone(&self.attributes),
            ..PutOptions::default()
        }
    }

    /// The same bucket, whose store is the directory `root`: readers map its files.
    #[must_use]
    pub fn in_local(mut self, root: &std::path::Path) -> Self {
        self.root = Some(root.into());
        self
    }

    /// True when it is a local directory.
    pub fn is_local(&self) -> bool {
        self.root.is_some()
    }

    /// The file that is the object `key`, in a bucket that is a local directory. Objects are written
    /// once and never changed, so that their files can be mapped.
    pub fn local_path(&self, key: &str) -> Option<PathBuf> {
        let root = self.root.as_ref()?;
        Some(root.join(format!("{}{key}", self.prefix)))
    }

    /// A bucket in memory, for tests and trials.
    pub fn in_memory() -> Self {
        Self::new(
            Arc::new(object_store::memory::InMemory::new()),
            "memory",
            "",
        )
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was done with the bucket so far.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The store itself, for readers that plan their own requests.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Where `key` is in the store.
    ///
    /// # Errors
    /// [`Error::Store`] when no object can have that key.
    pub fn path(&self, key: &str) -> Result<Path> {
        Path::parse(format!("{}{key}", self.prefix))
            .map_err(|e| Error::store("name", key, StoreError::from(e)))
    }

    /// Reads a whole object, unless it is larger than `size_max`.
    ///
    /// # Errors
    /// [`Error::Store`], of the kind `NotFound` when there is none; [`Error::TooLarge`].
    pub async fn get(&self, key: &str, size_max: u64) -> Result<Bytes> {
        self.measured(Operation::Get, async {
            let path = self.path(key)?;
            let failed = |e| Error::store("read", key, e);
            let result = self.store.get(&path).await.map_err(failed)?;
            let size = result.meta.size;
            if size > size_max {
                return Err(Error::TooLarge {
                    key: key.to_owned(),
                    size,
                    size_max,
                });
            }
            let bytes = result.bytes().await.map_err(failed)?;
            check_length(key, size, &bytes)?;
            Ok((bytes.len() as u64, bytes))
        })
        .await
    }

    /// Reads a whole object, or `None` when there is none.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn find(&self, key: &str, size_max: u64) -> Result<Option<Bytes>> {
        optional(self.get(key, size_max).await)
    }

    /// Reads a range of an object, or of one content of it.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Length`] when the object ends before the range; [`Error::Replaced`]
    /// when it has another content.
    pub async fn get_range<'a>(
        &self,
        of: impl Into<Version<'a>>,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let of = of.into();
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let is_comparing = self.compares_tags.load(Ordering::Relaxed);
        let e_tag = of.e_tag.filter(|_| is_comparing);
        let read = self.read_range(Version { e_tag, ..of }, range.clone());
        match (read.await, e_tag) {
            (Err(error), Some(e_tag)) if error.kind() == ErrorKind::Conflict => {
                self.check_tag(of.key, e_tag).await?;
                self.read_range(of.key.into(), range).await
            }
            (read, _) => read,
        }
    }

    async fn read_range(&self, of: Version<'_>, range: Range<u64>) -> Result<Bytes> {
        self.measured(Operation::GetRange, async {
            let key = of.key;
            let path = self.path(key)?;
            let failed = |e| Error::store("read a range of", key, e);
            let options = GetOptions {
                range: Some(GetRange::Bounded(range.clone())),
                if_match: of.e_tag.map(Tag::compared),
                ..GetOptions::default()
            };
            let result = self.store.get_opts(&path, options).await.map_err(failed)?;
            let bytes = result.bytes().await.map_err(failed)?;
            check_length(key, range.end - range.start, &bytes)?;
            Ok((bytes.len() as u64, bytes))
        })
        .await
    }

    /// Looks whether an object really has another content than `e_tag` stands for, as the store said.
    /// One that says so of what it lists itself is not asked for tags any more.
    ///
    /// # Errors
    /// [`Error::Replaced`] when it has; [`Error::Store`].
    async fn check_tag(&self, key: &str, e_tag: &Tag) -> Result<()> {
        // By another list, since that is where the tag is from: stores are known that say others of single
        // objects.
        let (dir, _) = key.rsplit_once('/').unwrap_or_default();
        let mut listed = self.list(dir);
        let mut is_listed = false;
        while let Some(object) = listed.try_next().await? {
            is_listed |= object.key == key && object.e_tag.as_ref() == Some(e_tag);
        }
        if !is_listed {
            let key = key.to_owned();
            return Err(Error::Replaced { key });
        }
        if self.compares_tags.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                bucket = &*self.name,
                "the store does not know the tags that it lists; an object that is replaced is noticed late"
            );
        }
        Ok(())
    }

    /// Size and time of an object, or `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn attributes(&self, key: &str) -> Result<Option<Object>> {
        let found = self.measured(Operation::Attributes, async {
            let path = self.path(key)?;
            let meta = self.store.head(&path).await;
            let meta = meta.map_err(|e| Error::store("look up", key, e))?;
            Ok((0, self.object(meta)))
        });
        Ok(optional(found.await)?.flatten())
    }

    /// Writes an object, replacing what is there.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let bytes = bytes.into();
        self.measured(Operation::Upload, async {
            let path = self.path(key)?;
            let size = bytes.len() as u64;
            let payload = PutPayload::from_bytes(bytes);
            let options = self.put_options(PutMode::Overwrite);
            let put = self.store.put_opts(&path, payload, options).await;
            put.map_err(|e| Error::store("write", key, e))?;
            Ok((size, ()))
        })
        .await
    }

    /// Writes an object unless there is one; returns whether it was written.
    ///
    /// `bytes` must not be what another writer would write: when the answer to a successful write
    /// is lost, its repetition finds the object there and knows it by its content.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn create(&self, key: &str, bytes: impl Into<Bytes>) -> Result<bool> {
        let bytes = bytes.into();
        let path = self.path(key)?;
        let created = self.measured(Operation::Upload, async {
            let payload = PutPayload::from_bytes(bytes.clone());
            let options = self.put_options(PutMode::Create);
            match (self.store.put_opts(&path, payload, options)).await {
                Ok(_) => Ok((bytes.len() as u64, true)),
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                    Ok((0, false))
                }
                Err(e) => Err(Error::store("create", key, e)),
            }
        });
        if created.await? {
            return Ok(true);
        }
        let there = self.find(key, bytes.len() as u64).await;
        match there {
            Ok(there) => Ok(there.as_ref() == Some(&bytes)),
            Err(Error::TooLarge { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Deletes an object; that there is none is no error.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        let deleted = self.measured(Operation::Delete, async {
            let path = self.path(key)?;
            let deleted = self.store.delete(&path).await;
            deleted.map_err(|e| Error::store("delete", key, e))?;
            Ok((0, ()))
        });
        optional(deleted.await).map(|_| ())
    }

    /// All objects whose keys start with `dir` and a slash, in no particular order; all of the
    /// bucket for an empty `dir`. Pages are fetched as the stream is read.
    pub fn list(&self, dir: &str) -> BoxStream<'_, Result<Object>> {
        self.metrics.start(Operation::Iter);
        let started = Instant::now();
        let at = format!("{}{dir}", self.prefix);
        let prefix = match Path::parse(at.trim_end_matches('/')) {
            Ok(prefix) => prefix,
            Err(e) => {
                let error = Error::store("list", dir, StoreError::from(e));
                return futures::stream::once(async { Err(error) }).boxed();
            }
        };
        let dir = dir.to_owned();
        let listed = self.store.list(Some(&prefix));
        let objects = listed.filter_map(move |found| {
            let object = match found {
                Ok(meta) => self.object(meta).map(Ok),
                Err(e) => {
                    self.metrics.failed(Operation::Iter);
                    Some(Err(Error::store("list", &dir, e)))
                }
            };
            std::future::ready(object)
        });
        let end = futures::stream::once(async move {
            self.metrics.done(Operation::Iter, started.elapsed(), 0);
            None
        });
        objects
            .map(Some)
            .chain(end)
            .filter_map(std::future::ready)
            .boxed()
    }

    /// Runs an operation and counts it; the number beside the result is bytes moved.
    pub(crate) async fn measured<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<(u64, T)>>,
    ) -> Result<T> {
        self.metrics.start(operation);
        let started = Instant::now();
        match work.await {
            Ok((bytes, result)) => {
                self.metrics.done(operation, started.elapsed(), bytes);
                Ok(result)
            }
            Err(e) => {
                if e.kind() != ErrorKind::NotFound {
                    self.metrics.failed(operation);
                }
                Err(e)
            }
        }
    }

    /// What a listing says of an object, unless it is not below the bucket's prefix.
    fn object(&self, meta: ObjectMeta) -> Option<Object> {
        let key = meta.location.as_ref().strip_prefix(&*self.prefix)?;
        Some(Object {
            key: key.to_owned(),
            size: meta.size,
            modified_ms: meta.last_modified.timestamp_millis(),
            e_tag: meta.e_tag.map(Tag::from),
        })
    }
}

fn check_length(key: &str, expected: u64, bytes: &Bytes) -> Result<()> {
    let found = bytes.len() as u64;
    match found == expected {
        true => Ok(()),
        false => Err(Error::Length {
            key: key.to_owned(),
            expected,
            found,
        }),
    }
}

/// Turns the absence of an object into `None`.
fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::*;

    async fn keys(bucket: &Bucket, dir: &str) -> Vec<String> {
        let listed: Vec<Object> = bucket.list(dir).try_collect().await.unwrap();
        let mut keys: Vec<_> = listed.into_iter().map(|o| o.key).collect();
        keys.sort();
        keys
    }

    #[tokio::test]
    async fn objects_live_below_the_prefix() {
        let whole = Bucket::in_memory();
        let part = Bucket::new(Arc::clone(whole.store()), "part", "/a/b/");
        part.put("x/1", "one").await.unwrap();
        whole.put("other", "two").await.unwrap();
        assert_eq!(keys(&whole, "").await, ["a/b/x/1", "other"]);
        assert_eq!(keys(&part, "").await, ["x/1"]);
        assert_eq!(keys(&part, "x").await, ["x/1"]);
        assert_eq!(part.get("x/1", 10).await.unwrap(), "one");
        assert_eq!(part.find("other", 10).await.unwrap(), None);
        assert_eq!(part.metrics().count(Operation::Iter), 2);
    }

    #[tokio::test]
    async fn objects_are_written_with_attributes() {
        let class = Attributes::from_iter([(object_store::Attribute::StorageClass, "COLD")]);
        let bucket = Bucket::in_memory().with_attributes(class.clone());
        bucket.put("put", "x").await.unwrap();
        bucket.create("created", "x").await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("large");
        std::fs::write(&file, vec![1; 20 << 20]).unwrap();
        bucket.upload_file(&file, "uploaded").await.unwrap();
        for key in ["put", "created", "uploaded"] {
            let found = bucket.store().get(&Path::from(key)).await.unwrap();
            assert_eq!(found.attributes, class, "{key}");
        }
    }

    #[tokio::test]
    async fn reads_are_bounded_and_checked() {
        let bucket = Bucket::in_memory();
        bucket.put("k", "0123456789").await.unwrap();
        let large = bucket.get("k", 9).await.unwrap_err();
        assert_eq!(large.kind(), ErrorKind::Exhausted);
        assert_eq!(bucket.get_range("k", 2..5).await.unwrap(), "234");
        assert_eq!(bucket.get_range("k", 5..5).await.unwrap(), "");
        let cut = bucket.get_range("k", 5..11).await.unwrap_err();
        assert!(matches!(cut, Error::Length { found: 5, .. }), "{cut}");
        assert_eq!(
            bucket.get("none", 1).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(bucket.metrics().failures(Operation::Get), 1);
    }

    #[tokio::test]
    async fn a_range_is_of_the_content_that_is_meant() {
        let bucket = Bucket::in_memory();
        bucket.put("k", "0123456789").await.unwrap();
        let object = bucket.attributes("k").await.unwrap().unwrap();
        let listed = Version {
            key: "k",
            e_tag: object.e_tag.as_ref(),
        };
        assert!(listed.e_tag.is_some());
        assert_eq!(bucket.get_range(listed, 2..5).await.unwrap(), "234");
        assert_eq!(bucket.metrics().count(Operation::Attributes), 1);
        bucket.put("k", "abcdefghij").await.unwrap();
        let replaced = bucket.get_range(listed, 2..5).await.unwrap_err();
        assert!(matches!(replaced, Error::Replaced { .. }), "{replaced}");
        assert_eq!(replaced.kind(), ErrorKind::Unavailable);
        let (ranges, plan) = ([0..1, 2..5], crate::ReadPlan::default());
        let replaced = bucket.get_ranges(listed, &ranges, &plan).await.unwrap_err();
        assert!(matches!(replaced, Error::Replaced { .. }), "{replaced}");
        assert_eq!(bucket.get_range("k", 2..5).await.unwrap(), "cde");
        bucket.delete("k").await.unwrap();
        let gone = bucket.get_range(listed, 2..5).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn creating_is_won_once_and_known_again() {
        let bucket = Bucket::in_memory();
        assert!(bucket.create("k", "mine").await.unwrap());
        assert!(bucket.create("k", "mine").await.unwrap(), "own write again");
        assert!(!bucket.create("k", "his").await.unwrap());
        assert!(!bucket.create("k", "longer than it").await.unwrap());
        bucket.delete("k").await.unwrap();
        bucket.delete("k").await.unwrap();
        assert!(bucket.attributes("k").await.unwrap().is_none());
    }
}
