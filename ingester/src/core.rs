//! An ingester without sockets: what one process that is everything has of it, and what
//! [`Ingester::run`](crate::Ingester::run) puts behind servers.

mod data;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bucket::Bucket;
use bucket::config::Patience;
use model::Labels;
use runtime::http::{PathPattern, Routes};
use runtime::metrics::Registry;
use runtime::process::{self, Hangups, Shutdown};
use runtime::{About, BucketConfig, Clock, Error, Notifications, Reloads};
use storeapi::Store;
use storeapi::catalog::Catalog;
use storeapi::remote_read::RemoteRead;
use tsdb::block::Block;

use data::{merge_max_ms, open_tenants};

use crate::api::{self, Api, Control};
use crate::append::Appender;
use crate::catalog::Parts;
use crate::export::{Exporters, Exporting};
use crate::flags::{Config, WalSync};
use crate::front::{DIR, Front};
use crate::receive::Receiver;
use crate::receive::grpc::WriteService;
use crate::receive::http::WriteEndpoint;
use crate::replay::ReplayProgress;
use crate::scraping::{Loaded, Scraping};
use crate::shipping::Shipping;
use crate::storage::{MaintenanceMetrics, Tenant, Tenants, TsdbStore, every, maintain};

/// How often heads are told how many series they may have: a file that says so may change.
const LIMITS_EVERY: Duration = Duration::from_secs(5);

/// What an ingester is given.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where its figures are shown.
    pub registry: Registry,
    /// Told how far the replay of the logs is.
    pub replay: Arc<ReplayProgress>,
    /// Told of what an operator should know at once.
    pub notifications: Notifications,
    /// Told how reading the configuration again went.
    pub reloads: Reloads,
}

impl Deps {
    /// All that is counted and told is shown by `registry`.
    pub fn new(clock: Arc<dyn Clock>, registry: Registry, replay: Arc<ReplayProgress>) -> Self {
        Self {
            notifications: Notifications::shown_by(&registry),
            reloads: Reloads::shown_by(&registry, clock.now_ms()),
            clock,
            registry,
            replay,
        }
    }
}

/// An ingester with its data open.
#[derive(Debug)]
pub struct Core {
    tenants: Arc<Tenants>,
    store: TsdbStore,
    receiver: Arc<Receiver>,
    scraping: Arc<Scraping>,
    parts: Arc<Parts>,
    maintenance: Arc<MaintenanceMetrics>,
    shipping: Option<Arc<Shipping>>,
    front: Front,
    exporters: Arc<Exporters>,
    api: Api,
    reads: RemoteRead,
    deps: Deps,
    /// How often the configuration is looked at, if it is, and its fingerprint when it was read.
    auto_reload: Option<(Duration, u64)>,
    /// Most series of heads of which the limits say nothing.
    series_max: usize,
}

/// The blocks of one tenant as of one moment.
#[derive(Debug, Clone)]
pub struct TenantBlocks {
    /// The tenant's name.
    pub tenant: Arc<str>,
    /// External labels of its series and blocks.
    pub labels: Labels,
    /// Its blocks, in order of time.
    pub blocks: Arc<Vec<Arc<Block>>>,
}

