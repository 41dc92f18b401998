//! The component as a process: its servers around a [`Core`].

use std::sync::Arc;

use proto::thanos::writeable_store_server::WriteableStoreServer;
use runtime::grpc::{self, Readiness};
use runtime::http::{AsPrometheus, HttpLimits, Server, Service};
use runtime::metrics::Registry;
use runtime::process::{self, Shutdown};
use runtime::{Clock as _, Error, SystemClock};
use storeapi::Store;
use storeapi::grpc::{CatalogService, InfoService, Served, StoreService};
use storeapi::wire::info::EndpointInfo;
use tonic::service::Routes;

use crate::catalog::SERVICES;
use crate::core::{Core, Deps};
use crate::flags::Config;
use crate::front::Front;
use crate::replay;

/// Threads that requests over HTTP do not need: for files, gRPC writes and maintenance.
const SPARE_THREADS: usize = 64;

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

    /// Serves until told to stop by a signal.
    ///
    /// # Errors
    /// [`Error::System`] when an address cannot be had, [`Error::Start`] when the data or the
    /// configuration cannot be used.
    pub fn run(self) -> Result<(), Error> {
        let reads = HttpLimits::default();
        let threads = reads.threads_max()
            + self.config.write_http.threads_max()
            + self.config.protocols.threads_max()
            + SPARE_THREADS;
        process::run(threads, async |shutdown| {
            Box::pin(self.serve(shutdown)).await
        })
    }

    /// Binds the sockets, serves health at once, and everything else when the data is open.
    async fn serve(self, shutdown: Shutdown) -> Result<(), Error> {
        let config = self.config;
        let clock = Arc::new(SystemClock);
        let registry = Registry::with_process(env!("CARGO_PKG_VERSION"), clock.now_ms());
        let (http, writes) = bind(&config).await?;
        let grpc_server =
            grpc::Server::bind(&config.servers.grpc, config.servers.grpc_server.clone()).await?;
        registry.register(writes.metrics());
        registry.register(grpc_server.metrics());
        for (what, address) in [
            ("HTTP", http.local_addr()),
            ("remote write", writes.local_addr()),
            ("gRPC", grpc_server.local_addr()),
        ] {
            if let Ok(address) = address {
                tracing::info!(%address, what, "listening");
            }
        }
        let http_service = AsPrometheus::serve("receive", &registry, http.metrics());
        let write_service = Service::default();
        // Told before the background work is: nobody may write any more when that ends.
        let (stop_core, core_stopped) = Shutdown::new();
        let serving = async {
            tokio::join!(
                http.serve(http_service.clone(), shutdown.clone()),
                writes.serve(write_service.clone(), shutdown.clone()),
            );
        };
        let deps = Deps::new(clock, registry, replay::shown_by(&http_service));
        let working = async {
            let opened = Arc::new(config);
            let to_open = Arc::clone(&opened);
            let (settings, given) = (Arc::clone(&opened), deps.clone());
            let front = process::blocking(move || Front::open(&settings, &given)).await?;
            // Before the data is there, what is pushed is held. Dropped at the end, which ends what
            // is left of it.
            let _protocols = front.start(shutdown.clone()).await?;
            let core = process::blocking(move || Core::open(&to_open, front, deps)).await?;
            let core = Arc::new(core);
            if let (Some(_), _) = core.query_log() {
                tracing::warn!(
                    "global.query_log_file is not acted on: an ingester answers no PromQL"
                );
            }
            let readiness = Readiness::new();
            readiness.set(true);
            http_service.remark(core.notifications().clone());
            http_service.ready(Arc::new(core.routes()));
            write_service.ready(Arc::new(core.write_routes()));
            let routes = grpc_routes(&core, &opened, readiness.clone());
            let serving = async {
                let served = grpc_server.serve(routes, readiness, shutdown.clone()).await;
                if let Err(error) = served {
                    tracing::error!(error = error.chain(), "gRPC is not served any more");
                }
            };
            tokio::join!(serving, core.run(core_stopped));
            Ok(())
        };
        let serving = async {
            serving.await;
            stop_core.request();
            Ok(())
        };
        // What cannot start does not go on to serve that it is not ready.
        Box::pin(futures::future::try_join(working, serving)).await?;
        Ok(())
    }
}

/// The HTTP servers, bound: that of health and questions, and that of writes.
async fn bind(config: &Config) -> Result<(Server, Server), Error> {
    let log = &config.servers.http_log;
    let http = Server::bind(&config.servers.http, HttpLimits::default())
        .await?
        .with_web(&config.servers.web)?
        .with_log(log.clone());
    let writes = Server::bind(&config.write_address, config.write_http)
        .await?
        .with_log(log.clone());
    let writes = match config.write_web == config.servers.web {
        // Their files are looked at once for both.
        true => writes.with_web_of(&http),
        false => writes.with_web(&config.write_web)?,
    };
    Ok((http, writes))
}

/// The services over gRPC.
fn grpc_routes(core: &Core, config: &Config, readiness: Readiness) -> Routes {
    let store = core.store();
    let shown = Arc::clone(&store);
    let info = InfoService::new(readiness, move || endpoint_info(&*shown));
    let writes = WriteableStoreServer::new(core.write_service())
        .max_decoding_message_size(config.servers.grpc_server.message_limit.bytes);
    let served = Served::new()
        .with(StoreService::new(store, config.store_limits))
        .with(info)
        .with(writes);
    CatalogService::add_to(served, core.catalog(), SERVICES).finish()
}

/// What the component says it is.
fn endpoint_info(store: &dyn Store) -> EndpointInfo {
    EndpointInfo {
        component: "receive".to_owned(),
        store: Some(store.info()),
        catalog: SERVICES,
        ..EndpointInfo::default()
    }
}
