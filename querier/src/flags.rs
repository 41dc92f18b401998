//! What is said on the command line, and what follows from it.

mod endpoints;
mod foreign;
mod queries;
mod shown;
mod telemetry;
mod tenants;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::time::DurationMs;
use runtime::grpc::{GrpcClientConfig, GrpcClientFlags};
use runtime::http::{HttpLimits, WebPaths};
use runtime::web_flags::WebFlags;
use runtime::{Clock, Environment, Error, Memory, ServerConfig, ServerFlags};
use storeapi::grpc::Limits;

use crate::active_queries::ActiveQueries;
use crate::endpoints::SetOptions;
use crate::figures::Bounds;
use crate::query_log::Slow;
use crate::settings::Settings;

pub use endpoints::EndpointFlags;
pub use foreign::FOREIGN_FLAGS;
pub use queries::QueryFlags;
pub use telemetry::TelemetryFlags;
pub use tenants::TenantFlags;

use queries::slow;

/// What was said on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Addresses of the servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// Where the page and the API are found.
    #[command(flatten)]
    pub web: WebFlags,
    /// Connections to endpoints.
    #[command(flatten)]
    pub grpc_client: GrpcClientFlags,
    /// Endpoints.
    #[command(flatten)]
    pub endpoints: EndpointFlags,
    /// Queries.
    #[command(flatten)]
    pub queries: QueryFlags,
    /// Tenants.
    #[command(flatten)]
    pub tenants: TenantFlags,
    /// Data directory of a Prometheus or an ingester to answer from, beside the endpoints. It is read
    /// as it is when the querier starts, and never written.
    #[arg(
        long = "data-dir",
        aliases = ["tsdb.path", "storage.tsdb.path"],
        value_name = "DIR"
    )]
    pub data_dir: Option<PathBuf>,
}

/// What the component works with: complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// Where the page and the API are found.
    pub paths: WebPaths,
    /// Connections to endpoints.
    pub grpc_client: GrpcClientConfig,
    /// Whom to ask.
    pub endpoints: SetOptions,
    /// A data directory to answer from.
    pub data_dir: Option<PathBuf>,
    /// How queries are answered.
    pub settings: Settings,
    /// What clients of the HTTP server may use.
    pub http: HttpLimits,
    /// What one answer of the StoreAPI may have.
    pub store_limits: Limits,
    /// All flags with their values, for the API to show.
    pub shown_flags: BTreeMap<String, String>,
    /// What the process may have.
    pub memory: Memory,
    /// Where queries are logged.
    pub log: LogSettings,
    /// By what queries are told apart in figures.
    pub telemetry: Bounds,
}

/// Which queries are logged, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSettings {
    /// The file of all queries.
    pub file: Option<PathBuf>,
    /// Those that are named in the log of the process.
    pub slow: Slow,
    /// The directory of the file of those that are being evaluated.
    pub active_dir: Option<PathBuf>,
}

impl LogSettings {
    /// Opens the file of queries that are being evaluated, if there is to be one; `queries_max` are by
    /// HTTP, and as many by gRPC.
    ///
    /// # Errors
    /// [`Error::Flag`] when it cannot be opened.
    pub fn active_queries(
        &self,
        queries_max: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<ActiveQueries>, Error> {
        let open = |dir: &PathBuf| ActiveQueries::open(dir, 2 * queries_max, Arc::clone(clock));
        let opened = self.active_dir.as_ref().map(open).transpose();
        opened.map_err(|error| Error::Flag {
            flag: "query.active-query-path",
            reason: format!("the file of active queries cannot be opened: {error}"),
        })
    }
}

impl Flags {
    /// Checks the flags and fills in what follows from them.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub fn resolve(self, environment: &Environment) -> Result<Config, Error> {
        let says_step = self.queries.default_step.is_some();
        let mut config = self.resolve_for_given_stores(environment)?;
        if config.has_nobody_to_ask() {
            config.settings.over_endpoints(says_step);
        }
        Ok(config)
    }

    /// As [`Flags::resolve`], for who is given stores of the same process and need not name any.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub fn resolve_for_given_stores(self, environment: &Environment) -> Result<Config, Error> {
        let memory = environment.memory();
        let endpoints = self.endpoints.resolve()?;
        let mut settings = self.queries.resolve(memory)?;
        let slow = slow(&self.queries.log_longer_than)?;
        settings.tenancy = self.tenants.resolve();
        if !endpoints.is_empty() {
            settings.over_endpoints(self.queries.default_step.is_some());
        }
        settings.store_silence_max = match self.endpoints.response_timeout.0 {
            0 => settings.engine.limits.timeout,
            ms => Duration::from_millis(ms.unsigned_abs()),
        };
        let servers = self.servers.resolve()?;
        let message_limit = servers.grpc_server.message_limit;
        Ok(Config {
            servers,
            paths: self.web.resolve()?,
            grpc_client: self.grpc_client.resolve(message_limit)?,
            store_limits: Limits::new(
                self.endpoints.request_series,
                self.endpoints.request_samples,
                memory,
            ),
            memory,
            log: LogSettings {
                file: self.queries.log_file.clone(),
                slow,
                active_dir: self.queries.active_dir.clone(),
            },
            telemetry: self.queries.telemetry.resolve()?,
            endpoints,
            data_dir: self.data_dir,
            shown_flags: BTreeMap::new(),
            settings,
            http: HttpLimits {
                large_max: self.queries.concurrent_max()?,
                large_flag: Some("query.max-concurrent"),
                ..HttpLimits::default()
            },
        })
    }
}

impl Config {
    /// True when neither endpoints nor a data directory were named: every answer is empty.
    pub fn has_nobody_to_ask(&self) -> bool {
        self.endpoints.is_empty() && self.data_dir.is_none()
    }
}

pub(super) fn refused(flag: &'static str, reason: &str) -> Error {
    Error::Flag {
        flag,
        reason: reason.to_owned(),
    }
}

pub(super) fn duration(flag: &'static str, duration: DurationMs) -> Result<Duration, Error> {
    let ms = positive(flag, duration)?;
    Ok(Duration::from_millis(ms.unsigned_abs()))
}

/// The milliseconds of a duration that may not be zero.
pub(super) fn positive(flag: &'static str, duration: DurationMs) -> Result<i64, Error> {
    if duration.0 > 0 {
        return Ok(duration.0);
    }
    Err(Error::Flag {
        flag,
        reason: format!("{duration} is too short; use 1ms or more"),
    })
}

#[cfg(test)]
mod tests;
