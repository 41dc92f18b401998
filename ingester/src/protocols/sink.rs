//! From decoded points to a durable write, for every protocol alike.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use model::{ErrorKind, Labels};
use parking_lot::RwLock;
use runtime::Clock;
use runtime::http::{HeaderMap, header};
use storeapi::snappy::SnappyError;
use tsdb::batch::{Appended, Batch, WriteError};

use super::named::{ByTenant, Named};
use super::names::Names;
use super::points::{Points, Reason, Refusals, shown_labels};
use super::rate::{Allowances, Rate};
use super::status::{ReceiverStatus, Status, Totals};
use crate::append::Appender;
use crate::pipeline::{Pipeline, Refined, Stage};
use crate::receive::{
    BodyError, Encoding, LabelLimits, Reason as LabelReason, TenantSettings, decompress,
};
use crate::storage::tenant_name::InvalidTenant;

/// Bytes of an error that are kept to be looked at.
const ERROR_BYTES_MAX: usize = 512;

/// What one receiver may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request on the wire.
    pub body_bytes_max: usize,
    /// Bytes of a request when decompressed.
    pub decompressed_bytes_max: usize,
    /// Points a second of each tenant, ten seconds' worth at once; 0 for any number.
    pub points_per_second_max: u64,
    /// What labels may be like.
    pub labels: LabelLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            decompressed_bytes_max: 64 << 20,
            points_per_second_max: 1_000_000,
            labels: LabelLimits::default(),
        }
    }
}

/// Why a request was refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its body cannot be decompressed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It is compressed in a way that is not known here.
    #[error("content encoding {0} is not supported; send gzip, deflate or none")]
    Encoding(String),
    /// It is for a tenant that cannot be.
    #[error(transparent)]
    Tenant(#[from] InvalidTenant),
    /// The tenant sends more than it may.
    #[error("more than {max} points a second (--{protocol}.points-per-second-max)")]
    Rate {
        /// Points a second that are allowed.
        max: u64,
        /// The protocol that its points came by.
        protocol: &'static str,
    },
    /// The storage did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl StoreError {
    /// What the client should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Body(error) => error.kind(),
            Self::Encoding(_) | Self::Tenant(_) => ErrorKind::Invalid,
            Self::Rate { .. } => ErrorKind::Exhausted,
            Self::Write(error) => error.kind(),
        }
    }

    /// Its name as the value of a label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Body(
                BodyError::TooLarge { .. } | BodyError::Snappy(SnappyError::TooLarge { .. }),
            ) => "body_too_large",
            Self::Body(_) => "damaged_body",
            Self::Encoding(_) => "unknown_encoding",
            Self::Tenant(_) => "invalid_tenant",
            Self::Rate { .. } => "rate_limited",
            Self::Write(_) => "not_stored",
        }
    }

    /// True when the request itself is larger than it may be, which no later try changes.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Body(error) if error.kind() == ErrorKind::Exhausted)
    }
}

/// What became of the points of a request.
#[derive(Debug, Default)]
pub struct Stored {
    /// Points that are durable now.
    pub points: usize,
    /// Points that are not, in order of the request.
    pub refusals: Refusals,
}

/// Where a receiver puts its points.
#[derive(Clone)]
pub struct Sink {
    shared: Arc<Shared>,
}

struct Shared {
    appender: Arc<dyn Appender>,
    clock: Arc<dyn Clock>,
    tenants: TenantSettings,
    limits: Limits,
    stage: Stage,
    status: ReceiverStatus,
    allowances: Allowances,
    named: ByTenant,
    /// Name of the receiver.
    protocol: &'static str,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink")
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}

/// What all receivers write to.
#[derive(Clone)]
pub struct Destination {
    /// The storage.
    pub appender: Arc<dyn Appender>,
    /// The time of arrival.
    pub clock: Arc<dyn Clock>,
    /// How requests name their tenant.
    pub tenants: TenantSettings,
    /// Filters and limits that a file says.
    pub pipeline: Arc<Pipeline>,
    /// Where they count.
    pub status: Arc<Status>,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("tenants", &self.tenants)
            .finish_non_exhaustive()
    }
}

