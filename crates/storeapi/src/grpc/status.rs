//! Errors and gRPC's statuses.

use runtime::grpc::{code_of, kind_of};
use tonic::Status;

use crate::store::StoreError;

/// The status that tells a peer of an error.
pub fn to_status(error: &StoreError) -> Status {
    Status::new(code_of(error.kind), error.message.clone())
}

/// The error that a peer's status tells of.
pub fn from_status(status: &Status) -> StoreError {
    let kind = kind_of(status.code());
    let message = match status.message() {
        "" => status.code().description().to_ascii_lowercase(),
        message => message.to_owned(),
    };
    StoreError::new(kind, with_cause(message, status))
}

/// Transport errors say what happened in their causes only.
fn with_cause(message: String, status: &Status) -> String {
    let mut deepest = std::error::Error::source(status);
    while let Some(next) = deepest.and_then(std::error::Error::source) {
        deepest = Some(next);
    }
    match deepest {
        Some(cause) => {
            let cause = cause.to_string();
            if message.contains(&cause) {
                message
            } else {
                format!("{message}: {cause}")
            }
        }
        None => message,
    }
}
