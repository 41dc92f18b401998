//! Which blocks a bucket holds: one listing, and what is new of `meta.json` and marks.
//!
//! A sync lists the bucket once. The listing says which blocks have a `meta.json` and which marks lie
//! beside them, so that nothing is asked for block by block; what was read before is not read again,
//! as long as the listing shows it unchanged. Each `meta.json` is kept on disk too
//! (`meta-syncer/<ULID>/meta.json`, as by Thanos), so that a restart reads none again; for a bucket
//! that is a folder here its own files do.
//!
//! In memory is an [`Outline`] of each block, and what [`Keep`] says beside it: all of `meta.json` for
//! compactors and tools, nothing for who serves tens of thousands of blocks.
//!
//! A listing that fails is an error, never an empty bucket. One block that cannot be read does not
//! hide the others: it is in [`View::failed`] or [`View::corrupted`].

mod bounds;
mod cache;
mod counts;
mod duplicates;
mod filters;
mod known;
mod listing;
mod outline;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::stream::{self, StreamExt as _};
use model::ErrorKind;
use model::figure::Figure;
use tokio::sync::Mutex;
use tsdb::block::Meta;
use ulid::Ulid;

use crate::client::Bucket;
use crate::error::{Error, Result};
use crate::marks::{DeletionMark, MARK_SIZE_MAX, NoCompactMark, NoDownsampleMark};
use crate::paths::BlockObject;

pub use bounds::{TimeBound, TimeBoundError, TimeBounds};
use cache::DiskCache;
use counts::Counts;
pub use filters::Filter;
use known::{Known, KnownBlock, Listed, Wanted};
pub use listing::{BlockFiles, Segments, Stamp};
pub use outline::{Keep, LabelSets, Outline, OutlineOnly, Span};

/// Largest `meta.json` that is read.
const META_SIZE_MAX: u64 = tsdb::block::meta::META_SIZE_MAX;

/// Objects that are read at once.
const PARALLEL: usize = 32;

/// A block of the bucket, with what is held of its `meta.json`: all of it, or [`OutlineOnly`].
#[derive(Debug, Clone)]
pub struct BlockInfo<M = Arc<Meta>> {
    /// What filters look at, as they changed it.
    pub outline: Arc<Outline>,
    /// Its `meta.json`, as filters changed it, where that is held.
    pub meta: M,
    /// Its objects.
    pub files: Arc<BlockFiles>,
    /// Whether and since when it is to be deleted.
    pub deletion_mark: Option<Arc<DeletionMark>>,
    /// Whether and why it is not to be compacted; not looked at with [`OutlineOnly`].
    pub no_compact: Option<Arc<NoCompactMark>>,
    /// Whether it is not to be downsampled; not looked at with [`OutlineOnly`].
    pub no_downsample: Option<Arc<NoDownsampleMark>>,
}

impl BlockInfo {
    /// A block without marks.
    pub fn new(meta: Meta, files: BlockFiles) -> Self {
        Self {
            outline: Arc::new(Outline::new(&meta, &mut LabelSets::default())),
            meta: Arc::new(meta),
            files: Arc::new(files),
            deletion_mark: None,
            no_compact: None,
            no_downsample: None,
        }
    }

    /// The block's external labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.meta.thanos.as_ref().map_or(&NONE, |t| &t.labels)
    }

    /// Milliseconds per sample: 0 (raw), 300,000 or 3,600,000.
    pub fn resolution(&self) -> i64 {
        (self.meta.thanos.as_ref()).map_or(0, |t| t.downsample.resolution)
    }
}

/// What a bucket holds, seen through filters.
#[derive(Debug, Clone)]
pub struct View<M = Arc<Meta>> {
    /// The blocks that passed all filters.
    pub blocks: BTreeMap<Ulid, BlockInfo<M>>,
    /// Directories of blocks without `meta.json`: uploads under way or given up, or deletions.
    pub partial: BTreeMap<Ulid, Arc<BlockFiles>>,
    /// Blocks whose `meta.json` is damaged or of another version, and how.
    pub corrupted: BTreeMap<Ulid, String>,
    /// Blocks whose `meta.json` or marks could not be read this time, and why.
    pub failed: BTreeMap<Ulid, String>,
    /// All readable marks of deletion, also of blocks that are filtered out or partial.
    pub deletion_marks: BTreeMap<Ulid, Arc<DeletionMark>>,
    /// Blocks that others cover completely; in `blocks` no more.
    pub duplicates: Vec<Ulid>,
    /// How many blocks each filter took out, by Thanos' names of their states.
    pub excluded: BTreeMap<&'static str, u64>,
}

impl<M> Default for View<M> {
    fn default() -> Self {
        Self {
            blocks: BTreeMap::new(),
            partial: BTreeMap::new(),
            corrupted: BTreeMap::new(),
            failed: BTreeMap::new(),
            deletion_marks: BTreeMap::new(),
            duplicates: Vec::new(),
            excluded: BTreeMap::new(),
        }
    }
}

