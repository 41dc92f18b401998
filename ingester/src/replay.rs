//! How far the replay of the logs is, for those who ask before it is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::http::{Cost, Handler, Request, Response, Service, StatusCode};
use serde_json::json;
use tsdb::head::Progress;

/// Where it is asked for.
const PATH: &str = "/api/v1/status/walreplay";

/// Progress by tenant.
#[derive(Debug, Default)]
pub struct ReplayProgress {
    by_tenant: Mutex<BTreeMap<String, Progress>>,
}

impl ReplayProgress {
    /// Notes how far a tenant is.
    pub(crate) fn note(&self, tenant: &str, progress: Progress) {
        let mut by_tenant = self.by_tenant.lock();
        match by_tenant.get_mut(tenant) {
            Some(known) => *known = progress,
            None => drop(by_tenant.insert(tenant.to_owned(), progress)),
        }
    }

    /// Segments that were read, and segments in all, as far as they are known.
    fn segments(&self) -> (usize, usize) {
        let by_tenant = self.by_tenant.lock();
        let all = by_tenant.values();
        all.fold((0, 0), |(done, total), one| {
            (done + one.done, total + one.total)
        })
    }
}

/// Progress that `service` shows until it is ready.
pub fn shown_by(service: &Service) -> Arc<ReplayProgress> {
    let replay = Arc::new(ReplayProgress::default());
    service.before_ready(PATH, Arc::<ReplayProgress>::clone(&replay));
    replay
}

impl Handler for ReplayProgress {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, _: Request) -> Response {
        let (done, total) = self.segments();
        let state = match total {
            0 => "waiting",
            _ => "in progress",
        };
        let body = json!({ "status": "success", "data": {
            "min": 0,
            "max": total.saturating_sub(1),
            "current": done.saturating_sub(1),
            "state": state,
        }});
        Response::bytes(StatusCode::OK, "application/json", body.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_counted_together() {
        let progress = ReplayProgress::default();
        assert_eq!(progress.segments(), (0, 0));
        progress.note("a", Progress { done: 1, total: 4 });
        progress.note("b", Progress { done: 2, total: 2 });
        progress.note("a", Progress { done: 3, total: 4 });
        assert_eq!(progress.segments(), (5, 6));
    }
}
