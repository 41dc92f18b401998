//! Remote write over HTTP: `/api/v1/write` as Prometheus answers it, `/api/v1/receive` as Thanos does.
//!
//! | | Prometheus | Thanos |
//! |---|---|---|
//! | all is written | 204 | 200 |
//! | some samples were refused, the rest is written | 400 | 409 |
//! | the head has as many series as it may | 429 | 429 |
//! | the request is larger than it may be | 413 | 413 |
//! | damaged, or for a tenant that cannot be | 400 | 400 |
//! | another content type or encoding | 415 | 415 |
//! | not now: starting, disk full, too many at once | 503 | 503 |
//!
//! The paths differ since their senders were told so: Thanos' router and its clients know 409 as what
//! another try does not change, and Prometheus' receiver has no such answer. Both take messages of 1.0 and of 2.0,
//! and the version changes no code. What the storage cannot do now is never answered as a conflict, for which a
//! sender would drop its samples.
//!
//! 429 and 503 come with `Retry-After`. Every answer says how many samples, histograms and exemplars
//! were written, which a sender of 2.0 insists on.

use std::sync::Arc;

use model::ErrorKind;
use runtime::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
};
use tsdb::batch::Reject;

use super::body::Encoding;
use super::error::ReceiveError;
use super::outcome::{Outcome, Reason};
use super::receiver::{Receiver, Version};

/// Seconds after which a refused request may be sent again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Whose status codes an endpoint uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Prometheus' receiver.
    Prometheus,
    /// Thanos receive.
    Thanos,
}

impl Manner {
    /// The manner of the endpoint at `path`, if there is one.
    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            "/api/v1/write" => Some(Self::Prometheus),
            "/api/v1/receive" => Some(Self::Thanos),
            _ => None,
        }
    }

    const fn success(self) -> StatusCode {
        match self {
            Self::Prometheus => StatusCode::NO_CONTENT,
            Self::Thanos => StatusCode::OK,
        }
    }

    const fn partial(self) -> StatusCode {
        match self {
            Self::Prometheus => StatusCode::BAD_REQUEST,
            Self::Thanos => StatusCode::CONFLICT,
        }
    }
}

/// The endpoints.
#[derive(Debug, Clone)]
pub struct WriteEndpoint {
    receiver: Arc<Receiver>,
}

impl WriteEndpoint {
    /// The endpoints of `receiver`.
    pub fn new(receiver: Arc<Receiver>) -> Self {
        Self { receiver }
    }

    /// Answers a write. Called on a thread that may block; returns after the write is durable.
    pub fn answer(&self, request: &Request, manner: Manner) -> Response {
        if request.method != Method::POST {
            return Response::not_allowed("OPTIONS, POST");
        }
        let (version, encoding) = match negotiate(&request.headers) {
            Ok(agreed) => agreed,
            Err(text) => {
                let refused = Response::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text);
                return with_written(refused, &Outcome::default());
            }
        };
        let tenant = self.receiver.tenants().of_headers(&request.headers);
        let written = match &tenant {
            Ok(tenant) => (self.receiver).write(tenant, version, encoding, &request.body),
            Err(error) => Err(error.clone().into()),
        };
        match written {
            Ok(outcome) => {
                let response = of_outcome(&outcome, manner);
                let tenant = tenant.unwrap_or_default();
                self.receiver
                    .answered(tenant, response.status().as_u16(), &outcome);
                with_written(response, &outcome)
            }
            Err(error) => with_written(of_error(&error), &Outcome::default()),
        }
    }
}

/// The version and the compression of a request, by its headers.
fn negotiate(headers: &HeaderMap) -> Result<(Version, Encoding), String> {
    let text = |name| match headers.get(&name) {
        None => Ok(""),
        Some(value) => HeaderValue::to_str(value).map_err(|_| format!("{name} is not text")),
    };
    let content_type = text(header::CONTENT_TYPE)?;
    let version = version(content_type).ok_or_else(|| {
        format!(
            "content type {content_type:?} is not supported; send application/x-protobuf, with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request"
        )
    })?;
    let encoding = match text(header::CONTENT_ENCODING)? {
        // The specification demands it, and not all who compress say so.
        "" | "snappy" => Encoding::Snappy,
        "zstd" => Encoding::Zstd,
        "identity" => Encoding::Identity,
        other => {
            return Err(format!(
                "content encoding {other:?} is not supported; send snappy"
            ));
        }
    };
    Ok((version, encoding))
}

/// The version that a content type stands for. Prometheus' older senders give no `proto`, and some
/// clients no content type at all.
fn version(content_type: &str) -> Option<Version> {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    if media.is_empty() && content_type.is_empty() {
        return Some(Version::V1);
    }
    if !media.eq_ignore_ascii_case("application/x-protobuf") {
        return None;
    }
    for part in parts {
        if let Some((name, value)) = part.split_once('=')
            && name.trim().eq_ignore_ascii_case("proto")
        {
            return match value.trim().trim_matches('"') {
                "prometheus.WriteRequest" => Some(Version::V1),
                "io.prometheus.write.v2.Request" => Some(Version::V2),
                _ => None,
            };
        }
    }
    Some(Version::V1)
}

fn of_outcome(outcome: &Outcome, manner: Manner) -> Response {
    if outcome.refusals.is_empty() {
        return Response::bytes(manner.success(), "text/plain; charset=utf-8", "");
    }
    let text = outcome.refusals.to_string();
    if outcome.refusals.count(Reason::Head(Reject::SeriesLimit)) > 0 {
        return Response::text(StatusCode::TOO_MANY_REQUESTS, &text)
            .with_header(header::RETRY_AFTER, RETRY_AFTER);
    }
    Response::text(manner.partial(), &text)
}

fn of_error(error: &ReceiveError) -> Response {
    let status = match error.kind() {
        _ if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Invalid | ErrorKind::NotFound => StatusCode::BAD_REQUEST,
        ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        // Another process has the tenant's data open.
        ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::Cancelled => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%error, "write failed");
    }
    let response = Response::text(status, &error.to_string());
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        return response.with_header(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// The same answer with what was written.
fn with_written(response: Response, outcome: &Outcome) -> Response {
    let counts = [
        ("x-prometheus-remote-write-samples-written", outcome.floats),
        (
            "x-prometheus-remote-write-histograms-written",
            outcome.histograms,
        ),
        (
            "x-prometheus-remote-write-exemplars-written",
            outcome.exemplars,
        ),
    ];
    counts
        .into_iter()
        .fold(response, |response, (name, count)| {
            response.with_header(HeaderName::from_static(name), HeaderValue::from(count))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_by_content_type() {
        for (content_type, expected) in [
            ("", Some(Version::V1)),
            ("application/x-protobuf", Some(Version::V1)),
            (
                "application/x-protobuf;proto=prometheus.WriteRequest",
                Some(Version::V1),
            ),
            (
                "Application/X-Protobuf; charset=x; proto=io.prometheus.write.v2.Request",
                Some(Version::V2),
            ),
            (
                "application/x-protobuf;proto=io.prometheus.write.v3.Request",
                None,
            ),
            ("application/json", None),
            (";", None),
        ] {
            assert_eq!(version(content_type), expected, "{content_type}");
        }
    }
}