/// Keeps a view of a bucket up to date. Between looks it holds what [`Keep`] says of each block, and
/// an [`Outline`].
#[derive(Debug)]
pub struct Fetcher<M = Arc<Meta>> {
    bucket: Bucket,
    disk: Option<DiskCache>,
    filters: Vec<Filter>,
    known: Mutex<Known<M>>,
    counts: Counts,
}

/// What came of it.
enum Got {
    Meta(Box<Meta>),
    Deletion(DeletionMark),
    NoCompact(NoCompactMark),
    NoDownsample(NoDownsampleMark),
    /// It was deleted since the listing.
    Gone,
    /// Its content is not what it should be.
    Damaged(String),
    /// It could not be read.
    Failed(String),
}

impl Fetcher {
    /// A fetcher whose filters are applied in their order; `data_dir` is where it keeps a copy of
    /// every `meta.json`.
    pub fn new(bucket: Bucket, data_dir: Option<&Path>, filters: Vec<Filter>) -> Self {
        Self::keeping(bucket, data_dir, filters)
    }
}

impl Fetcher<OutlineOnly> {
    /// The same, which holds nothing else of a block than its outline.
    pub fn of_outlines(bucket: Bucket, data_dir: Option<&Path>, filters: Vec<Filter>) -> Self {
        Self::keeping(bucket, data_dir, filters)
    }
}

