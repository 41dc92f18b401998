//! Keeping the served blocks up to date with the bucket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bucket::Bucket;
use bucket::fetch::{Fetcher, Filter, Outline, OutlineOnly, View};
use futures::stream::{self, StreamExt as _};
use model::TimeRange;
use model::relabel::RelabelRule;
use parking_lot::Mutex;
use runtime::Clock;
use runtime::grpc::Readiness;
use runtime::heaps;
use runtime::process::{Shutdown, blocking};
use tsdb::block::Meta;
use ulid::Ulid;

use crate::block::Block;
use crate::gateway::{Gateway, block_of};
use crate::set::BlockSet;

/// How long after a failed first look the bucket is looked at again.
const RETRY: Duration = Duration::from_secs(5);

/// Looking at so many blocks takes memory that is worth being given back.
const MANY_BLOCKS: usize = 1_000;

/// When index-headers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Strategy {
    /// As soon as a block comes into view.
    Eager,
    /// When a query first needs the block.
    Lazy,
}

/// A point in time that may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeBound {
    /// Milliseconds since the Unix epoch.
    At(i64),
    /// Milliseconds after now; negative for the past.
    FromNow(i64),
}

impl TimeBound {
    fn at(self, now_ms: i64) -> i64 {
        match self {
            Self::At(ms) => ms,
            Self::FromNow(ms) => now_ms.saturating_add(ms),
        }
    }
}

/// The time of which blocks are served, both ends inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Its begin.
    pub min: TimeBound,
    /// Its end.
    pub max: TimeBound,
}

/// How the bucket is looked at.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Directory for copies of `meta.json`; `None` to keep none.
    pub data_dir: Option<PathBuf>,
    /// Time between looks.
    pub interval: Duration,
    /// Blocks that are prepared at once.
    pub concurrency: usize,
    /// How long after its upload a block is not served yet, in milliseconds.
    pub consistency_delay_ms: i64,
    /// How long after its deletion mark a block is still served, in milliseconds.
    pub deletion_delay_ms: i64,
    /// The time of which blocks are served.
    pub bounds: Bounds,
    /// Rules that keep or drop blocks by their labels.
    pub relabel: Vec<RelabelRule>,
    /// When index-headers are made.
    pub strategy: Strategy,
}

impl Default for SyncOptions {
    /// All blocks, every 15 minutes; blocks marked for deletion for a day.
    fn default() -> Self {
        Self {
            data_dir: None,
            interval: Duration::from_secs(15 * 60),
            concurrency: 20,
            consistency_delay_ms: 0,
            deletion_delay_ms: 24 * 3_600_000,
            bounds: Bounds {
                min: TimeBound::At(i64::MIN),
                max: TimeBound::At(i64::MAX),
            },
            relabel: Vec::new(),
            strategy: Strategy::Eager,
        }
    }
}

/// What the last look at the bucket saw, for people.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// All blocks that passed the filters.
    pub blocks: Arc<[Arc<Outline>]>,
    /// When, in milliseconds since the Unix epoch; `None` before the first look.
    pub at_ms: Option<i64>,
    /// Why the last look failed, if it did.
    pub error: Option<String>,
}

/// Looks at a bucket and tells a gateway what to serve.
#[derive(Debug)]
pub struct Syncer {
    gateway: Gateway,
    fetcher: Fetcher<OutlineOnly>,
    options: SyncOptions,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

impl Syncer {
    /// A syncer for `gateway`, which serves blocks of `bucket`.
    pub fn new(
        gateway: Gateway,
        bucket: Bucket,
        clock: Arc<dyn Clock>,
        options: SyncOptions,
    ) -> Self {
        let mut filters = Vec::new();
        if !options.relabel.is_empty() {
            filters.push(Filter::Shard(options.relabel.clone()));
        }
        filters.push(Filter::ConsistencyDelay(options.consistency_delay_ms));
        filters.push(Filter::DeletionMarks(options.deletion_delay_ms));
        filters.push(Filter::Duplicates);
        Self {
            fetcher: Fetcher::of_outlines(bucket, options.data_dir.as_deref(), filters),
            gateway,
            options,
            clock,
            seen: Mutex::default(),
        }
    }

    /// What the last look saw.
    pub fn seen(&self) -> Seen {
        self.seen.lock().clone()
    }

    /// A block's `meta.json`, from the copy here or the bucket.
    ///
    /// # Errors
    /// When there is no copy, and the bucket cannot be read or what is there is damaged.
    pub async fn meta(&self, id: Ulid) -> Result<Meta, bucket::Error> {
        self.fetcher.meta(id).await
    }

    /// The copy of a block's `meta.json`, if there is one here. Blocks while it is read.
    pub fn copy_of_meta(&self, id: Ulid) -> Option<Meta> {
        self.fetcher.copy(id)
    }

