//! The querier's APIs over given stores, for whoever composes them in one process.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use proto::thanos::query_server::QueryServer;
use runtime::grpc::Readiness;
use runtime::http::Handler;
use runtime::metrics::Registry;
use runtime::{About, Clock, Error};
use storeapi::grpc::{CatalogService, InfoService, Limits, Served, StoreService};
use storeapi::wire::info::EndpointInfo;
use storeapi::{Catalog, Frame, Info, LabelsRequest, SeriesRequest, Store, StoreError, Strings};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::active_queries::ActiveQueries;
use crate::api::{Api, Parts};
use crate::catalog::{AllCatalogs, SERVICES};
use crate::evaluator::Evaluator;
use crate::figures::{Bounds, Figures};
use crate::lanes::Lanes;
use crate::local::LocalStore;
use crate::pool::Pool;
use crate::query_api::QueryService;
use crate::query_log::QueryLog;
use crate::replicas;
use crate::settings::Settings;
use crate::stores::Stores;

/// What the APIs work with.
#[derive(Debug)]
pub struct Deps {
    /// Whom to ask: [`crate::stores::FixedStores`], or an [`crate::endpoints::EndpointSet`].
    pub stores: Arc<dyn Stores>,
    /// The data directory among the stores, whose statistics are shown.
    pub local: Option<LocalStore>,
    /// How queries are answered.
    pub settings: Settings,
    /// What one answer of the StoreAPI may have.
    pub store_limits: Limits,
    /// Queries that are answered at once, as the server holds them to it.
    pub queries_max: usize,
    /// By what queries are told apart in figures.
    pub telemetry: Bounds,
    /// Where queries are logged.
    pub log: Arc<QueryLog>,
    /// Where queries are noted while they are evaluated.
    pub active: Option<ActiveQueries>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is said about the process.
    pub about: About,
}

/// The querier's APIs.
#[derive(Debug)]
pub struct Service {
    api: Arc<Api>,
    store: Arc<dyn Store>,
    catalog: Arc<dyn Catalog>,
    store_limits: Limits,
    figures: Arc<Figures>,
    queries: QueryService,
    log: Arc<QueryLog>,
}

/// Queries of which each waits for stores on a lane of its own, for each processor; so many keep it
/// busy.
const LANES_OF_A_PROCESSOR: usize = 4;

impl Service {
    /// Starts the threads that evaluate queries. Called inside of a tokio runtime, on which stores are
    /// waited for.
    ///
    /// # Errors
    /// [`Error::Start`] when threads cannot be started.
    pub fn new(deps: Deps) -> Result<Self, Error> {
        let pool = Pool::start(0).map_err(|source| Error::Start {
            action: "start threads for queries".to_owned(),
            source: Box::new(source),
        })?;
        let lanes = Lanes::start(LANES_OF_A_PROCESSOR * pool.width());
        let evaluator = Arc::new(Evaluator {
            stores: deps.stores,
            pool: Arc::new(pool),
            runtime: Handle::current(),
            lanes,
            settings: deps.settings,
            active: deps.active,
        });
        let store = AllStores::with(&evaluator, Replicas::Apart);
        let settings = &evaluator.settings;
        let catalog: Arc<dyn Catalog> = Arc::new(AllCatalogs::new(
            Arc::clone(&evaluator.stores),
            settings.replica_labels.clone(),
            settings.store_silence_max,
        ));
        let figures = Arc::new(Figures::new(
            Arc::clone(&evaluator.stores),
            deps.queries_max,
            deps.telemetry,
        ));
        let queries = QueryService {
            evaluator: Arc::clone(&evaluator),
            figures: Arc::clone(&figures),
            log: Arc::clone(&deps.log),
            clock: Arc::clone(&deps.clock),
            places: Arc::new(Semaphore::new(deps.queries_max)),
        };
        let log = Arc::clone(&deps.log);
        let api = Api::new(Parts {
            figures: Arc::clone(&figures),
            evaluator: Arc::clone(&evaluator),
            local: deps.local,
            store: AllStores::with(&evaluator, Replicas::Joined),
            catalog: Arc::clone(&catalog),
            log: deps.log,
            clock: deps.clock,
            about: deps.about,
        });
        Ok(Self {
            api: Arc::new(api),
            store,
            catalog,
            figures,
            queries,
            log,
            store_limits: deps.store_limits,
        })
    }

    /// The HTTP API: everything under `/api/v1/`, and the page at `/`.
    pub fn http(&self) -> Arc<dyn Handler> {
        Arc::<Api>::clone(&self.api)
    }

    /// The services of gRPC: StoreAPI, Query API, rules, targets, metadata, exemplars, and Info, so
    /// that queriers stack.
    pub fn grpc(&self, readiness: &Readiness) -> Served {
        let store = Arc::clone(&self.store);
        let describe = move || EndpointInfo {
            component: "query".to_owned(),
            store: Some(store.info()),
            query: true,
            catalog: SERVICES,
        };
        let served = Served::new()
            .with(InfoService::new(readiness.clone(), describe))
            .with(StoreService::new(
                Arc::clone(&self.store),
                self.store_limits,
            ))
            .with(QueryServer::new(self.queries.clone()));
        CatalogService::add_to(served, Arc::clone(&self.catalog), SERVICES)
    }

    /// Has `registry` show figures of queries, of their log and of stores.
    pub fn show_figures(&self, registry: &Registry) {
        registry.register(Arc::<Figures>::clone(&self.figures));
        registry.register(Arc::<QueryLog>::clone(&self.log));
    }

    /// All stores as one.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }
}

/// All stores as one, whichever they are at each moment.
#[derive(Debug)]
struct AllStores {
    evaluator: Arc<Evaluator>,
    replicas: Replicas,
}

/// How the series of replicas are shown.
#[derive(Debug, Clone, Copy)]
enum Replicas {
    /// Each for itself, as the request says.
    Apart,
    /// As one.
    Joined,
}

impl AllStores {
    fn with(evaluator: &Arc<Evaluator>, replicas: Replicas) -> Arc<dyn Store> {
        Arc::new(Self {
            evaluator: Arc::clone(evaluator),
            replicas,
        })
    }
}

impl Store for AllStores {
    fn info(&self) -> Info {
        self.evaluator.fan_out(&[]).info()
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        match self.replicas {
            Replicas::Apart => self.evaluator.fan_out(&[]).series(request),
            Replicas::Joined => replicas::joined(&self.evaluator, request),
        }
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        self.evaluator.fan_out(&[]).label_names(request)
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        self.evaluator.fan_out(&[]).label_values(name, request)
    }
}

#[cfg(test)]
mod tests;
