//! The gateway: a [`Store`] over the blocks of a bucket.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bucket::Bucket;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use futures::{FutureExt as _, TryFutureExt as _};
use model::Stop;
use model::stop::Interest;
use runtime::Clock;
use runtime::metrics::{Collect, Exposition};
use storeapi::wire::message::{MessageWriter, Written};
use storeapi::{Frame, Info, LabelsRequest, SeriesRequest, Store, StoreError, Strings};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::answer::{Answer, Question};
use crate::block::{Block, Opener};
use crate::disk_cache::DiskCache;
use crate::limits::{Limits, Place, Usage};
use crate::mapped::{InFrames, InMessages, MappedAnswer};
use crate::names::LabelsOf;
use crate::pages::Pages;
use crate::postings::ExpandedCache;
use crate::select::{Deps, Wanted};
use crate::set::BlockSet;
use crate::stats::Stats;
use crate::steps::by_steps;

/// Blocks that are asked for names or values of labels at once.
const LABEL_BLOCKS: usize = 16;

/// Blocks that a thread which may block looks through by itself, sooner than to have it done by
/// others at once.
const FEW_BLOCKS: usize = 4;

/// Least bytes of chunks that a block is read by, however many there are.
const BATCH_BYTES_MIN: u64 = 16 << 10;

/// Most bytes of chunks that a block is read by.
const BATCH_BYTES_MAX: u64 = 4 << 20;

/// Batches of a block that are in memory at once: one being read, one waiting, one being sent.
const BATCHES: u64 = 3;

/// What an answer holds for each block that it reads: the block open, and the next series of it.
const OPEN_BLOCK_BYTES: u64 = 16 << 10;

/// Blocks that answers may read at once, whatever memory there is.
const OPEN_BLOCKS_MIN: u32 = 256;
const OPEN_BLOCKS_MAX: u32 = 1 << 20;

/// An answer over so few blocks is given also where no place is left.
const UNCOUNTED_BLOCKS: usize = 64;

/// How long an answer waits for places for its blocks.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where pages are kept below the data directory.
const PAGES_DIR: &str = "pages";

/// How a gateway works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Directory for index-headers; may be lost at any time.
    pub data_dir: PathBuf,
    /// Bytes of indexes and chunks that are kept on disk; 0 for none.
    pub disk_cache_bytes: u64,
    /// Bytes of indexes that are kept in memory.
    pub index_cache_bytes: u64,
    /// Bytes of chunks that are kept in memory or on their way to clients.
    pub chunk_bytes: u64,
    /// How long an index that nobody reads stays open.
    pub index_idle: Duration,
    /// Series entries that are read at once.
    pub series_batch: usize,
    /// Requests for series that are answered at once; more wait.
    pub concurrency: usize,
    /// Limits of one request.
    pub limits: Limits,
}

/// Serves the blocks of a bucket. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    /// The blocks that answer, where not all that are served do.
    only: Option<Arc<BlockSet>>,
}

struct Shared {
    options: Options,
    deps: Arc<Deps>,
    clock: Arc<dyn Clock>,
    blocks: ArcSwap<BlockSet>,
    places: Arc<Semaphore>,
    /// Places for blocks that are read, and how many there are.
    open_blocks: (Arc<Semaphore>, u32),
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("blocks", &self.shared.blocks.load().len())
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway without blocks.
    pub fn new(bucket: Bucket, clock: Arc<dyn Clock>, options: Options) -> Self {
        let stats = Arc::new(Stats::default());
        // Of the memory for indexes a half is for what was read, a quarter for results of matchers,
        // and a quarter for what open indexes hold. Of mapped blocks nothing is read into memory,
        // and a quarter is for what answers hold that are being given.
        let quarter = options.index_cache_bytes / 4;
        let (index, chunks) = (quarter * 2, options.chunk_bytes / 2);
        let disk = disk_cache(&bucket, &options, &stats);
        let open_blocks = u32::try_from(quarter / OPEN_BLOCK_BYTES).unwrap_or(u32::MAX);
        let open_blocks = open_blocks.clamp(OPEN_BLOCKS_MIN, OPEN_BLOCKS_MAX);
        let deps = Deps {
            opener: Opener::new(
                bucket.clone(),
                options.data_dir.clone(),
                Arc::clone(&clock),
                Arc::clone(&stats),
                (quarter, options.index_idle),
            ),
            pages: Pages::new(bucket, Arc::clone(&stats), index, chunks).with_disk(disk),
            expanded: ExpandedCache::new(quarter, Arc::clone(&stats)),
            stats,
        };
        Self {
            shared: Arc::new(Shared {
                places: Arc::new(Semaphore::new(options.concurrency.max(1))),
                open_blocks: (Arc::new(Semaphore::new(open_blocks as usize)), open_blocks),
                options,
                deps: Arc::new(deps),
                clock,
                blocks: ArcSwap::default(),
            }),
            only: None,
        }
    }

