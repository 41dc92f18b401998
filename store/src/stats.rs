//! What the store counts, under the names that Thanos' dashboards ask for where the meaning is the
//! same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::notification::RemovalCause;
use runtime::metrics::{Collect, Exposition, Histogram};

/// A counter or a level.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes from a level.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Sets a level.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is read of blocks, as Thanos names it in the label `data_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// Which series have a label.
    Postings,
    /// Labels of series and places of their chunks.
    Series,
    /// Samples.
    Chunks,
}

impl DataType {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Postings, Self::Series, Self::Chunks];

    const fn name(self) -> &'static str {
        match self {
            Self::Postings => "postings",
            Self::Series => "series",
            Self::Chunks => "chunks",
        }
    }
}

/// Upper bounds, all Thanos' own: of numbers of things, of bytes, of blocks, of series, of the bytes of
/// chunks, and of the seconds that blocks are prepared in.
const ITEMS: &[f64] = &Histogram::doubling::<15>(200.0);
const BYTES: &[f64] = &Histogram::doubling::<15>(1024.0);
const BLOCKS: &[f64] = &Histogram::doubling::<10>(1.0);
const SERIES: &[f64] = &Histogram::doubling::<15>(100.0);
const CHUNK_BYTES: &[f64] = &[
    32.0,
    256.0,
    512.0,
    1024.0,
    32_768.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    33_554_432.0,
    268_435_456.0,
    536_870_912.0,
];
const LOAD_SECONDS: &[f64] = &[
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 300.0,
];

/// What requests for series cost, observed once for each.
#[derive(Debug)]
pub struct Requests {
    /// Seconds that it waited to be answered.
    pub gate: Histogram,
    /// Blocks that may have an answer.
    pub blocks: Histogram,
    /// Series that were sent.
    pub series: Histogram,
    /// Seconds until the first series were found.
    pub get_all: Histogram,
    /// Seconds from then to the end of the answer.
    pub merge: Histogram,
    /// Series and chunks that were looked at, by [`DataType`].
    pub touched: [Histogram; 3],
    /// Bytes that were read of the bucket, by [`DataType`].
    pub fetched_bytes: [Histogram; 3],
    /// Bytes of each chunk that was sent.
    pub sent_chunk_bytes: Histogram,
}

impl Default for Requests {
    fn default() -> Self {
        let seconds = || Histogram::new(Histogram::THANOS_SECONDS);
        Self {
            gate: seconds(),
            blocks: Histogram::new(BLOCKS),
            series: Histogram::new(SERIES),
            get_all: seconds(),
            merge: seconds(),
            touched: std::array::from_fn(|_| Histogram::new(ITEMS)),
            fetched_bytes: std::array::from_fn(|_| Histogram::new(BYTES)),
            sent_chunk_bytes: Histogram::new(CHUNK_BYTES),
        }
    }
}

impl Requests {
    fn collect(&self, out: &mut Exposition) {
        for (name, help, histogram) in [
            (
                // The name that Thanos' alerts and dashboards ask for, and the one that Thanos has.
                "thanos_bucket_store_series_gate_duration_seconds",
                "How long queries for series waited to be answered.",
                &self.gate,
            ),
            (
                "thanos_bucket_store_series_gate_queries_duration_seconds",
                "How long queries for series waited to be answered.",
                &self.gate,
            ),
            (
                "thanos_bucket_store_series_blocks_queried",
                "Blocks that a query for series looked into.",
                &self.blocks,
            ),
            (
                "thanos_bucket_store_series_result_series",
                "Series that a query was answered with.",
                &self.series,
            ),
            (
                "thanos_bucket_store_series_get_all_duration_seconds",
                "How long it took a query to find the series of all blocks.",
                &self.get_all,
            ),
            (
                "thanos_bucket_store_series_merge_duration_seconds",
                "How long it took to merge and send the series that were found.",
                &self.merge,
            ),
            (
                "thanos_bucket_store_sent_chunk_size_bytes",
                "Bytes of each chunk that was sent.",
                &self.sent_chunk_bytes,
            ),
        ] {
            out.histogram(name, help, &[], histogram);
        }
        for of in DataType::ALL {
            let labels = [("data_type", of.name())];
            if of != DataType::Postings {
                let name = "thanos_bucket_store_series_data_touched";
                let help = "Things in blocks that a query for series looked at.";
                out.histogram(name, help, &labels, &self.touched[of as usize]);
            }
            let name = "thanos_bucket_store_series_data_size_fetched_bytes";
            let help = "Bytes that a query for series read of the bucket.";
            out.histogram(name, help, &labels, &self.fetched_bytes[of as usize]);
        }
    }
}

