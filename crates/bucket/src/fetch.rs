//! Which blocks a bucket holds: one listing, and what is new of `meta.json` and marks.
//!
//! A sync lists the bucket once. The listing says which blocks have a `meta.json` and which marks lie
//! beside them, so that nothing is asked for block by block; what was read before is not read again,
//! as long as the listing shows it unchanged. Each `meta.json` is kept on disk too
//! (`meta-syncer/<ULID>/meta.json`, as by Thanos), so that a restart reads none again.
//!
//! A listing that fails is an error, never an empty bucket. One block that cannot be read does not
//! hide the others: it is in [`View::failed`] or [`View::corrupted`].

mod bounds;
mod cache;
mod filters;
mod listing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::stream::{self, StreamExt as _};
use model::ErrorKind;
use tokio::sync::Mutex;
use tsdb::block::Meta;
use ulid::Ulid;

use crate::client::Bucket;
use crate::error::Result;
use crate::marks::{DeletionMark, NoCompactMark, NoDownsampleMark};
use crate::paths::BlockObject;
use model::figure::{Figure, Histogram, Value};

pub use bounds::{TimeBound, TimeBoundError, TimeBounds};
use cache::DiskCache;
pub use filters::Filter;
pub use listing::{BlockFiles, Stamp};

/// Largest `meta.json` that is read.
const META_SIZE_MAX: u64 = tsdb::block::meta::META_SIZE_MAX;

/// Largest mark that is read.
const MARK_SIZE_MAX: u64 = 1 << 20;

/// Objects that are read at once.
const PARALLEL: usize = 32;

/// A block of the bucket.
#[derive(Debug, Clone)]
pub struct BlockInfo {
    /// Its `meta.json`, as filters changed it.
    pub meta: Arc<Meta>,
    /// Its objects.
    pub files: Arc<BlockFiles>,
    /// Whether and since when it is to be deleted.
    pub deletion_mark: Option<Arc<DeletionMark>>,
    /// Whether and why it is not to be compacted.
    pub no_compact: Option<Arc<NoCompactMark>>,
    /// Whether it is not to be downsampled.
    pub no_downsample: Option<Arc<NoDownsampleMark>>,
}

impl BlockInfo {
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
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The blocks that passed all filters.
    pub blocks: BTreeMap<Ulid, BlockInfo>,
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

/// What is known from earlier syncs.
#[derive(Debug, Default)]
struct Known {
    metas: HashMap<Ulid, (Stamp, Arc<Meta>)>,
    deletion: HashMap<Ulid, (Stamp, Arc<DeletionMark>)>,
    no_compact: HashMap<Ulid, (Stamp, Arc<NoCompactMark>)>,
    no_downsample: HashMap<Ulid, (Stamp, Arc<NoDownsampleMark>)>,
    disk_read: bool,
}

/// Keeps a view of a bucket up to date.
#[derive(Debug)]
pub struct Fetcher {
    bucket: Bucket,
    disk: Option<DiskCache>,
    filters: Vec<Filter>,
    known: Mutex<Known>,
    counts: Counts,
}

/// Upper bounds of the durations of looks, in seconds; those of Thanos.
const SECONDS: &[f64] = &[0.01, 1.0, 10.0, 100.0, 300.0, 600.0, 1000.0];

#[derive(Debug)]
struct Counts {
    syncs: AtomicU64,
    failures: AtomicU64,
    seconds: Histogram,
    states: std::sync::Mutex<BTreeMap<&'static str, u64>>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            syncs: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            seconds: Histogram::new(SECONDS),
            states: std::sync::Mutex::default(),
        }
    }
}

/// One object that has to be read.
enum Wanted {
    Meta,
    Deletion,
    NoCompact,
    NoDownsample,
}

