//! `promontory` without a subcommand: every component in one process, on one directory.
//!
//! What is written goes to a TSDB whose blocks are shipped to a bucket, by default a folder beside it;
//! a store gateway serves the bucket, a compactor merges it, and a querier answers over all of these
//! as one Prometheus. The components meet as they do in processes of their own, through the Store
//! trait and the bucket, only without a network between them.
//!
//! The figures of the process itself are kept in a TSDB apart: they are of now, and a head takes
//! nothing that is much older than its newest sample, so that they would keep out what is filled in
//! from the past.

mod flags;
mod identity;
mod once;
mod own;
mod passed;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bucket::{Bucket, Patience};
use ingester::Front;
use ingester::core::{Core, Deps};
use ingester::storage::StorageOptions;
use model::Labels;
use proto::thanos::writeable_store_server::WriteableStoreServer;
use querier::query_log::{LogFile, QueryLog};
use querier::stores::{FixedStore, FixedStores};
use runtime::flags::make_dir;
use runtime::grpc::{self, Readiness};
use runtime::http::{AsPrometheus, HttpLimits, PathPattern, Routes, Server, Service};
use runtime::metrics::{Registry, SELF_METRICS, SelfMetrics};
use runtime::process::{self, Shutdown};
use runtime::tasks::Tasks;
use runtime::{About, Clock, Environment, Error, Notifications, Reloads, SystemClock};
use storeapi::block_viewer::{BlocksApi, MarkApi};
use tokio::sync::oneshot;

pub(crate) use flags::Flags;
use flags::{Config, REPLICA_LABEL};
use identity::Identity;

/// How long a sample may be under way that is as old as samples may be, in milliseconds.
const ARRIVAL_MS: i64 = 10 * 60 * 1000;
/// Threads that requests do not need: for files, the gateway, merging and maintenance.
const SPARE_THREADS: usize = 96;
/// Paths that the ingester answers which takes writes.
const OF_MAIN: [&str; 4] = [
    "/api/v1/write",
    "/api/v1/receive",
    "/api/v1/status/ingest",
    "/-/reload",
];
/// Paths that the ingester answers, which knows what is scraped, and not the querier.
const OF_INGESTER: [&str; 4] = [
    "/api/v1/targets/metadata",
    "/api/v1/targets/relabel_steps",
    "/api/v1/scrape_pools",
    "/api/v1/status/config",
];

/// Runs everything until told to stop by a signal.
///
/// # Errors
/// When a flag cannot be used, the data cannot be opened, or the address cannot be had.
pub(crate) fn run(
    flags: Flags,
    (environment, shown): (&Environment, BTreeMap<String, String>),
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut config = flags.resolve(environment)?;
    make_dir("data-dir", &config.data_dir)?;
    config.shown_flags = shown;
    let identity = Identity::read(&config.data_dir, &process::host_name())?;
    config.ingester.tsdb.default_labels = Labels::from_pairs([(REPLICA_LABEL, identity.replica())]);
    let receiving = config.ingester.protocols.threads_max();
    let threads = config.querier.http.threads_max() + receiving + SPARE_THREADS;
    process::run(threads, async |shutdown| {
        Box::pin(serve(config, identity, (shutdown, out))).await
    })?;
    Ok(())
}

/// The parts once they are open.
struct Parts {
    /// Takes what is written.
    main: Arc<Core>,
    /// Scrapes this process; absent where a configuration says what is scraped.
    own: Option<Arc<Core>>,
    gateway: store::Gateway,
    syncer: Arc<store::Syncer>,
    marks: Arc<MarkApi>,
    compactor: compactor::Compactor,
    registry: Registry,
    notifications: Notifications,
    reloads: Reloads,
}

