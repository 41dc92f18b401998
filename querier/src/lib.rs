//! Answers PromQL as one Prometheus would, over every endpoint that speaks the StoreAPI, over stores
//! of the same process, and over a local data directory.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`Querier::run`]. Whoever has stores in the same process makes a [`Service`] over them.
//!
//! Reading order: [`api`] (the HTTP API), [`evaluator`], [`stores`] (whom it asks), [`endpoints`]
//! (those in other processes), [`store_source`] (from their streams to the engine), [`decode`] (from
//! chunks to columns), [`dedup`] (replicas to one series), [`results`] (kept answers), [`query_api`]
//! (PromQL over gRPC), [`query_log`] and [`active_queries`] (what is noted of queries), [`catalog`] (rules, targets, metadata, exemplars), [`local`] (a data directory as a store), [`pool`] (threads that evaluate
//! queries).

pub mod active_queries;
pub mod api;
pub mod blocks;
pub mod catalog;
pub mod decode;
pub mod dedup;
pub mod dialect;
pub mod endpoints;
pub mod evaluator;
mod features;
pub mod figures;
pub mod flags;
pub mod lanes;
pub mod local;
pub mod pool;
mod query_api;
pub mod query_log;
mod reach;
mod replicas;
pub mod results;
pub mod service;
pub mod settings;
pub mod store_source;
pub mod stores;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::grpc::Readiness;
use runtime::heaps;
use runtime::http::{ComponentStatus, HeaderName, PathPattern, Routes, Server};
use runtime::metrics::{Registry, SELF_METRICS, SelfMetrics};
use runtime::process::{self, Shutdown};
use runtime::tasks::Owned;
use runtime::{About, Clock, Error, Notifications, Reloads, SystemClock};
use tsdb::db::DataDir;

pub use flags::{Config, FOREIGN_FLAGS, Flags};
pub use service::{Deps, Service};

use endpoints::dial::GrpcDial;
use endpoints::resolve::{Dns, NoDns};
use endpoints::{EndpointSet, Resolve};
use local::LocalStore;
use query_log::QueryLog;
use stores::{FixedStore, Stores};

/// Threads that requests do not need: for files, and for names of hosts.
const SPARE_THREADS: usize = 8;
/// Free memory that each heap keeps: the messages of an answer, until the next takes their place.
const KEPT_BYTES: u32 = 4 << 20;
/// How often endpoints are asked how they are.
const UPDATE_INTERVAL: Duration = Duration::from_secs(5);

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
    /// [`Error::System`] when an address cannot be had, [`Error::Start`] when the data directory or a
    /// certificate cannot be read or threads cannot be started.
    pub fn run(self) -> Result<(), Error> {
        if self.config.has_nobody_to_ask() {
            tracing::warn!(
                "there is nobody to ask, so every answer is empty; name endpoints by --endpoint or \
                 --endpoint.sd-config-file, or a data directory by --data-dir"
            );
        }
        heaps::keep(KEPT_BYTES);
        // Queries over gRPC are as many as those over HTTP.
        let threads = self.config.http.threads_max() + self.config.http.large_max + SPARE_THREADS;
        process::run(threads, async |shutdown| {
            Box::pin(self.serve(shutdown)).await
        })
    }

    /// Serves its health at once, and the APIs when the data directory is open and every endpoint was
    /// asked once.
    async fn serve(self, shutdown: Shutdown) -> Result<(), Error> {
        let config = self.config;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let about = About {
            version: env!("CARGO_PKG_VERSION"),
            started_ms: clock.now_ms(),
            flags: config.effective_flags(),
            memory: config.memory,
            reloads: Reloads::new(clock.now_ms()),
        };
        let file = config.log.file.clone();
        let log = QueryLog::with_file(config.log.slow, file).map_err(|error| Error::Flag {
            flag: "query.log-file",
            reason: format!("cannot be opened: {error}"),
        })?;
        let log = Arc::new(log);
        let (http, grpc) = bind(&config).await?;
        let active = (config.log).active_queries(config.http.large_max, &clock)?;
        let registry = Registry::with_process(env!("CARGO_PKG_VERSION"), clock.now_ms());
        registry.register(http.metrics());
        registry.register(grpc.metrics());
        let handlers = ComponentStatus::serve("query", &registry);
        let readiness = Readiness::new();
        let (ready, stop) = (readiness.clone(), shutdown.clone());
        let (opened, opening) = tokio::sync::oneshot::channel();
        let start = async {
            let local = match config.data_dir.clone() {
                Some(dir) => Some(process::blocking(move || open(&dir)).await?),
                None => None,
            };
            let set = endpoints(&config, local.as_ref(), Arc::clone(&clock), &registry)?;
            set.update().await;
            let stores: Arc<dyn Stores> = Arc::<EndpointSet>::clone(&set);
            let service = Service::new(Deps {
                stores,
                local,
                settings: config.settings.clone(),
                store_limits: config.store_limits,
                log,
                active,
                queries_max: config.http.large_max,
                telemetry: config.telemetry.clone(),
                clock,
                about,
            })?;
            let routes = service.grpc(&readiness).finish();
            service.show_figures(&registry);
            set.show_figures(&registry);
            handlers.ready(Arc::new(all_routes(&service, &registry)));
            ready.set(true);
            // The receiver is gone when the servers are.
            let _ = opened.send((set, routes));
            Ok(())
        };
        let serving = async {
            let serving_grpc = async {
                let Ok((set, routes)) = opening.await else {
                    return Ok(());
                };
                let _updates = Owned::spawn(keep_updated(set));
                grpc.serve(routes, readiness.clone(), stop).await
            };
            let (served, ()) = tokio::join!(serving_grpc, http.serve(handlers.clone(), shutdown));
            if let Err(error) = served {
                tracing::error!(error = error.chain(), "gRPC is not served any more");
            }
        };
        // A server without data is of no use, so a failure to get it ends the process.
        Box::pin(process::serve_while(serving, start)).await
    }
}

