//! Serves a Prometheus (or an ingester) over the StoreAPI and ships its blocks to the bucket.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`Sidecar::run`].
//!
//! `source` keeps what is known of Prometheus and whether it is there, which is what the sidecar's
//! readiness follows; `store` answers for it, with series streamed through and put in order by
//! `order`; `catalog` passes on what else Prometheus is asked for; `ship` brings its blocks into the
//! bucket; `reloader` has Prometheus read its configuration again when that changes. All ask through [`client`].

mod catalog;
pub mod client;
pub mod flags;
mod order;
mod reloader;
mod ship;
mod source;
mod store;

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::OptionFuture;
use runtime::grpc;
use runtime::http::{self, HttpLimits};
use runtime::metrics::Registry;
use runtime::process::{self, Shutdown};
use runtime::{Clock, Error, Readiness, SystemClock};
use storeapi::Store;
use storeapi::grpc::{CatalogService, InfoService, Served, StoreService};
use storeapi::wire::info::EndpointInfo;

use catalog::PrometheusCatalog;
use client::Client;
use reloader::Reloader;
use ship::Shipping;
use source::Source;
use store::PrometheusStore;

pub use flags::{Config, FOREIGN_FLAGS, Flags};

/// Threads for work that blocks beside the HTTP server's.
const SPARE_THREADS: usize = 16;

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

    /// Serves until told to stop by a signal.
    ///
    /// # Errors
    /// [`Error::System`] when an address cannot be had, [`Error::Start`] when the bucket cannot be
    /// opened, Prometheus is not there in time, or its blocks cannot be shipped.
    pub fn run(self) -> Result<(), Error> {
        let threads = HttpLimits::default().threads_max() + SPARE_THREADS;
        process::run(threads, async |shutdown| {
            Box::pin(self.serve(shutdown)).await
        })
    }

    /// Serves until `shutdown`.
    async fn serve(self, shutdown: Shutdown) -> Result<(), Error> {
        let config = self.config;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let readiness = Readiness::new();
        let client = Client::new(&config.url, &config.client)?;
        let source = Source::new(client.clone(), config.min_time, Arc::clone(&clock));
        let source = Arc::new(source);
        let shipping = Shipping::new(&config)?.map(Arc::new);

        let registry = Registry::with_process(env!("CARGO_PKG_VERSION"), clock.now_ms());
        registry.register(Arc::clone(&source) as _);
        if let Some(shipping) = &shipping {
            registry.register(Arc::clone(shipping) as _);
        }
        let reloader = match &config.reloader {
            None => None,
            Some(files) => Some(Reloader::start(files, client, &clock, &registry).await?),
        };
        let http = http::Server::bind(&config.servers.http, HttpLimits::default())
            .await?
            .with_web(&config.servers.web)?
            .with_log(config.servers.http_log.clone());
        registry.register(http.metrics());
        let service = http::Service::default();
        service.follow(readiness.clone());
        registry.register(Arc::new(http::ComponentStatus::of("sidecar", &service)));
        service.ready(Arc::new(http::Routes::new().with(
            http::PathPattern::Exact("/metrics"),
            Arc::new(registry.clone()),
        )));
        let grpc =
            grpc::Server::bind(&config.servers.grpc, config.servers.grpc_server.clone()).await?;
        registry.register(grpc.metrics());
        if let (Ok(http), Ok(grpc)) = (http.local_addr(), grpc.local_addr()) {
            tracing::info!(%http, %grpc, prometheus = config.url, "listening");
        }

        let store: Arc<dyn Store> = Arc::new(PrometheusStore::new(Arc::clone(&source)));
        let described = Arc::clone(&store);
        let info = InfoService::new(readiness.clone(), move || EndpointInfo {
            component: "sidecar".to_owned(),
            store: Some(described.info()),
            catalog: catalog::SERVICES,
            ..EndpointInfo::default()
        });
        let served = Served::new()
            .with(StoreService::new(store, config.limits))
            .with(info);
        let catalog = Arc::new(PrometheusCatalog::new(Arc::clone(&source)));
        let routes = CatalogService::add_to(served, catalog, catalog::SERVICES).finish();

        let serving = async {
            let http = http.serve(service, shutdown.clone());
            let grpc = grpc.serve(routes, readiness.clone(), shutdown.clone());
            let ((), served) = tokio::join!(http, grpc);
            served
        };
        let work = Work {
            config: &config,
            source: &source,
            shipping: shipping.as_deref(),
            readiness: &readiness,
            clock: &*clock,
        };
        let reloading = reloader.as_ref().map(|it| it.run(shutdown.clone()));
        let reloading = OptionFuture::from(reloading).map(Ok);
        tokio::try_join!(serving, work.run(shutdown.clone()), reloading)?;
        Ok(())
    }
}

/// What goes on while the servers serve.
struct Work<'a> {
    config: &'a Config,
    source: &'a Source,
    shipping: Option<&'a Shipping>,
    readiness: &'a Readiness,
    clock: &'a dyn Clock,
}

impl Work<'_> {
    async fn run(self, mut shutdown: Shutdown) -> Result<(), Error> {
        tokio::select! {
            started = self.start() => started?,
            () = shutdown.requested() => return Ok(()),
        }
        let ship = async {
            if let Some(shipping) = self.shipping {
                let grace = self.config.servers.grpc_server.grace;
                shipping
                    .run(self.source, self.clock, grace, shutdown.clone())
                    .await;
            }
        };
        let (interval, timeout) = (self.config.interval, self.config.timeout);
        let watch = self
            .source
            .watch(interval, timeout, self.readiness, shutdown.clone());
        tokio::join!(watch, ship);
        Ok(())
    }

    /// Waits for Prometheus, and looks whether it can be worked with.
    async fn start(&self) -> Result<(), Error> {
        let config = self.config;
        let waited = self.source.wait(config.ready_timeout, config.timeout).await;
        waited.map_err(|error| Error::Start {
            action: format!("reach Prometheus at {}", config.url),
            source: Box::new(error),
        })?;
        if self.shipping.is_some() {
            ship::check(self.source, config).await?;
        } else if self.source.labels().is_empty() {
            tracing::warn!(
                "Prometheus has no external labels, so that its series cannot be told from those of others"
            );
        }
        self.readiness.set(true);
        tracing::info!(first_sample_ms = self.source.known().first_sample, "ready");
        Ok(())
    }
}