async fn serve(
    config: Config,
    identity: Identity,
    (shutdown, out): (Shutdown, &mut dyn Write),
) -> Result<(), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // One server takes queries and writes.
    let of_writes = &config.ingester.write_http;
    let limits = HttpLimits {
        body_bytes_max: of_writes.body_bytes_max,
        body_flag: of_writes.body_flag,
        ..config.querier.http
    };
    let http = Server::bind(&config.http, limits)
        .await?
        .with_web(&config.web)?
        .with_paths(config.paths.clone())
        .with_log(config.querier.servers.http_log.clone());
    let address = http.local_addr().map_err(|source| Error::System {
        action: "find out the address".to_owned(),
        source,
    })?;
    let figures = http.metrics();
    let service = Service::default();
    let replay = ingester::replay::shown_by(&service);
    let tasks = Tasks::new();
    let stop_grpc = shutdown.clone();
    let (opened, opening) = oneshot::channel();
    let starting = async {
        let registry = Registry::with_process(env!("CARGO_PKG_VERSION"), clock.now_ms());
        AsPrometheus::show("all-in-one", &registry, &service, figures);
        let deps = Deps::new(Arc::clone(&clock), registry, replay);
        let (settings, given) = (config.ingester.clone(), deps.clone());
        let front = process::blocking(move || Front::open(&settings, &given)).await?;
        // Before the data is there, what is pushed is held.
        let protocols = front.start(stop_grpc.clone()).await?;
        let own = own::scrapes(&config, address).await;
        if let (Some(_), Some(at)) = (&own, config.node_exporter.clone()) {
            let finding = own::find_node_exporter(config.clone(), at, stop_grpc.clone());
            tasks.spawn("node exporter", finding);
        }
        let settings = config.clone();
        let parts = process::blocking(move || {
            let parts = open(&settings, own, front, deps)?;
            identity.keep(&parts.main.tenants().options().labels)?;
            Ok::<_, Error>(parts)
        });
        let parts = parts.await?;
        let querier = querier(&config, &parts, &clock)?;
        querier.show_figures(&parts.registry);
        serve_grpc(&config, &parts, &querier, (&tasks, stop_grpc)).await;
        service.remark(parts.notifications.clone());
        service.ready(Arc::new(routes(&parts, &querier)));
        banner(out, &config, address).map_err(|source| Error::System {
            action: "write to standard output".to_owned(),
            source,
        })?;
        // The receiver waits below.
        let _ = opened.send((parts, protocols));
        Ok(())
    };
    let (stop_storing, storing) = Shutdown::new();
    let front = async {
        let serving = http.serve(service.clone(), shutdown);
        let served = Box::pin(process::serve_while(serving, starting)).await;
        tasks.finish(config.grace).await;
        // Only when nobody can write any more.
        stop_storing.request();
        served
    };
    let background = async {
        if let Ok((parts, _protocols)) = opening.await {
            Box::pin(work(parts, storing, config.grace)).await;
        }
    };
    futures::future::join(front, background).await.0
}

/// Opens the data and the bucket. Runs on a thread that may block.
fn open(
    config: &Config,
    own: Option<ingester::Config>,
    front: Front,
    deps: Deps,
) -> Result<Parts, Error> {
    let Deps {
        clock,
        registry,
        notifications,
        reloads,
        ..
    } = deps.clone();
    let main = Arc::new(Core::open(&config.ingester, front, deps)?);
    let own = own.map(|own| {
        // Its figures would be mistaken for those of the main one.
        let deps = Deps::new(Arc::clone(&clock), Registry::default(), Arc::default());
        let front = Front::open(&own, &deps)?;
        Core::open(&own, front, deps).map(Arc::new)
    });
    let own = own.transpose()?;
    let bucket = |patience| {
        let text = config.bucket.text().unwrap_or_default();
        Bucket::open(text, patience).map_err(|error| Error::Start {
            action: "open the bucket".to_owned(),
            source: Box::new(error),
        })
    };
    let readable = bucket(Patience::Interactive)?;
    let gateway = store::Gateway::new(
        readable.clone(),
        Arc::clone(&clock),
        config.store.gateway.clone(),
    );
    let marks = MarkApi::new(readable.clone(), Arc::clone(&clock), config.store.may_mark);
    let sync = config.store.sync.clone();
    let syncer = store::Syncer::new(gateway.clone(), readable, Arc::clone(&clock), sync);
    let syncer = Arc::new(syncer);
    registry.register(Arc::new(store::api::Figures::new(
        gateway.clone(),
        Arc::clone(&syncer),
    )));
    let deps = compactor::Deps {
        bucket: bucket(Patience::Background)?,
        registry: registry.clone(),
        clock,
    };
    Ok(Parts {
        compactor: compactor::build(config.compactor.clone(), deps),
        main,
        own,
        gateway,
        syncer,
        marks: Arc::new(marks),
        registry,
        notifications,
        reloads,
    })
}

