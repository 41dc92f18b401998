//! Serves a Prometheus (or an ingester) over the StoreAPI and ships its blocks to the bucket.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`Sidecar::run`].

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
    /// Directory of the TSDB whose blocks are shipped.
    #[arg(long = "tsdb.path", value_name = "DIR", default_value = "./data")]
    pub tsdb_path: PathBuf,
}

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "prometheus.url",
        "prometheus.ready_timeout",
        "prometheus.get_config_interval",
        "prometheus.get_config_timeout",
        "prometheus.http-client",
        "prometheus.http-client-file",
        "shipper.meta-file-name",
        "shipper.upload-concurrency",
        "reloader.config-file",
        "reloader.config-envsubst-file",
        "reloader.rule-dir",
        "reloader.watch-interval",
        "reloader.retry-interval",
        "reloader.method",
        "reloader.process-name",
        "store.limits.request-series",
        "store.limits.request-samples",
    ],
    switches: &[
        "shipper.upload-compacted",
        "shipper.ignore-unequal-block-size",
        "shipper.allow-out-of-order-uploads",
        "shipper.skip-corrupted-blocks",
    ],
};

/// What the component works with: complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// Where the bucket's configuration is read from.
    pub bucket: BucketConfig,
    /// Directory of the TSDB whose blocks are shipped.
    pub tsdb_path: PathBuf,
}

impl Flags {
    /// Checks the flags and fills in what follows from them.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub fn resolve(self) -> Result<Config, Error> {
        Ok(Config {
            servers: self.servers.resolve()?,
            bucket: self.bucket.resolve(),
            tsdb_path: self.tsdb_path,
        })
    }
}

/// The component, ready to run.
#[derive(Debug)]
pub struct Sidecar {
    config: Config,
}

/// Makes the component; binds no socket and starts nothing.
pub fn build(config: Config) -> Sidecar {
    Sidecar { config }
}

impl Sidecar {
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
            component: "sidecar",
        })
    }
}
