//! The envelope around every answer.

use std::fmt::Display;

use model::ErrorKind;
use runtime::http::{Response, StatusCode};
use serde_json::{Value, json};
use storeapi::StoreError;

const JSON: &str = "application/json";

/// Why a request gets no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "bad_data",
            message: message.into(),
        }
    }

    /// A parameter that cannot be used, and why.
    pub(super) fn parameter(name: &str, reason: impl Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {reason}"))
    }

    pub(super) fn respond(&self) -> Response {
        let body = json!({
            "status": "error",
            "errorType": self.kind,
            "error": self.message,
        });
        Response::bytes(self.status, JSON, body.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (status, kind) = match error.kind {
            ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "bad_data"),
            ErrorKind::Exhausted => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self {
            status,
            kind,
            message: error.message,
        }
    }
}

/// A success with `data`, and what the user should know about it.
pub(super) fn success(data: Value, warnings: &[String]) -> Response {
    let mut body = json!({ "status": "success", "data": data });
    if !warnings.is_empty() {
        body["warnings"] = json!(warnings);
    }
    Response::bytes(StatusCode::OK, JSON, body.to_string())
}
