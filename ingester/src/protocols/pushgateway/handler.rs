//! The Pushgateway's endpoints, with its answers: 200 for a push, 202 for a deletion, 400 with a
//! line of text for what is wrong.

use std::io;

use model::ErrorKind;
use parking_lot::Mutex;
use runtime::http::{Cost, Handler, HeaderMap, Method, Request, Response, StatusCode, header};
use serde_json::json;

use super::decode::{DecodeError, Families, decode};
use super::groups::{Change, GROUPS_MAX, Groups};
use super::path::GroupKey;
use super::{Options, file};
use crate::protocols::points::Points;
use crate::protocols::sink::{Sink, StoreError};
use crate::receive::Encoding;

/// The endpoints.
#[derive(Debug)]
pub struct Endpoint {
    sink: Sink,
    options: Options,
    /// Held while a push is decided on and made durable: pushes are few.
    groups: Mutex<Groups>,
}

/// Why a push was not taken.
enum Refusal {
    /// It is wrong; the group notes a failure.
    Push(String),
    /// It cannot be taken as it is, or now.
    Store(StoreError),
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
            (&Method::GET, "/metrics") => {
                let text = self.groups.lock().text();
                Response::bytes(
                    StatusCode::OK,
                    "text/plain; version=0.0.4; charset=utf-8",
                    text,
                )
            }
            (&Method::GET, "/api/v1/status") => self.status(),
            (_, path) => match path.strip_prefix("/metrics/") {
                Some(group) => self.change(&request, group),
                None => Response::text(StatusCode::NOT_FOUND, "404 page not found"),
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
            None => Groups::default(),
        };
        Ok(Self {
            sink,
            options,
            groups: Mutex::new(groups),
        })
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
        let mut held = self.groups.lock();
        let Some(change) = change else {
            return match self.keep(&mut held, |groups| groups.delete(&key)) {
                Ok(()) => Response::bytes(StatusCode::ACCEPTED, "text/plain; charset=utf-8", ""),
                Err(error) => of_refusal(&Refusal::File(error)),
            };
        };
        if held.is_full_for(&key) {
            self.sink.failed();
            let reason = format!("there are {GROUPS_MAX} groups already; delete some");
            return Response::text(StatusCode::TOO_MANY_REQUESTS, &reason);
        }
        let now_ms = self.sink.now_ms();
        let pushed = self.store(request, &key, &held).and_then(|families| {
            let push = |groups: &mut Groups| groups.push(&key, change, families, now_ms);
            self.keep(&mut held, push).map_err(Refusal::File)
        });
        match pushed {
            Ok(()) => Response::bytes(StatusCode::OK, "text/plain; charset=utf-8", ""),
            Err(refusal) => {
                if matches!(refusal, Refusal::Push(_)) {
                    self.sink.failed();
                    let noted = self.keep(&mut held, |groups| groups.fail(&key, now_ms));
                    if let Err(error) = noted {
                        return of_refusal(&Refusal::File(error));
                    }
                }
                of_refusal(&refusal)
            }
        }
    }

    /// Stores what a request pushes at the time of its arrival, and returns it.
    fn store(
        &self,
        request: &Request,
        key: &GroupKey,
        groups: &Groups,
    ) -> Result<Families, Refusal> {
        let headers = &request.headers;
        let tenant = self.sink.tenant(headers)?;
        let snappy = Some(Encoding::SnappyFramed);
        let body = (self.sink.decompress(headers, snappy, &request.body))
            .inspect_err(|_| self.sink.failed())?;
        let check = self.options.check_consistency;
        let families = decode(&body, is_protobuf(headers), key, check)
            .map_err(|error| Refusal::Push(error.to_string()))?;
        if check && let Some(reason) = groups.conflict(key, &families) {
            let error = DecodeError::Inconsistent(reason);
            return Err(Refusal::Push(error.to_string()));
        }
        let now_ms = self.sink.now_ms();
        let mut points = Points::new();
        for (labels, value) in families.values().flat_map(|family| &family.samples) {
            let mut labels: Vec<_> = labels.iter().collect();
            (points.add(&mut labels, now_ms, *value, &self.sink.limits().labels))
                .map_err(|reason| Refusal::Push(reason.to_string()))?;
        }
        self.sink.store(tenant, &points)?;
        Ok(families)
    }

    /// Changes the groups and keeps them in their file; they are as before when that fails.
    fn keep(&self, groups: &mut Groups, change: impl FnOnce(&mut Groups)) -> io::Result<()> {
        let mut changed = groups.clone();
        change(&mut changed);
        if let Some(path) = &self.options.file {
            file::write(path, &changed)?;
        }
        *groups = changed;
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

fn of_refusal(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Push(reason) => Response::text(StatusCode::BAD_REQUEST, reason),
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