    /// The same, answering from these of its blocks alone: somebody else answers with the others.
    #[must_use]
    pub fn answering_from(&self, blocks: Arc<BlockSet>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            only: Some(blocks),
        }
    }

    /// The blocks that are served now.
    pub fn blocks(&self) -> Arc<BlockSet> {
        self.shared.blocks.load_full()
    }

    /// Those of them that questions are answered from.
    fn asked(&self) -> Arc<BlockSet> {
        self.only.clone().unwrap_or_else(|| self.blocks())
    }

    /// Serves these blocks from now on. Requests that are being answered go on with those that they
    /// started with.
    pub fn serve(&self, blocks: BlockSet) {
        self.stats().blocks.set(blocks.len() as u64);
        self.shared.blocks.store(Arc::new(blocks));
    }

    /// For opening blocks.
    pub fn opener(&self) -> &Opener {
        &self.shared.deps.opener
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.shared.deps.stats
    }

    fn usage(&self) -> Arc<Usage> {
        Arc::new(Usage::new(self.shared.options.limits))
    }

    /// Most bytes of chunks that each of `blocks` may be read by at once, so that all requests
    /// together keep within the bound.
    fn batch_bytes(&self, blocks: usize) -> u64 {
        let options = &self.shared.options;
        let readers = options.concurrency.max(1) as u64 * blocks.max(1) as u64;
        let share = options.chunk_bytes / 2 / BATCHES / readers;
        share.clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX)
    }

    /// A place to read so many blocks. Who needs more than half of what there is gets half of it, so
    /// that two of them are answered side by side; who reads few never waits behind them. Nothing
    /// after some time: the query may be one that waits for itself, as it reads two answers at once.
    async fn place_for(&self, blocks: usize) -> Option<OwnedSemaphorePermit> {
        let (open_blocks, most) = &self.shared.open_blocks;
        let count = u32::try_from(blocks).unwrap_or(u32::MAX).min(*most / 2);
        let open_blocks = Arc::clone(open_blocks);
        if blocks <= UNCOUNTED_BLOCKS {
            return open_blocks.try_acquire_many_owned(count).ok();
        }
        let place = open_blocks.acquire_many_owned(count);
        let place = timeout(PATIENCE, place).await.ok()?;
        Some(place.expect("never closed"))
    }

    /// What a request asks, once there is a place for it.
    async fn question(
        &self,
        request: SeriesRequest,
        interest: &Interest,
    ) -> Result<(Question, Place), StoreError> {
        let shared = &self.shared;
        let set = self.asked();
        let blocks = set.select(request.range, &request.matchers, request.max_resolution);
        if request.matchers.is_empty() || blocks.iter().any(|(_, left)| left.is_empty()) {
            return Err(StoreError::no_matchers());
        }
        let begin = Instant::now();
        // Before the permit, which those who read few blocks need too.
        let open_blocks = self.place_for(blocks.len()).await;
        let permit = Arc::clone(&shared.places).acquire_owned().await;
        let permit = permit.expect("never closed");
        let gate = &self.stats().requests.gate;
        gate.observe(begin.elapsed().as_secs_f64());
        let wanted = Wanted {
            range: request.range,
            aggregates: request.aggregates,
            skip_chunks: request.skip_chunks,
            without: request.without_replica_labels,
            shard: request.shard,
            batch_max: shared.options.series_batch,
            batch_bytes: self.batch_bytes(blocks.len()),
            may_block: request.may_block && blocks.len() <= FEW_BLOCKS,
            stop: interest.or(request.stop),
        };
        let usage = self.usage();
        let cost = (Arc::clone(&usage), blocks.len());
        let question = Question {
            blocks,
            wanted: Arc::new(wanted),
            usage,
            partial_response: request.partial_response,
            limit: request.limit,
        };
        let stats = Arc::clone(&shared.deps.stats);
        Ok((question, Place::new((permit, open_blocks), cost, stats)))
    }

    async fn start(self, request: SeriesRequest, interest: Interest) -> Result<Answer, StoreError> {
        let (question, place) = self.question(request, &interest).await?;
        let Shared { deps, clock, .. } = &*self.shared;
        Ok(Answer::start(
            Arc::clone(deps),
            Arc::clone(clock),
            question,
            place,
        ))
    }

    /// The same of blocks that are files here.
    async fn start_mapped(
        self,
        request: SeriesRequest,
        interest: Interest,
    ) -> Result<MappedAnswer, StoreError> {
        let (question, place) = self.question(request, &interest).await?;
        let Shared { deps, clock, .. } = &*self.shared;
        MappedAnswer::start(Arc::clone(deps), Arc::clone(clock), question, place).await
    }

    /// Asks every block that may have an answer, and unites the answers.
    async fn labels<F>(
        self,
        request: LabelsRequest,
        ask: impl Fn(LabelsOf, Arc<Deps>) -> F,
    ) -> Result<Strings, StoreError>
    where
        F: Future<Output = Result<BTreeSet<String>, StoreError>>,
    {
        let shared = &self.shared;
        let set = self.asked();
        let blocks = set.select_finest(request.range, &request.matchers);
        // Dropped with this future.
        let interest = Interest::default();
        let wanted = Arc::new(Wanted {
            range: request.range,
            aggregates: Vec::new(),
            skip_chunks: true,
            without: request.without_replica_labels,
            shard: None,
            batch_max: shared.options.series_batch,
            batch_bytes: BATCH_BYTES_MIN,
            may_block: request.may_block && blocks.len() <= FEW_BLOCKS,
            stop: interest.or(Stop::never()),
        });
        let usage = self.usage();
        let answers = blocks.into_iter().map(|(block, matchers)| {
            let of = LabelsOf {
                block: Arc::clone(&block),
                matchers,
                wanted: Arc::clone(&wanted),
                usage: Arc::clone(&usage),
            };
            ask(of, Arc::clone(&shared.deps)).map(|answer| (block, answer))
        });
        // Not before there is a place: a question in waiting takes more than its block.
        let mut answers = stream::iter(answers).buffer_unordered(LABEL_BLOCKS);
        let mut values = BTreeSet::new();
        let mut warnings = Vec::new();
        while let Some((block, answer)) = answers.next().await {
            match answer {
                Ok(more) => values.extend(more),
                Err(e) => {
                    let noted = (&*shared.deps.stats, shared.clock.now_ms());
                    warnings.push(block.lacking(&e, request.partial_response, noted)?);
                }
            }
        }
        let limit = match request.limit {
            0 => usize::MAX,
            limit => limit,
        };
        Ok(Strings {
            values: values.into_iter().take(limit).collect(),
            warnings,
        })
    }
}

