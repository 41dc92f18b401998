//! The bucket's client: objects by their keys, whatever the store.
//!
//! Retries are the store's own (`object_store` repeats what failed on the way); none are stacked on
//! top but one of an answer that is too short and does not look cut, and a store that is overloaded is
//! asked less (`pace`). An answer is checked for its length: what is not whole must never be cached.

mod read;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use model::ErrorKind;
use object_store::path::Path;
use object_store::{Attributes, Error as StoreError, ObjectMeta, ObjectStore};

use crate::error::{Error, Result};
use crate::metrics::{Metrics, Operation};
use crate::pace::Pace;
use crate::tag::Tag;

/// A bucket, or the part of one below a prefix. Clones share everything.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    name: Arc<str>,
    prefix: Arc<str>,
    /// The directory that the store is, when it is a local one.
    root: Option<Arc<std::path::Path>>,
    /// The directory was not there.
    is_new: bool,
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
            is_new: false,
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

    /// The same bucket, counted anew, whose store is asked at `pace`.
    #[must_use]
    pub(crate) fn with_pace(self, pace: Arc<Pace>) -> Self {
        Self {
            metrics: Arc::new(Metrics::paced(pace)),
            ..self
        }
    }

    /// What every object that is written bears.
    pub(crate) fn written_with(&self) -> &Attributes {
        &self.attributes
    }

    /// The same bucket, whose store is the directory `root`: readers map its files.
    #[must_use]
    pub fn in_local(mut self, root: &std::path::Path) -> Self {
        self.root = Some(root.into());
        self
    }

    /// The same bucket, whose directory was not there and has just been made.
    #[must_use]
    pub(crate) fn just_made(mut self) -> Self {
        self.is_new = true;
        self
    }

    /// True when it is a local directory that was made by opening it. Who only reads may have been told a
    /// wrong name.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Tells who looks for blocks in a directory that there was none.
    pub fn warn_if_new(&self) {
        if self.is_new() {
            tracing::warn!(
                directory = self.name(),
                "the bucket's directory was not there, so it is empty; if there are blocks somewhere, \
                 its name is wrong"
            );
        }
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
    use object_store::ObjectStoreExt as _;

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
