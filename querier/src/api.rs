//! Prometheus' and Thanos' HTTP API over stores.
//!
//! One file per endpoint: a function from the parameters to an [`answer::Answer`] or an error. The
//! table in [`routes`] is all there is to routing, and what `openapi.yaml` is made of. Parameters, error types, codes and texts are those
//! of Prometheus 3; answers are written by [`json`], never built as a tree.

mod analysis;
mod answer;
mod empty;
mod explain;
mod federate;
mod format_query;
pub mod json;
mod label_values;
mod labels;
mod lookout;
mod metadata;
mod openapi;
mod params;
mod parse_query;
mod query;
mod query_exemplars;
mod query_range;
mod routes;
mod rules;
mod scope;
mod series;
mod status;
mod status_tsdb;
mod stores;
mod targets;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use runtime::http::{
    Cost, Form, Handler, HeaderValue, Method, Page, Request, Response, StatusCode, header,
};
use runtime::{About, Clock};
use storeapi::Store;
use storeapi::catalog::statistics::HeadStatistics;
use storeapi::catalog::{Answering, Catalog};
use storeapi::remote_read::{ReadLimits, RemoteRead};

use crate::dialect::Dialect;
use crate::evaluator::{Evaluator, Leash};
use crate::figures::Figures;
use crate::local::LocalStore;
use crate::query_log::QueryLog;
use crate::results::ResultsCache;
use crate::settings::Settings;
use answer::ApiError;
use routes::Route;

/// The page at `/`.
const PAGE: &str = include_str!("page.html");
/// Where Prometheus and Thanos have their pages, and links from alerts and bookmarks lead.
const PAGES: [&str; 13] = [
    "/graph",
    "/query",
    "/alerts",
    "/rules",
    "/targets",
    "/service-discovery",
    "/status",
    "/tsdb-status",
    "/flags",
    "/config",
    "/stores",
    "/blocks",
    "/loaded",
];
const PREFIX: &str = "/api/v1/";
/// Remote read, whose questions and answers are messages, not forms and JSON.
const READ_PATH: &str = "/api/v1/read";

/// What the API works with.
#[derive(Debug)]
pub struct Parts {
    /// Evaluates queries.
    pub evaluator: Arc<Evaluator>,
    /// The data directory among the stores, whose statistics are shown.
    pub local: Option<LocalStore>,
    /// All stores as one in which replicas are joined, for remote read.
    pub store: Arc<dyn Store>,
    /// Rules, targets, metadata and exemplars.
    pub catalog: Arc<dyn Catalog>,
    /// Counts queries.
    pub(crate) figures: Arc<Figures>,
    /// Notes queries.
    pub log: Arc<QueryLog>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The process.
    pub about: About,
}

/// Answers the requests of the API.
#[derive(Debug)]
pub struct Api {
    evaluator: Arc<Evaluator>,
    local: Option<LocalStore>,
    remote_read: RemoteRead,
    catalog: Arc<dyn Catalog>,
    figures: Arc<Figures>,
    log: Arc<QueryLog>,
    clock: Arc<dyn Clock>,
    about: About,
    page: Page,
    results: Option<ResultsCache>,
    /// The head of a data directory does not change, so that it is counted once.
    head_statistics: OnceLock<HeadStatistics>,
}

/// One call of an endpoint.
struct Call<'a> {
    request: &'a Request,
    form: Form,
    /// When it arrived, in milliseconds.
    now_ms: i64,
}

/// The endpoint at a path.
fn route(path: &str) -> Option<&'static Route> {
    routes::find(path.strip_prefix(PREFIX)?)
}

impl Api {
    /// The API.
    pub fn new(parts: Parts) -> Self {
        let settings = &parts.evaluator.settings;
        let results = (settings.results_cache_bytes > 0)
            .then(|| ResultsCache::new(settings.results_cache_bytes, settings.results_settle_ms));
        Self {
            results,
            evaluator: parts.evaluator,
            local: parts.local,
            catalog: parts.catalog,
            figures: parts.figures,
            log: parts.log,
            remote_read: RemoteRead::new(parts.store, ReadLimits::default()),
            clock: parts.clock,
            about: parts.about,
            page: Page::new(PAGE),
            head_statistics: OnceLock::new(),
        }
    }

    fn settings(&self) -> &Settings {
        &self.evaluator.settings
    }

