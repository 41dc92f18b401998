//! The endpoints of Prometheus' HTTP API that a sidecar, and a person who looks, ask of an ingester.
//!
//! Queries are not among them: they are for a querier, which reads from here by the StoreAPI. What
//! the endpoints know comes from the [`Store`] and from [`Control`], the rest of the component.

mod answer;
mod series;
mod status;

use std::fmt;
use std::sync::Arc;

use model::Labels;
use runtime::http::{
    Cost, Form, Handler, Method, PathPattern, Request, Response, Routes, StatusCode,
};
use runtime::{About, Clock};
use serde_json::Value;
use storeapi::Store;
use storeapi::catalog::{MetadataByMetric, StatisticsByTenant, Targets};
use storeapi::remote_read::RemoteRead;

use crate::receive::TenantSettings;
use crate::receive::http::{Manner, WriteEndpoint};
use crate::scrape::status::TargetMetadata;
use answer::ApiError;

const PREFIX: &str = "/api/v1/";

/// The parts of the component that the API shows and controls.
pub trait Control: Send + Sync {
    /// The configuration, as YAML without secrets.
    fn config_yaml(&self) -> String;

    /// Reads the configuration again.
    ///
    /// # Errors
    /// What is wrong with it; the old one goes on then.
    fn reload(&self) -> Result<(), String>;

    /// Scrape targets, or those of one pool.
    fn targets(&self, pool: Option<&str>) -> Targets;

    /// What the targets that `matching` accepts say of their metrics, or of `metric` alone; at most
    /// `limit`.
    fn targets_metadata(
        &self,
        matching: &dyn Fn(&Labels) -> bool,
        metric: Option<&str>,
        limit: Option<usize>,
    ) -> Vec<TargetMetadata>;

    /// Names of scrape pools, sorted.
    fn scrape_pools(&self) -> Vec<String>;

    /// What each relabelling rule of a pool does to labels, as Prometheus' API shows it; nothing when
    /// there is no such pool.
    fn relabel_steps(&self, pool: &str, labels: &Labels) -> Option<Vec<Value>>;

    /// Metadata of all metrics, or of one, with every variant that somebody says.
    fn metadata(&self, metric: Option<&str>) -> MetadataByMetric;

    /// The `data` of `/api/v1/status/ingest`.
    fn ingest(&self) -> Value;

    /// What the heads are made of, by tenant.
    fn heads(&self) -> StatisticsByTenant;
}

/// Answers the requests of the API.
#[derive(Clone)]
pub struct Api {
    store: Arc<dyn Store>,
    control: Arc<dyn Control>,
    clock: Arc<dyn Clock>,
    about: Arc<About>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("store", &self.store)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

type Endpoint = fn(&Api, &Form, &str) -> Result<Response, ApiError>;

/// The endpoint at a path after the prefix: what it costs, and whether it takes POST.
fn route(name: &str) -> Option<(Cost, bool, Endpoint)> {
    Some(match name {
        "labels" => (Cost::Large, true, series::label_names),
        "series" => (Cost::Large, true, series::series),
        "metadata" => (Cost::Small, false, status::metadata),
        "targets" => (Cost::Small, false, status::targets),
        "targets/metadata" => (Cost::Small, false, status::targets_metadata),
        "targets/relabel_steps" => (Cost::Small, false, status::relabel_steps),
        "scrape_pools" => (Cost::Small, false, status::scrape_pools),
        "status/buildinfo" => (Cost::Small, false, status::build_info),
        "status/config" => (Cost::Small, false, status::config),
        "status/ingest" => (Cost::Small, false, status::ingest),
        "status/flags" => (Cost::Small, false, status::flags),
        "status/runtimeinfo" => (Cost::Small, false, status::runtime_info),
        "status/tsdb" => (Cost::Large, false, status::tsdb),
        "status/walreplay" => (Cost::Small, false, status::wal_replay),
        _ if series::label_in(name).is_some() => (Cost::Large, false, series::label_values),
        _ => return None,
    })
}

impl Api {
    /// The API over a store and the rest of the component.
    pub fn new(
        store: Arc<dyn Store>,
        control: Arc<dyn Control>,
        clock: Arc<dyn Clock>,
        about: About,
    ) -> Self {
        Self {
            store,
            control,
            clock,
            about: Arc::new(about),
        }
    }