impl Store for Gateway {
    fn info(&self) -> Info {
        self.asked().info()
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        if request.range.is_empty() {
            return stream::empty().boxed();
        }
        let interest = Interest::default();
        if !self.opener().is_local() {
            let answer = self.clone().start(request, interest.clone());
            let frames = answer.map_ok(Answer::frames).try_flatten_stream();
            return held(frames, interest);
        }
        let may_block = request.may_block;
        let answer = self.clone().start_mapped(request, interest.clone());
        let steps = answer.map_ok(move |answer| {
            let here = may_block && answer.begins_soon();
            by_steps(InFrames(answer), here)
        });
        held(steps.try_flatten_stream(), interest)
    }

    fn messages(
        &self,
        request: &SeriesRequest,
        batch: usize,
    ) -> Option<BoxStream<'static, Result<Written, StoreError>>> {
        if request.range.is_empty() || !self.opener().is_local() {
            return None;
        }
        let may_block = request.may_block;
        let interest = Interest::default();
        let answer = (self.clone()).start_mapped(request.clone(), interest.clone());
        let writer = MessageWriter::new(batch).without_hashes(request.without_hashes);
        let steps = answer.map_ok(move |answer| {
            let here = may_block && answer.begins_soon();
            by_steps(InMessages::new(answer, writer), here)
        });
        Some(held(steps.try_flatten_stream(), interest))
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let ask = |of: LabelsOf, deps| of.names(deps);
        self.clone().labels(request, ask).boxed()
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        if name.is_empty() {
            let error = StoreError::empty_label_name();
            return futures::future::ready(Err(error)).boxed();
        }
        let ask = move |of: LabelsOf, deps| of.values(deps, name.clone());
        self.clone().labels(request, ask).boxed()
    }
}