impl Core {
    /// Opens the data, which may take long, and reads Prometheus' configuration file. What `front`
    /// takes is stored from then on; nothing is scraped before [`Core::run`]. Call on a thread that
    /// may block.
    ///
    /// # Errors
    /// [`Error::Start`] when the data or the configuration cannot be had.
    pub fn open(config: &Config, front: Front, deps: Deps) -> Result<Self, Error> {
        let loaded = Loaded::read(config)?;
        // Of now: what changes while logs are replayed is to be read again.
        let auto_reload = config.auto_reload;
        let auto_reload = auto_reload.map(|every| (every, loaded.fingerprint()));
        let tenants = Arc::new(open_tenants(config, &loaded, &deps)?);
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let store = TsdbStore::new(Arc::clone(&tenants), workers);
        let tsdb_store = store.map_err(start("start threads for reading"))?;
        let store: Arc<dyn Store> = Arc::new(tsdb_store.clone());
        let exporters = Arc::new(open_exporters(config, &loaded, &deps)?);
        let storage: Arc<dyn Appender> = Arc::<Tenants>::clone(&tenants);
        let exporting = Exporting::new(storage, Arc::clone(&exporters));
        let appender: Arc<dyn Appender> = Arc::new(exporting);
        let receiver = Receiver::new(Arc::clone(&appender), config.receive.clone());
        let (stage, status) = front.remote_write();
        let clock = Arc::clone(&deps.clock);
        let receiver = Arc::new(receiver.with_pipeline(stage, status, clock));
        front.attach(Arc::clone(&appender));
        let scraping =
            Arc::new(loaded.into_scraping(appender, Arc::clone(&deps.clock), config.zeros));
        let maintenance = Arc::new(MaintenanceMetrics::new(
            Arc::clone(&tenants),
            deps.notifications.clone(),
        ));
        let shipping = open_shipping(config, &tenants, &deps)?;
        let registry = &deps.registry;
        registry.register(Arc::<MaintenanceMetrics>::clone(&maintenance));
        registry.register(Arc::<Exporters>::clone(&exporters));
        registry.register(Arc::<Receiver>::clone(&receiver));
        registry.register(Arc::<crate::scrape::Manager>::clone(scraping.manager()));
        front.attach_scraping(Arc::clone(scraping.manager()));
        let parts = Arc::new(Parts {
            tenants: Arc::clone(&tenants),
            scraping: Arc::clone(&scraping),
            receiver: Arc::clone(&receiver),
            front: front.clone(),
            exporters: Arc::clone(&exporters),
            clock: Arc::clone(&deps.clock),
            notifications: deps.notifications.clone(),
            reloads: deps.reloads.clone(),
        });
        let control: Arc<dyn Control> = Arc::<Parts>::clone(&parts);
        let about = About {
            version: env!("CARGO_PKG_VERSION"),
            started_ms: deps.clock.now_ms(),
            flags: effective_flags(config),
            memory: config.environment.memory(),
            reloads: deps.reloads.clone(),
        };
        let api = Api::new(Arc::clone(&store), control, Arc::clone(&deps.clock), about);
        Ok(Self {
            front,
            exporters,
            reads: RemoteRead::new(store, config.read_limits),
            tenants,
            store: tsdb_store,
            receiver,
            scraping,
            parts,
            maintenance,
            shipping,
            api,
            deps,
            auto_reload,
            series_max: config.tsdb.head_series_max,
        })
    }

    /// What it has, for queries.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    /// The blocks that it has now, each tenant's with the tenant's external labels.
    pub fn blocks(&self) -> Vec<TenantBlocks> {
        let of = |tenant: &Arc<Tenant>| TenantBlocks {
            tenant: Arc::clone(&tenant.name),
            labels: tenant.labels.clone(),
            blocks: tenant.db.blocks(),
        };
        self.tenants.all().iter().map(of).collect()
    }

    /// As [`Core::store`], for queries that count on `blocks`: these are read even if they are
    /// removed meanwhile.
    pub fn store_holding(&self, blocks: &[TenantBlocks]) -> Arc<dyn Store> {
        let held = blocks
            .iter()
            .map(|of| (Arc::clone(&of.tenant), Arc::clone(&of.blocks)));
        Arc::new(self.store.holding(held.collect()))
    }