/// The querier over what is here.
fn querier(
    config: &Config,
    parts: &Parts,
    clock: &Arc<dyn Clock>,
) -> Result<querier::Service, Error> {
    let of_ingester = |name: &str, core: &Core| FixedStore {
        component: "receive",
        name: name.to_owned(),
        store: core.store(),
        catalog: Some((ingester::catalog::SERVICES, core.catalog())),
    };
    let mut stores = vec![
        of_ingester("local data", &parts.main),
        FixedStore {
            component: "store",
            name: "bucket".to_owned(),
            store: Arc::new(parts.gateway.clone()),
            catalog: None,
        },
    ];
    if let Some(own) = &parts.own {
        stores.push(of_ingester("figures of this process", own));
    }
    let mut settings = config.querier.settings.clone();
    settings.results_settle_ms = settle_ms(&settings, parts.main.tenants().options());
    settings.replica_labels.push(REPLICA_LABEL.to_owned());
    settings.hidden_labels.push(REPLICA_LABEL.to_owned());
    querier::Service::new(querier::Deps {
        stores: Arc::new(once::Once::new(
            Arc::clone(&parts.main),
            (parts.gateway.clone(), Arc::clone(&parts.syncer)),
            FixedStores::new(stores),
        )),
        local: None,
        settings,
        store_limits: config.querier.store_limits,
        log: Arc::new(query_log(config, &parts.main)),
        active: (config.querier.log).active_queries(config.querier.http.large_max, clock)?,
        queries_max: config.querier.http.large_max,
        telemetry: config.querier.telemetry.clone(),
        clock: Arc::clone(clock),
        about: About {
            version: env!("CARGO_PKG_VERSION"),
            started_ms: clock.now_ms(),
            flags: config.effective_flags(),
            memory: config.environment.memory(),
            reloads: parts.reloads.clone(),
        },
    })
}

/// Results are kept only of steps for which no sample may come any more.
fn settle_ms(settings: &querier::settings::Settings, storage: &StorageOptions) -> i64 {
    let window = storage.db.head.out_of_order_window;
    let until_all_came = window.saturating_add(ARRIVAL_MS);
    settings.results_settle_ms.max(until_all_came)
}

/// Where queries are logged: to the file that the configuration names, else to the one of the flag.
fn query_log(config: &Config, main: &Arc<Core>) -> QueryLog {
    let (main, of_flag) = (Arc::clone(main), config.querier.log.file.clone());
    QueryLog::new(config.querier.log.slow, move || {
        let (path, generation) = main.query_log();
        LogFile {
            path: path.or_else(|| of_flag.clone()),
            generation,
        }
    })
}

/// Everything over HTTP.
fn routes(parts: &Parts, querier: &querier::Service) -> Routes {
    let writes = Arc::new(parts.main.routes());
    let scraping = parts.own.as_ref().unwrap_or(&parts.main);
    let scraping = Arc::new(scraping.routes());
    let mut routes = parts
        .notifications
        .add_to(Routes::new())
        .with(PathPattern::Prefix("/"), querier.http())
        .with(
            PathPattern::Exact("/metrics"),
            Arc::new(parts.registry.clone()),
        )
        .with(
            PathPattern::Exact(SELF_METRICS),
            Arc::new(SelfMetrics(parts.registry.clone())),
        );
    for path in OF_MAIN {
        routes = routes.with(
            PathPattern::Exact(path),
            Arc::<Routes>::clone(&writes) as Arc<_>,
        );
    }
    for path in OF_INGESTER {
        routes = routes.with(
            PathPattern::Exact(path),
            Arc::<Routes>::clone(&scraping) as Arc<_>,
        );
    }
    let blocks = store::api::KnownBlocks::new(parts.gateway.clone(), Arc::clone(&parts.syncer));
    let blocks = BlocksApi::new(Arc::new(blocks), "");
    let marks = Arc::<MarkApi>::clone(&parts.marks);
    routes
        .with(PathPattern::Exact("/api/v1/blocks"), Arc::new(blocks))
        .with(PathPattern::Exact("/api/v1/blocks/mark"), marks)
}