    /// Looks at the bucket again and again until `shutdown`; sets `readiness` after the first look
    /// that succeeds.
    pub async fn run(&self, readiness: Readiness, mut shutdown: Shutdown) {
        loop {
            let wait = match self.sync().await {
                Ok(()) => {
                    readiness.set(true);
                    self.options.interval
                }
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "the bucket cannot be listed; the blocks known so far are served");
                    match readiness.get() {
                        true => self.options.interval.min(Duration::from_secs(60)),
                        false => RETRY,
                    }
                }
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Looks at the bucket once, and has the gateway serve what is there.
    ///
    /// # Errors
    /// When the bucket cannot be listed; the gateway goes on with what it has.
    pub async fn sync(&self) -> Result<(), bucket::Error> {
        let now_ms = self.clock.now_ms();
        let view = match self.fetcher.sync(now_ms).await {
            Ok(view) => view,
            Err(e) => {
                self.seen.lock().error = Some(e.chain());
                return Err(e);
            }
        };
        let before = self.gateway.blocks();
        for (id, why) in view.corrupted.iter().chain(&view.failed) {
            let is_served = before.get(*id).is_some() && view.failed.contains_key(id);
            match is_served {
                true => {
                    tracing::warn!(block = %id, %why, "block is served as it was known: its meta.json cannot be read")
                }
                false => {
                    tracing::warn!(block = %id, %why, "block is not served: its meta.json cannot be read")
                }
            }
        }
        let is_first = self.seen.lock().at_ms.is_none();
        let blocks = self.blocks(&view, &before, now_ms);
        let seen = view.blocks.values().map(|info| Arc::clone(&info.outline));
        let seen: Arc<[Arc<Outline>]> = seen.collect();
        // What else a listing says of blocks goes before they are prepared, which needs memory too.
        drop(view);
        let added: Vec<Arc<Block>> = blocks
            .iter()
            .filter(|b| before.get(b.id()).is_none())
            .map(Arc::clone)
            .collect();
        self.forget_replaced(&before, &blocks).await;
        if self.options.strategy == Strategy::Eager {
            self.prepare(&added).await;
        }
        let set = BlockSet::new(blocks);
        let gone: Vec<_> = before
            .iter()
            .filter(|b| set.get(b.id()).is_none())
            .map(Arc::clone)
            .collect();
        let stats = self.gateway.stats();
        stats.block_loads.add(added.len() as u64);
        stats.block_drops.add(gone.len() as u64);
        if !added.is_empty() {
            let now_ms = u64::try_from(self.clock.now_ms()).unwrap_or(0);
            stats.loads.last_ms.set(now_ms);
        }
        self.gateway.serve(set);
        for block in gone {
            self.gateway.opener().forget(&block).await;
        }
        if is_first {
            let served = self.gateway.blocks();
            let clean = self.gateway.opener();
            clean.clean(move |id| served.get(id).is_some()).await;
            tracing::info!(blocks = added.len(), "serving the blocks of the bucket");
        }
        if seen.len() >= MANY_BLOCKS {
            blocking(heaps::give_back).await;
        }
        *self.seen.lock() = Seen {
            blocks: seen,
            at_ms: Some(now_ms),
            error: None,
        };
        Ok(())
    }

    /// The blocks to serve; those that are served already keep what is known of them.
    fn blocks(&self, view: &View<OutlineOnly>, before: &BlockSet, now_ms: i64) -> Vec<Arc<Block>> {
        let bounds = self.options.bounds;
        let time = TimeRange::closed(bounds.min.at(now_ms), bounds.max.at(now_ms));
        let in_time = view.blocks.values();
        let in_time = in_time.filter(|info| info.outline.range.overlaps(time));
        let blocks = in_time.filter_map(|info| {
            match before.get(info.outline.id) {
                Some(known)
                    if Arc::ptr_eq(known.outline(), &info.outline)
                        && known.has_index_of(&info.files) =>
                {
                    Some(Arc::clone(known))
                }
                _ => {
                    let block = block_of(info).map(Arc::new);
                    if block.is_none() {
                        self.gateway.stats().loads.failures.add(1);
                        tracing::warn!(block = %info.outline.id, "block is not served: it has no index");
                    }
                    block
                }
            }
        });
        // What cannot be read now is no reason to stop serving it.
        let unread = (view.failed.keys()).filter_map(|id| before.get(*id).map(Arc::clone));
        blocks.chain(unread).collect()
    }

    /// Forgets indexes that are others now.
    async fn forget_replaced(&self, before: &BlockSet, blocks: &[Arc<Block>]) {
        for block in blocks {
            if let Some(known) = before.get(block.id())
                && known.index() != block.index()
            {
                tracing::warn!(block = %block.id(), "the index of a block was replaced; reading it anew");
                self.gateway.opener().forget(known).await;
            }
        }
    }

    /// Makes the index-headers of blocks that have none. What fails is tried again by the first
    /// query, which then says so.
    async fn prepare(&self, blocks: &[Arc<Block>]) {
        let opener = self.gateway.opener();
        let blocks = blocks.iter().map(Arc::clone).collect::<Vec<_>>();
        // Each is begun when there is a place, since waiting takes more than a block.
        let prepare = blocks.into_iter().map(|block| async move {
            let begin = Instant::now();
            let prepared = opener.prepare(&block).await;
            (block.id(), prepared, begin.elapsed())
        });
        let mut prepare = stream::iter(prepare).buffer_unordered(self.options.concurrency);
        let stats = self.gateway.stats();
        while let Some((id, prepared, took)) = prepare.next().await {
            stats.loads.seconds.observe(took.as_secs_f64());
            if let Err(error) = prepared {
                stats.loads.failures.add(1);
                tracing::warn!(block = %id, %error, "index-header cannot be made");
            }
        }
    }

    /// Adds the figures of looks at the bucket, and of the bucket itself.
    pub fn visit(&self, visit: &mut dyn FnMut(model::figure::Figure<'_>)) {
        self.fetcher.visit(visit);
        let bucket = self.fetcher.bucket();
        bucket.metrics().visit(bucket.name(), visit);
    }
}
