//! Figures of the requests that a server answers, under Thanos' names, and under those of Prometheus
//! where a process stands for one.

mod component;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName};
use hyper::{Method, Request, StatusCode};
use parking_lot::Mutex;

use crate::metrics::{Collect, Exposition, Histogram};

pub use component::{AsPrometheus, ComponentStatus};

/// Places that are told apart: handlers, each by its methods. Requests for others are counted together.
const PLACES_MAX: usize = 256;
/// The same where tenants are told apart too.
const PLACES_OF_TENANTS_MAX: usize = 1024;
/// Tenants that are told apart.
const TENANTS_MAX: usize = 64;
/// What is not told apart.
const OTHER: &str = "other";
/// What the server says itself of what may be asked.
const OPTIONS: &str = "options";
/// Bounds in seconds; Thanos' own.
const SECONDS: &[f64] = &[
    0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0,
    720.0,
];
/// Bounds in bytes; Thanos' own.
const BYTES: &[f64] = &[
    64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 32_768.0,
];

/// Counts requests by handler, method and status, and by tenant where there are some.
///
/// Who asks can invent paths and tenants. So a path gets a place of its own once a handler has answered
/// for it, with something else than that it is not there.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    places: Mutex<BTreeMap<Key, Handled>>,
    tenants: Option<Tenants>,
}

/// How requests say whose they are.
#[derive(Debug)]
struct Tenants {
    header: HeaderName,
    /// The tenant of requests that do not say.
    default: String,
    /// Those that are told apart.
    known: Mutex<BTreeSet<String>>,
}

/// What requests are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Pattern of the path.
    pattern: String,
    method: &'static str,
    /// Nobody where tenants are not told apart.
    tenant: Option<String>,
}

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
    /// Figures that tell tenants apart by a header; requests without it are those of `default`.
    pub fn of_tenants(header: HeaderName, default: String) -> Self {
        Self {
            places: Mutex::default(),
            tenants: Some(Tenants {
                header,
                default,
                known: Mutex::default(),
            }),
        }
    }

    /// Counts a request, whose path is `path` without what all paths begin with, as under way until what
    /// is returned is dropped.
    pub(super) fn begin<B>(self: &Arc<Self>, path: &str, request: &Request<B>) -> Running {
        let key = Key {
            pattern: pattern_of(path).to_owned(),
            method: name_of(request.method()),
            tenant: self.tenants.as_ref().map(|of| of.tenant(request.headers())),
        };
        let mut places = self.places.lock();
        let counted = match places.contains_key(&key) {
            true => key.clone(),
            false => self.other(),
        };
        places.entry(counted.clone()).or_default().running += 1;
        drop(places);
        Running {
            metrics: Arc::clone(self),
            key,
            counted,
            was_handled: false,
            bytes: size_of(request),
            begin: Instant::now(),
        }
    }

    /// What is counted together.
    fn other(&self) -> Key {
        Key {
            pattern: OTHER.to_owned(),
            method: OTHER,
            tenant: self.tenants.as_ref().map(|_| OTHER.to_owned()),
        }
    }

    /// What an answer with this key is counted by, which may get a place for that.
    fn place(&self, key: Key, earns_place: bool, known: &BTreeMap<Key, Handled>) -> Key {
        if known.contains_key(&key) {
            return key;
        }
        let max = match self.tenants {
            Some(_) => PLACES_OF_TENANTS_MAX,
            None => PLACES_MAX,
        };
        if !earns_place || known.len() >= max {
            return self.other();
        }
        let Some(tenants) = &self.tenants else {
            return key;
        };
        let tenant = key.tenant.as_deref().unwrap_or_default();
        let mut told_apart = tenants.known.lock();
        if told_apart.contains(tenant) || told_apart.len() < TENANTS_MAX {
            told_apart.insert(tenant.to_owned());
            return key;
        }
        Key {
            tenant: Some(OTHER.to_owned()),
            ..key
        }
    }
}

impl Tenants {
    fn tenant(&self, headers: &HeaderMap) -> String {
        let said = headers.get(&self.header);
        let said = said.and_then(|name| name.to_str().ok());
        said.filter(|name| !name.is_empty())
            .unwrap_or(&self.default)
            .to_owned()
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Running {
    metrics: Arc<HttpMetrics>,
    key: Key,
    /// What it is counted under while it runs.
    counted: Key,
    /// A handler answers it.
    was_handled: bool,
    bytes: Option<u64>,
    begin: Instant,
}

impl Running {
    /// There is somebody who answers for its path.
    pub(super) const fn found(&mut self) {
        self.was_handled = true;
    }

    /// It only asks what may be asked.
    pub(super) fn is_about_options(&mut self) {
        OPTIONS.clone_into(&mut self.key.pattern);
        self.key.method = OPTIONS;
        self.was_handled = true;
    }

    /// What Thanos calls the handler.
    pub(super) fn handler(&self) -> &str {
        handler_of(&self.key.pattern)
    }

    /// How long it has been running.
    pub(super) fn took(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Counts the answer.
    pub(super) fn answered(self, status: StatusCode) {
        let is_there = !matches!(
            status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        );
        let mut places = self.metrics.places.lock();
        let earns_place = self.was_handled && is_there;
        let key = (self.metrics).place(self.key.clone(), earns_place, &places);
        let by_status = &mut places.entry(key).or_default().by_status;
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
        let mut places = self.metrics.places.lock();
        if let Some(handled) = places.get_mut(&self.counted) {
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
        for (key, handled) in &*self.places.lock() {
            let mut of = vec![
                ("handler", handler_of(&key.pattern)),
                ("method", key.method),
            ];
            of.extend(key.tenant.as_deref().map(|tenant| ("tenant", tenant)));
            let help = "Requests over HTTP that are being answered.";
            out.share("http_inflight_requests", help, &of, handled.running as f64);
            for (status, answered) in &handled.by_status {
                let status = status.to_string();
                let mut labels = vec![("code", &*status)];
                labels.extend_from_slice(&of);
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

#[cfg(test)]
mod tests;