    /// What it knows beside series: targets, metadata, exemplars.
    pub fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::<Parts>::clone(&self.parts)
    }

    /// What takes samples.
    pub fn appender(&self) -> Arc<dyn Appender> {
        Arc::<Tenants>::clone(&self.tenants)
    }

    /// The tenants, and with them the directories of their blocks.
    pub fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    /// The gRPC service that takes writes.
    pub fn write_service(&self) -> WriteService {
        WriteService::new(Arc::clone(&self.receiver))
    }

    /// Remote write alone.
    pub fn write_routes(&self) -> Routes {
        let endpoint = WriteEndpoint::new(Arc::clone(&self.receiver));
        api::with_writes(Routes::new(), endpoint)
    }

    /// What an operator should know at once.
    pub const fn notifications(&self) -> &Notifications {
        &self.deps.notifications
    }

    /// Everything that is served over HTTP: writes, remote read, the API, figures.
    pub fn routes(&self) -> Routes {
        let tenants = self.receiver.tenants().clone();
        let routes = api::with_reads(self.write_routes(), self.reads.clone(), tenants);
        let routes = self.deps.notifications.add_to(routes);
        routes
            .with(PathPattern::Prefix("/api/v1/"), Arc::new(self.api.clone()))
            .with(PathPattern::Exact("/-/reload"), Arc::new(self.api.clone()))
            .with(
                PathPattern::Exact("/metrics"),
                Arc::new(self.deps.registry.clone()),
            )
    }

    /// Scrapes, cuts blocks, removes old ones and ships, until told to stop; then ends what is under
    /// way. Nobody may write any more when it is told to.
    pub async fn run(&self, mut shutdown: Shutdown) {
        self.scraping.start();
        self.exporters.start();
        let maintaining = maintain(Arc::clone(&self.maintenance), shutdown.clone());
        let shipping = async {
            if let Some(shipping) = &self.shipping {
                shipping.run(shutdown.clone()).await;
            }
        };
        let scraping = async {
            let mut stop = shutdown.clone();
            stop.requested().await;
            self.scraping.stop();
            // What waits for others waits on disk.
            self.exporters.stop();
        };
        let draining = self.front.run(shutdown.clone());
        let limiting = every(LIMITS_EVERY, shutdown.clone(), {
            let (tenants, receiver) = (Arc::clone(&self.tenants), Arc::clone(&self.receiver));
            let unsaid = self.series_max;
            move || tenants.limit_series(receiver.head_series_limits(unsaid))
        });
        let reloading = self.reload_on_hangup(shutdown.clone());
        let looking = self.reload_on_change(shutdown.clone());
        tokio::join!(
            maintaining,
            shipping,
            scraping,
            draining,
            limiting,
            reloading,
            looking
        );
        shutdown.requested().await;
        self.finish().await;
    }

    /// Reads the configuration again whenever the process is sent SIGHUP. A failure is logged, and
    /// the old one goes on.
    async fn reload_on_hangup(&self, mut shutdown: Shutdown) {
        let Ok(mut hangups) = Hangups::listen() else {
            tracing::warn!("cannot listen for SIGHUP; reload by POST to /-/reload");
            return;
        };
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = hangups.next() => {}
            }
            self.read_again().await;
        }
    }

    /// Reads the configuration again whenever its files change, where that is wanted.
    async fn reload_on_change(&self, mut shutdown: Shutdown) {
        let Some((interval, mut seen)) = self.auto_reload else {
            return;
        };
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(interval) => {}
            }
            let parts = Arc::clone(&self.parts);
            let now = process::blocking(move || parts.fingerprint()).await;
            if now != seen {
                tracing::info!("the configuration changed");
                // What failed may be about files that are not looked at, so it is tried again.
                if self.read_again().await {
                    seen = now;
                }
            }
        }
    }

    /// Whether it is in force then.
    async fn read_again(&self) -> bool {
        let parts = Arc::clone(&self.parts);
        let read = process::blocking(move || parts.reload()).await;
        if let Err(error) = &read {
            tracing::error!(
                error,
                "cannot read the configuration again; going on with the old one"
            );
        }
        read.is_ok()
    }

    /// The file that queries are logged to, if the configuration names one, and how often it was read.
    pub fn query_log(&self) -> (Option<PathBuf>, u64) {
        self.scraping.query_log()
    }

    /// Ships what is in the heads, where blocks are shipped: this machine may never come back. Else
    /// leaves it where Prometheus finds it too.
    async fn finish(&self) {
        let tenants = Arc::clone(&self.tenants);
        let Some(shipping) = &self.shipping else {
            process::blocking(move || tenants.close()).await;
            return self.tenants.note_end();
        };
        tracing::info!("flushing heads into blocks");
        // What failed was logged.
        let _ = process::blocking(move || tenants.flush()).await;
        self.tenants.note_end();
        tracing::info!("shipping blocks");
        shipping.ship_all().await;
    }
}

