//! Requests of many paths and tenants, and what is shown of them.

use super::*;
use crate::http::{Handler, Service};
use crate::metrics::Registry;

fn begin(metrics: &Arc<HttpMetrics>, method: &str, path: &str) -> Running {
    let request = Request::builder().method(method).uri(path);
    let request = request
        .header("content-length", "1000")
        .header("tenant", "a");
    let mut running = metrics.begin(path, &request.body(()).unwrap());
    running.found();
    running
}

fn text(figures: &dyn Collect) -> String {
    let mut out = Exposition::default();
    figures.collect(&mut out);
    out.into_text()
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
    let service = Service::default();
    let as_prometheus = AsPrometheus {
        version: "1.2.3",
        state: service.state(),
        requests: Arc::clone(&metrics),
    };
    as_prometheus.collect(&mut out);
    let text = out.into_text();
    for line in [
        r#"http_requests_total{code="200",handler="query",method="get"} 1"#,
        r#"http_requests_total{code="400",handler="query",method="get"} 1"#,
        r#"http_requests_total{code="200",handler="label_values",method="get"} 2"#,
        r#"http_requests_total{code="404",handler="other",method="other"} 1"#,
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
    assert_eq!(metrics.places.lock()[&gone.key].running, 1);
}

#[test]
fn invented_paths_get_no_place() {
    let metrics = Arc::new(HttpMetrics::default());
    for status in [307, 401, 404, 405, 503] {
        let status = StatusCode::from_u16(status).unwrap();
        for i in 0..100 {
            let mut running = begin(&metrics, "POST", &format!("/{i}"));
            running.was_handled = matches!(status.as_u16(), 404 | 405);
            running.answered(status);
        }
    }
    for i in 0..100 {
        let mut running = begin(&metrics, "OPTIONS", &format!("/{i}"));
        running.is_about_options();
        running.answered(StatusCode::NO_CONTENT);
    }
    assert_eq!(metrics.places.lock().len(), 2, "other and options");
    // Even a handler that answers for all paths does not get any number.
    for i in 0..1000 {
        begin(&metrics, "POST", &format!("/{i}")).answered(StatusCode::OK);
    }
    let places = metrics.places.lock();
    assert!(places.len() <= PLACES_MAX + 1);
    assert!(places.values().all(|handled| handled.running == 0));
    drop(places);
    let text = text(&*metrics);
    let line = r#"http_requests_total{code="204",handler="options",method="options"} 100"#;
    assert!(text.contains(line), "{text}");
}

#[test]
fn tenants_are_told_apart_up_to_some_number() {
    let header = HeaderName::from_static("tenant");
    let metrics = Arc::new(HttpMetrics::of_tenants(header, "nobody".to_owned()));
    begin(&metrics, "GET", "/api/v1/query").answered(StatusCode::OK);
    for i in 0..100 {
        let request = Request::builder().uri("/api/v1/query");
        let request = request.header("tenant", i.to_string()).body(()).unwrap();
        let mut running = metrics.begin("/api/v1/query", &request);
        running.found();
        running.answered(StatusCode::OK);
    }
    let mut unnamed = metrics.begin("/api/v1/labels", &Request::new(()));
    assert_eq!(unnamed.key.tenant.as_deref(), Some("nobody"));
    unnamed.found();
    unnamed.answered(StatusCode::OK);
    let text = text(&*metrics);
    for line in [
        r#"http_requests_total{code="200",handler="query",method="get",tenant="a"} 1"#,
        r#"http_requests_total{code="200",handler="query",method="get",tenant="62"} 1"#,
        r#"http_requests_total{code="200",handler="query",method="get",tenant="other"} 37"#,
        r#"http_requests_total{code="200",handler="label_names",method="get",tenant="other"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn figures_do_not_keep_what_is_served() {
    let registry = Registry::default();
    let service = ComponentStatus::serve("query", &registry);
    let handler: Arc<dyn Handler> = Arc::new(registry.clone());
    let served = Arc::downgrade(&handler);
    service.ready(handler);
    assert!(
        registry
            .text()
            .contains(r#"check="ready",component="query"} 1"#)
    );
    drop(service);
    assert!(served.upgrade().is_none());
    assert!(
        registry
            .text()
            .contains(r#"check="ready",component="query"} 0"#)
    );
}
