//! Reading ranges of objects through a cache of pages.
//!
//! Objects are cut into pages of 64 KiB. What is asked for is rounded to pages, looked up in memory
//! and on disk, and what is missing is read by few coalesced requests. A page that somebody else is reading is
//! waited for instead of being read twice.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bucket::{BlockObject, Bucket, ReadPlan, Tag, Version};
use bytes::Bytes;
use moka::sync::Cache;
use parking_lot::Mutex;
use runtime::process::blocking;
use storeapi::StoreError;
use tokio::sync::{Semaphore, watch};

use crate::disk_cache::{DiskCache, PageKey};
use crate::error::of_bucket;
use crate::limits::Usage;
use crate::sparse::Extents;
use crate::stats::{DataType, Hits, Stats};

/// Bytes of a page.
const PAGE: u64 = 64 << 10;

/// Reads of the bucket for queries at once; each may be several requests.
const READS_MAX: usize = 64;

/// Memory that a cached page takes beside its bytes.
const PAGE_OVERHEAD: usize = 128;

/// An object that is read through the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PagedObject {
    /// Which object.
    pub object: BlockObject,
    /// Its size in bytes.
    pub size: u64,
    /// What the listing says identifies its content, where that is to be checked.
    pub e_tag: Option<Tag>,
    /// Stands for what the block's index holds, and so for what its objects hold; another run of the
    /// program finds the same.
    pub content: u32,
}

impl PagedObject {
    /// What is read of the bucket; `key` is that of the object.
    pub fn version<'a>(&'a self, key: &'a str) -> Version<'a> {
        Version {
            key,
            e_tag: self.e_tag.as_ref(),
        }
    }

    const fn key(&self, page: u32) -> PageKey {
        PageKey {
            object: self.object,
            content: self.content,
            page,
        }
    }
}

/// Jobs that write pages to disk at once or wait for it; pages beyond that are not kept there.
const WRITES_MAX: usize = 8;

/// Pages of objects, and who is reading which.
pub struct Pages {
    bucket: Bucket,
    stats: Arc<Stats>,
    index: Cache<PageKey, Bytes>,
    chunks: Cache<PageKey, Bytes>,
    disk: Option<Arc<DiskCache>>,
    writes: Arc<Semaphore>,
    reading: Mutex<HashMap<PageKey, watch::Receiver<()>>>,
    reads: Semaphore,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

/// Pages that one reader has taken upon itself; others wait until this is dropped.
struct Claim<'a> {
    pages: &'a Pages,
    keys: Vec<PageKey>,
    _done: watch::Sender<()>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut reading = self.pages.reading.lock();
        for key in &self.keys {
            reading.remove(key);
        }
    }
}

/// What is to be done for the pages of a request.
struct Plan<'a> {
    claim: Claim<'a>,
    /// Pages that others read.
    awaited: Vec<(u32, watch::Receiver<()>)>,
}

impl Pages {
    /// A cache for pages of indexes and one for pages of chunks, each with a bound in bytes.
    pub fn new(bucket: Bucket, stats: Arc<Stats>, index_bytes: u64, chunk_bytes: u64) -> Self {
        let cache = |bytes, hits: fn(&Stats) -> &Hits| {
            let stats = Arc::clone(&stats);
            Cache::builder()
                .max_capacity(bytes)
                .eviction_listener(move |_, _, cause| hits(&stats).removed(cause))
                .weigher(|_: &PageKey, page: &Bytes| {
                    u32::try_from(page.len() + PAGE_OVERHEAD).unwrap_or(u32::MAX)
                })
                .build()
        };
        Self {
            bucket,
            index: cache(index_bytes, |stats| &stats.index_pages),
            chunks: cache(chunk_bytes, |stats| &stats.chunk_pages),
            disk: None,
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            reading: Mutex::default(),
            reads: Semaphore::new(READS_MAX),
            stats,
        }
    }

    /// What the caches of indexes and of chunks hold: things, and their bytes.
    pub fn held(&self) -> [(u64, u64); 2] {
        [&self.index, &self.chunks].map(|cache| (cache.entry_count(), cache.weighted_size()))
    }

    /// The same, with a cache on disk behind that in memory.
    #[must_use]
    pub fn with_disk(mut self, disk: Option<Arc<DiskCache>>) -> Self {
        self.disk = disk;
        self
    }

    fn cache(&self, object: BlockObject) -> (&Cache<PageKey, Bytes>, &Hits) {
        match object {
            BlockObject::Chunks(..) => (&self.chunks, &self.stats.chunk_pages),
            _ => (&self.index, &self.stats.index_pages),
        }
    }

