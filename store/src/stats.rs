//! What the store counts, under the names that Thanos' dashboards ask for where the meaning is the
//! same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runtime::metrics::{Collect, Exposition};

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
}

/// How well a cache works.
#[derive(Debug, Default)]
pub struct Hits {
    /// What was asked for.
    pub requests: Count,
    /// What of it was there.
    pub hits: Count,
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
            let labels = [("item_type", item)];
            out.counter(
                "thanos_store_index_cache_requests_total",
                "Things that the caches were asked for.",
                &labels,
                hits.requests.get(),
            );
            out.counter(
                "thanos_store_index_cache_hits_total",
                "Things that the caches had.",
                &labels,
                hits.hits.get(),
            );
        }
        for (name, help, count) in self.counters() {
            out.counter(name, help, &[], count.get());
        }
        out.gauge(
            "thanos_bucket_store_blocks_loaded",
            "Blocks that are served.",
            &[],
            self.blocks.get() as f64,
        );
        out.gauge(
            "thanos_bucket_store_queries_in_flight",
            "Queries for series that are answered now.",
            &[],
            self.queries_running.get() as f64,
        );
    }
}

impl Stats {
    fn counters(&self) -> [(&'static str, &'static str, &Count); 11] {
        [
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