    /// What ends a call: its time is up, or its client is gone.
    fn leash(&self, call: &Call<'_>, timeout: Option<Duration>) -> Leash {
        let leash = self.evaluator.leash(timeout);
        let ours = leash.clone();
        (call.request.abandonment).on_abandon(move || ours.give_up());
        leash
    }

    /// Waits for a catalog, as long as a query may take.
    fn wait_for<T>(
        &self,
        call: &Call<'_>,
        answering: Answering<T>,
    ) -> Result<storeapi::catalog::Answer<T>, ApiError> {
        let leash = self.leash(call, None);
        Ok(leash.patience().wait(answering)??)
    }

    /// A call with its parameters.
    fn described<'a>(&self, request: &'a Request) -> Result<Call<'a>, ApiError> {
        let form = request.form();
        let form = form.map_err(|error| {
            ApiError::bad_data(format_args!("error parsing form values: {error}"))
        })?;
        Ok(Call {
            request,
            form,
            now_ms: self.clock.now_ms(),
        })
    }

    /// What is read outside the API: the page, the version, and where the page is.
    fn outside(&self, request: &Request) -> Response {
        match request.path.as_str() {
            "/" => self.page.answer(&request.method),
            "/version" => status::version(self),
            _ => {
                let location = match request.query.as_str() {
                    "" => "/".to_owned(),
                    query => format!("/?{query}"),
                };
                // What came in a request can go out in a header.
                let location = HeaderValue::try_from(location);
                let location = location.unwrap_or_else(|_| HeaderValue::from_static("/"));
                Response::text(StatusCode::FOUND, "the page is at /")
                    .with_header(header::LOCATION, location)
            }
        }
    }

    fn call(&self, route: &Route, request: &Request) -> Response {
        let is_taken = match request.method {
            Method::GET => true,
            Method::POST => route.takes_post,
            _ => false,
        };
        if !is_taken {
            let methods = if route.takes_post {
                "GET, OPTIONS, POST"
            } else {
                "GET, OPTIONS"
            };
            return Response::not_allowed(methods);
        }
        let call = match self.described(request) {
            Ok(call) => call,
            Err(error) => return error.respond(),
        };
        if self.settings().dialect.dialect == Dialect::Lookout {
            return lookout::answer(self, call, route);
        }
        match (route.endpoint)(self, &call) {
            Ok(answer) => answer.respond(),
            Err(error) => error.respond(),
        }
    }
}

impl Handler for Api {
    fn cost(&self, path: &str) -> Cost {
        match path {
            READ_PATH | federate::PATH => Cost::Large,
            _ => route(path).map_or(Cost::Small, |route| route.cost),
        }
    }

    fn only_reads(&self, path: &str) -> bool {
        // Of those that are routed, none changes anything; what would is refused to everybody, but to
        // pages of other sites for what they are.
        !(status::LIFECYCLE.contains(&path) || status::ADMIN.contains(&path))
    }

    fn handle(&self, request: Request) -> Response {
        if request.path == READ_PATH {
            let header = self.settings().tenancy.header.as_str();
            let tenant = request.headers.get(header);
            let tenant = tenant.and_then(|name| name.to_str().ok());
            return self
                .remote_read
                .answer(&request, tenant.unwrap_or_default());
        }
        if let Some(route) = route(&request.path) {
            return self.call(route, &request);
        }
        if request.path == federate::PATH {
            return match self.described(&request) {
                Ok(call) => federate::answer(self, &call),
                Err(error) => Response::text(StatusCode::BAD_REQUEST, &error.message),
            };
        }
        if self.settings().dialect.dialect == Dialect::Lookout
            && let Some(response) = lookout::other(&self.page, &request)
        {
            return response;
        }
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        match request.path.as_str() {
            path if path == "/" || path == "/version" || PAGES.contains(&path) => {
                if is_read {
                    self.outside(&request)
                } else {
                    Response::not_allowed("GET, HEAD, OPTIONS")
                }
            }
            openapi::PATH => match request.form() {
                Ok(form) => openapi::answer(self, &request.method, &form),
                Err(error) => Response::text(StatusCode::BAD_REQUEST, &error.to_string()),
            },
            path if status::LIFECYCLE.contains(&path) => {
                status::lifecycle_disabled(&request.method)
            }
            path if status::ADMIN.contains(&path) => status::admin_disabled(&request.method),
            path if status::SEARCH.contains(&path) => status::search_disabled(&request.method),
            _ => Response::text(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }
}

#[cfg(test)]
mod tests;
