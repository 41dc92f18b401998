//! Figures of the requests that a server answers, under Thanos' names, and under those of Prometheus
//! where a process stands for one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::{CONTENT_LENGTH, HeaderMap};
use hyper::{Method, Request, StatusCode};
use parking_lot::Mutex;

use super::server::Service;
use crate::metrics::{Collect, Exposition, Histogram, Registry, build_labels};

/// Handlers that are told apart; requests for others are counted together.
const HANDLERS_MAX: usize = 128;
/// What is not told apart.
const OTHER: &str = "other";
/// Bounds in seconds; Thanos' own.
const SECONDS: &[f64] = &[
    0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0,
    720.0,
];
/// Bounds in bytes; Thanos' own.
const BYTES: &[f64] = &[
    64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 32_768.0,
];

/// Counts requests by handler, method and status.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    handlers: Mutex<BTreeMap<Key, Handled>>,
}

/// Pattern of the path, and method.
type Key = (String, &'static str);

/// Requests for one handler.
#[derive(Debug, Default)]
struct Handled {
    running: u64,
    by_status: BTreeMap<u16, Answered>,
}

/// Answers with one status.
#[derive(Debug)]
struct Answered {
    seconds: Histogram,
    request_bytes: Histogram,
}

impl HttpMetrics {
    /// Counts a request, whose path is `path` without what all paths begin with, as under way until what
    /// is returned is dropped.
    pub(super) fn begin<B>(self: &Arc<Self>, path: &str, request: &Request<B>) -> Running {
        let pattern = pattern_of(path).to_owned();
        let key = (pattern, name_of(request.method()));
        let mut handlers = self.handlers.lock();
        // What is not known yet may be a path that leads nowhere, which is anybody's invention.
        let counted = match handlers.contains_key(&key) {
            true => key.clone(),
            false => other(),
        };
        handlers.entry(counted.clone()).or_default().running += 1;
        drop(handlers);
        Running {
            metrics: Arc::clone(self),
            key,
            counted,
            bytes: size_of(request),
            begin: Instant::now(),
        }
    }
}

fn other() -> Key {
    (OTHER.to_owned(), OTHER)
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Running {
    metrics: Arc<HttpMetrics>,
    key: Key,
    /// What it is counted under while it runs.
    counted: Key,
    bytes: Option<u64>,
    begin: Instant,
}

impl Running {
    /// Counts the answer.
    pub(super) fn answered(self, status: StatusCode) {
        let mut key = self.key.clone();
        if status == StatusCode::NOT_FOUND {
            OTHER.clone_into(&mut key.0);
        }
        let mut handlers = self.metrics.handlers.lock();
        let is_known = handlers.contains_key(&key) || handlers.len() < HANDLERS_MAX;
        let key = if is_known { key } else { other() };
        let by_status = &mut handlers.entry(key).or_default().by_status;
        let answered = by_status
            .entry(status.as_u16())
            .or_insert_with(|| Answered {
                seconds: Histogram::new(SECONDS),
                request_bytes: Histogram::new(BYTES),
            });
        answered.seconds.observe(self.begin.elapsed().as_secs_f64());
        if let Some(bytes) = self.bytes {
            answered.request_bytes.observe(bytes as f64);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut handlers = self.metrics.handlers.lock();
        if let Some(handled) = handlers.get_mut(&self.counted) {
            handled.running -= 1;
        }
    }
}

const fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::HEAD => "head",
        _ => OTHER,
    }
}

/// Bytes of a request with its headers; none where its length is not said.
fn size_of<B>(request: &Request<B>) -> Option<u64> {
    let headers: &HeaderMap = request.headers();
    let body = match headers.get(CONTENT_LENGTH) {
        Some(length) => length.to_str().ok()?.parse::<u64>().ok()?,
        None if headers.contains_key(hyper::header::TRANSFER_ENCODING) => return None,
        None => 0,
    };
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    let line = request.method().as_str().len() + request.uri().to_string().len();
    Some(body.saturating_add((line + fields.sum::<usize>()) as u64))
}

/// What a path has in common with others that lead to the same place.
fn pattern_of(path: &str) -> &str {
    match path {
        _ if path.starts_with("/api/v1/label/") => "/api/v1/label/:name/values",
        _ if path.starts_with("/metrics/") => "/metrics/*",
        _ => path,
    }
}

/// What Thanos calls it: the end of an API's path.
fn handler_of(pattern: &str) -> &str {
    match pattern {
        "/" => "root",
        "/api/v1/label/:name/values" => "label_values",
        "/api/v1/labels" => "label_names",
        "/metrics/*" => "push",
        _ => (pattern.strip_prefix("/api/v1/").unwrap_or(pattern)).trim_matches('/'),
    }
}

impl Collect for HttpMetrics {
    fn collect(&self, out: &mut Exposition) {
        for ((pattern, method), handled) in &*self.handlers.lock() {
            let of = [("handler", handler_of(pattern)), ("method", *method)];
            let help = "Requests over HTTP that are being answered.";
            out.gauge("http_inflight_requests", help, &of, handled.running as f64);
            for (status, answered) in &handled.by_status {
                let status = status.to_string();
                let labels = [("code", &*status), of[0], of[1]];
                let help = "Requests over HTTP that were answered.";
                let count = answered.seconds.count();
                out.counter("http_requests_total", help, &labels, count);
                let help = "How long requests over HTTP took until their answer began.";
                let seconds = &answered.seconds;
                out.histogram("http_request_duration_seconds", help, &labels, seconds);
                let help = "Bytes of requests over HTTP, their headers included.";
                let bytes = &answered.request_bytes;
                out.histogram("http_request_size_bytes", help, &labels, bytes);
            }
        }
    }
}

/// Shows whether a component is ready, under Thanos' name.
#[derive(Debug)]
pub struct ComponentStatus {
    /// What Thanos calls the component.
    pub component: &'static str,
    /// What it serves.
    pub service: Service,
}

impl ComponentStatus {
    /// A service that `registry` shows as a component's.
    pub fn serve(component: &'static str, registry: &Registry) -> Service {
        let service = Service::default();
        let shown = service.clone();
        registry.register(Arc::new(Self {
            component,
            service: shown,
        }));
        service
    }
}

impl Collect for ComponentStatus {
    fn collect(&self, out: &mut Exposition) {
        // Who is not healthy does not answer.
        for (check, is_so) in [("healthy", true), ("ready", self.service.is_ready())] {
            let labels = [("check", check), ("component", self.component)];
            let help = "Whether the component passes a check.";
            out.gauge("thanos_status", help, &labels, f64::from(u8::from(is_so)));
        }
    }
}

/// Shows a process that does a Prometheus' work under Prometheus' names.
#[derive(Debug)]
pub struct AsPrometheus {
    /// Version of this build.
    pub version: &'static str,
    /// What it serves.
    pub service: Service,
    /// Its requests.
    pub requests: Arc<HttpMetrics>,
}

impl AsPrometheus {
    /// As [`ComponentStatus::serve`], with the server's requests shown under both names.
    pub fn serve(
        component: &'static str,
        registry: &Registry,
        requests: Arc<HttpMetrics>,
    ) -> Service {
        let service = Service::default();
        Self::show(component, registry, &service, requests);
        service
    }

    /// The same of a service that there is already.
    pub fn show(
        component: &'static str,
        registry: &Registry,
        service: &Service,
        requests: Arc<HttpMetrics>,
    ) {
        registry.register(Arc::new(ComponentStatus {
            component,
            service: service.clone(),
        }));
        registry.register(Arc::clone(&requests) as _);
        registry.register(Arc::new(Self {
            version: env!("CARGO_PKG_VERSION"),
            service: service.clone(),
            requests,
        }));
    }
}

impl Collect for AsPrometheus {
    fn collect(&self, out: &mut Exposition) {
        let ready = f64::from(u8::from(self.service.is_ready()));
        out.gauge(
            "prometheus_ready",
            "Whether the server is ready.",
            &[],
            ready,
        );
        let help = "Version of this build under the name that Prometheus' dashboards look for.";
        let labels = build_labels(self.version);
        out.gauge("prometheus_build_info", help, &labels, 1.0);
        for ((pattern, _), handled) in &*self.requests.handlers.lock() {
            for (status, answered) in &handled.by_status {
                let status = status.to_string();
                let labels = [("code", &*status), ("handler", pattern)];
                let help = "Requests over HTTP that were answered.";
                let count = answered.seconds.count();
                out.counter("prometheus_http_requests_total", help, &labels, count);
                out.histogram(
                    "prometheus_http_request_duration_seconds",
                    "How long requests over HTTP took until their answer began.",
                    &labels[1..],
                    &answered.seconds,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(metrics: &Arc<HttpMetrics>, method: &str, path: &str) -> Running {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-length", "1000").body(()).unwrap();
        metrics.begin(path, &request)
    }

    #[test]
    fn requests_are_counted_by_what_answers_them() {
        let metrics = Arc::new(HttpMetrics::default());
        for (path, status) in [
            ("/api/v1/query", 200),
            ("/api/v1/query", 400),
            ("/api/v1/label/a/values", 200),
            ("/api/v1/label/b/values", 200),
            ("/whatever", 404),
            ("/", 200),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            begin(&metrics, "GET", path).answered(status);
        }
        let running = begin(&metrics, "GET", "/api/v1/query");
        let mut out = Exposition::default();
        metrics.collect(&mut out);
        let as_prometheus = AsPrometheus {
            version: "1.2.3",
            service: Service::default(),
            requests: Arc::clone(&metrics),
        };
        as_prometheus.collect(&mut out);
        let text = out.into_text();
        for line in [
            r#"http_requests_total{code="200",handler="query",method="get"} 1"#,
            r#"http_requests_total{code="400",handler="query",method="get"} 1"#,
            r#"http_requests_total{code="200",handler="label_values",method="get"} 2"#,
            r#"http_requests_total{code="404",handler="other",method="get"} 1"#,
            r#"http_inflight_requests{handler="query",method="get"} 1"#,
            r#"http_inflight_requests{handler="root",method="get"} 0"#,
            r#"http_request_size_bytes_bucket{code="200",handler="query",method="get",le="1024"} 0"#,
            r#"http_request_size_bytes_bucket{code="200",handler="query",method="get",le="2048"} 1"#,
            r#"http_request_duration_seconds_count{code="200",handler="query",method="get"} 1"#,
            "prometheus_ready 0",
            r#"prometheus_http_requests_total{code="200",handler="/api/v1/label/:name/values"} 2"#,
            r#"prometheus_http_request_duration_seconds_count{handler="/api/v1/query"} 2"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        drop(running);
        let gone = begin(&metrics, "GET", "/api/v1/query");
        assert_eq!(metrics.handlers.lock()[&gone.key].running, 1);
    }

    #[test]
    fn invented_paths_are_not_remembered_for_ever() {
        let metrics = Arc::new(HttpMetrics::default());
        for i in 0..1000 {
            let path = format!("/{i}");
            begin(&metrics, "POST", &path).answered(StatusCode::OK);
        }
        let handlers = metrics.handlers.lock();
        assert!(handlers.len() <= HANDLERS_MAX + 1);
        assert!(handlers.values().all(|handled| handled.running == 0));
    }
}
