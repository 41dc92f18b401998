//! Figures of the requests that a server answered.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::{Method, StatusCode};
use parking_lot::Mutex;

use crate::metrics::{Collect, Exposition, Histogram};

/// Handlers that are told apart; requests for others are counted together.
const HANDLERS_MAX: usize = 128;
/// What is not told apart.
const OTHER: &str = "other";
/// Bounds in seconds; Thanos' own.
const SECONDS: &[f64] = &[
    0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0,
    720.0,
];

/// Counts requests by handler, method and status, under Thanos' names.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    requests: Mutex<BTreeMap<Key, Answered>>,
}

/// Handler and method.
type Key = (String, &'static str);

#[derive(Debug)]
struct Answered {
    by_status: BTreeMap<u16, u64>,
    seconds: Histogram,
}

impl HttpMetrics {
    /// Counts an answer to a request for `path` that took so long.
    pub(super) fn answered(&self, path: &str, method: &Method, status: StatusCode, took: Duration) {
        let method = match *method {
            Method::GET => "get",
            Method::POST => "post",
            Method::PUT => "put",
            Method::HEAD => "head",
            _ => OTHER,
        };
        // A path that leads nowhere is anybody's invention.
        let handler = match status {
            StatusCode::NOT_FOUND => OTHER,
            _ => handler_of(path),
        };
        let mut requests = self.requests.lock();
        let key = (handler.to_owned(), method);
        let is_known = requests.contains_key(&key) || requests.len() < HANDLERS_MAX;
        let key = if is_known {
            key
        } else {
            (OTHER.to_owned(), OTHER)
        };
        let answered = requests.entry(key).or_insert_with(|| Answered {
            by_status: BTreeMap::new(),
            seconds: Histogram::new(SECONDS),
        });
        *answered.by_status.entry(status.as_u16()).or_default() += 1;
        answered.seconds.observe(took.as_secs_f64());
    }
}

/// What a path is called: the end of an API's path, without names of labels.
fn handler_of(path: &str) -> &str {
    let name = path.strip_prefix("/api/v1/").unwrap_or(path);
    let name = name.trim_matches('/');
    match name {
        "" => "root",
        _ if name.starts_with("label/") => "label_values",
        _ if path.starts_with("/metrics/") => "push",
        name => name,
    }
}

impl Collect for HttpMetrics {
    fn collect(&self, out: &mut Exposition) {
        for ((handler, method), answered) in &*self.requests.lock() {
            for (status, count) in &answered.by_status {
                let status = status.to_string();
                let labels = [("code", &*status), ("handler", handler), ("method", method)];
                let help = "Requests over HTTP that were answered.";
                out.counter("http_requests_total", help, &labels, *count);
            }
            out.histogram(
                "http_request_duration_seconds",
                "How long requests over HTTP took until their answer began.",
                &[("handler", handler), ("method", method)],
                &answered.seconds,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_what_answers_them() {
        let metrics = HttpMetrics::default();
        let took = Duration::from_millis(5);
        for (path, status) in [
            ("/api/v1/query", 200),
            ("/api/v1/query", 400),
            ("/api/v1/label/a/values", 200),
            ("/api/v1/label/b/values", 200),
            ("/whatever", 404),
            ("/", 200),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            metrics.answered(path, &Method::GET, status, took);
        }
        for i in 0..1000 {
            let path = format!("/{i}");
            metrics.answered(&path, &Method::POST, StatusCode::OK, took);
        }
        let mut out = Exposition::default();
        metrics.collect(&mut out);
        let text = out.into_text();
        for line in [
            r#"http_requests_total{code="200",handler="query",method="get"} 1"#,
            r#"http_requests_total{code="400",handler="query",method="get"} 1"#,
            r#"http_requests_total{code="200",handler="label_values",method="get"} 2"#,
            r#"http_requests_total{code="404",handler="other",method="get"} 1"#,
            r#"http_request_duration_seconds_bucket{handler="query",method="get",le="0.01"} 2"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(metrics.requests.lock().len() <= HANDLERS_MAX + 1);
    }
}
