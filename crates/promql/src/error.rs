//! What can go wrong with a query.

use std::time::Duration;

use model::ErrorKind;

use crate::source::SourceError;

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The expression cannot be parsed or does not type-check.
    #[error("{0}")]
    Parse(String),
    /// The expression cannot be evaluated on this data; worded as Prometheus words it.
    #[error("{0}")]
    Execution(String),
    /// The parameters of the query make no sense.
    #[error("{0}")]
    Parameters(String),
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The caller gave up.
    #[error("query was canceled in query execution")]
    Cancelled,
    /// The limit on wall time was reached.
    #[error(
        "query timed out in query execution: it was not done within {limit:?} (--query.timeout, or the parameter timeout)"
    )]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The limit on samples was reached.
    #[error(
        "query processing would load too many samples into memory in query execution: {held} samples, and the limit is {limit} (--query.max-samples)"
    )]
    TooManySamples {
        /// Samples that the query held when it was stopped.
        held: u64,
        /// The limit, in samples.
        limit: u64,
    },
    /// The limit on memory was reached.
    #[error(
        "query processing would hold {held} bytes in memory, and the limit is {limit} (--query.max-memory-bytes); select fewer series, a shorter range or a wider step"
    )]
    TooManyBytes {
        /// Bytes that the query held when it was stopped, estimated.
        held: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The limit on steps was reached.
    #[error(
        "exceeded maximum resolution of {limit} points per timeseries. Try decreasing the query resolution (?step=XX)"
    )]
    TooManySteps {
        /// The limit, in steps.
        limit: usize,
    },
}

impl Error {
    /// An execution error.
    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::Execution(message.into())
    }

    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_)
            | Self::Execution(_)
            | Self::Parameters(_)
            | Self::TooManySteps { .. } => ErrorKind::Invalid,
            Self::Source(e) => e.kind,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Timeout { .. } | Self::TooManySamples { .. } | Self::TooManyBytes { .. } => {
                ErrorKind::Exhausted
            }
        }
    }
}
