//! From a body to a durable write, whichever protocol it came by.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use proto::prometheus::TimeSeries;
use runtime::metrics::{Collect, Exposition};
use runtime::{Clock, Environment};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tsdb::batch::{Appended, Batch, CommitPoint, Reject, Rejection};

use super::body::{self, Encoding};
use super::counters::Counters;
use super::decoded::{DecodeOptions, Decoded, Message, shown_encoded};
use super::error::ReceiveError;
use super::in_force::{InForce, Limits, TenantOptions};
use super::known::Known;
use super::limits::LimitsFile;
use super::metadata::MetadataStore;
use super::outcome::{Outcome, Reason};
use super::tenant::TenantSettings;
use super::{message, v1, v2};
use crate::append::Appender;
use crate::pipeline::{Refined, Stage};
use crate::protocols::names::Names;
use crate::protocols::status::ReceiverStatus;
use crate::storage::SeriesLimits;

/// Bytes of a buffer that is kept for the next request.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// Workspaces that are kept.
const KEPT_MAX: usize = 16;
/// Who says how large a tenant's requests may be.
const SIZE_LIMIT: &str = "size_bytes_limit of --receive.limits-config-file";
/// How long a request waits for its place.
const QUEUE_TIME_MAX: Duration = Duration::from_secs(10);

/// How writes are received.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How requests are taken apart, where the limits say nothing else.
    pub decode: DecodeOptions,
    /// Bytes of a request when decompressed.
    pub bytes_max: usize,
    /// How requests name their tenant.
    pub tenants: TenantSettings,
    /// Limits by tenant.
    pub limits: LimitsFile,
    /// The file that they are from, which is read again when it changes.
    pub limits_file: Option<(PathBuf, Environment)>,
}

/// Version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// Memory for one request.
#[derive(Debug, Default)]
struct Workspace {
    bytes: Vec<u8>,
    decoded: Decoded,
    /// Series that the head has forgotten, once more with their labels.
    forgotten: Decoded,
}

/// A decoded request on its way to its tenants.
#[derive(Debug)]
struct Write<'a> {
    tenant: &'a str,
    decoded: &'a Decoded,
    /// Where messages of `decoded` are; empty when there are none.
    bytes: &'a [u8],
    options: &'a DecodeOptions,
    /// True when the pipeline looks at the labels of its series.
    is_refined: bool,
}

/// What became of it so far.
#[derive(Debug, Default)]
struct Written {
    outcome: Outcome,
    /// Until where the log of each tenant must be durable.
    commits: Vec<(String, CommitPoint)>,
}

/// Receives writes. Shared by all the protocols.
pub struct Receiver {
    appender: Arc<dyn Appender>,
    tenants: TenantSettings,
    bytes_max: usize,
    limits: Limits,
    counters: Counters,
    metadata: Arc<MetadataStore>,
    /// By tenant, the series that writers named before. References of a tenant's head stay good as
    /// long as the process runs.
    known: RwLock<HashMap<String, Arc<RwLock<Known>>>>,
    workspaces: Mutex<Vec<Workspace>>,
    pipeline: Option<PipelineEnd>,
}

/// What the pipeline does with writes, and where they are counted with those of other receivers.
struct PipelineEnd {
    stage: Stage,
    status: ReceiverStatus,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("tenants", &self.tenants)
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}

impl Collect for Receiver {
    fn collect(&self, out: &mut Exposition) {
        self.counters.collect(out);
        self.limits.collect(out);
    }
}

impl Receiver {
    /// One that writes to `appender`.
    pub fn new(appender: Arc<dyn Appender>, settings: Settings) -> Self {
        let Settings {
            decode,
            bytes_max,
            tenants,
            limits,
            limits_file,
        } = settings;
        Self {
            appender,
            tenants,
            bytes_max,
            limits: Limits::new(limits, limits_file, &decode),
            counters: Counters::default(),
            metadata: Arc::default(),
            known: RwLock::default(),
            workspaces: Mutex::default(),
            pipeline: None,
        }
    }

    /// Has writes go through a stage of the pipeline, and counts them there.
    #[must_use]
    pub(crate) fn with_pipeline(
        mut self,
        stage: Stage,
        status: ReceiverStatus,
        clock: Arc<dyn Clock>,
    ) -> Self {
        self.pipeline = Some(PipelineEnd {
            stage,
            status,
            clock,
        });
        self
    }

    /// How requests name their tenant.
    pub fn tenants(&self) -> &TenantSettings {
        &self.tenants
    }

    /// Most series of heads, as the limits of now say; `unsaid` where they say nothing.
    pub fn head_series_limits(&self, unsaid: usize) -> SeriesLimits {
        self.limits.now().head_series(unsaid)
    }

    /// Metadata that writers sent.
    pub fn metadata(&self) -> &Arc<MetadataStore> {
        &self.metadata
    }

