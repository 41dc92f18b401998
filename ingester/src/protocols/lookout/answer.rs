//! The gateway's answers.
//!
//! | | Lookout's clients | others |
//! |---|---|---|
//! | taken | 200 | 202 |
//! | nothing can be read | 400 | 400 |
//! | no application | 403, `Wait-Minutes` | 400 |
//! | too much | 555 | 400 `RATE_LIMITED` |
//! | the storage takes nothing now | 503, `Wait-Minutes` | 503 |
//!
//! The reason of a refusal is in the header `Err`, and but for 403 in the body as well. Points that
//! are wrong in a request of which others are right are counted, not answered.

use model::ErrorKind;
use runtime::http::{HeaderName, HeaderValue, Response, StatusCode};

use super::access::Denied;
use super::address::AddressError;
use super::gateway::Importer;
use super::native::NotRecords;
use super::push::PushError;
use crate::protocols::sink::StoreError;

const TEXT: &str = "text/plain; charset=utf-8";
/// The reason of a refusal.
const ERR: HeaderName = HeaderName::from_static("err");
/// For how long a client is to be silent.
const WAIT_MINUTES: HeaderName = HeaderName::from_static("wait-minutes");
/// What Lookout's client knows as the gateway's limit.
const GATEWAY_LIMIT: u16 = 555;

/// Why a request was refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("lookout gateway is in refuse requests mode")]
    Refusing,
    #[error("APP_NAME_NULL")]
    NoApp,
    #[error("this gateway is for another zone")]
    Cell,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    NotRecords(#[from] NotRecords),
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A text.
pub(super) fn plain(status: StatusCode, body: &'static str) -> Response {
    Response::bytes(status, TEXT, body)
}

/// The answer to a method that a path does not know.
pub(super) fn not_allowed() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed")
}

/// The answer to a request that was refused.
pub(super) fn of_refusal(importer: Importer, refusal: &Refusal) -> Response {
    let is_standard = importer == Importer::Standard;
    let mut minutes = None;
    let status = match refusal {
        Refusal::NoApp => {
            minutes = Some("5");
            StatusCode::FORBIDDEN
        }
        Refusal::Cell => StatusCode::PRECONDITION_FAILED,
        Refusal::Store(error) if !error.is_too_large() => match error.kind() {
            ErrorKind::Exhausted if is_standard => {
                StatusCode::from_u16(GATEWAY_LIMIT).expect("three digits")
            }
            ErrorKind::Unavailable | ErrorKind::Cancelled => {
                minutes = is_standard.then_some("1");
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::Corrupt | ErrorKind::Internal => {
                tracing::error!(%error, "write failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_REQUEST,
        },
        _ => StatusCode::BAD_REQUEST,
    };
    let reason = match refusal {
        Refusal::Store(StoreError::Rate { .. }) => Denied::Rate.to_string(),
        other => other.to_string(),
    };
    let in_header: String = (reason.chars())
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .collect();
    let body = if status == StatusCode::FORBIDDEN {
        String::new()
    } else {
        reason
    };
    let mut response = Response::bytes(status, TEXT, body);
    if let Ok(err) = HeaderValue::from_str(&in_header) {
        response = response.with_header(ERR, err);
    }
    match minutes {
        Some(minutes) => response.with_header(WAIT_MINUTES, HeaderValue::from_static(minutes)),
        None => response,
    }
}
