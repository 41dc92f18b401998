//! The envelope around every answer: status, data or error, warnings and infos.

use std::fmt::Display;
use std::io::{self, Write};

use model::ErrorKind;
use promql::source::SourceError;
use runtime::http::{HeaderValue, Response, StatusCode, header};
use storeapi::StoreError;

use super::json;

const JSON: &str = "application/json";

/// Notes of each kind that an answer has at most.
const NOTES_MAX: usize = 10;

/// The classes of errors that clients tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorType {
    /// The request is wrong.
    BadData,
    /// The query cannot be evaluated.
    Execution,
    /// The client gave up.
    Canceled,
    /// The query took too long.
    Timeout,
    /// The storage failed.
    Internal,
    /// A store cannot be had now.
    Unavailable,
    /// It is not enabled here.
    Disabled,
}

impl ErrorType {
    const fn name(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable | Self::Disabled => "unavailable",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            // Nobody reads it; the code is that of Prometheus.
            Self::Canceled => StatusCode::from_u16(499).expect("three digits"),
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal | Self::Disabled => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why a request gets no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) kind: ErrorType,
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn bad_data(message: impl Display) -> Self {
        Self {
            kind: ErrorType::BadData,
            message: message.to_string(),
        }
    }

    /// A parameter that cannot be used, and why.
    pub(super) fn parameter(name: &str, reason: impl Display) -> Self {
        Self::bad_data(format_args!("invalid parameter \"{name}\": {reason}"))
    }

    /// The answer that says it.
    pub(super) fn respond(&self) -> Response {
        let mut body = Vec::new();
        body.extend_from_slice(b"{\"status\":\"error\",\"errorType\":\"");
        body.extend_from_slice(self.kind.name().as_bytes());
        body.extend_from_slice(b"\",\"error\":");
        json::push_string(&mut body, &self.message);
        body.push(b'}');
        uncached(Response::bytes(self.kind.status(), JSON, body))
    }
}

impl From<promql::Error> for ApiError {
    fn from(error: promql::Error) -> Self {
        use promql::Error;
        let kind = match error {
            Error::Source(source) => return source.into(),
            Error::Parse(reason) | Error::Parameters(reason) => {
                return Self::parameter("query", reason);
            }
            Error::TooManySteps { .. } => ErrorType::BadData,
            Error::Cancelled => ErrorType::Canceled,
            Error::Timeout { .. } => ErrorType::Timeout,
            Error::Execution(_) | Error::TooManySamples { .. } | Error::TooManyBytes { .. } => {
                ErrorType::Execution
            }
        };
        Self {
            kind,
            message: error.to_string(),
        }
    }
}

impl From<SourceError> for ApiError {
    fn from(error: SourceError) -> Self {
        let kind = match error.kind {
            ErrorKind::Cancelled => ErrorType::Canceled,
            ErrorKind::Exhausted | ErrorKind::Invalid => ErrorType::Execution,
            ErrorKind::Unavailable => ErrorType::Unavailable,
            _ => ErrorType::Internal,
        };
        Self {
            kind,
            message: error.to_string(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        crate::store_source::failed(error).into()
    }
}

/// Keeps caches on the way from keeping what may be otherwise the next time.
fn uncached(response: Response) -> Response {
    response.with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// Writes the value of `data`.
pub(super) type WriteData = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// Data with what is to be said about it.
pub(super) struct Answer {
    data: WriteData,
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
    /// A store's part is missing, or may be.
    pub(super) is_partial: bool,
    /// What is said beside the data about debugging, where the dialect has such a thing.
    pub(super) debug_info: Option<serde_json::Value>,
}

impl Answer {
    /// Data that `write` writes as JSON.
    pub(super) fn new(
        write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self {
            data: Box::new(write),
            warnings: Vec::new(),
            infos: Vec::new(),
            is_partial: false,
            debug_info: None,
        }
    }

    /// Data that is JSON text already.
    pub(super) fn text(data: &'static str) -> Self {
        Self::new(move |out| out.write_all(data.as_bytes()))
    }

    /// Data as a tree, for what is small.
    pub(super) fn tree(data: serde_json::Value) -> Self {
        Self::new(move |out| Ok(serde_json::to_writer(out, &data)?))
    }

    /// A list of strings, of which at most `limit` are shown; see [`truncate`].
    pub(super) fn strings(mut all: Vec<String>, limit: usize) -> Self {
        let warnings = truncate(&mut all, limit);
        let mut answer = Self::new(move |out| json::write_strings(out, &all));
        answer.warnings = warnings;
        answer
    }

    /// The response around it, whose body is written as it is sent.
    pub(super) fn respond(self) -> Response {
        let is_partial = self.is_partial;
        let response = Response::written(StatusCode::OK, JSON, move |out| {
            out.write_all(b"{\"status\":\"success\",\"data\":")?;
            (self.data)(out)?;
            if let Some(info) = &self.debug_info {
                write!(out, ",\"debugInfo\":{info}")?;
            }
            for (name, notes) in [("warnings", &self.warnings), ("infos", &self.infos)] {
                if !notes.is_empty() {
                    write!(out, ",\"{name}\":")?;
                    json::write_strings(out, notes)?;
                }
            }
            out.write_all(b"}")
        });
        if is_partial {
            return uncached(response);
        }
        response
    }

    /// The same with what stores wanted to be said.
    pub(super) fn with_store_warnings(mut self, warnings: Vec<String>) -> Self {
        self.is_partial |= !warnings.is_empty();
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        self
    }
}

/// What an answer shows of notes of one `kind` about a query: as in Prometheus ten, and how many more
/// there are.
pub(super) fn shown(mut notes: Vec<String>, kind: &str) -> Vec<String> {
    let left_out = notes.len().saturating_sub(NOTES_MAX);
    if left_out > 0 {
        notes.truncate(NOTES_MAX);
        notes.push(format!("{left_out} more {kind} annotations omitted"));
    }
    notes
}

/// Cuts a list to `limit` items, 0 for all, and returns the warning that is due.
pub(super) fn truncate<T>(items: &mut Vec<T>, limit: usize) -> Vec<String> {
    if limit == 0 || items.len() <= limit {
        return Vec::new();
    }
    items.truncate(limit);
    vec!["results truncated due to limit".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_ten_notes_and_how_many_more_there_are() {
        let notes = |count: usize| (0..count).map(|i| format!("note {i}")).collect::<Vec<_>>();
        assert_eq!(shown(notes(10), "info"), notes(10));
        let cut = shown(notes(13), "warning");
        assert_eq!(cut[..10], notes(10));
        assert_eq!(cut[10..], ["3 more warning annotations omitted"]);
    }
}