/// What came of it.
enum Got {
    Meta(Arc<Meta>),
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
        let disk =
            data_dir.map(|dir: &Path| DiskCache::new(PathBuf::from(dir).join("meta-syncer")));
        Self {
            bucket,
            disk,
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
    pub async fn sync(&self, now_ms: i64) -> Result<View> {
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

    async fn look(&self, now_ms: i64) -> Result<View> {
        let listed = listing::list(&self.bucket).await?;
        let mut known = self.known.lock().await;
        known.forget_changed(&listed);
        if let Some(disk) = self.disk.as_ref().filter(|_| !known.disk_read) {
            known.metas.extend(disk.read(&listed).await);
            known.disk_read = true;
        }
        let mut view = View::default();
        self.read_new(&mut known, &listed, &mut view).await;
        if let Some(disk) = &self.disk {
            disk.remove_others(&listed).await;
        }
        known.fill(listed, &mut view);
        drop(known);
        for filter in &self.filters {
            filter.apply(&mut view, now_ms);
        }
        Ok(view)
    }

    /// Reads what is not known yet.
    async fn read_new(
        &self,
        known: &mut Known,
        listed: &BTreeMap<Ulid, Arc<BlockFiles>>,
        view: &mut View,
    ) {
        let wanted: Vec<(Ulid, Wanted)> = known.wanted(listed);
        let reads = wanted
            .into_iter()
            .map(|(id, wanted)| async move { (id, self.read(id, wanted).await) });
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL);
        while let Some((id, got)) = reads.next().await {
            let files = &listed[&id];
            match got {
                Got::Meta(meta) => {
                    if let Some(stamp) = &files.meta {
                        known.metas.insert(id, (stamp.clone(), meta));
                    }
                }
                Got::Deletion(mark) => {
                    if let Some(stamp) = &files.deletion_mark {
                        known.deletion.insert(id, (stamp.clone(), Arc::new(mark)));
                    }
                }
                Got::NoCompact(mark) => {
                    if let Some(stamp) = &files.no_compact_mark {
                        known.no_compact.insert(id, (stamp.clone(), Arc::new(mark)));
                    }
                }
                Got::NoDownsample(mark) => {
                    if let Some(stamp) = &files.no_downsample_mark {
                        (known.no_downsample).insert(id, (stamp.clone(), Arc::new(mark)));
                    }
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
                    ErrorKind::Exhausted => Got::Damaged(e.chain()),
                    _ => Got::Failed(e.chain()),
                };
            }
        };
        let mark = match wanted {
            Wanted::Meta => {
                let got = parse_meta(id, &key, &bytes);
                if let (Got::Meta(_), Some(disk)) = (&got, &self.disk) {
                    disk.keep(id, bytes).await;
                }
                return got;
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

fn parse_meta(id: Ulid, key: &str, bytes: &[u8]) -> Got {
    match Meta::parse(bytes, Path::new(key)) {
        Ok(meta) if meta.ulid == id => Got::Meta(Arc::new(meta)),
        Ok(meta) => Got::Damaged(format!("{key} is of block {}", meta.ulid)),
        Err(e) => Got::Damaged(e.to_string()),
    }
}

impl Known {
    /// Forgets what the listing shows no more, or shows changed.
    fn forget_changed(&mut self, listed: &BTreeMap<Ulid, Arc<BlockFiles>>) {
        fn keep<T>(
            known: &mut HashMap<Ulid, (Stamp, T)>,
            listed: &BTreeMap<Ulid, Arc<BlockFiles>>,
            stamp: impl Fn(&BlockFiles) -> Option<&Stamp>,
        ) {
            known.retain(|id, (old, _)| {
                (listed.get(id)).and_then(|files| stamp(files)) == Some(&*old)
            });
        }
        keep(&mut self.metas, listed, |f| f.meta.as_ref());
        keep(&mut self.deletion, listed, |f| f.deletion_mark.as_ref());
        keep(&mut self.no_compact, listed, |f| f.no_compact_mark.as_ref());
        keep(&mut self.no_downsample, listed, |f| {
            f.no_downsample_mark.as_ref()
        });
    }

    /// What is listed and not known.
    fn wanted(&self, listed: &BTreeMap<Ulid, Arc<BlockFiles>>) -> Vec<(Ulid, Wanted)> {
        let mut wanted = Vec::new();
        for (&id, files) in listed {
            if files.meta.is_some() && !self.metas.contains_key(&id) {
                wanted.push((id, Wanted::Meta));
            }
            if files.deletion_mark.is_some() && !self.deletion.contains_key(&id) {
                wanted.push((id, Wanted::Deletion));
            }
            if files.no_compact_mark.is_some() && !self.no_compact.contains_key(&id) {
                wanted.push((id, Wanted::NoCompact));
            }
            if files.no_downsample_mark.is_some() && !self.no_downsample.contains_key(&id) {
                wanted.push((id, Wanted::NoDownsample));
            }
        }
        wanted
    }

    /// Puts everything known about what is listed into `view`.
    fn fill(&self, listed: BTreeMap<Ulid, Arc<BlockFiles>>, view: &mut View) {
        for (id, (_, mark)) in &self.deletion {
            view.deletion_marks.insert(*id, Arc::clone(mark));
        }
        for (id, files) in listed {
            if view.failed.contains_key(&id) || view.corrupted.contains_key(&id) {
                continue;
            }
            let Some((_, meta)) = self.metas.get(&id) else {
                view.partial.insert(id, files);
                continue;
            };
            let info = BlockInfo {
                meta: Arc::clone(meta),
                files,
                deletion_mark: self.deletion.get(&id).map(|(_, m)| Arc::clone(m)),
                no_compact: self.no_compact.get(&id).map(|(_, m)| Arc::clone(m)),
                no_downsample: self.no_downsample.get(&id).map(|(_, m)| Arc::clone(m)),
            };
            view.blocks.insert(id, info);
        }
    }
}

impl Counts {
    fn note(&self, view: &View) {
        let mut states = view.excluded.clone();
        states.insert("loaded", view.blocks.len() as u64);
        states.insert("no-meta-json", view.partial.len() as u64);
        states.insert("corrupted-meta-json", view.corrupted.len() as u64);
        states.insert("failed", view.failed.len() as u64);
        *(self.states.lock()).unwrap_or_else(std::sync::PoisonError::into_inner) = states;
    }

    fn visit(&self, visit: &mut dyn FnMut(Figure<'_>)) {
        let syncs = self.syncs.load(Ordering::Relaxed);
        let (buckets, sum) = self.seconds.read();
        let mut add = |name, help, value| {
            visit(Figure {
                name,
                help,
                labels: &[],
                value,
            });
        };
        add(
            "thanos_blocks_meta_syncs_total",
            "Looks at the bucket's blocks.",
            Value::Counter(syncs as f64),
        );
        add(
            "thanos_blocks_meta_sync_failures_total",
            "Looks at the bucket's blocks that failed.",
            Value::Counter(self.failures.load(Ordering::Relaxed) as f64),
        );
        add(
            "thanos_blocks_meta_sync_duration_seconds",
            "Time that looks at the bucket's blocks took.",
            Value::Histogram {
                buckets: &buckets,
                sum,
            },
        );
        let states = (self.states.lock()).unwrap_or_else(std::sync::PoisonError::into_inner);
        for (state, count) in states.iter() {
            visit(Figure {
                name: "thanos_blocks_meta_synced",
                help: "Blocks in each state at the last look.",
                labels: &[("state", state)],
                value: Value::Gauge(*count as f64),
            });
        }
    }
}
