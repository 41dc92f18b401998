//! The Pushgateway's endpoints, with its answers: 200 for a push, 202 for a deletion, 400 with a
//! line of text for what is wrong. Health and OPTIONS are answered by the server, as on all its ports.

use std::sync::Arc;

use model::ErrorKind;
use runtime::http::{
    Cost, Handler, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header,
};
use serde_json::{Map, Value as Json, json};
use storeapi::catalog::When;
use tsdb::batch::Reject;

use super::gateway::{Gateway, Refusal};
use super::groups::{Change, GROUPS_MAX, Groups};
use crate::protocols::points::Reason;
use crate::receive::Reason as LabelReason;

/// The version of the Pushgateway whose interface this is.
const VERSION: &str = "1.5.1";

/// The endpoints.
#[derive(Debug)]
pub struct Endpoint {
    gateway: Arc<Gateway>,
    started_ms: i64,
}

impl Handler for Endpoint {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        let path = request.path.as_str();
        if path.contains("//") {
            return moved(path);
        }
        let group = path.strip_prefix("/metrics/");
        let group = group.filter(|g| g.starts_with("job/") || g.starts_with("job@base64/"));
        let allowed = match path {
            _ if group.is_some() => "DELETE, OPTIONS, POST, PUT",
            "/metrics" | "/api/v1/metrics" | "/api/v1/status" => "GET, OPTIONS",
            "/api/v1/admin/wipe" if self.gateway.options().admin_api => "OPTIONS, PUT",
            "/-/quit" => "OPTIONS, POST, PUT",
            _ => return refused(StatusCode::NOT_FOUND, "404 page not found"),
        };
        let method = request.method.as_str();
        if !allowed.split(", ").any(|allowed| allowed == method) {
            return refused(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
                .with_header(header::ALLOW, HeaderValue::from_static(allowed));
        }
        match (group, path) {
            (Some(group), _) => self.change(&request, group),
            (None, "/metrics") => self.metrics(&request),
            (None, "/api/v1/metrics") => self.list(&request),
            (None, "/api/v1/status") => self.status(),
            (None, "/api/v1/admin/wipe") => self.wipe(&request),
            // No client ends a process that is more than this gateway.
            _ => Response::bytes(
                StatusCode::FORBIDDEN,
                "text/plain; charset=utf-8",
                "Lifecycle API is not enabled.",
            ),
        }
    }
}

impl Endpoint {
    /// The endpoints of a gateway.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            started_ms: gateway.now_ms(),
            gateway,
        }
    }

    fn metrics(&self, request: &Request) -> Response {
        const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
        match self.gateway.shown(request, Groups::text) {
            Ok(text) => Response::bytes(StatusCode::OK, EXPOSITION, text),
            Err(refusal) => of_refusal(&refusal),
        }
    }

    fn list(&self, request: &Request) -> Response {
        match self.gateway.shown(request, Groups::list) {
            Ok(groups) => of_api(&groups),
            Err(refusal) => of_refusal(&refusal),
        }
    }

    fn wipe(&self, request: &Request) -> Response {
        match self.gateway.wipe(request) {
            Ok(()) => Response::empty(StatusCode::ACCEPTED),
            Err(refusal) => of_refusal(&refusal),
        }
    }

    /// Changes the group that is named by what follows `/metrics/`.
    fn change(&self, request: &Request, path: &str) -> Response {
        let change = match request.method {
            Method::PUT => Some(Change::Replace),
            Method::POST => Some(Change::Merge),
            _ => None,
        };
        // As the Pushgateway says it of what it does not check.
        let is_checked = self.gateway.options().check_consistency;
        match self.gateway.change(request, path, change) {
            Ok(()) if change.is_some() && is_checked => Response::empty(StatusCode::OK),
            Ok(()) => Response::empty(StatusCode::ACCEPTED),
            Err(refusal) => of_refusal(&refusal),
        }
    }

    fn status(&self) -> Response {
        let file = self.gateway.options().file.as_deref();
        let file = file.map(|file| file.display().to_string());
        let flags = json!({
            "persistence.file": file.unwrap_or_default(),
            "push.disable-consistency-check": (!self.gateway.options().check_consistency).to_string(),
            "web.enable-admin-api": self.gateway.options().admin_api.to_string(),
            "web.enable-lifecycle": "false",
            "web.telemetry-path": "/metrics",
        });
        let of_build = ["branch", "buildDate", "buildUser", "goVersion", "revision"];
        let mut build: Map<_, _> = (of_build.into_iter())
            .map(|name| (name.to_owned(), json!("")))
            .collect();
        build.insert("version".to_owned(), json!(VERSION));
        of_api(&json!({
            "build_information": build,
            "flags": flags,
            "start_time": When::at(self.started_ms),
        }))
    }
}

/// True for families as messages, each with its length before it.
pub(in crate::protocols) fn is_protobuf(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_media = parts.next() == Some("application/vnd.google.protobuf");
    let parts: Vec<_> = parts.collect();
    is_media
        && parts.contains(&"proto=io.prometheus.client.MetricFamily")
        && parts.contains(&"encoding=delimited")
}

/// The way to a path that was written with an empty segment, as clients do whose address ends with a
/// slash.
fn moved(path: &str) -> Response {
    let mut cleaned = path.to_owned();
    while cleaned.contains("//") {
        cleaned = cleaned.replace("//", "/");
    }
    match HeaderValue::from_str(&cleaned) {
        Ok(location) => {
            Response::empty(StatusCode::MOVED_PERMANENTLY).with_header(header::LOCATION, location)
        }
        Err(_) => refused(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// An answer of the API.
fn of_api(data: &Json) -> Response {
    let body = json!({ "status": "success", "data": data }).to_string();
    let mut response = Response::bytes(StatusCode::OK, "application/json", body);
    for (name, value) in [
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Authorization, Content-Type, Origin",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, POST, DELETE, OPTIONS",
        ),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    ] {
        response = response.with_header(name, HeaderValue::from_static(value));
    }
    response
}

/// An error, with a line that says what is wrong.
fn refused(status: StatusCode, line: &str) -> Response {
    const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
    Response::text(status, line).with_header(NOSNIFF, HeaderValue::from_static("nosniff"))
}

fn of_refusal(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Body(reason) | Refusal::Push(reason) => refused(StatusCode::BAD_REQUEST, reason),
        Refusal::Points {
            count,
            reason,
            shown,
        } => {
            let status = match reason {
                Reason::Series(LabelReason::Head(Reject::SeriesLimit)) => {
                    StatusCode::TOO_MANY_REQUESTS
                }
                _ => StatusCode::BAD_REQUEST,
            };
            let text = format!("{count} samples were not stored; the first: {reason}: {shown}");
            refused(status, &text)
        }
        Refusal::Full => {
            let text = format!("there are {GROUPS_MAX} groups already; delete some");
            refused(StatusCode::TOO_MANY_REQUESTS, &text)
        }
        Refusal::File(error) => {
            tracing::error!(%error, "cannot keep pushed groups");
            refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot keep the group; see the log",
            )
        }
        Refusal::Store(error) => {
            let status = match error.kind() {
                _ if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
                ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
                ErrorKind::Unavailable | ErrorKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
                ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::BAD_REQUEST,
            };
            refused(status, &error.to_string())
        }
    }
}
