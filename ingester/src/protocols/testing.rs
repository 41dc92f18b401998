//! What the tests of all protocols share: an appender that remembers, and requests.

use std::sync::Arc;

use model::{ErrorKind, Labels};
use parking_lot::Mutex;
use runtime::ManualClock;
use runtime::http::{
    Abandonment, Handler, HeaderMap, HeaderName, HeaderValue, Method, Request, Response,
};
use tsdb::batch::{Appended, Batch, CommitPoint, Reject, Rejection, WriteError};

use super::sink::{Destination, Limits, Sink};
use super::status::Status;
use crate::append::Appender;
use crate::pipeline::Pipeline;
use crate::receive::TenantSettings;

/// The time of arrival.
pub(super) const NOW_MS: i64 = 1_795_226_430_123;
/// The time for which [`Recorder`] refuses a sample.
pub(crate) const REFUSED_MS: i64 = 1_000_013_000;

/// Remembers samples once they are durable, as `tenant|{labels} value @ time`.
#[derive(Default)]
pub(crate) struct Recorder {
    appended: Mutex<Vec<String>>,
    durable: Mutex<Vec<String>>,
    pub(crate) failure: Mutex<Option<ErrorKind>>,
}

impl Appender for Recorder {
    fn append(&self, tenant: &str, batch: &Batch) -> Result<Appended, WriteError> {
        if let Some(kind) = *self.failure.lock() {
            let reason = "the disk is nearly full".to_owned();
            return Err(WriteError::Refused { kind, reason });
        }
        let mut appended = Appended::default();
        let mut log = self.appended.lock();
        for (i, series) in batch.iter().enumerate() {
            for float in series.floats {
                if float.t == REFUSED_MS {
                    appended.rejected.push(Rejection {
                        series: i,
                        t: float.t,
                        reason: Reject::OutOfOrder,
                    });
                    continue;
                }
                let labels = Labels::from_encoded(series.labels);
                log.push(format!("{tenant}|{labels} {} @ {}", float.v, float.t));
                appended.floats += 1;
            }
        }
        appended.commit = CommitPoint(log.len() as u64);
        Ok(appended)
    }

    fn commit(&self, _: &str, at: CommitPoint) -> Result<(), WriteError> {
        let appended = self.appended.lock();
        let mut durable = self.durable.lock();
        let from = durable.len();
        durable.extend_from_slice(&appended[from.min(at.0 as usize)..at.0 as usize]);
        Ok(())
    }
}

impl Recorder {
    /// What became durable since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut appended = self.appended.lock();
        let mut durable = self.durable.lock();
        appended.clear();
        std::mem::take(&mut durable)
    }

    /// What was appended since the last call, durable or not.
    pub(crate) fn take_appended(&self) -> Vec<String> {
        let mut appended = self.appended.lock();
        self.durable.lock().clear();
        std::mem::take(&mut appended)
    }
}

/// How requests name their tenant.
pub(super) fn tenants() -> TenantSettings {
    TenantSettings {
        header: HeaderName::from_static("thanos-tenant"),
        default: "default-tenant".to_owned(),
    }
}

/// A sink over a recorder.
pub(super) struct Bench {
    pub(super) recorder: Arc<Recorder>,
    pub(super) status: Arc<Status>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) sink: Sink,
}

impl Bench {
    pub(super) fn new(limits: Limits) -> Self {
        Self::of("test", limits, Pipeline::default())
    }

    /// That of the receiver `name`, of whose tenants each may send so many series.
    pub(super) fn with_series_max(name: &'static str, series_max: usize) -> Self {
        let rules = format!("all: {{limits: {{series: {series_max}}}}}\n");
        Self::of(name, Limits::default(), Pipeline::of_text(&rules))
    }

    /// That of the receiver `name`, since a pipeline knows receivers by name.
    pub(super) fn of(name: &'static str, limits: Limits, pipeline: Pipeline) -> Self {
        let recorder = Arc::<Recorder>::default();
        let status = Arc::<Status>::default();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let destination = Destination {
            appender: Arc::<Recorder>::clone(&recorder),
            clock: Arc::<ManualClock>::clone(&clock),
            tenants: tenants(),
            pipeline: Arc::new(pipeline),
            status: Arc::clone(&status),
        };
        Self {
            sink: Sink::new(name, &destination, limits),
            recorder,
            status,
            clock,
        }
    }
}

/// Sends a request to a handler; `target` is a path with or without a query.
pub(super) fn send(
    handler: &dyn Handler,
    method: Method,
    target: &str,
    headers: &[(&'static str, &str)],
    body: impl Into<Vec<u8>>,
) -> Response {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        map.insert(HeaderName::from_static(name), value);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    handler.handle(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: map,
        body: body.into().into(),
        peer: None,
        waited: std::time::Duration::ZERO,
        abandonment: Abandonment::default(),
    })
}

/// The status and the body of an answer.
pub(super) fn parts(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_bytes().unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Bytes compressed by gzip.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
