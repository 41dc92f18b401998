//! What can go wrong with a query.

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
    #[error("query timed out in query execution")]
    Timeout,
    /// The limit on samples was reached.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// The limit on memory was reached.
    #[error(
        "query processing would hold more than {limit} bytes in memory; select fewer series, a shorter range or a wider step"
    )]
    TooManyBytes {
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
            Self::Timeout | Self::TooManySamples | Self::TooManyBytes { .. } => {
                ErrorKind::Exhausted
            }
        }
    }
}