/// The API, notifications, and the figures of the process in both forms.
fn all_routes(service: &Service, registry: &Registry) -> Routes {
    let (metrics, described) = (registry.clone(), SelfMetrics(registry.clone()));
    Notifications::shown_by(registry)
        .add_to(Routes::new())
        .with(PathPattern::Prefix("/"), service.http())
        .with(PathPattern::Exact("/metrics"), Arc::new(metrics))
        .with(PathPattern::Exact(SELF_METRICS), Arc::new(described))
}

/// The servers, bound.
async fn bind(config: &Config) -> Result<(Server, runtime::grpc::Server), Error> {
    let servers = &config.servers;
    let http = Server::bind(&servers.http, config.http)
        .await?
        .with_web(&servers.web)?
        .with_paths(config.paths.clone())
        .with_log(servers.http_log.clone());
    let tenancy = &config.settings.tenancy;
    let http = match HeaderName::try_from(&tenancy.header) {
        Ok(header) => http.with_tenants(header, &tenancy.default_tenant),
        Err(_) => http,
    };
    let grpc = runtime::grpc::Server::bind(&servers.grpc, servers.grpc_server.clone()).await?;
    if let (Ok(address), Ok(grpc_address)) = (http.local_addr(), grpc.local_addr()) {
        tracing::info!(%address, %grpc_address, "listening");
    }
    Ok((http, grpc))
}

/// The set of all endpoints, the data directory among them.
fn endpoints(
    config: &Config,
    local: Option<&LocalStore>,
    clock: Arc<dyn Clock>,
    registry: &Registry,
) -> Result<Arc<EndpointSet>, Error> {
    let fixed = local.map(|local| FixedStore {
        component: "debug",
        name: "data-dir".to_owned(),
        store: Arc::new(local.clone()),
        catalog: None,
    });
    let dial = GrpcDial::new(
        &config.grpc_client,
        config.settings.store_silence_max,
        config.endpoints.info_timeout,
    )?;
    registry.register(dial.metrics());
    let resolve: Arc<dyn Resolve> = match Dns::of_system() {
        Ok(dns) => Arc::new(dns),
        Err(reason) => Arc::new(NoDns(reason)),
    };
    let options = config.endpoints.clone();
    let fixed = fixed.into_iter().collect();
    let network = (Arc::new(dial) as Arc<_>, resolve);
    Ok(Arc::new(EndpointSet::new(options, fixed, network, clock)))
}

async fn keep_updated(set: Arc<EndpointSet>) {
    loop {
        tokio::time::sleep(UPDATE_INTERVAL).await;
        set.update().await;
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
    let store = LocalStore::new(dir);
    for (block, error) in &store.report().unreadable_blocks {
        tracing::warn!(block = %block.display(), %error, "block cannot be read and is left out");
    }
    tracing::info!(
        path = %path.display(),
        blocks = store.blocks().iter().count(),
        head_series = store.head().series_count(),
        took_ms = begin.elapsed().as_millis() as u64,
        "data directory is open"
    );
    Ok(store)
}