    /// Adds to `held` what it lacks of `ranges`, which is cut at the end of the object.
    ///
    /// # Errors
    /// When the bucket cannot be read, or the request's limit of bytes is reached.
    pub async fn fetch(
        &self,
        object: &PagedObject,
        ranges: impl IntoIterator<Item = Range<u64>>,
        held: &mut Extents,
        (of, usage): (DataType, &Usage),
    ) -> Result<(), StoreError> {
        let mut wanted: Vec<u32> = Vec::new();
        for range in ranges {
            let end = range.end.min(object.size);
            if range.start < end {
                // A page number fits: an index ends at 64 GiB, a segment at 4 GiB.
                let pages = (range.start / PAGE) as u32..=((end - 1) / PAGE) as u32;
                wanted.extend(pages);
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|page| !held.holds(&page_range(object, *page)));
        let (_, hits) = self.cache(object.object);
        hits.requests.add(wanted.len() as u64);
        let mut lacking = self.take_cached(object, wanted, held);
        while !lacking.is_empty() {
            let plan = self.plan(object, lacking);
            self.read(object, plan.claim, held, (of, usage)).await?;
            let mut pages = Vec::with_capacity(plan.awaited.len());
            for (page, mut done) in plan.awaited {
                // An error means that the reader is done, successful or not.
                let _ = done.changed().await;
                pages.push(page);
            }
            lacking = self.take_cached(object, pages, held);
        }
        Ok(())
    }

    /// Moves what the cache has of `pages` to `held`; returns the others.
    fn take_cached(&self, object: &PagedObject, pages: Vec<u32>, held: &mut Extents) -> Vec<u32> {
        let (cache, hits) = self.cache(object.object);
        let mut found = Vec::new();
        let mut lacking = Vec::new();
        for page in pages {
            match cache.get(&object.key(page)) {
                Some(bytes) => found.push((page_range(object, page).start, bytes)),
                None => lacking.push(page),
            }
        }
        hits.hits.add(found.len() as u64);
        held.add(found);
        lacking
    }

    /// Claims the pages that nobody reads.
    fn plan(&self, object: &PagedObject, pages: Vec<u32>) -> Plan<'_> {
        let (done, waiting) = watch::channel(());
        let mut keys = Vec::new();
        let mut awaited = Vec::new();
        let mut reading = self.reading.lock();
        for page in pages {
            let key = object.key(page);
            match reading.get(&key) {
                Some(other) => awaited.push((page, other.clone())),
                None => {
                    reading.insert(key, waiting.clone());
                    keys.push(key);
                }
            }
        }
        drop(reading);
        Plan {
            claim: Claim {
                pages: self,
                keys,
                _done: done,
            },
            awaited,
        }
    }

    /// Reads the claimed pages to `held` and to the cache.
    async fn read(
        &self,
        object: &PagedObject,
        claim: Claim<'_>,
        held: &mut Extents,
        (of, usage): (DataType, &Usage),
    ) -> Result<(), StoreError> {
        let lacking = self.take_from_disk(object, claim.keys.clone(), held).await;
        let runs = runs(object, &lacking);
        if runs.is_empty() {
            return Ok(());
        }
        let bytes = runs.iter().map(|run| run.end - run.start).sum();
        usage.bytes(bytes)?;
        usage.fetched(of, bytes);
        let _place = self.reads.acquire().await.expect("never closed");
        let key = object.object.to_string();
        let plan = ReadPlan::default();
        let read = self.bucket.get_ranges(object.version(&key), &runs, &plan);
        let read = read.await.map_err(|e| of_bucket(&e))?;
        self.stats.bytes_fetched.add(bytes);
        let (cache, hits) = self.cache(object.object);
        let pieces: Vec<(u64, Bytes)> = runs.iter().map(|r| r.start).zip(read).collect();
        let mut fresh = Vec::with_capacity(lacking.len());
        for (start, bytes) in &pieces {
            let pages = bytes.chunks(PAGE as usize).zip((start / PAGE) as u32..);
            for (bytes, page) in pages {
                // A copy, so that a page that stays does not keep its whole request in memory.
                let bytes = Bytes::copy_from_slice(bytes);
                cache.insert(object.key(page), bytes.clone());
                hits.added.add(1);
                fresh.push((object.key(page), bytes));
            }
        }
        self.keep_on_disk(fresh);
        held.add(pieces);
        Ok(())
    }

    /// Moves what the disk has of `pages` to `held` and into memory; returns the others.
    async fn take_from_disk(
        &self,
        object: &PagedObject,
        pages: Vec<PageKey>,
        held: &mut Extents,
    ) -> Vec<PageKey> {
        let Some(disk) = self.disk.clone().filter(|_| !pages.is_empty()) else {
            return pages;
        };
        let of = object.clone();
        let read = blocking(move || {
            let page = |key: PageKey| {
                let range = page_range(&of, key.page);
                // At most a page, which lies in memory.
                (key, disk.get(key, (range.end - range.start) as usize))
            };
            pages.into_iter().map(page).collect::<Vec<_>>()
        });
        let (cache, _) = self.cache(object.object);
        let mut found = Vec::new();
        let mut lacking = Vec::new();
        for (key, page) in read.await {
            match page {
                Some(page) => {
                    cache.insert(key, page.clone());
                    found.push((page_range(object, key.page).start, page));
                }
                None => lacking.push(key),
            }
        }
        held.add(found);
        lacking
    }