impl Sink {
    /// That of the receiver named `protocol`.
    pub fn new(protocol: &'static str, to: &Destination, limits: Limits) -> Self {
        let shared = Shared {
            appender: Arc::clone(&to.appender),
            clock: Arc::clone(&to.clock),
            tenants: to.tenants.clone(),
            limits,
            stage: to.pipeline.stage(protocol),
            status: to.status.of(protocol),
            allowances: Allowances::default(),
            protocol,
            named: ByTenant::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The time.
    pub fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// What the receiver may take.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The tenant of a request.
    ///
    /// # Errors
    /// When its headers name none that can be.
    pub fn tenant<'h>(&self, headers: &'h HeaderMap) -> Result<&'h str, StoreError> {
        let tenant = self.shared.tenants.of_headers(headers);
        tenant.map_err(|error| self.failure("", error.into()))
    }

    /// Counts and notes a request that was refused as a whole.
    fn failure(&self, tenant: &str, error: StoreError) -> StoreError {
        self.refused(tenant, error.name(), &error);
        error
    }

    /// Decompresses a body of a tenant as its header says, where `snappy` is the form that the protocol means
    /// by that word.
    ///
    /// # Errors
    /// [`StoreError::Encoding`] and [`StoreError::Body`].
    pub fn decompress(
        &self,
        tenant: &str,
        headers: &HeaderMap,
        snappy: Option<Encoding>,
        body: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let encoding = encoding_of(headers, snappy);
        let encoding = encoding.map_err(|error| self.failure(tenant, error))?;
        self.expand(tenant, encoding, body)
    }

    /// A body of a tenant that is compressed by `encoding`, within the tenant's limit.
    ///
    /// # Errors
    /// [`StoreError::Body`].
    pub fn expand(
        &self,
        tenant: &str,
        encoding: Encoding,
        body: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::new();
        let said = self.shared.stage.rules().limits(tenant).decompressed_bytes;
        let said = said.and_then(|max| usize::try_from(max).ok());
        let max = said.unwrap_or(self.shared.limits.decompressed_bytes_max);
        match decompress(encoding, body, max, &mut out) {
            Ok(()) => Ok(out),
            Err(error) => Err(self.failure(tenant, error.into())),
        }
    }

    /// What a decoder makes of metric names where `names` is wanted, and what is left to be made of
    /// them: rules `before` see names as they were sent.
    pub(super) fn names(&self, names: Names) -> (Names, Names) {
        if self.shared.stage.has_rules_before() {
            (Names::Keep, names)
        } else {
            (names, Names::Keep)
        }
    }

    /// The points that `tenant` named before, for a decoder to tell them by their bytes; none where
    /// the pipeline is to see them as they are.
    pub(super) fn named(&self, tenant: &str) -> Arc<RwLock<Named>> {
        if self.shared.stage.applies(tenant) {
            return Arc::default();
        }
        self.shared.named.of(tenant)
    }

    /// Remembers the points that were not known.
    fn learn(&self, tenant: &str, points: &Points, appended: &Appended) {
        if points.has_news() {
            let named = self.shared.named.of(tenant);
            let mut guard = named.write();
            points.teach(&appended.series, &mut guard);
            guard.sweep_if_due(Instant::now());
            drop(guard);
            self.shared.named.keep(tenant, &named);
        }
    }

    /// What the receiver counted since the start.
    pub fn totals(&self) -> Totals {
        self.shared.status.totals()
    }

    /// Bytes of pushes that wait on disk for the storage.
    pub fn waiting_bytes(&self) -> u64 {
        self.shared.appender.waiting_bytes()
    }

    /// Counts and notes a request that was refused as a whole; `reason` is its name as the value of
    /// a label.
    pub fn refused(&self, tenant: &str, reason: &'static str, error: &dyn fmt::Display) {
        let status = &self.shared.status;
        let mut error = error.to_string();
        error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
        status.failed();
        status.failure((self.now_ms(), tenant), (reason, error));
    }

    /// As [`Sink::refused`], for what is not what it should be.
    pub fn malformed(&self, tenant: &str, error: &dyn fmt::Display) {
        self.refused(tenant, Reason::Malformed.name(), error);
    }

    /// Stores points; what is said to be stored is durable.
    ///
    /// # Errors
    /// [`StoreError::Rate`], and [`StoreError::Write`] when nothing of it, or not all of it for
    /// sure, is durable. It is counted as a failed request then.
    pub fn store(&self, tenant: &str, points: &Points) -> Result<Stored, StoreError> {
        let stored = self.try_store(tenant, points);
        stored.inspect_err(|error| self.give_up(tenant, points, error))
    }