/// The same answer, with which the interest in it is dropped.
fn held<T: 'static>(
    answer: impl Stream<Item = Result<T, StoreError>> + Send + 'static,
    interest: Interest,
) -> BoxStream<'static, Result<T, StoreError>> {
    let held = answer.inspect(move |_| {
        let _held = &interest;
    });
    held.boxed()
}

impl Collect for Gateway {
    fn collect(&self, out: &mut Exposition) {
        self.stats().collect(out);
        let deps = &self.shared.deps;
        let [index, chunks] = deps.pages.held();
        for (item, (count, bytes)) in [
            ("index", index),
            ("chunks", chunks),
            ("ExpandedPostings", deps.expanded.held()),
        ] {
            let labels = [("item_type", item)];
            let help = "Things that the caches hold.";
            out.gauge(
                "thanos_store_index_cache_items",
                help,
                &labels,
                count as f64,
            );
            let help = "Bytes of what the caches hold, with what holding it takes.";
            let name = "thanos_store_index_cache_total_size_bytes";
            out.gauge(name, help, &labels, bytes as f64);
        }
        for name in [
            "thanos_bucket_store_queries_concurrent_max",
            "thanos_bucket_store_series_gate_queries_max",
        ] {
            let places = self.shared.options.concurrency.max(1) as f64;
            let help = "Queries for series that are answered at once; more wait.";
            out.gauge(name, help, &[], places);
        }
    }
}

/// The cache on disk, if there is to be one, and can be.
fn disk_cache(bucket: &Bucket, options: &Options, stats: &Stats) -> Option<Arc<DiskCache>> {
    // What is in a directory already is not copied to another.
    if bucket.is_local() || options.disk_cache_bytes == 0 {
        return None;
    }
    let dir = options.data_dir.join(PAGES_DIR);
    match DiskCache::open(dir, options.disk_cache_bytes, Arc::clone(&stats.disk)) {
        Ok(cache) => Some(Arc::new(cache)),
        Err(error) => {
            tracing::warn!(dir = %options.data_dir.display(), %error, "pages are not kept on disk");
            None
        }
    }
}

/// A block as a listing shows it, for [`BlockSet`]; `None` when it has no index.
pub fn block_of<M>(info: &bucket::BlockInfo<M>) -> Option<Block> {
    let files = &info.files;
    // Segments count from 1; one behind a gap cannot be read, and is damage when it is asked for.
    let segments = (1..).map_while(|number| files.segments.get(number));
    let (outline, index_bytes) = (Arc::clone(&info.outline), files.index_bytes?);
    let block = Block::new(outline, index_bytes, segments.collect());
    Some(block.with_index_tag(files.index_e_tag.clone()))
}