/// How blocks that came into view were prepared.
#[derive(Debug)]
pub struct Loads {
    /// Seconds that it took.
    pub seconds: Histogram,
    /// Blocks that could not be prepared, or have nothing to be served.
    pub failures: Count,
    /// When a block last came into view, in milliseconds.
    pub last_ms: Count,
}

impl Default for Loads {
    fn default() -> Self {
        Self {
            seconds: Histogram::new(LOAD_SECONDS),
            failures: Count::default(),
            last_ms: Count::default(),
        }
    }
}

/// The store's figures.
#[derive(Debug, Default)]
pub struct Stats {
    /// Blocks that are served.
    pub blocks: Count,
    /// Blocks that came into view.
    pub block_loads: Count,
    /// Blocks that went out of view.
    pub block_drops: Count,
    /// Indexes that were opened.
    pub index_opens: Count,
    /// Index-headers that were made.
    pub headers_built: Count,
    /// Index-headers that were found damaged and made anew.
    pub headers_damaged: Count,
    /// Blocks that a query could not read.
    pub block_failures: Count,
    /// Pages of indexes asked for, and found in memory.
    pub index_pages: Hits,
    /// Pages of chunks asked for, and found in memory.
    pub chunk_pages: Hits,
    /// Results of matchers asked for, and found in memory.
    pub expanded_postings: Hits,
    /// The cache on disk.
    pub disk: Arc<DiskStats>,
    /// Bytes that were read of the bucket to answer queries.
    pub bytes_fetched: Count,
    /// Queries that a limit ended.
    pub queries_limited: Count,
    /// Queries for series.
    pub queries: Count,
    /// Queries for series that are answered now.
    pub queries_running: Count,
    /// Series that were sent.
    pub series: Count,
    /// Chunks that were sent.
    pub chunks: Count,
    /// What queries for series cost.
    pub requests: Requests,
    /// How blocks were prepared.
    pub loads: Loads,
}

/// How well a cache works.
#[derive(Debug, Default)]
pub struct Hits {
    /// What was asked for.
    pub requests: Count,
    /// What of it was there.
    pub hits: Count,
    /// What was put into it.
    pub added: Count,
    /// What was taken out of it for want of room.
    pub evicted: Count,
}

impl Hits {
    /// Counts what a cache took out.
    pub fn removed(&self, cause: RemovalCause) {
        if cause.was_evicted() {
            self.evicted.add(1);
        }
    }
}

/// How well the cache on disk works, which is there only where it was asked for.
#[derive(Debug, Default)]
pub struct DiskStats {
    /// Pages that it was asked for.
    pub requests: Count,
    /// Pages that it had.
    pub hits: Count,
    /// Pages that were damaged.
    pub damaged: Count,
    /// Times that pages could not be written.
    pub failures: Count,
    /// Bytes that it has.
    pub bytes: Count,
}

impl DiskStats {
    fn collect(&self, out: &mut Exposition) {
        for (name, help, count) in [
            (
                "promontory_store_disk_cache_requests_total",
                "Pages that the cache on disk was asked for.",
                &self.requests,
            ),
            (
                "promontory_store_disk_cache_hits_total",
                "Pages that the cache on disk had.",
                &self.hits,
            ),
            (
                "promontory_store_disk_cache_damaged_total",
                "Pages of the cache on disk that were damaged.",
                &self.damaged,
            ),
            (
                "promontory_store_disk_cache_write_failures_total",
                "Times that pages could not be written to the cache on disk.",
                &self.failures,
            ),
        ] {
            out.counter(name, help, &[], count.get());
        }
        out.gauge(
            "promontory_store_disk_cache_bytes",
            "Bytes that the cache on disk has.",
            &[],
            self.bytes.get() as f64,
        );
    }
}

