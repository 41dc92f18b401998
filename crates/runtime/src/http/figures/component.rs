//! What a component shows of itself: whether it is ready, and itself as a Prometheus.

use std::sync::Arc;

use super::HttpMetrics;
use crate::http::server::{Service, ServiceState};
use crate::metrics::{Collect, Exposition, Registry, build_labels};

/// Shows whether a component is ready, under Thanos' name.
#[derive(Debug)]
pub struct ComponentStatus {
    /// What Thanos calls the component.
    component: &'static str,
    state: ServiceState,
}

impl ComponentStatus {
    /// Shows the state of `service` as that of a component.
    pub fn of(component: &'static str, service: &Service) -> Self {
        Self {
            component,
            state: service.state(),
        }
    }

    /// A service that `registry` shows as a component's.
    pub fn serve(component: &'static str, registry: &Registry) -> Service {
        let service = Service::default();
        registry.register(Arc::new(Self::of(component, &service)));
        service
    }
}

impl Collect for ComponentStatus {
    fn collect(&self, out: &mut Exposition) {
        // Who is not healthy does not answer.
        for (check, is_so) in [("healthy", true), ("ready", self.state.is_ready())] {
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
    pub(super) version: &'static str,
    pub(super) state: ServiceState,
    pub(super) requests: Arc<HttpMetrics>,
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
        registry.register(Arc::new(ComponentStatus::of(component, service)));
        registry.register(Arc::clone(&requests) as _);
        registry.register(Arc::new(Self {
            version: env!("CARGO_PKG_VERSION"),
            state: service.state(),
            requests,
        }));
    }
}

impl Collect for AsPrometheus {
    fn collect(&self, out: &mut Exposition) {
        let ready = f64::from(u8::from(self.state.is_ready()));
        out.gauge(
            "prometheus_ready",
            "Whether the server is ready.",
            &[],
            ready,
        );
        let help = "Version of this build under the name that Prometheus' dashboards look for.";
        let labels = build_labels(self.version);
        out.gauge("prometheus_build_info", help, &labels, 1.0);
        for (key, handled) in &*self.requests.places.lock() {
            for (status, answered) in &handled.by_status {
                let status = status.to_string();
                let labels = [("code", &*status), ("handler", &*key.pattern)];
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