/// Serves gRPC, unless the address is taken: somebody who only looks around need not mind.
async fn serve_grpc(
    config: &Config,
    parts: &Parts,
    querier: &querier::Service,
    (tasks, shutdown): (&Tasks, Shutdown),
) {
    let settings = config.querier.servers.grpc_server.clone();
    let message_limit = settings.message_limit;
    let server = match grpc::Server::bind(&config.grpc, settings).await {
        Ok(server) => server,
        Err(error) => {
            let error = error.chain();
            tracing::warn!(
                error,
                "gRPC is not served; --grpc-address names another address"
            );
            return;
        }
    };
    parts.registry.register(server.metrics());
    let readiness = Readiness::new();
    readiness.set(true);
    let write = WriteableStoreServer::new(parts.main.write_service())
        .max_decoding_message_size(message_limit.bytes);
    let routes = querier.grpc(&readiness).with(write).finish();
    tasks.spawn("grpc", async move {
        if let Err(error) = server.serve(routes, readiness, shutdown).await {
            tracing::error!(error = error.chain(), "gRPC is not served any more");
        }
    });
}

/// Does what goes on in the background until told to stop; what is under way then has `grace` to end.
async fn work(parts: Parts, shutdown: Shutdown, grace: Duration) {
    let own = async {
        if let Some(own) = &parts.own {
            own.run(shutdown.clone()).await;
        }
    };
    let merging = async {
        if let Err(error) = parts.compactor.work_until(shutdown.clone()).await {
            tracing::error!(error = error.chain(), "the bucket is not merged any more");
        }
    };
    let syncing = parts.syncer.run(Readiness::new(), shutdown.clone());
    let all = futures::future::join4(parts.main.run(shutdown.clone()), own, merging, syncing);
    let mut stop = shutdown.clone();
    let too_long = async {
        stop.requested().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        _ = all => {}
        () = too_long => {
            tracing::warn!("not everything was shipped in time; the next start goes on with it");
        }
    }
}

/// What URLs of the process begin with.
fn scheme(config: &Config) -> &'static str {
    match config.web.tls {
        Some(_) => "https",
        None => "http",
    }
}

/// Says what somebody who has just started it wants to know.
fn banner(out: &mut dyn Write, config: &Config, address: std::net::SocketAddr) -> io::Result<()> {
    let data = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let scheme = scheme(config);
    let prefix = config.paths.route_prefix();
    writeln!(out, "Promontory {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  data    {}", data.display())?;
    writeln!(out, "  page    {scheme}://{address}{prefix}/")?;
    writeln!(
        out,
        "  Grafana add a Prometheus data source with the URL {scheme}://{address}{prefix}"
    )?;
    writeln!(
        out,
        "  To send samples of a Prometheus here, add to its configuration:\n"
    )?;
    writeln!(
        out,
        "remote_write:\n  - url: {scheme}://{address}{prefix}/api/v1/write\n"
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use ingester::storage::Layout;
    use querier::settings::Settings;

    use super::*;

    #[test]
    fn results_are_kept_once_no_late_sample_may_come() {
        const MINUTE_MS: i64 = 60_000;
        for (window, expected) in [(0, 40), (30, 40), (180, 190)] {
            let mut storage = StorageOptions::new("data", Layout::Single);
            storage.db.head.out_of_order_window = window * MINUTE_MS;
            let found = settle_ms(&Settings::default(), &storage);
            assert_eq!(found, expected * MINUTE_MS, "a window of {window} m");
        }
    }
}
