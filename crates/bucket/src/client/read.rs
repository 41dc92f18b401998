//! Reading and listing objects.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use model::ErrorKind;
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectStoreExt as _};

use super::{Bucket, Object, Version, optional};
use crate::error::{Error, Result};
use crate::metrics::Operation;
use crate::tag::Tag;

impl Bucket {
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
        // One that is too short without being cut: the store's client takes it for whole.
        match self.read_range_once(of, range.clone()).await {
            Err(Error::Length { .. }) => self.read_range_once(of, range).await,
            read => read,
        }
    }

    async fn read_range_once(&self, of: Version<'_>, range: Range<u64>) -> Result<Bytes> {
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

    /// The names of the directories at the top of the bucket.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn directories(&self) -> Result<Vec<String>> {
        self.measured(Operation::Iter, async {
            let failed = |e| Error::store("list the directories of", "", e);
            let top = Path::parse(self.prefix.trim_end_matches('/'));
            let top = top.map_err(|e| failed(StoreError::from(e)))?;
            let listed = self.store.list_with_delimiter(Some(&top)).await;
            let dirs = listed.map_err(failed)?.common_prefixes;
            let names = dirs.iter().filter_map(|dir| dir.filename());
            Ok((0, names.map(str::to_owned).collect()))
        })
        .await
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
