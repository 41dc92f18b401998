//! Receives samples and keeps them in a local TSDB in Prometheus' format until its blocks are shipped.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`Ingester::run`].
//!
//! [`append`] is the seam between receivers and storage. Beside it: [`exposition`], the decoders of what targets expose; [`backfill`], blocks from files.

pub mod append;
pub mod backfill;
pub mod exposition;
pub mod receive;

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
    /// Directory of the TSDB: blocks, write-ahead log, head chunks.
    #[arg(
        long = "tsdb.path",
        alias = "data-dir",
        value_name = "DIR",
        default_value = "./data"
    )]
    pub tsdb_path: PathBuf,
}

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "label",
        "tsdb.retention",
        "tsdb.min-block-duration",
        "tsdb.max-block-duration",
        "tsdb.out-of-order.time-window",
        "tsdb.out-of-order.cap-max",
        "tsdb.too-far-in-future.time-window",
        "tsdb.max-retention-bytes",
        "tsdb.head.expanded-postings-cache-size",
        "tsdb.block.expanded-postings-cache-size",
        "tsdb.max-exemplars",
        "tsdb.write-queue-size",
        "remote-write.address",
        "remote-write.server-tls-cert",
        "remote-write.server-tls-key",
        "remote-write.server-tls-client-ca",
        "remote-write.server-tls-min-version",
        "remote-write.client-tls-cert",
        "remote-write.client-tls-key",
        "remote-write.client-tls-ca",
        "remote-write.client-server-name",
        "receive.hashrings",
        "receive.hashrings-file",
        "receive.hashrings-file-refresh-interval",
        "receive.hashrings-algorithm",
        "receive.local-endpoint",
        "receive.replication-factor",
        "receive.replica-header",
        "receive.replication-protocol",
        "receive.capnproto-address",
        "receive.forward.async-workers",
        "receive.grpc-compression",
        "receive.grpc-service-config",
        "receive-forward-timeout",
        "receive-forward-max-backoff",
        "receive.tenant-header",
        "receive.tenant-certificate-field",
        "receive.default-tenant-id",
        "receive.split-tenant-label-name",
        "receive.tenant-label-name",
        "receive.relabel-config",
        "receive.relabel-config-file",
        "receive.limits-config",
        "receive.limits-config-file",
        "receive.otlp-promote-resource-attributes",
        "store.limits.request-series",
        "store.limits.request-samples",
    ],
    switches: &[
        "tsdb.wal-compression",
        "tsdb.no-lockfile",
        "tsdb.memory-snapshot-on-shutdown",
        "tsdb.allow-overlapping-blocks",
        "receive.otlp-enable-target-info",
    ],
};

/// What the component works with: complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// Where the bucket's configuration is read from.
    pub bucket: BucketConfig,
    /// Directory of the TSDB.
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
pub struct Ingester {
    config: Config,
}

/// Makes the component; binds no socket and starts nothing.
pub fn build(config: Config) -> Ingester {
    Ingester { config }
}

impl Ingester {
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
            component: "ingester",
        })
    }
}
