//! Lines of the log about calls, with the keys that Thanos has.

use std::sync::Arc;
use std::time::Duration;

use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::transport::server::TcpConnectInfo;

use super::figures::kind_of;
use crate::request_log::{CallLog, is_fault};

/// A call that is logged.
#[derive(Debug)]
pub(super) struct GrpcCall {
    log: Arc<CallLog>,
    /// `/SERVICE/METHOD`.
    path: String,
    peer: String,
}

impl GrpcCall {
    /// A call that began, which is said if it is to be; nothing when it is not to be logged.
    pub(super) fn of(request: &Request<Body>, log: &Arc<CallLog>) -> Option<Self> {
        let peer = request.extensions().get::<TcpConnectInfo>();
        let peer = peer.and_then(TcpConnectInfo::remote_addr);
        let call = Self {
            log: Arc::clone(log),
            path: request.uri().path().to_owned(),
            peer: peer.map_or_else(String::new, |peer| peer.to_string()),
        };
        let (service, method) = call.names();
        if !log.is_about((service, method)) {
            return None;
        }
        if log.says_begin() {
            tracing::debug!(
                protocol = "grpc",
                grpc.component = "server",
                grpc.service = service,
                grpc.method = method,
                grpc.method_type = kind_of(method),
                peer.address = call.peer,
                "started call"
            );
        }
        Some(call)
    }

    fn names(&self) -> (&str, &str) {
        let path = self.path.trim_start_matches('/');
        path.split_once('/').unwrap_or((path, ""))
    }

    /// Says what it ended with, and how long it took, if that is to be said.
    pub(super) fn finished(&self, (code, name): (Code, &'static str), took: Duration) {
        let is_fault = is_fault(code);
        if !self.log.says_end(is_fault) {
            return;
        }
        let (service, method) = self.names();
        macro_rules! say {
            ($level:ident) => {
                tracing::$level!(
                    protocol = "grpc",
                    grpc.component = "server",
                    grpc.service = service,
                    grpc.method = method,
                    grpc.method_type = kind_of(method),
                    peer.address = self.peer,
                    grpc.code = name,
                    grpc.time_ms = took.as_secs_f64() * 1e3,
                    "finished call"
                )
            };
        }
        if is_fault { say!(error) } else { say!(debug) }
    }
}
