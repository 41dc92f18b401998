//! Serves the blocks of a bucket over the StoreAPI.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`StoreGateway::run`].

pub mod answer;
pub mod block;
mod error;
pub mod gateway;
pub mod header;
pub mod limits;
pub mod names;
pub mod order;
pub mod pages;
pub mod postings;
pub mod select;
pub mod set;
pub mod sparse;
pub mod stats;

use std::path::PathBuf;

use runtime::{BucketConfig, BucketFlags, Error, ForeignFlags, ServerConfig, ServerFlags};

/// What was said on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Addresses of the servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// The bucket.
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// Directory for index headers and caches; may be lost at any time.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./data")]
    pub data_dir: PathBuf,
}

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "sync-block-duration",
        "block-discovery-strategy",
        "block-sync-concurrency",
        "block-meta-fetch-concurrency",
        "consistency-delay",
        "ignore-deletion-marks-delay",
        "store.index-header-lazy-reader-idle-timeout",
        "store.index-header-lazy-download-strategy",
        "store.index-header-posting-offsets-in-mem-sampling",
        "index-cache-size",
        "index-cache.config",
        "index-cache.config-file",
        "store.caching-bucket.config",
        "store.caching-bucket.config-file",
        "chunk-pool-size",
        "store.grpc.downloaded-bytes-limit",
        "store.grpc.series-max-concurrency",
        "store.limits.request-series",
        "store.limits.request-samples",
        "debug.series-batch-size",
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
};

/// What the component works with: complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// Where the bucket's configuration is read from.
    pub bucket: BucketConfig,
    /// Directory for index headers and caches.
    pub data_dir: PathBuf,
}

impl Flags {
    /// Checks the flags and fills in what follows from them.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub fn resolve(self) -> Result<Config, Error> {
        Ok(Config {
            servers: self.servers.resolve()?,
            bucket: self.bucket.require()?,
            data_dir: self.data_dir,
        })
    }
}

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

    /// Serves until told to stop.
    ///
    /// # Errors
    /// [`Error::NotServing`]: this version has the storage, not yet the servers.
    pub fn run(self) -> Result<(), Error> {
        Err(Error::NotServing { component: "store" })
    }
}