    /// As [`Sink::store`], for a caller that can wait: an error is not counted before
    /// [`Sink::give_up`].
    ///
    /// # Errors
    /// As [`Sink::store`]. Storing the same points again does no harm.
    pub fn try_store(&self, tenant: &str, points: &Points) -> Result<Stored, StoreError> {
        let now_ms = self.now_ms();
        let refined = self.refine(tenant, points, now_ms);
        let appended = self.append(tenant, left(points, refined.as_ref()))?;
        let status = &self.shared.status;
        let stored = stored(points, refined.as_ref(), &appended);
        if refined.is_none() {
            self.learn(tenant, points, &appended);
        }
        status.stored(now_ms, tenant, stored.points, &stored.refusals);
        if let Some(refined) = refined {
            status.dropped(refined.dropped);
        }
        Ok(stored)
    }

    /// Counts points as lost for this reason.
    pub fn give_up(&self, tenant: &str, points: &Points, error: &StoreError) {
        let (status, batch) = (&self.shared.status, points.batch());
        let why = (error.name(), error.to_string());
        let lost = (batch.sample_count(), &*shown_series(batch, 0));
        status.failed();
        status.lost((self.now_ms(), tenant), why, lost);
    }

    /// Stores points that a receiver makes of what it holds, such as what was stored before at an
    /// earlier time. They are no part of what the tenant may send, are counted nowhere, and become
    /// durable with the next that are stored.
    ///
    /// # Errors
    /// [`StoreError::Write`] when nothing of it was taken.
    pub fn repeat(&self, tenant: &str, points: &Points) -> Result<(), StoreError> {
        let refined = self.refine(tenant, points, self.now_ms());
        let batch = left(points, refined.as_ref());
        if !batch.is_empty() {
            self.shared.appender.append(tenant, batch)?;
        }
        Ok(())
    }

    /// What the pipeline makes of points; nothing where it has nothing to say.
    fn refine(&self, tenant: &str, points: &Points, now_ms: i64) -> Option<Refined> {
        (self.shared.stage).refine(tenant, points.batch(), points.names(), now_ms)
    }

    fn append(&self, tenant: &str, batch: &Batch) -> Result<Appended, StoreError> {
        if batch.is_empty() {
            return Ok(Appended::default());
        }
        self.spend(tenant, batch.sample_count())?;
        let appended = self.shared.appender.append(tenant, batch)?;
        self.shared.appender.commit(tenant, appended.commit)?;
        Ok(appended)
    }

    /// Takes `points` from what the tenant may send, ten seconds' worth at once.
    fn spend(&self, tenant: &str, points: usize) -> Result<(), StoreError> {
        let said = self.shared.stage.rules().limits(tenant).points_per_second;
        let max = said.unwrap_or(self.shared.limits.points_per_second_max);
        let rate = Rate {
            per_second: max,
            burst_seconds: 10,
        };
        let allowances = &self.shared.allowances;
        if allowances.spend(tenant, points as u64, rate, self.now_ms()) {
            Ok(())
        } else {
            Err(StoreError::Rate {
                max,
                protocol: self.shared.protocol,
            })
        }
    }
}

/// What is left of points to be appended.
fn left<'a>(points: &'a Points, refined: Option<&'a Refined>) -> &'a Batch {
    refined.map_or(points.batch(), |refined| &refined.batch)
}

/// How a body is compressed as its header says, where `snappy` is the form that the protocol means by that
/// word.
///
/// # Errors
/// [`StoreError::Encoding`] for what is not known here.
pub fn encoding_of(headers: &HeaderMap, snappy: Option<Encoding>) -> Result<Encoding, StoreError> {
    let said = headers.get(header::CONTENT_ENCODING);
    let said = said.map_or(&b""[..], |value| value.as_bytes());
    Ok(match said {
        b"" | b"identity" => Encoding::Identity,
        b"gzip" | b"x-gzip" => Encoding::Gzip,
        b"deflate" => Encoding::Deflate,
        b"zstd" => Encoding::Zstd,
        b"snappy" if let Some(snappy) = snappy => snappy,
        other => {
            let other = String::from_utf8_lossy(&other[..other.len().min(64)]);
            return Err(StoreError::Encoding(model::labels::quoted(&other)));
        }
    })
}