impl<M: Keep> Fetcher<M> {
    fn keeping(bucket: Bucket, data_dir: Option<&Path>, filters: Vec<Filter>) -> Self {
        Self {
            disk: DiskCache::new(&bucket, data_dir),
            bucket,
            filters,
            known: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// The bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Looks at the bucket at `now_ms`.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub async fn sync(&self, now_ms: i64) -> Result<View<M>> {
        let started = Instant::now();
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        let result = self.look(now_ms).await;
        let took = started.elapsed().as_secs_f64();
        self.counts.seconds.observe(took);
        match &result {
            Ok(view) => self.counts.note(view),
            Err(_) => {
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        result
    }

    async fn look(&self, now_ms: i64) -> Result<View<M>> {
        let listed = listing::list(&self.bucket).await?;
        let mut known = self.known.lock().await;
        known.forget_changed(&listed);
        if let Some(disk) = self.disk.as_ref().filter(|_| !known.disk_read) {
            let sets = mem::take(&mut known.label_sets);
            let (copies, sets) = disk.read(&listed, sets).await;
            known.label_sets = sets;
            known.learn(copies);
            known.disk_read = true;
        }
        let mut view = View::default();
        self.read_new(&mut known, &listed, &mut view).await;
        known.label_sets.forget_unused();
        if let Some(disk) = &self.disk {
            disk.remove_others(&listed).await;
        }
        known.fill(listed, &mut view);
        drop(known);
        for filter in &self.filters {
            match filter {
                Filter::Duplicates => self.hide_duplicates(&mut view, false).await,
                Filter::DuplicatesOfKept => self.hide_duplicates(&mut view, true).await,
                filter => filter.apply(&mut view, now_ms),
            }
        }
        Ok(view)
    }

    /// Takes blocks out of the view that others of their group cover, where with
    /// `marked_yield` one that is marked for deletion covers none that is not.
    async fn hide_duplicates(&self, view: &mut View<M>, marked_yield: bool) {
        let mut covered = Vec::new();
        for group in duplicates::suspects(view) {
            let mut blocks = Vec::with_capacity(group.len());
            for id in group {
                // One that cannot be looked at hides nothing and is not hidden: what is served twice
                // is merged.
                let block = &view.blocks[&id];
                if let Some(sources) = self.sources(block).await {
                    let yields = marked_yield && block.deletion_mark.is_some();
                    blocks.push(duplicates::Contender {
                        id,
                        sources,
                        yields,
                    });
                }
            }
            duplicates::covered_blocks(blocks, &mut covered);
        }
        covered.sort_unstable();
        for id in &covered {
            view.blocks.remove(id);
        }
        *view.excluded.entry("duplicate").or_default() += covered.len() as u64;
        view.duplicates.extend(covered);
    }

    async fn sources(&self, block: &BlockInfo<M>) -> Option<Vec<Ulid>> {
        if let Some(sources) = block.meta.sources() {
            return Some(sources.to_vec());
        }
        let id = block.outline.id;
        if block.outline.sources.is_own {
            return Some(vec![id]);
        }
        let sources = match self.meta(id).await {
            Ok(meta) => meta.compaction.sources,
            Err(error) => {
                let error = error.chain();
                tracing::warn!(block = %id, %error, "sources of a block cannot be read");
                return None;
            }
        };
        // A copy that could not be replaced is of another content.
        Some(sources).filter(|sources| Span::of(id, sources) == block.outline.sources)
    }

    /// A block's `meta.json`, from the copy here or the bucket.
    ///
    /// # Errors
    /// [`Error::Store`] when the bucket cannot be read, [`Error::Block`] when what is there is damaged.
    pub async fn meta(&self, id: Ulid) -> Result<Meta> {
        if let Some(disk) = &self.disk
            && let Some(meta) = disk.find(id).await
        {
            return Ok(meta);
        }
        let key = BlockObject::Meta(id).to_string();
        let bytes = self.bucket.get(&key, META_SIZE_MAX).await?;
        let meta = parse_meta(id, &key, &bytes).map_err(|source| Error::Block {
            action: "read meta.json of",
            block: id,
            source,
        })?;
        if let Some(disk) = &self.disk {
            disk.keep(id, bytes).await;
        }
        Ok(meta)
    }

    /// The copy of a block's `meta.json`, if there is one here. Blocks while it is read.
    pub fn copy(&self, id: Ulid) -> Option<Meta> {
        self.disk.as_ref()?.copy(id)
    }

    /// Reads what is not known yet.
    async fn read_new(&self, known: &mut Known<M>, listed: &Listed, view: &mut View<M>) {
        let wanted = known.wanted(listed).into_iter();
        let reads = wanted.map(|(id, wanted)| async move { (id, self.read(id, wanted).await) });
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL);
        let mut new = Vec::new();
        while let Some((id, got)) = reads.next().await {
            let files = &listed[&id];
            match got {
                Got::Meta(meta) => {
                    let sets = &mut known.label_sets;
                    let stamp = files.meta.as_ref();
                    new.extend(stamp.map(|stamp| KnownBlock::new(stamp, *meta, sets)));
                }
                Got::Deletion(mark) => {
                    known
                        .deletion
                        .learn(id, files.deletion_mark.as_deref(), mark);
                }
                Got::NoCompact(mark) => {
                    let stamp = files.no_compact_mark.as_deref();
                    known.no_compact.learn(id, stamp, mark);
                }
                Got::NoDownsample(mark) => {
                    let stamp = files.no_downsample_mark.as_deref();
                    known.no_downsample.learn(id, stamp, mark);
                }
                Got::Gone => {}
                Got::Damaged(what) => {
                    view.corrupted.insert(id, what);
                }
                Got::Failed(what) => {
                    view.failed.insert(id, what);
                }
            }
        }
        drop(reads);
        known.learn(new);
    }

    async fn read(&self, id: Ulid, wanted: Wanted) -> Got {
        let (object, size_max) = match wanted {
            Wanted::Meta => (BlockObject::Meta(id), META_SIZE_MAX),
            Wanted::Deletion => (BlockObject::DeletionMark(id), MARK_SIZE_MAX),
            Wanted::NoCompact => (BlockObject::NoCompactMark(id), MARK_SIZE_MAX),
            Wanted::NoDownsample => (BlockObject::NoDownsampleMark(id), MARK_SIZE_MAX),
        };
        let key = object.to_string();
        let bytes = match self.bucket.get(&key, size_max).await {
            Ok(bytes) => bytes,
            Err(e) => {
                return match e.kind() {
                    ErrorKind::NotFound => Got::Gone,
                    // A block is not given up for a mark, but nothing is done to it without.
                    _ if wanted != Wanted::Meta && !M::COMPACTS => {
                        let error = e.chain();
                        tracing::warn!(%key, error, "mark cannot be read; the block counts as not marked");
                        Got::Gone
                    }
                    ErrorKind::Exhausted => Got::Damaged(e.chain()),
                    _ => Got::Failed(e.chain()),
                };
            }
        };
        let mark = match wanted {
            Wanted::Meta => {
                let meta = match parse_meta(id, &key, &bytes) {
                    Ok(meta) => meta,
                    Err(e) => return Got::Damaged(e.to_string()),
                };
                if let Some(disk) = &self.disk {
                    disk.keep(id, bytes).await;
                }
                return Got::Meta(Box::new(meta));
            }
            Wanted::Deletion => DeletionMark::from_json(&bytes).map(Got::Deletion),
            Wanted::NoCompact => NoCompactMark::from_json(&bytes).map(Got::NoCompact),
            Wanted::NoDownsample => NoDownsampleMark::from_json(&bytes).map(Got::NoDownsample),
        };
        mark.unwrap_or_else(|error| {
            // As in Thanos: somebody may be writing it; the block counts as not marked.
            tracing::warn!(%key, %error, "mark cannot be read and is ignored");
            Got::Gone
        })
    }

    /// Calls `visit` for each figure of the syncs so far.
    pub fn visit(&self, visit: &mut dyn FnMut(Figure<'_>)) {
        self.counts.visit(visit);
    }
}

fn parse_meta(id: Ulid, key: &str, bytes: &[u8]) -> tsdb::Result<Meta> {
    let meta = Meta::parse(bytes, Path::new(key))?;
    match meta.ulid == id {
        true => Ok(meta),
        false => {
            let what = format!("{key} is of block {}", meta.ulid);
            Err(tsdb::Error::Invalid(what))
        }
    }
}
