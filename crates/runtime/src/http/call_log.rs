//! Lines of the log about requests, with the keys that Thanos has.

use std::net::IpAddr;
use std::time::Duration;

use hyper::{Request, StatusCode, header};

use crate::request_log::CallLog;

/// A request that is logged.
pub(super) struct HttpCall {
    log: CallLog,
    /// Method and URL.
    what: String,
    agent: String,
    peer: String,
}

impl HttpCall {
    /// A request for a path that came in by a port, unless it is not to be logged.
    pub(super) fn of<B>(
        request: &Request<B>,
        log: &CallLog,
        (path, port): (&str, u16),
        peer: Option<IpAddr>,
    ) -> Option<Self> {
        if !log.is_about((path, &port.to_string())) {
            return None;
        }
        let agent = request.headers().get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        Some(Self {
            log: log.clone(),
            what: format!("{} {}", request.method(), request.uri()),
            agent: agent.unwrap_or_default().to_owned(),
            peer: peer.map_or_else(String::new, |peer| peer.to_string()),
        })
    }

    /// Says that it was begun, if that is to be said.
    pub(super) fn started(&self, handler: &str) {
        if self.log.says_begin() {
            tracing::debug!(
                protocol = "http",
                http.component = "server",
                http.method = self.what,
                http.user_agent = self.agent,
                http.remote_addr = self.peer,
                thanos.method_name = handler,
                "started call"
            );
        }
    }

    /// Says what it was answered, and how long that took, if that is to be said.
    pub(super) fn finished(&self, handler: &str, (status, took): (StatusCode, Duration)) {
        let is_fault = status.is_server_error();
        if !self.log.says_end(is_fault) {
            return;
        }
        macro_rules! say {
            ($level:ident) => {
                tracing::$level!(
                    protocol = "http",
                    http.component = "server",
                    http.method = self.what,
                    http.user_agent = self.agent,
                    http.status_code = status.as_u16(),
                    http.time_ms = took.as_secs_f64() * 1e3,
                    http.remote_addr = self.peer,
                    thanos.method_name = handler,
                    "finished call"
                )
            };
        }
        if is_fault { say!(error) } else { say!(debug) }
    }
}
