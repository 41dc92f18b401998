//! Serves the blocks of a bucket over the StoreAPI.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`StoreGateway::run`]. A process that holds several components makes a [`Gateway`] and a
//! [`Syncer`] itself.
//!
//! Reading order: [`set`] (which blocks answer), [`block`] (opening them), [`header`] (what is kept
//! of an index), [`pages`], [`disk_cache`] and [`sparse`] (reading ranges), [`postings`] and [`select`] (series of
//! one block), [`order`], [`producers`] (blocks of one series that overlap), [`answer`] (many blocks as one
//! stream), [`steps`] and [`mapped`] (the same of blocks that are files here), [`gateway`] (the store), [`sync`] (what the bucket holds), [`api`] (HTTP); beside them
//! [`flags`] and [`caches`] (what was said).

pub mod answer;
pub mod api;
pub mod block;
pub mod caches;
pub mod disk_cache;
mod error;
pub mod flags;
pub mod gateway;
pub mod header;
pub mod limits;
pub mod mapped;
pub mod names;
pub mod order;
pub mod pages;
pub mod postings;
pub mod producers;
pub mod select;
pub mod set;
pub mod sparse;
pub mod stats;
pub mod steps;
pub mod sync;

use std::sync::Arc;

use bucket::{Bucket, Patience};
use runtime::flags::make_dir;
use runtime::grpc::Readiness;
use runtime::heaps;
use runtime::http::{ComponentStatus, PathPattern, Routes, Server, Service};
use runtime::metrics::Registry;
use runtime::process::{self, Shutdown};
use runtime::tasks::Owned;
use runtime::{BucketConfig, Clock, Error, ForeignFlags, SystemClock};
use storeapi::Store as _;
use storeapi::block_viewer::{self, BlocksApi, MarkApi};
use storeapi::grpc::{InfoService, Served, StoreService};
use storeapi::wire::info::EndpointInfo;

pub use flags::{Config, Flags};
pub use gateway::Gateway;
pub use sync::Syncer;

use api::{Figures, KnownBlocks};

/// Threads that decode and that read files, beside those of the HTTP server.
const WORK_THREADS: usize = 64;
/// Heaps of a store, whose threads share what is free in them.
const HEAPS: u8 = 2;

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "block-discovery-strategy",
        "block-meta-fetch-concurrency",
        "store.index-header-posting-offsets-in-mem-sampling",
        "debug.estimated-max-series-size",
        "debug.estimated-max-chunk-size",
        "store.posting-group-max-key-series-ratio",
        "matcher-cache-size",
        "objstore-parquet.config",
        "objstore-parquet.config-file",
    ],
    switches: &[
        "cache-index-header",
        "store.enable-index-header-lazy-reader",
        "store.enable-lazy-expanded-postings",
    ],
    loud: &[],
    refused: &[],
};

/// The component, ready to run.
#[derive(Debug)]
pub struct StoreGateway {
    config: Config,
}

/// Makes the component; binds no socket and starts nothing.
pub fn build(config: Config) -> StoreGateway {
    StoreGateway { config }
}

impl StoreGateway {
    /// What it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Serves until told to stop by a signal.
    ///
    /// # Errors
    /// [`Error::System`] when an address cannot be had, [`Error::Flag`] when the bucket's
    /// configuration cannot be used.
    pub fn run(self) -> Result<(), Error> {
        heaps::bound(HEAPS);
        let threads = self.config.http.threads_max() + WORK_THREADS;
        process::run(threads, async |shutdown| {
            Box::pin(self.serve(shutdown)).await
        })
    }

    /// Serves its health at once, and series when the bucket was looked at.
    async fn serve(self, shutdown: Shutdown) -> Result<(), Error> {
        let config = self.config;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bucket = open_bucket(&config.bucket)?;
        make_dir("data-dir", &config.gateway.data_dir)?;
        let gateway = Gateway::new(bucket.clone(), Arc::clone(&clock), config.gateway);
        let marks = MarkApi::new(bucket.clone(), Arc::clone(&clock), config.may_mark);
        let syncer = Syncer::new(gateway.clone(), bucket, Arc::clone(&clock), config.sync);
        let syncer = Arc::new(syncer);
        let registry = Registry::with_process(env!("CARGO_PKG_VERSION"), clock.now_ms());
        registry.register(Arc::new(Figures::new(gateway.clone(), Arc::clone(&syncer))));

        let http = Server::bind(&config.servers.http, config.http)
            .await?
            .with_web(&config.servers.web)?
            .with_log(config.servers.http_log.clone());
        let grpc =
            runtime::grpc::Server::bind(&config.servers.grpc, config.servers.grpc_server).await?;
        registry.register(http.metrics());
        registry.register(grpc.metrics());
        if let (Ok(http), Ok(grpc)) = (http.local_addr(), grpc.local_addr()) {
            tracing::info!(%http, %grpc, "listening");
        }
        let service = Service::default();
        registry.register(Arc::new(ComponentStatus::of("store", &service)));
        let readiness = Readiness::new();
        let services = services(&gateway, &readiness);
        let routes = Routes::new().with(PathPattern::Exact("/metrics"), Arc::new(registry));
        let blocks = Arc::new(KnownBlocks::new(gateway, Arc::clone(&syncer)));
        let routes = block_viewer::add_to(routes, BlocksApi::new(blocks, ""), marks);
        // Dropped at the end, which ends it.
        let _syncing = {
            let (readiness, shutdown) = (readiness.clone(), shutdown.clone());
            Owned::spawn(async move { syncer.run(readiness, shutdown).await })
        };
        let mut changes = readiness.watch();
        let starting = async {
            // An error would mean that the readiness is gone, which this function holds.
            let _ = changes.wait_for(|is_ready| *is_ready).await;
            service.ready(Arc::new(routes));
            Ok(())
        };
        let serving = http.serve(service.clone(), shutdown.clone());
        let http = process::serve_while(serving, starting);
        let grpc = grpc.serve(services, readiness.clone(), shutdown);
        futures::try_join!(http, grpc).map(drop)
    }
}

/// What is served over gRPC.
fn services(gateway: &Gateway, readiness: &Readiness) -> tonic::service::Routes {
    let described = gateway.clone();
    let info = InfoService::new(readiness.clone(), move || EndpointInfo {
        component: "store".to_owned(),
        store: Some(described.info()),
        ..EndpointInfo::default()
    });
    // The gateway keeps its limits itself, before anything is read.
    let limits = storeapi::grpc::Limits::default();
    let store = StoreService::new(Arc::new(gateway.clone()), limits);
    Served::new().with(store).with(info).finish()
}

/// Opens the bucket that the flags name.
fn open_bucket(config: &BucketConfig) -> Result<Bucket, Error> {
    let refused = |reason: String| Error::Flag {
        flag: "objstore.config-file",
        reason,
    };
    let text = config.text();
    let text = text.ok_or_else(|| refused("name a bucket".to_owned()))?;
    let bucket = Bucket::open(text, Patience::Interactive).map_err(|e| refused(e.chain()))?;
    bucket.warn_if_new();
    Ok(bucket)
}