    /// Writes pages to disk when there is time.
    fn keep_on_disk(&self, pages: Vec<(PageKey, Bytes)>) {
        if let Some(disk) = self.disk.clone()
            && let Ok(place) = Arc::clone(&self.writes).try_acquire_owned()
        {
            // Nobody waits for it.
            drop(tokio::task::spawn_blocking(move || {
                let _place = place;
                disk.put(pages);
            }));
        }
    }
}

/// Where a page lies in its object.
fn page_range(object: &PagedObject, page: u32) -> Range<u64> {
    let start = u64::from(page) * PAGE;
    start..object.size.min(start + PAGE)
}

/// Ranges that cover pages, given in order, and nothing else.
fn runs(object: &PagedObject, pages: &[PageKey]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for key in pages {
        let range = page_range(object, key.page);
        match runs.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => runs.push(range),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use model::ErrorKind;

    use super::*;
    use crate::limits::Limits;

    const UNLIMITED: Limits = Limits {
        series_max: 0,
        samples_max: 0,
        blocks_max: 0,
        bytes_max: 0,
        mapped_bytes_max: 0,
    };

    async fn setup() -> (Pages, PagedObject, Vec<u8>) {
        let bucket = Bucket::in_memory();
        let id = ulid::Ulid::from_parts(1, 1);
        let object = BlockObject::Index(id);
        let bytes: Vec<u8> = (0..1_000_000u32).map(|i| (i / 7) as u8).collect();
        bucket
            .put(&object.to_string(), bytes.clone())
            .await
            .unwrap();
        let size = bytes.len() as u64;
        let pages = Pages::new(bucket, Arc::default(), 1 << 30, 1 << 30);
        let object = PagedObject {
            object,
            size,
            e_tag: None,
            content: 0,
        };
        (pages, object, bytes)
    }

    fn requests(pages: &Pages) -> u64 {
        pages
            .bucket
            .metrics()
            .count(bucket::metrics::Operation::GetRange)
    }

    #[tokio::test]
    async fn many_ranges_take_one_request_and_then_none() {
        let (pages, object, bytes) = setup().await;
        for _ in 0..2 {
            let mut held = Extents::default();
            let ranges = [10..20, 300_000..400_000, 999_990..1_000_100];
            let usage = Usage::new(UNLIMITED);
            pages
                .fetch(&object, ranges, &mut held, (DataType::Chunks, &usage))
                .await
                .unwrap();
            assert_eq!(held.get(&(10..20)).unwrap(), bytes[10..20]);
            assert_eq!(
                held.get(&(300_000..400_000)).unwrap(),
                bytes[300_000..400_000]
            );
            assert_eq!(held.get(&(999_990..1_000_000)).unwrap(), bytes[999_990..]);
            assert_eq!(
                requests(&pages),
                1,
                "the gaps are small, and the cache has it all"
            );
        }
    }

    #[tokio::test]
    async fn the_same_page_is_read_once_by_many() {
        let (pages, object, bytes) = setup().await;
        let usage = Usage::new(UNLIMITED);
        let fetches = (0..8u64).map(|i| {
            let (pages, usage, object) = (&pages, &usage, &object);
            async move {
                let mut held = Extents::default();
                let range = i * 10..i * 10 + 100_000;
                pages
                    .fetch(
                        object,
                        [range.clone()],
                        &mut held,
                        (DataType::Chunks, usage),
                    )
                    .await
                    .unwrap();
                held.get(&range).unwrap()
            }
        });
        for (i, read) in join_all(fetches).await.into_iter().enumerate() {
            assert_eq!(read, bytes[i * 10..i * 10 + 100_000]);
        }
        assert_eq!(requests(&pages), 1);
        assert!(pages.reading.lock().is_empty());
    }

    #[tokio::test]
    async fn a_limit_ends_a_read_before_it_starts() {
        let (pages, object, _) = setup().await;
        let usage = Usage::new(Limits {
            bytes_max: 100_000,
            ..UNLIMITED
        });
        let mut held = Extents::default();
        let range = std::iter::once(0..200_000);
        let fetched = pages
            .fetch(&object, range, &mut held, (DataType::Chunks, &usage))
            .await;
        assert_eq!(fetched.unwrap_err().kind, ErrorKind::Exhausted);
        assert_eq!(requests(&pages), 0);
        assert!(pages.reading.lock().is_empty());
    }
}
