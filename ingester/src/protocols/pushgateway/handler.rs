//! The Pushgateway's endpoints, with its answers: 200 for a push, 202 for a deletion, 400 with a
//! line of text for what is wrong.

use std::io;

use model::ErrorKind;
use parking_lot::Mutex;
use runtime::http::{Cost, Handler, HeaderMap, Method, Request, Response, StatusCode, header};
use serde_json::json;
use tsdb::batch::Reject;

use super::decode::{DecodeError, Families, decode};
use super::groups::{Change, GROUPS_MAX, Groups, Tenants};
use super::path::GroupKey;
use super::{Options, file};
use crate::protocols::points::{Points, Reason};
use crate::protocols::sink::{Sink, StoreError};
use crate::receive::{Encoding, Reason as LabelReason};

/// The endpoints.
#[derive(Debug)]
pub struct Endpoint {
    sink: Sink,
    options: Options,
    /// Held while a push is decided on and made durable: pushes are few.
    groups: Mutex<Tenants>,
}

/// Why a push was not taken.
enum Refusal {
    /// It is no metrics at all.
    Body(String),
    /// It is wrong; the group notes a failure.
    Push(String),
    /// It cannot be taken as it is, or now.
    Store(StoreError),
    /// Some of it was not stored, such as series beyond a limit.
    Points {
        /// How many samples.
        count: usize,
        /// Why the first was not.
        reason: Reason,
        /// The first.
        shown: String,
    },
    /// There are as many groups as there may be.
    Full,
    /// The groups could not be kept.
    File(io::Error),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Handler for Endpoint {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/metrics") => self.metrics(&request),
            (&Method::GET, "/api/v1/status") => self.status(),
            (&Method::GET, "/-/healthy" | "/-/ready") => Response::text(StatusCode::OK, "OK"),
            (_, path) => match path.strip_prefix("/metrics/") {
                Some(group) if group.starts_with("job/") || group.starts_with("job@base64/") => {
                    self.change(&request, group)
                }
                _ => Response::text(StatusCode::NOT_FOUND, "404 page not found"),
            },
        }
    }
}

