//! An HTTP/1.1 server for handlers that compute.
//!
//! [`Server`] owns the sockets: it bounds connections, headers, bodies, idle time and the number of
//! requests that are answered at once, answers the probes, tells browsers what they may do ([`Origins`],
//! [`Page`]), and compresses;
//! [`WebPaths`] say below which paths it is found.
//! A [`Handler`] is plain synchronous code that runs on a thread which may block; it returns a
//! [`Response`] whose body may be a function that writes, so that an answer never exists whole.
//!
//! The requests and answers of gRPC do not come through here.

mod body;
mod call_log;
mod coding;
mod connection;
mod figures;
mod form;
mod idle;
mod origins;
mod page;
mod password;
mod paths;
mod request;
mod request_line;
mod response;
mod routes;
mod server;
mod writer;

pub use figures::{AsPrometheus, ComponentStatus, HttpMetrics};
pub use form::{Form, FormError};
pub use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use hyper::{Method, StatusCode};
pub(crate) use origins::ANY;
pub use origins::Origins;
pub use page::Page;
pub use paths::WebPaths;
pub use request::{Abandonment, Request};
pub use response::Response;
pub use routes::{PathPattern, Routes};
pub use server::{HttpLimits, RawProtocol, Server, Service};

/// What a request costs, so that many dear ones cannot keep cheap ones from being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Answered from memory in no time.
    Small,
    /// May compute for long; waits for one of [`HttpLimits::large_max`] places.
    Large,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// What a request for `path` costs.
    fn cost(&self, path: &str) -> Cost;

    /// Whether requests for `path` change nothing, by whatever method they come, so that pages of other
    /// sites may have browsers send them.
    fn only_reads(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// The answer. Called on a thread that may block.
    fn handle(&self, request: Request) -> Response;
}

#[cfg(test)]
mod tests;
