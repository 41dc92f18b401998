//! From decoded points to a durable write, for every protocol alike.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use model::{ErrorKind, Labels};
use parking_lot::Mutex;
use runtime::Clock;
use runtime::http::{HeaderMap, header};
use tsdb::batch::{Batch, WriteError};

use super::points::{Points, Reason, Refusals, shown_labels};
use super::status::{ReceiverStatus, Status};
use crate::append::Appender;
use crate::receive::{
    BodyError, Encoding, InvalidTenant, LabelLimits, Reason as LabelReason, TenantSettings,
    decompress,
};

/// Tenants whose rate is kept apart; further ones share what is left of the map's oldest state.
const TENANTS_MAX: usize = 10_000;

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
    #[error("more than {max} points a second")]
    Rate {
        /// Points a second that are allowed.
        max: u64,
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

/// Points that a tenant may still send.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    points: f64,
    as_of_ms: i64,
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
    status: ReceiverStatus,
    allowances: Mutex<HashMap<String, Allowance>>,
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
            status: to.status.of(protocol),
            allowances: Mutex::default(),
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
        Ok(self.shared.tenants.of_headers(headers)?)
    }

    /// Decompresses a body as its header says, where `snappy` is the form that the protocol means
    /// by that word.
    ///
    /// # Errors
    /// [`StoreError::Encoding`] and [`StoreError::Body`].
    pub fn decompress(
        &self,
        headers: &HeaderMap,
        snappy: Option<Encoding>,
        body: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let said = headers.get(header::CONTENT_ENCODING);
        let said = said.map_or(&b""[..], |value| value.as_bytes());
        let encoding = match said {
            b"" | b"identity" => Encoding::Identity,
            b"gzip" | b"x-gzip" => Encoding::Gzip,
            b"deflate" => Encoding::Deflate,
            b"zstd" => Encoding::Zstd,
            b"snappy" if let Some(snappy) = snappy => snappy,
            other => {
                let other = String::from_utf8_lossy(&other[..other.len().min(64)]);
                return Err(StoreError::Encoding(model::labels::quoted(&other)));
            }
        };
        let mut out = Vec::new();
        let max = self.shared.limits.decompressed_bytes_max;
        decompress(encoding, body, max, &mut out)?;
        Ok(out)
    }

    /// Counts a request that was refused as a whole.
    pub fn failed(&self) {
        self.shared.status.failed();
    }

    /// Stores points; what is said to be stored is durable.
    ///
    /// # Errors
    /// [`StoreError::Rate`], and [`StoreError::Write`] when nothing of it, or not all of it for
    /// sure, is durable. It is counted as a failed request then.
    pub fn store(&self, tenant: &str, points: &Points) -> Result<Stored, StoreError> {
        let result = self.try_store(tenant, points);
        match &result {
            Ok(stored) => {
                let now_ms = self.now_ms();
                let status = &self.shared.status;
                status.stored(now_ms, tenant, stored.points, &stored.refusals);
            }
            Err(_) => self.failed(),
        }
        result
    }

    fn try_store(&self, tenant: &str, points: &Points) -> Result<Stored, StoreError> {
        let batch = points.batch();
        let mut stored = Stored {
            points: 0,
            refusals: points.refusals().clone(),
        };
        if batch.is_empty() {
            return Ok(stored);
        }
        self.spend(tenant, batch.sample_count())?;
        let appended = self.shared.appender.append(tenant, batch)?;
        self.shared.appender.commit(tenant, appended.commit)?;
        stored.points = appended.floats + appended.histograms;
        for rejection in &appended.rejected {
            let (series, reason) = (rejection.series, LabelReason::Head(rejection.reason));
            let point = points.origin(series);
            let shown = || shown_series(batch, series);
            (stored.refusals).add(point, Some(series), Reason::Series(reason), shown);
        }
        stored.refusals.sort();
        Ok(stored)
    }

    /// Takes `points` from what the tenant may send.
    fn spend(&self, tenant: &str, points: usize) -> Result<(), StoreError> {
        let max = self.shared.limits.points_per_second_max;
        if max == 0 {
            return Ok(());
        }
        let now_ms = self.now_ms();
        let full = max as f64 * 10.0;
        let mut allowances = self.shared.allowances.lock();
        if allowances.len() >= TENANTS_MAX && !allowances.contains_key(tenant) {
            // Those who were silent for ten seconds have a full allowance, which is no state.
            allowances.retain(|_, allowance| now_ms - allowance.as_of_ms < 10_000);
        }
        let known = allowances.get(tenant).copied();
        let mut allowance = known.unwrap_or(Allowance {
            points: full,
            as_of_ms: now_ms,
        });
        let elapsed_ms = (now_ms - allowance.as_of_ms).max(0) as f64;
        allowance.points = (allowance.points + elapsed_ms / 1000.0 * max as f64).min(full);
        allowance.as_of_ms = now_ms;
        // A request may overdraw, or one larger than the whole allowance could never be sent.
        let allowed = allowance.points > 0.0;
        if allowed {
            allowance.points -= points as f64;
        }
        allowances.insert(tenant.to_owned(), allowance);
        if allowed {
            Ok(())
        } else {
            Err(StoreError::Rate { max })
        }
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
