//! `/api/put` and the endpoints that clients look at before they use it.
//!
//! | | answer |
//! |---|---|
//! | all is stored | 204, or 200 with a summary where one is asked for |
//! | some points are wrong | 400, the others are stored; with `details` it says which and why |
//! | not JSON | 400, nothing is stored |
//! | decompresses to too much | 413 |
//! | too much at once, or the storage takes nothing now | 503 |

use model::ErrorKind;
use runtime::http::{
    Cost, Form, Handler, HeaderValue, Method, Request, Response, StatusCode, header,
};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tsdb::batch::Reject;

use super::Options;
use super::decode::{Decoded, decode_named, shown_series};
use crate::protocols::points::{Reason, Refused};
use crate::protocols::sink::{Sink, StoreError, Stored};
use crate::receive::Reason as LabelReason;

const JSON: &str = "application/json; charset=UTF-8";
/// What clients compare: the version of OpenTSDB whose interface this is.
const VERSION: &str = "2.4.0";
/// Seconds after which a refused request may be sent again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The endpoints.
#[derive(Debug, Clone)]
pub struct Endpoint {
    sink: Sink,
    options: Options,
}

/// What the answer is to tell, by flags of the query string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    summary: bool,
    details: bool,
    timeouts: bool,
}

/// The answer with a summary.
#[derive(Serialize)]
struct Summary<'a> {
    success: usize,
    failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeouts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<PointError<'a>>>,
}

#[derive(Serialize)]
struct PointError<'a> {
    datapoint: &'a RawValue,
    error: String,
}

impl Handler for Endpoint {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        let path = request.path.trim_end_matches('/');
        let path = path
            .strip_prefix("/api/v1/")
            .or_else(|| path.strip_prefix("/api/"));
        match path {
            Some("put") => self.put(&request),
            Some("version") => version(),
            Some("aggregators") => answer(StatusCode::OK, &json!(AGGREGATORS)),
            Some("config" | "config/filters") => answer(StatusCode::OK, &json!({})),
            Some("stats") => answer(StatusCode::OK, &json!([])),
            _ => error(StatusCode::NOT_FOUND, "Endpoint not found", None),
        }
    }
}

impl Endpoint {
    /// The endpoints of a receiver.
    pub fn new(sink: Sink, options: Options) -> Self {
        Self { sink, options }
    }

    fn put(&self, request: &Request) -> Response {
        let mut query = Form::default();
        if query.add_encoded(request.query.as_bytes()).is_err() {
            self.sink.malformed("", &"the query string is not encoded");
            return error(StatusCode::BAD_REQUEST, "Invalid query string", None);
        }
        let overridden = query.get("method_override");
        let is_post = match overridden {
            Some(method) => method.eq_ignore_ascii_case("post"),
            None => request.method == Method::POST,
        };
        if !is_post {
            let message = "Method not allowed";
            let details = "The HTTP method is not permitted for this endpoint; use POST";
            return error(StatusCode::METHOD_NOT_ALLOWED, message, Some(details))
                .with_header(header::ALLOW, HeaderValue::from_static("POST"));
        }
        let has = |flag| query.get(flag).is_some();
        let timeout = query
            .get("sync_timeout")
            .and_then(|ms| ms.parse::<u64>().ok());
        let wanted = Wanted {
            summary: has("summary"),
            details: has("details"),
            timeouts: timeout.is_some_and(|ms| ms > 0),
        };
        match self.store(request) {
            Ok((decoded, stored)) => of_stored(&decoded, &stored, wanted),
            Err(response) => *response,
        }
    }

    /// Stores the points of a request; an error is an answer too.
    fn store(&self, request: &Request) -> Result<(Decoded, Stored), Box<Response>> {
        let refused = |error: StoreError| Box::new(of_error(&error));
        let tenant = self.sink.tenant(&request.headers).map_err(refused)?;
        let body = (self.sink).decompress(tenant, &request.headers, None, &request.body);
        let body = body.map_err(refused)?;
        let mut decoded = Decoded::default();
        let named = self.sink.named(tenant);
        let now_ms = self.sink.now_ms();
        let (names, left) = self.sink.names(self.options.names);
        decoded.points.rename(left);
        let options = Options {
            names,
            ..self.options
        };
        let read = decode_named(&body, now_ms, &options, &named.read(), &mut decoded);
        read.map_err(|reason| {
            self.sink.malformed(tenant, &reason);
            let message = "Unable to parse the given JSON";
            let answer = error(StatusCode::BAD_REQUEST, message, Some(&reason.to_string()));
            Box::new(answer)
        })?;
        let stored = self.sink.store(tenant, &decoded.points);
        let stored = stored.map_err(refused)?;
        Ok((decoded, stored))
    }
}