    /// Writes a request; what is said to be written is durable.
    ///
    /// # Errors
    /// [`ReceiveError`] when it was refused as a whole. Where its kind is `Unavailable` a part may
    /// be written all the same; sending it again does no harm.
    pub fn write(
        &self,
        tenant: &str,
        version: Version,
        encoding: Encoding,
        body: &[u8],
    ) -> Result<Outcome, ReceiveError> {
        let limits = self.limits.now();
        let options = limits.of(self.named(tenant));
        self.counted(&limits, |workspace| {
            check_size(body.len(), options)?;
            let (max, flag) = match options.bytes_max {
                Some(max) if max < self.bytes_max => (max, SIZE_LIMIT),
                _ => (self.bytes_max, "--receive.decompressed-bytes-max"),
            };
            let Workspace {
                bytes,
                decoded,
                forgotten,
            } = workspace;
            let decompressed = body::decompress(encoding, body, max, bytes);
            decompressed.map_err(|error| ReceiveError::of_body(error, flag))?;
            let known = self.known(tenant);
            let is_refined = self.is_refined(tenant);
            match version {
                Version::V1 if is_refined => v1::decode(bytes, &options.decode, decoded)?,
                Version::V1 => v1::decode_known(bytes, &options.decode, &known.read(), decoded)?,
                Version::V2 => v2::decode(bytes, &options.decode, decoded)?,
            }
            let write = Write {
                tenant,
                decoded,
                bytes,
                options: &options.decode,
                is_refined,
            };
            self.append(&write, &known, forgotten)
        })
    }

    /// Writes series that were decoded already.
    ///
    /// # Errors
    /// As [`Receiver::write`].
    pub fn write_series(
        &self,
        tenant: &str,
        series: &[TimeSeries],
    ) -> Result<Outcome, ReceiveError> {
        let limits = self.limits.now();
        let options = limits.of(self.named(tenant));
        self.counted(&limits, |workspace| {
            let Workspace {
                decoded, forgotten, ..
            } = workspace;
            message::fill(series, &options.decode, decoded)?;
            let is_refined = self.is_refined(tenant);
            let write = Write {
                tenant,
                decoded,
                bytes: &[],
                options: &options.decode,
                is_refined,
            };
            self.append(&write, &Arc::default(), forgotten)
        })
    }

    /// The name of a tenant, also of the default one.
    fn named<'a>(&'a self, tenant: &'a str) -> &'a str {
        match tenant.is_empty() {
            true => &self.tenants.default,
            false => tenant,
        }
    }

    /// Counts the answer to a request over HTTP.
    pub fn answered(&self, tenant: &str, status: u16, outcome: &Outcome) {
        self.counters.answered(self.named(tenant), status, outcome);
    }

    /// Does `work` in a workspace and in its turn, and counts what became of it.
    fn counted(
        &self,
        limits: &InForce,
        work: impl FnOnce(&mut Workspace) -> Result<Outcome, ReceiveError>,
    ) -> Result<Outcome, ReceiveError> {
        self.counters.begun();
        let result = place(limits).and_then(|place| {
            let mut workspace = self.workspaces.lock().pop().unwrap_or_default();
            let result = work(&mut workspace);
            let mut kept = self.workspaces.lock();
            if kept.len() < KEPT_MAX && workspace.bytes.capacity() <= KEPT_BYTES_MAX {
                kept.push(workspace);
            }
            drop(place);
            result
        });
        match &result {
            Ok(outcome) => self.counters.wrote(outcome),
            Err(_) => self.counters.failed(),
        }
        if let Some(end) = &self.pipeline
            && result.is_err()
        {
            end.status.failed();
        }
        result
    }

    /// The series that writers of a tenant named before.
    fn known(&self, tenant: &str) -> Arc<RwLock<Known>> {
        let known = self.known.read().get(tenant).map(Arc::clone);
        known.unwrap_or_default()
    }

    /// Appends a request and waits until it is durable.
    fn append(
        &self,
        write: &Write<'_>,
        known: &Arc<RwLock<Known>>,
        forgotten: &mut Decoded,
    ) -> Result<Outcome, ReceiveError> {
        let mut written = Written::default();
        written.outcome.refusals.clone_from(&write.decoded.refusals);
        (written.outcome.series, written.outcome.samples) = write.decoded.counts();
        let own = self.append_batches(write, &mut written)?;
        if let Some(own) = own {
            let mut lost: Vec<_> = (own.rejected.iter())
                .filter_map(|rejection| lost(write.decoded, rejection))
                .collect();
            self.learn(write, &own, known);
            if !lost.is_empty() {
                lost.dedup_by_key(|message| message.all().start);
                v1::decode_some(write.bytes, lost.into_iter(), write.options, forgotten)?;
                let again = Write {
                    decoded: forgotten,
                    ..*write
                };
                if let Some(own) = self.append_batches(&again, &mut written)? {
                    self.learn(&again, &own, known);
                }
            }
        }
        for (tenant, at) in written.commits {
            self.appender.commit(&tenant, at)?;
        }
        self.metadata.record(&write.decoded.metadata);
        if let Some(end) = &self.pipeline {
            end.status
                .wrote(end.clock.now_ms(), write.tenant, &written.outcome);
        }
        Ok(written.outcome)
    }

