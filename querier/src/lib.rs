//! Answers PromQL over every endpoint that speaks the StoreAPI, as one Prometheus would.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`Querier::run`].

pub mod blocks;
pub mod pool;

use runtime::{Error, ForeignFlags, ServerConfig, ServerFlags};

/// What was said on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Addresses of the servers.
    #[command(flatten)]
    pub servers: ServerFlags,
}

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "endpoint",
        "endpoint-strict",
        "endpoint-group",
        "endpoint-group-strict",
        "endpoint.sd-config",
        "endpoint.sd-config-file",
        "endpoint.sd-config-reload-interval",
        "store.sd-files",
        "store.sd-interval",
        "store.sd-dns-interval",
        "store.sd-dns-resolver",
        "store.unhealthy-timeout",
        "endpoint.info-timeout",
        "grpc-client-tls-cert",
        "grpc-client-tls-key",
        "grpc-client-tls-ca",
        "grpc-client-server-name",
        "grpc-compression",
        "store.response-timeout",
        "query.promql-engine",
        "query.mode",
        "query.timeout",
        "query.max-concurrent",
        "query.max-concurrent-select",
        "query.lookback-delta",
        "query.default-evaluation-interval",
        "query.default-step",
        "query.active-query-path",
        "query.replica-label",
        "deduplication.func",
        "query.partition-label",
        "grpc.proxy-strategy",
        "query.lazy-retrieval-max-buffered-responses",
        "selector-label",
        "query.conn-metric.label",
        "store.limits.request-series",
        "store.limits.request-samples",
        "query.tenant-header",
        "query.default-tenant-id",
        "query.tenant-certificate-field",
        "query.tenant-label-name",
        "query.telemetry.request-duration-seconds-quantiles",
        "query.telemetry.request-samples-quantiles",
        "query.telemetry.request-series-seconds-quantiles",
        "query.metadata.default-time-range",
        "query.instant.default.max_source_resolution",
        "alert.query-url",
    ],
    switches: &[
        "grpc-client-tls-secure",
        "grpc-client-tls-skip-verify",
        "query.enable-x-functions",
        "query.auto-downsampling",
        "query.partial-response",
        "query.enforce-tenancy",
    ],
};

/// What the component works with: complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
}

impl Flags {
    /// Checks the flags and fills in what follows from them.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub fn resolve(self) -> Result<Config, Error> {
        Ok(Config {
            servers: self.servers.resolve()?,
        })
    }
}

/// The component, ready to run.
#[derive(Debug)]
pub struct Querier {
    config: Config,
}

/// Makes the component; binds no socket and starts nothing.
pub fn build(config: Config) -> Querier {
    Querier { config }
}

impl Querier {
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
            component: "querier",
        })
    }
}