/// What ships blocks, where there is a bucket; its figures are shown.
fn open_shipping(
    config: &Config,
    tenants: &Arc<Tenants>,
    deps: &Deps,
) -> Result<Option<Arc<Shipping>>, Error> {
    let Some(bucket) = open_bucket(&config.bucket)? else {
        return Ok(None);
    };
    let (tenants, clock) = (Arc::clone(tenants), Arc::clone(&deps.clock));
    let shipping = Arc::new(Shipping::new(bucket, tenants, clock, config.hash));
    deps.registry.register(Arc::<Shipping>::clone(&shipping));
    Ok(Some(shipping))
}

/// Opens the queues of what is forwarded.
fn open_exporters(config: &Config, loaded: &Loaded, deps: &Deps) -> Result<Exporters, Error> {
    let exporters = Exporters::new(
        config.tsdb.path.join(DIR).join("export"),
        loaded.listed_labels().clone(),
        config.tenant_label.clone(),
        config.tsdb.wal_sync == WalSync::Always,
        Arc::clone(&deps.clock),
    );
    let set = exporters.set(loaded.exports());
    set.map_err(start("forward samples"))?;
    Ok(exporters)
}

fn start<E: std::error::Error + Send + Sync + 'static>(
    action: &str,
) -> impl FnOnce(E) -> Error + use<'_, E> {
    move |source| Error::Start {
        action: action.to_owned(),
        source: Box::new(source),
    }
}

fn open_bucket(config: &BucketConfig) -> Result<Option<Bucket>, Error> {
    let Some(yaml) = config.text() else {
        return Ok(None);
    };
    let bucket = Bucket::open(yaml, Patience::Background);
    bucket.map(Some).map_err(start("open the bucket"))
}

/// The flags under their names, for the API to show, and what follows from them. A sidecar looks for the block durations.
pub fn effective_flags(config: &Config) -> BTreeMap<String, String> {
    let tsdb = &config.tsdb;
    let ms = |ms: i64| model::time::DurationMs(ms).to_string();
    let path = tsdb.path.display().to_string();
    let merges = matches!(config.bucket, BucketConfig::None);
    let block_max = if merges {
        merge_max_ms(tsdb.retention_ms).max(2 * 3_600_000)
    } else {
        2 * 3_600_000
    };
    let derived = [
        ("http-address", config.servers.http.to_string()),
        ("grpc-address", config.servers.grpc.to_string()),
        ("remote-write.address", config.write_address.to_string()),
        ("tsdb.path", path.clone()),
        ("storage.tsdb.path", path),
        ("storage.tsdb.min-block-duration", "2h".to_owned()),
        ("storage.tsdb.max-block-duration", ms(block_max)),
        ("tsdb.retention", ms(tsdb.retention_ms.unwrap_or(0))),
        (
            "tsdb.out-of-order.time-window",
            ms(tsdb.out_of_order_window_ms),
        ),
        (
            "tsdb.head-series-max",
            match tsdb.head_series_max {
                usize::MAX => "0".to_owned(),
                max => max.to_string(),
            },
        ),
        (
            "receive.body-bytes-max",
            config.write_http.body_bytes_max.to_string(),
        ),
        (
            "receive.decompressed-bytes-max",
            config.receive.bytes_max.to_string(),
        ),
        ("wal.sync", format!("{:?}", tsdb.wal_sync).to_lowercase()),
        ("web.enable-admin-api", "false".to_owned()),
        ("web.enable-lifecycle", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let mut all = config.shown_flags.clone();
    all.extend(derived);
    all
}
