//! Answers PromQL as one Prometheus would: in this version over one local data directory, later
//! over every endpoint that speaks the StoreAPI.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`Querier::run`].
//!
//! Reading order: [`api`] (Prometheus' HTTP API), [`stores`] (whom it asks), [`store_source`] (from
//! their streams to the engine), [`decode`] (from chunks to columns), [`dedup`] (replicas to one
//! series), [`local`] (a data directory as a store), [`pool`] (threads that evaluate queries).

pub mod api;
pub mod blocks;
pub mod decode;
pub mod dedup;
pub mod endpoints;
pub mod local;
pub mod pool;
pub mod results;
pub mod settings;
pub mod store_source;
pub mod stores;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::time::DurationMs;
use runtime::http::{HttpLimits, Server, Service};
use runtime::process::{self, Shutdown};
use runtime::{Clock, Error, ForeignFlags, ServerConfig, ServerFlags, SystemClock};
use tsdb::db::DataDir;

use api::{About, Api, Parts};
use local::LocalStore;
use pool::Pool;
use settings::Settings;
use stores::{FixedStore, FixedStores};

/// Threads that requests do not need: for files, and for names of hosts.
const SPARE_THREADS: usize = 8;

/// What was said on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Addresses of the servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// Data directory of a Prometheus or an ingester to answer from. It is read as it is when the
    /// querier starts, and never written.
    #[arg(
        long = "data-dir",
        aliases = ["tsdb.path", "storage.tsdb.path"],
        value_name = "DIR"
    )]
    pub data_dir: Option<PathBuf>,
    /// Most time that a query may take.
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m")]
    pub timeout: DurationMs,
    /// Queries that are evaluated at once; more wait for at most 10 s.
    #[arg(
        long = "query.max-concurrent",
        alias = "query.max-concurrency",
        value_name = "COUNT",
        default_value_t = 20
    )]
    pub max_concurrent: u16,
    /// How old a sample may be to count at an instant.
    #[arg(
        long = "query.lookback-delta",
        value_name = "DURATION",
        default_value = "5m"
    )]
    pub lookback_delta: DurationMs,
    /// Most samples that a query may hold in memory.
    #[arg(
        long = "query.max-samples",
        value_name = "COUNT",
        default_value_t = 50_000_000
    )]
    pub max_samples: u64,
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
        "query.max-concurrent-select",
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
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// The data directory.
    pub data_dir: PathBuf,
    /// How queries are evaluated.
    pub engine: promql::Options,
    /// What clients of the HTTP server may use.
    pub http: HttpLimits,
}

impl Flags {
    /// Checks the flags and fills in what follows from them.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used, and when there is no data
    /// directory: querying endpoints is not part of this version.
    pub fn resolve(self) -> Result<Config, Error> {
        let servers = self.servers.resolve()?;
        let data_dir = self.data_dir.ok_or_else(|| Error::Flag {
            flag: "data-dir",
            reason: "name a data directory of Prometheus or an ingester; querying endpoints over the StoreAPI is not in this build yet".to_owned(),
        })?;
        let timeout = positive("query.timeout", self.timeout)?;
        let lookback_ms = positive("query.lookback-delta", self.lookback_delta)?;
        if self.max_concurrent == 0 {
            return Err(Error::Flag {
                flag: "query.max-concurrent",
                reason: "allow at least 1 query".to_owned(),
            });
        }
        let mut engine = promql::Options {
            lookback_ms,
            ..promql::Options::default()
        };
        engine.limits.timeout = Duration::from_millis(timeout.unsigned_abs());
        engine.limits.samples_max = self.max_samples;
        Ok(Config {
            servers,
            data_dir,
            engine,
            http: HttpLimits {
                large_max: usize::from(self.max_concurrent),
                ..HttpLimits::default()
            },
        })
    }
}

/// The milliseconds of a duration that may not be zero.
fn positive(flag: &'static str, duration: DurationMs) -> Result<i64, Error> {
    if duration.0 > 0 {
        return Ok(duration.0);
    }
    Err(Error::Flag {
        flag,
        reason: format!("{duration} is too short; use 1ms or more"),
    })
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

    /// Serves until told to stop by a signal.
    ///
    /// # Errors
    /// [`Error::System`] when the address cannot be had, [`Error::Start`] when the data directory
    /// cannot be read or threads cannot be started.
    pub fn run(self) -> Result<(), Error> {
        let threads = self.config.http.threads_max() + SPARE_THREADS;
        process::run(threads, async |shutdown| self.serve(shutdown).await)
    }

    /// Serves its health at once, and the API when the data directory is open.
    async fn serve(self, shutdown: Shutdown) -> Result<(), Error> {
        let Config {
            servers,
            data_dir,
            engine,
            http,
        } = self.config;
        let clock = Arc::new(SystemClock);
        let about = About {
            version: env!("CARGO_PKG_VERSION"),
            started_ms: clock.now_ms(),
            flags: effective_flags(&servers, &data_dir, &engine, &http),
        };
        let server = Server::bind(&servers.http, http).await?;
        if let Ok(address) = server.local_addr() {
            tracing::info!(%address, "listening");
        }
        let pool = Pool::start(0).map_err(|source| Error::Start {
            action: "start threads for queries".to_owned(),
            source: Box::new(source),
        })?;
        let service = Service::default();
        let opening = async {
            let name = data_dir.display().to_string();
            let local = process::blocking(move || open(&data_dir)).await?;
            let stores = FixedStores::new(vec![FixedStore {
                component: "debug",
                name,
                store: Arc::new(local.clone()),
            }]);
            service.ready(Arc::new(Api::new(Parts {
                stores: Arc::new(stores),
                local: Some(local),
                pool: Arc::new(pool),
                runtime: tokio::runtime::Handle::current(),
                settings: Settings {
                    engine,
                    ..Settings::default()
                },
                clock,
                about,
            })));
            Ok(())
        };
        // A server without data is of no use, so its failure ends the process.
        process::serve_while(server.serve(service.clone(), shutdown), opening).await
    }
}

/// Opens the data directory and says what could not be read.
fn open(path: &Path) -> Result<LocalStore, Error> {
    let begin = Instant::now();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let dir = DataDir::open(path, workers).map_err(|source| Error::Start {
        action: format!("open data directory {}", path.display()),
        source: Box::new(source),
    })?;
    let source = LocalStore::new(dir);
    for (block, error) in &source.report().unreadable_blocks {
        tracing::warn!(block = %block.display(), %error, "block cannot be read and is left out");
    }
    tracing::info!(
        path = %path.display(),
        blocks = source.blocks().iter().count(),
        head_series = source.head().series_count(),
        took_ms = begin.elapsed().as_millis() as u64,
        "data directory is open"
    );
    Ok(source)
}

/// The flags under their names, for the API to show.
fn effective_flags(
    servers: &ServerConfig,
    data_dir: &Path,
    engine: &promql::Options,
    http: &HttpLimits,
) -> BTreeMap<String, String> {
    let timeout_ms = i64::try_from(engine.limits.timeout.as_millis()).unwrap_or(i64::MAX);
    let lookback = DurationMs(engine.lookback_ms);
    let flags = [
        ("http-address", servers.http.to_string()),
        ("grpc-address", servers.grpc.to_string()),
        ("data-dir", data_dir.display().to_string()),
        ("query.timeout", DurationMs(timeout_ms).to_string()),
        ("query.max-concurrent", http.large_max.to_string()),
        ("query.lookback-delta", lookback.to_string()),
        ("query.max-samples", engine.limits.samples_max.to_string()),
    ];
    flags.map(|(name, value)| (name.to_owned(), value)).into()
}
