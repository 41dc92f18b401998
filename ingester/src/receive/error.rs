//! Why requests are refused as a whole.

use model::ErrorKind;
use storeapi::snappy::SnappyError;
use tsdb::batch::WriteError;

use super::body::BodyError;
use super::wire::DecodeError;
use crate::storage::tenant_name::InvalidTenant;

/// Why a request was refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Its body cannot be decompressed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It is larger than the tenant's requests may be.
    #[error("write request too large: {bytes} bytes or more, and the limit is {max} ({flag})")]
    TooLarge {
        /// Its bytes, as far as they were looked at.
        bytes: usize,
        /// Bytes that are allowed.
        max: usize,
        /// Who says so.
        flag: &'static str,
    },
    /// Its message cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It is for a tenant that cannot be.
    #[error(transparent)]
    Tenant(#[from] InvalidTenant),
    /// There are as many requests as there may be.
    #[error(
        "{max} writes are under way already, the limit (max_concurrency of --receive.limits-config-file); try again"
    )]
    Busy {
        /// Writes that may be under way.
        max: usize,
    },
    /// The storage did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl ReceiveError {
    /// What the writer should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Body(error) => error.kind(),
            Self::Write(error) => error.kind(),
            Self::TooLarge { .. }
            | Self::Decode(
                DecodeError::TooManySeries { .. }
                | DecodeError::TooManySamples { .. }
                | DecodeError::TooManySymbols { .. },
            ) => ErrorKind::Exhausted,
            Self::Decode(DecodeError::Malformed { .. }) | Self::Tenant(_) => ErrorKind::Invalid,
            Self::Busy { .. } => ErrorKind::Unavailable,
        }
    }

    /// A body that cannot be decompressed to the bytes that `flag` allows.
    pub(super) fn of_body(error: BodyError, flag: &'static str) -> Self {
        match error {
            BodyError::Snappy(SnappyError::TooLarge { bytes, max }) => {
                Self::TooLarge { bytes, max, flag }
            }
            BodyError::TooLarge { max } => Self::TooLarge {
                bytes: max.saturating_add(1),
                max,
                flag,
            },
            error => Self::Body(error),
        }
    }

    /// True when the request itself is larger than it may be, which no later try changes.
    pub fn is_too_large(&self) -> bool {
        self.kind() == ErrorKind::Exhausted && !matches!(self, Self::Write(_))
    }
}