    /// Appends the batches of each tenant, and returns what became of that of the tenant that the
    /// request is for.
    fn append_batches(
        &self,
        write: &Write<'_>,
        written: &mut Written,
    ) -> Result<Option<Appended>, ReceiveError> {
        let mut own = None;
        for (named, batch) in write.decoded.batches() {
            let tenant = match named {
                Some(name) => self.tenants.canonical(name)?,
                None => write.tenant,
            };
            let refined = if named.is_some() || write.is_refined {
                self.refine(tenant, batch, &mut written.outcome)
            } else {
                None
            };
            let batch = refined.as_ref().map_or(batch, |refined| &refined.batch);
            let appended = self.appender.append(tenant, batch)?;
            let outcome = &mut written.outcome;
            outcome.floats += appended.floats;
            outcome.histograms += appended.histograms;
            outcome.exemplars += appended.exemplars;
            for rejection in &appended.rejected {
                let decoded = named.is_none().then_some(write.decoded);
                if decoded.and_then(|own| lost(own, rejection)).is_some() {
                    // Comes again, with its labels.
                    continue;
                }
                let message = decoded.and_then(|own| own.message(rejection.series));
                outcome.refusals.add(Reason::Head(rejection.reason), 1, || {
                    let labels = match message {
                        Some(at) => v1::shown(&write.bytes[at.all()], write.options),
                        None => shown_encoded(batch.get(rejection.series).labels),
                    };
                    let limit = self.appender.limit(tenant, rejection.reason);
                    format!("{labels} at {}{limit}", rejection.t)
                });
            }
            self.metadata.record_batch(batch);
            written.commits.push((tenant.to_owned(), appended.commit));
            if named.is_none() {
                own = Some(appended);
            }
        }
        Ok(own)
    }

    /// True when the pipeline has anything to say about what a tenant sends, or the storage passes
    /// it on with its labels.
    fn is_refined(&self, tenant: &str) -> bool {
        let end = self.pipeline.as_ref();
        end.is_some_and(|end| end.stage.applies(tenant)) || self.appender.needs_labels()
    }

    /// What the pipeline leaves of a batch, where it has anything to say about it.
    fn refine(&self, tenant: &str, batch: &Batch, outcome: &mut Outcome) -> Option<Refined> {
        let end = self.pipeline.as_ref()?;
        let refined = end
            .stage
            .refine(tenant, batch, Names::Keep, end.clock.now_ms())?;
        for (series, reason) in &refined.refused {
            let series = batch.get(*series);
            let samples = series.floats.len() + series.histograms.len();
            let shown = || shown_encoded(series.labels);
            outcome.refusals.add(*reason, samples, shown);
        }
        end.status.dropped(refined.dropped);
        Some(refined)
    }

    /// Remembers the series that were not known.
    fn learn(&self, write: &Write<'_>, own: &Appended, known: &Arc<RwLock<Known>>) {
        if !write.decoded.has_news() {
            return;
        }
        let mut series = known.write();
        (write.decoded).teach(write.bytes, &own.series, &mut series);
        series.sweep_if_due(Instant::now());
        drop(series);
        // The tenant is one that can be, for the head took something.
        if !self.known.read().contains_key(write.tenant) {
            let mut all = self.known.write();
            all.entry(write.tenant.to_owned())
                .or_insert_with(|| Arc::clone(known));
        }
    }
}

/// Waits for a place for a request.
fn place(limits: &InForce) -> Result<Option<OwnedSemaphorePermit>, ReceiveError> {
    let Some((places, max)) = &limits.places else {
        return Ok(None);
    };
    let waiting = Arc::clone(places).acquire_owned();
    match Handle::current().block_on(timeout(QUEUE_TIME_MAX, waiting)) {
        Ok(Ok(place)) => Ok(Some(place)),
        Ok(Err(_)) | Err(_) => Err(ReceiveError::Busy { max: *max }),
    }
}

/// Where the series of a sample is that was refused because the head has forgotten the series.
fn lost(decoded: &Decoded, rejection: &Rejection) -> Option<Message> {
    let message = decoded.message(rejection.series)?;
    (message.is_known && rejection.reason == Reject::UnknownSeries).then_some(message)
}

fn check_size(bytes: usize, options: &TenantOptions) -> Result<(), ReceiveError> {
    match options.bytes_max {
        Some(max) if bytes > max => Err(ReceiveError::TooLarge {
            bytes,
            max,
            flag: SIZE_LIMIT,
        }),
        _ => Ok(()),
    }
}
