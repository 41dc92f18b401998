//! Merges, downsamples and expires the blocks of a bucket.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`Compactor::run`].

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
    /// Directory for blocks in work; may be lost at any time.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./data")]
    pub data_dir: PathBuf,
}

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "wait-interval",
        "compact.cleanup-interval",
        "compact.progress-interval",
        "retention.resolution-raw",
        "retention.resolution-5m",
        "retention.resolution-1h",
        "downsample.concurrency",
        "deduplication.replica-label",
        "deduplication.func",
        "compact.concurrency",
        "compact.blocks-fetch-concurrency",
        "block-files-concurrency",
        "block-meta-fetch-concurrency",
        "block-discovery-strategy",
        "compact.block-max-index-size",
        "debug.max-compaction-level",
        "consistency-delay",
        "delete-delay",
        "block-viewer.global.sync-block-interval",
        "block-viewer.global.sync-block-timeout",
        "bucket-web-label",
    ],
    switches: &[
        "wait",
        "downsampling.disable",
        "compact.enable-vertical-compaction",
        "compact.skip-block-with-out-of-order-chunks",
        "debug.halt-on-error",
        "debug.accept-malformed-index",
        "disable-admin-operations",
    ],
};

/// What the component works with: complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// Where the bucket's configuration is read from.
    pub bucket: BucketConfig,
    /// Directory for blocks in work.
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
pub struct Compactor {
    config: Config,
}

/// Makes the component; binds no socket and starts nothing.
pub fn build(config: Config) -> Compactor {
    Compactor { config }
}

impl Compactor {
    /// What it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// [`Error::NotServing`]: this version has the storage, not yet the servers.
    pub fn run(self) -> Result<(), Error> {
        Err(Error::NotServing {
            component: "compactor",
        })
    }
}
