//! Elasticsearch's endpoints as the output of Beats uses them.
//!
//! | item of `_bulk` | when |
//! |---|---|
//! | 201 | all that the event says is stored |
//! | 400 | the event, or a point of it, is wrong; its other points are stored |
//! | 429 | the tenant sends too much, or has too many series |
//! | 503 | the storage takes nothing now |
//! | 500 | it failed |
//!
//! What concerns a request as a whole is answered in Elasticsearch's envelope with its status.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::ErrorKind;
use runtime::http::{
    Cost, Handler, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
};
use serde::Serialize;
use tsdb::batch::Reject;

use super::bulk::{Action, BulkError, Chunk, Documents, actions};
use super::event::Context;
use super::{Mapping, Options, disguise};
use crate::protocols::names::Names;
use crate::protocols::points::{Reason, Refusals};
use crate::protocols::sink::{Sink, StoreError};
use crate::receive::Reason as LabelReason;

const JSON: &str = "application/json; charset=UTF-8";
/// What newer clients look for before they believe that it is an Elasticsearch.
const PRODUCT: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-elastic-product"),
    HeaderValue::from_static("Elasticsearch"),
);
/// The path that users of a SOFALookout gateway have in their configuration.
const LOOKOUT_PATH: &str = "/beat";

/// The endpoints.
#[derive(Debug, Clone)]
pub struct Endpoint {
    sink: Sink,
    options: Arc<Options>,
    /// Numbers the documents that come without an id.
    documents: Arc<AtomicU64>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    status: StatusCode,
    /// Why it is not stored: a type and words.
    error: Option<(&'static str, String)>,
}

/// An item as it is answered.
#[derive(Serialize)]
struct ItemBody<'a> {
    #[serde(rename = "_index")]
    index: &'a str,
    #[serde(rename = "_type")]
    kind: &'a str,
    #[serde(rename = "_id")]
    id: &'a str,
    #[serde(rename = "_version", skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ItemError<'a>>,
}

#[derive(Serialize)]
struct ItemError<'a> {
    r#type: &'static str,
    reason: &'a str,
}

impl Handler for Endpoint {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        let path = request.path.strip_prefix(LOOKOUT_PATH);
        let path = path.filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let path = path.unwrap_or(&request.path);
        let is_lookout = self.options.mapping == Mapping::Lookout;
        let ip = request.peer.filter(|_| is_lookout).map(|ip| ip.to_string());
        let extra: Vec<_> = ip.iter().map(|ip| ("ip", ip.as_str())).collect();
        self.answer(&request, path, &extra)
    }
}

impl Endpoint {
    /// The endpoints of a receiver.
    pub fn new(sink: Sink, options: Options) -> Self {
        Self {
            sink,
            options: Arc::new(options),
            documents: Arc::default(),
        }
    }

    /// Answers a request; `path` is its path below that of the disguise, `""` for the root. All its
    /// samples have the labels `extra` where they do not say another value.
    pub fn answer(&self, request: &Request, path: &str, extra: &[(&str, &str)]) -> Response {
        let path = path.trim_matches('/');
        let pieces: Vec<_> = path.split('/').collect();
        let index = match pieces[..] {
            ["_bulk"] => Some(("", "")),
            [index, "_bulk"] if !index.starts_with('_') => Some((index, "")),
            [index, kind, "_bulk"] if !index.starts_with('_') => Some((index, kind)),
            _ => None,
        };
        match index {
            Some(index) if matches!(request.method, Method::POST | Method::PUT) => {
                self.bulk(request, index, extra)
            }
            _ => {
                let version = &self.options.version;
                let (status, body) =
                    disguise::answer(&request.method, path, &request.query, version);
                respond(status, body)
            }
        }
    }