impl Collect for Stats {
    fn collect(&self, out: &mut Exposition) {
        self.disk.collect(out);
        let caches = [
            ("index", &self.index_pages),
            ("chunks", &self.chunk_pages),
            ("ExpandedPostings", &self.expanded_postings),
        ];
        for (item, hits) in caches {
            for (name, help, count) in [
                (
                    "thanos_store_index_cache_requests_total",
                    "Things that the caches were asked for.",
                    &hits.requests,
                ),
                (
                    "thanos_store_index_cache_hits_total",
                    "Things that the caches had.",
                    &hits.hits,
                ),
                (
                    "thanos_store_index_cache_items_added_total",
                    "Things that were put into the caches.",
                    &hits.added,
                ),
                (
                    "thanos_store_index_cache_items_evicted_total",
                    "Things that were taken out of the caches for want of room.",
                    &hits.evicted,
                ),
            ] {
                out.counter(name, help, &[("item_type", item)], count.get());
            }
        }
        self.requests.collect(out);
        out.histogram(
            "thanos_bucket_store_block_load_duration_seconds",
            "How long it took to prepare a block that came into view.",
            &[],
            &self.loads.seconds,
        );
        out.gauge(
            "thanos_bucket_store_blocks_last_loaded_timestamp_seconds",
            "When a block last came into view.",
            &[],
            self.loads.last_ms.get() as f64 / 1000.0,
        );
        for (name, help, count) in self.counters() {
            out.counter(name, help, &[], count.get());
        }
        out.gauge(
            "thanos_bucket_store_blocks_loaded",
            "Blocks that are served.",
            &[],
            self.blocks.get() as f64,
        );
        for name in [
            "thanos_bucket_store_queries_in_flight",
            "thanos_bucket_store_series_gate_queries_in_flight",
        ] {
            let help = "Queries for series that are answered now.";
            out.gauge(name, help, &[], self.queries_running.get() as f64);
        }
    }
}

impl Stats {
    fn counters(&self) -> [(&'static str, &'static str, &Count); 13] {
        [
            (
                "thanos_bucket_store_block_load_failures_total",
                "Blocks that came into view and could not be prepared.",
                &self.loads.failures,
            ),
            (
                "thanos_bucket_store_series_gate_queries_total",
                "Queries for series that were begun.",
                &self.queries,
            ),
            (
                "thanos_bucket_store_block_loads_total",
                "Blocks that came into view.",
                &self.block_loads,
            ),
            (
                "thanos_bucket_store_block_drops_total",
                "Blocks that went out of view.",
                &self.block_drops,
            ),
            (
                "thanos_bucket_store_indexheader_lazy_load_total",
                "Indexes that were opened.",
                &self.index_opens,
            ),
            (
                "promontory_store_index_headers_built_total",
                "Index-headers that were made from the bucket.",
                &self.headers_built,
            ),
            (
                "promontory_store_index_headers_damaged_total",
                "Index-headers that were damaged and made anew.",
                &self.headers_damaged,
            ),
            (
                "promontory_store_block_failures_total",
                "Times that a query could not read a block.",
                &self.block_failures,
            ),
            (
                "thanos_bucket_store_series_data_fetched_bytes_total",
                "Bytes that were read of the bucket to answer queries.",
                &self.bytes_fetched,
            ),
            (
                "thanos_bucket_store_queries_dropped_total",
                "Queries that a limit ended.",
                &self.queries_limited,
            ),
            (
                "promontory_store_queries_total",
                "Queries for series.",
                &self.queries,
            ),
            (
                "promontory_store_series_sent_total",
                "Series that were sent.",
                &self.series,
            ),
            (
                "promontory_store_chunks_sent_total",
                "Chunks that were sent.",
                &self.chunks,
            ),
        ]
    }
}