/// What became of points of which those that the pipeline left were appended.
fn stored(points: &Points, refined: Option<&Refined>, appended: &Appended) -> Stored {
    let mut refusals = points.refusals().clone();
    let mut refuse = |series, reason| {
        let shown = || shown_series(points.batch(), series);
        let point = points.origin(series);
        refusals.add(point, Some(series), Reason::Series(reason), shown);
    };
    for rejection in &appended.rejected {
        let series = refined.map_or(rejection.series, |refined| {
            refined.origins[rejection.series]
        });
        refuse(series, LabelReason::Head(rejection.reason));
    }
    for (series, reason) in refined.into_iter().flat_map(|refined| &refined.refused) {
        refuse(*series, *reason);
    }
    refusals.sort();
    Stored {
        points: appended.floats + appended.histograms,
        refusals,
    }
}

fn shown_series(batch: &Batch, series: usize) -> String {
    let series = batch.get(series);
    let labels: Vec<_> = Labels::iter_encoded(series.labels).collect();
    let mut text = shown_labels(&labels);
    if let Some(float) = series.floats.first() {
        text.push_str(&format!(" {} @ {}", float.v, float.t));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, NOW_MS, REFUSED_MS};
    use super::*;

    fn points(of: &[(&str, i64)]) -> Points {
        let mut points = Points::new();
        for (name, t_ms) in of {
            let mut labels = vec![("__name__", *name)];
            (points.add(&mut labels, *t_ms, 1.0, &LabelLimits::default())).unwrap();
        }
        points
    }

    #[test]
    fn refusals_name_points_as_they_came_though_rules_dropped_others() {
        let pipeline = Pipeline::of_text(
            "all:\n  before: [{action: drop, source_labels: [__name__], regex: a}]\n\
             \x20 limits: {label_value_bytes: 2}\n",
        );
        let bench = Bench::of("opentsdb", Limits::default(), pipeline);
        let points = points(&[("a", 1), ("b", REFUSED_MS), ("long", 2), ("c", 3)]);
        let stored = bench.sink.store("", &points).unwrap();
        assert_eq!(stored.points, 1);
        assert_eq!(bench.recorder.take(), [r#"|{__name__="c"} 1 @ 3"#]);
        let refused = stored.refusals.kept();
        let refused: Vec<_> = refused
            .iter()
            .map(|r| (r.point, r.series, &*r.shown))
            .collect();
        let shown_b = format!("{{__name__=\"b\"}} 1 @ {REFUSED_MS}");
        assert_eq!(
            refused,
            [
                (1, Some(1), &*shown_b),
                (2, Some(2), r#"{__name__="long"} 1 @ 2"#)
            ]
        );
        let figures = &bench.status.figures()["opentsdb"];
        assert_eq!(figures.dropped["before"], 1);
        assert_eq!(figures.refused["out_of_order"], 1);
        assert_eq!(figures.refused["label_value_too_long"], 1);
    }

    #[test]
    fn points_of_refused_requests_are_counted_by_reason() {
        let pipeline = Pipeline::of_text(
            "receivers: {opentsdb: {limits: {decompressed_bytes: 5B}, tenants: {slow: {points_per_second: 1}}}}",
        );
        let bench = Bench::of("opentsdb", Limits::default(), pipeline);
        let error = bench
            .sink
            .decompress("", &HeaderMap::new(), None, b"123456");
        assert!(error.unwrap_err().is_too_large());
        let many = points(&[("m", 1); 11]);
        bench.sink.store("slow", &many).unwrap();
        let error = bench.sink.store("slow", &many).unwrap_err();
        assert_eq!(
            error.to_string(),
            "more than 1 points a second (--opentsdb.points-per-second-max)"
        );
        *bench.recorder.failure.lock() = Some(ErrorKind::Unavailable);
        bench.sink.store("", &many).unwrap_err();
        let figures = &bench.status.figures()["opentsdb"];
        assert_eq!(figures.failures["body_too_large"], 1);
        assert_eq!(figures.refused["rate_limited"], 11);
        assert_eq!(figures.refused["not_stored"], 11);
        let recent = &bench.status.recent()[1];
        assert_eq!((recent.time_ms, &*recent.tenant), (NOW_MS, "slow"));
        assert_eq!(recent.point, r#"{__name__="m"} 1 @ 1"#);
    }
}