impl Endpoint {
    /// The endpoints of a receiver, with the groups of its file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open(sink: Sink, options: Options) -> io::Result<Self> {
        let groups = match &options.file {
            Some(path) => file::read(path)?,
            None => Tenants::default(),
        };
        Ok(Self {
            sink,
            options,
            groups: Mutex::new(groups),
        })
    }

    /// The groups of the tenant that asks.
    fn metrics(&self, request: &Request) -> Response {
        let text = match self.sink.tenant(&request.headers) {
            Ok(tenant) => self.groups.lock().get(tenant).map(Groups::text),
            Err(error) => return of_refusal(&Refusal::Store(error)),
        };
        Response::bytes(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            text.unwrap_or_default(),
        )
    }

    fn status(&self) -> Response {
        let data = json!({ "status": "success", "data": {
            "build_information": { "version": "1.5.1" },
            "flags": {},
        } });
        Response::bytes(StatusCode::OK, "application/json", data.to_string())
    }

    /// Changes the group that is named by what follows `/metrics/`.
    fn change(&self, request: &Request, path: &str) -> Response {
        let change = match request.method {
            Method::PUT => Some(Change::Replace),
            Method::POST => Some(Change::Merge),
            Method::DELETE => None,
            _ => return Response::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
        };
        let key = match GroupKey::parse(path) {
            Ok(key) => key,
            Err(error) => {
                self.sink.failed();
                return Response::text(StatusCode::BAD_REQUEST, &error.to_string());
            }
        };
        let tenant = match self.sink.tenant(&request.headers) {
            Ok(tenant) => tenant,
            Err(error) => {
                self.sink.failed();
                return of_refusal(&Refusal::Store(error));
            }
        };
        let mut held = self.groups.lock();
        let changed = match change {
            Some(change) => self.push(request, (tenant, &key), change, &mut held),
            None => (self.keep(&mut held, |tenants| tenants.of(tenant).delete(&key)))
                .map_err(Refusal::File),
        };
        match changed {
            Ok(()) if change.is_none() => answer(StatusCode::ACCEPTED),
            Ok(()) => answer(StatusCode::OK),
            Err(refusal) => of_refusal(&refusal),
        }
    }

    /// Takes a push to the group `key` of a tenant; one that is wrong is noted there.
    fn push(
        &self,
        request: &Request,
        (tenant, key): (&str, &GroupKey),
        change: Change,
        held: &mut Tenants,
    ) -> Result<(), Refusal> {
        if held.is_full_for(tenant, key) {
            self.sink.failed();
            return Err(Refusal::Full);
        }
        // Two pushes to a group are never at one time, or the storage would keep the first only.
        let groups = held.get(tenant);
        let before = groups.and_then(|groups| groups.get(key));
        let now_ms = (self.sink.now_ms()).max(before.map_or(0, |group| group.pushed_ms + 1));
        let pushed = self.store(request, (tenant, key), groups, now_ms);
        match pushed {
            Ok(families) => {
                let push = |tenants: &mut Tenants| {
                    tenants.of(tenant).push(key, change, families, now_ms);
                };
                self.keep(held, push).map_err(Refusal::File)
            }
            Err(refusal) => {
                if matches!(refusal, Refusal::Body(_) | Refusal::Push(_)) {
                    self.sink.failed();
                }
                // As the Pushgateway does it: what cannot be read is not noted.
                if matches!(refusal, Refusal::Push(_)) {
                    self.keep(held, |tenants| tenants.of(tenant).fail(key, now_ms))
                        .map_err(Refusal::File)?;
                }
                Err(refusal)
            }
        }
    }

    /// Stores what a request pushes at `now_ms`, and returns it.
    fn store(
        &self,
        request: &Request,
        (tenant, key): (&str, &GroupKey),
        groups: Option<&Groups>,
        now_ms: i64,
    ) -> Result<Families, Refusal> {
        let headers = &request.headers;
        let snappy = Some(Encoding::SnappyFramed);
        let body = (self.sink.decompress(headers, snappy, &request.body))
            .inspect_err(|_| self.sink.failed())?;
        let check = self.options.check_consistency;
        let families =
            decode(&body, is_protobuf(headers), key, check).map_err(|error| match error {
                DecodeError::Inconsistent(_) => Refusal::Push(error.to_string()),
                _ => Refusal::Body(error.to_string()),
            })?;
        let conflict = groups.filter(|_| check);
        if let Some(reason) = conflict.and_then(|groups| groups.conflict(key, &families)) {
            let error = DecodeError::Inconsistent(reason);
            return Err(Refusal::Push(error.to_string()));
        }
        let mut points = Points::new();
        for (labels, value) in families.values().flat_map(|family| &family.samples) {
            let mut labels: Vec<_> = labels.iter().collect();
            (points.add(&mut labels, now_ms, *value, &self.sink.limits().labels))
                .map_err(|reason| Refusal::Push(reason.to_string()))?;
        }
        let stored = self.sink.store(tenant, &points)?;
        match stored.refusals.kept().first() {
            None => Ok(families),
            Some(refused) => Err(Refusal::Points {
                count: stored.refusals.len(),
                reason: refused.reason,
                shown: refused.shown.clone(),
            }),
        }
    }

    /// Changes the groups and keeps them in their file; they are as before when that fails.
    fn keep(&self, held: &mut Tenants, change: impl FnOnce(&mut Tenants)) -> io::Result<()> {
        let mut changed = held.clone();
        change(&mut changed);
        changed.tidy();
        if let Some(path) = &self.options.file {
            file::write(path, &changed)?;
        }
        *held = changed;
        Ok(())
    }
}

/// True for families as messages, each with its length before it.
pub(in crate::protocols) fn is_protobuf(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_media = parts.next() == Some("application/vnd.google.protobuf");
    let parts: Vec<_> = parts.collect();
    is_media
        && parts.contains(&"proto=io.prometheus.client.MetricFamily")
        && parts.contains(&"encoding=delimited")
}

/// Success, which says nothing.
fn answer(status: StatusCode) -> Response {
    Response::bytes(status, "text/plain; charset=utf-8", "")
}

fn of_refusal(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Body(reason) | Refusal::Push(reason) => {
            Response::text(StatusCode::BAD_REQUEST, reason)
        }
        Refusal::Points {
            count,
            reason,
            shown,
        } => {
            let status = match reason {
                Reason::Series(LabelReason::Head(Reject::SeriesLimit)) => {
                    StatusCode::TOO_MANY_REQUESTS
                }
                _ => StatusCode::BAD_REQUEST,
            };
            let text = format!("{count} samples were not stored; the first: {reason}: {shown}");
            Response::text(status, &text)
        }
        Refusal::Full => {
            let text = format!("there are {GROUPS_MAX} groups already; delete some");
            Response::text(StatusCode::TOO_MANY_REQUESTS, &text)
        }
        Refusal::File(error) => {
            tracing::error!(%error, "cannot keep pushed groups");
            Response::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot keep the group; see the log",
            )
        }
        Refusal::Store(error) => {
            let status = match error.kind() {
                _ if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
                ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
                ErrorKind::Unavailable | ErrorKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
                ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::BAD_REQUEST,
            };
            Response::text(status, &error.to_string())
        }
    }
}