    fn call(&self, request: &Request, name: &str) -> Result<Response, ApiError> {
        let Some((_, takes_post, endpoint)) = route(name) else {
            return Ok(Response::text(StatusCode::NOT_FOUND, "404 page not found"));
        };
        let is_taken = request.method == Method::GET
            || request.method == Method::HEAD
            || takes_post && request.method == Method::POST;
        if !is_taken {
            return Ok(Response::not_allowed(if takes_post {
                "GET, OPTIONS, POST"
            } else {
                "GET, OPTIONS"
            }));
        }
        let form = request.form();
        let form = form
            .map_err(|error| ApiError::bad_data(format!("error parsing form values: {error}")))?;
        endpoint(self, &form, name)
    }

    fn reload(&self, method: &Method) -> Response {
        if *method != Method::POST && *method != Method::PUT {
            return Response::not_allowed("POST, PUT");
        }
        match self.control.reload() {
            Ok(()) => Response::text(StatusCode::OK, ""),
            Err(reason) => {
                let text = format!("failed to reload config: {reason}");
                Response::text(StatusCode::INTERNAL_SERVER_ERROR, &text)
            }
        }
    }
}

impl Handler for Api {
    fn cost(&self, path: &str) -> Cost {
        let name = path.strip_prefix(PREFIX);
        name.and_then(route).map_or(Cost::Small, |(cost, ..)| cost)
    }

    fn only_reads(&self, path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    fn handle(&self, request: Request) -> Response {
        if request.path == "/-/reload" {
            return self.reload(&request.method);
        }
        match request.path.strip_prefix(PREFIX) {
            Some(name) => match self.call(&request, name) {
                Ok(response) => response,
                Err(error) => error.respond(),
            },
            None => Response::text(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }
}

/// Remote write, as a handler.
#[derive(Debug, Clone)]
struct Writes(WriteEndpoint);

impl Handler for Writes {
    fn cost(&self, _: &str) -> Cost {
        Cost::Large
    }

    fn handle(&self, request: Request) -> Response {
        let manner = Manner::of_path(&request.path).unwrap_or(Manner::Prometheus);
        self.0.answer(&request, manner)
    }
}

/// Remote read, as a handler.
#[derive(Debug, Clone)]
struct Reads {
    read: RemoteRead,
    tenants: TenantSettings,
}

impl Handler for Reads {
    fn cost(&self, _: &str) -> Cost {
        Cost::Large
    }

    fn only_reads(&self, _: &str) -> bool {
        true
    }

    fn handle(&self, request: Request) -> Response {
        match self.tenants.of_headers(&request.headers) {
            Ok(tenant) => self.read.answer(&request, tenant),
            Err(error) => Response::text(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }
}

/// Adds remote write to `routes`.
pub fn with_writes(routes: Routes, endpoint: WriteEndpoint) -> Routes {
    let writes = Arc::new(Writes(endpoint));
    ["/api/v1/write", "/api/v1/receive"]
        .into_iter()
        .fold(routes, |routes, path| {
            let handler: Arc<dyn Handler> = Arc::<Writes>::clone(&writes);
            routes.with(PathPattern::Exact(path), handler)
        })
}

/// Adds remote read to `routes`.
pub fn with_reads(routes: Routes, read: RemoteRead, tenants: TenantSettings) -> Routes {
    let reads = Reads { read, tenants };
    routes.with(PathPattern::Exact("/api/v1/read"), Arc::new(reads))
}

#[cfg(test)]
mod tests;