    fn bulk(&self, request: &Request, index: (&str, &str), extra: &[(&str, &str)]) -> Response {
        let begun_ms = self.sink.now_ms();
        let tenant = match self.sink.tenant(&request.headers) {
            Ok(tenant) => tenant,
            Err(error) => return Self::refuse(&error),
        };
        let body = match (self.sink).decompress(tenant, &request.headers, None, &request.body) {
            Ok(body) => body,
            Err(error) => return Self::refuse(&error),
        };
        let actions = match actions(&body) {
            Ok(actions) => actions,
            Err(error) => {
                self.sink.malformed(tenant, &error);
                return of_bulk_error(&error);
            }
        };
        let (names, left) = self.sink.names(self.options.names);
        let context = Context {
            options: &self.options,
            names,
            now_ms: begun_ms,
            extra,
        };
        let items = self.store(tenant, &actions, &context, left);
        let has_errors = items.iter().any(|item| item.error.is_some());
        let took_ms = (self.sink.now_ms() - begun_ms).max(0);
        let mut body = format!(r#"{{"took":{took_ms},"errors":{has_errors},"items":["#);
        for (i, (action, item)) in actions.iter().zip(&items).enumerate() {
            if i > 0 {
                body.push(',');
            }
            self.push_item(&mut body, action, index, item);
        }
        body.push_str("]}");
        respond(StatusCode::OK, body)
    }

    /// Stores the events, and tells for each action what became of it.
    fn store(
        &self,
        tenant: &str,
        actions: &[Action<'_>],
        context: &Context<'_>,
        names: Names,
    ) -> Vec<Item> {
        let mut items: Vec<_> = actions.iter().map(|_| Item::not_an_event()).collect();
        let mut documents = Documents::new(actions);
        let mut chunk = Chunk::default();
        chunk.points.rename(names);
        while documents.next_chunk(context, &mut chunk) {
            match self.sink.store(tenant, &chunk.points) {
                Ok(stored) => {
                    for event in &chunk.events {
                        items[event.action] = Item::stored();
                    }
                    let is_strict = context.options.mapping == Mapping::Lookout;
                    note_refusals(&mut items, &chunk, &stored.refusals, is_strict);
                }
                Err(error) => {
                    for event in &chunk.events {
                        items[event.action] = Item::failed(&error);
                    }
                }
            }
            for event in &chunk.events {
                if let Some(error) = event.error {
                    items[event.action] = Item::wrong(error.to_string());
                }
            }
        }
        items
    }

    fn push_item(&self, out: &mut String, action: &Action<'_>, path: (&str, &str), item: &Item) {
        let made;
        let id = match &action.id {
            Some(id) => id,
            None => {
                made = self.document_id();
                &made
            }
        };
        let or = |said: &'_ str, otherwise| {
            if said.is_empty() {
                otherwise
            } else {
                said.to_owned()
            }
        };
        let index = action
            .index
            .clone()
            .unwrap_or_else(|| or(path.0, String::new()));
        let kind = action
            .kind
            .clone()
            .unwrap_or_else(|| or(path.1, "_doc".to_owned()));
        let is_stored = item.error.is_none();
        let body = ItemBody {
            index: &index,
            kind: &kind,
            id,
            version: is_stored.then_some(1),
            result: is_stored.then_some("created"),
            status: item.status.as_u16(),
            error: item.error.as_ref().map(|(kind, reason)| ItemError {
                r#type: kind,
                reason,
            }),
        };
        let body = serde_json::to_string(&body).expect("text and numbers only");
        out.push_str(&format!(r#"{{"{}":{body}}}"#, action.operation.name()));
    }

    /// An id as Elasticsearch makes them: 20 characters.
    fn document_id(&self) -> String {
        let number = self.documents.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 15];
        bytes[..8].copy_from_slice(&self.sink.now_ms().to_be_bytes());
        bytes[8..].copy_from_slice(&number.to_be_bytes()[1..]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The answer to a request that was not looked into.
    fn refuse(error: &StoreError) -> Response {
        let status = if error.is_too_large() {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        let kind = "illegal_argument_exception";
        respond(status, disguise::error(status, kind, &error.to_string()))
    }
}

impl Item {
    fn stored() -> Self {
        Self {
            status: StatusCode::CREATED,
            error: None,
        }
    }

    /// Of an action that stores no event.
    fn not_an_event() -> Self {
        let reason = "only index and create are supported: samples cannot be changed";
        Self {
            status: StatusCode::BAD_REQUEST,
            error: Some(("illegal_argument_exception", reason.to_owned())),
        }
    }

    /// Of an event that is wrong, and would be again.
    fn wrong(reason: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error: Some(("mapper_parsing_exception", reason)),
        }
    }

    /// Of an event that may be sent again.
    fn throttled(reason: String) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            error: Some(("es_rejected_execution_exception", reason)),
        }
    }

    /// Of an event whose chunk was not stored.
    fn failed(error: &StoreError) -> Self {
        match error.kind() {
            ErrorKind::Exhausted => Self::throttled(error.to_string()),
            ErrorKind::Unavailable | ErrorKind::Cancelled => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                error: Some(("unavailable_shards_exception", error.to_string())),
            },
            ErrorKind::Corrupt | ErrorKind::Internal => {
                tracing::error!(%error, "write failed");
                Self {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    error: Some(("exception", "write failed; see the log".to_owned())),
                }
            }
            _ => Self::wrong(error.to_string()),
        }
    }
}

/// Tells the events whose points were refused. What the mapping of Lookout leaves out by its own
/// rules is no error to its clients.
fn note_refusals(items: &mut [Item], chunk: &Chunk, refusals: &Refusals, is_lookout: bool) {
    for refused in refusals.kept() {
        let event = chunk
            .events
            .partition_point(|event| event.first_point <= refused.point);
        // An event without points begins where the next one does.
        let Some(event) = event.checked_sub(1).map(|i| chunk.events[i]) else {
            continue;
        };
        let is_left_out = !matches!(refused.reason, Reason::Series(_));
        if items[event.action].error.is_some() || is_lookout && is_left_out {
            continue;
        }
        let reason = format!("{}: {}", refused.reason, refused.shown);
        items[event.action] = match refused.reason {
            Reason::Series(LabelReason::Head(Reject::SeriesLimit)) => Item::throttled(reason),
            _ => Item::wrong(reason),
        };
    }
}

fn of_bulk_error(error: &BulkError) -> Response {
    let (status, kind) = match error {
        BulkError::Empty => (StatusCode::BAD_REQUEST, "parse_exception"),
        BulkError::TooMany => (StatusCode::PAYLOAD_TOO_LARGE, "illegal_argument_exception"),
        BulkError::Unterminated | BulkError::Action { .. } => {
            (StatusCode::BAD_REQUEST, "illegal_argument_exception")
        }
    };
    respond(status, disguise::error(status, kind, &error.to_string()))
}

fn respond(status: StatusCode, body: String) -> Response {
    let (name, value) = PRODUCT;
    Response::bytes(status, JSON, body).with_header(name, value)
}