fn of_stored(decoded: &Decoded, stored: &Stored, wanted: Wanted) -> Response {
    let failed = stored.refusals.len();
    let status = if failed == 0 {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    if !wanted.summary && !wanted.details {
        if failed == 0 {
            return Response::bytes(StatusCode::NO_CONTENT, JSON, "");
        }
        let details = "Please see the TSD logs or append \"details\" to the put request";
        return error(status, "One or more data points had errors", Some(details));
    }
    let errors = wanted.details.then(|| point_errors(decoded, stored));
    let datapoints: Option<Vec<(Box<RawValue>, String)>> = errors;
    let summary = Summary {
        success: decoded.points.len() - failed,
        failed,
        timeouts: wanted.timeouts.then_some(0),
        errors: datapoints.as_ref().map(|errors| {
            let errors = errors.iter().map(|(datapoint, error)| PointError {
                datapoint,
                error: error.clone(),
            });
            errors.collect()
        }),
    };
    let body = serde_json::to_string(&summary).expect("text and numbers only");
    Response::bytes(status, JSON, body)
}

/// The refused points with why, as far as they are kept.
fn point_errors(decoded: &Decoded, stored: &Stored) -> Vec<(Box<RawValue>, String)> {
    let mut by_decoder = decoded.refused.iter();
    let errors = stored.refusals.kept().iter().map(|refused| {
        let shown = match refused.series {
            Some(series) => shown_series(&decoded.points.batch().get(series)),
            None => by_decoder
                .next()
                .cloned()
                .unwrap_or_else(|| "{}".to_owned()),
        };
        let datapoint = RawValue::from_string(shown).expect("it was rendered as JSON");
        (datapoint, message(refused))
    });
    errors.collect()
}

/// Why a point was refused, in OpenTSDB's words.
fn message(refused: &Refused) -> String {
    match refused.reason {
        Reason::NoName => "Metric name was empty".to_owned(),
        Reason::InvalidTimestamp => "Invalid timestamp".to_owned(),
        Reason::NoValue => "Empty value".to_owned(),
        Reason::NoLabels => "Missing tags".to_owned(),
        Reason::InvalidValue => "Unable to parse value to a number".to_owned(),
        Reason::Series(LabelReason::Head(Reject::SeriesLimit)) => "Please throttle".to_owned(),
        Reason::Series(LabelReason::Head(reject)) => format!("Storage exception: {reject}"),
        other => other.to_string(),
    }
}

fn of_error(cause: &StoreError) -> Response {
    let (status, message) = match cause.kind() {
        _ if cause.is_too_large() => (StatusCode::PAYLOAD_TOO_LARGE, "Request is too large"),
        ErrorKind::Exhausted => (StatusCode::SERVICE_UNAVAILABLE, "Please throttle"),
        ErrorKind::Unavailable | ErrorKind::Cancelled => {
            (StatusCode::SERVICE_UNAVAILABLE, "Storage is not available")
        }
        ErrorKind::Corrupt | ErrorKind::Internal => {
            tracing::error!(error = %cause, "write failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "Storage exception")
        }
        _ => (StatusCode::BAD_REQUEST, "Unable to read the request"),
    };
    let response = error(status, message, Some(&cause.to_string()));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return response.with_header(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// OpenTSDB's envelope of errors.
fn error(status: StatusCode, message: &str, details: Option<&str>) -> Response {
    #[derive(Serialize)]
    struct Envelope<'a> {
        error: Body<'a>,
    }

    #[derive(Serialize)]
    struct Body<'a> {
        code: u16,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<&'a str>,
    }

    let error = Body {
        code: status.as_u16(),
        message,
        details,
    };
    let body = serde_json::to_string(&Envelope { error }).expect("text and numbers only");
    Response::bytes(status, JSON, body)
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    Response::bytes(status, JSON, body.to_string())
}

fn version() -> Response {
    answer(
        StatusCode::OK,
        &json!({
            "version": VERSION,
            "short_revision": "",
            "full_revision": "",
            "timestamp": "0",
            "repo_status": "MINT",
            "user": "promontory",
            "host": "localhost",
            "repo": "",
            "branch": "",
        }),
    )
}

/// What `/api/aggregators` lists.
const AGGREGATORS: [&str; 13] = [
    "avg", "count", "dev", "first", "last", "max", "mimmax", "mimmin", "min", "none", "p99", "sum",
    "zimsum",
];
