//! The samples that are sent next: as many records as fit, renamed, filtered, and spread over
//! requests so that those of one series stay in one.

use std::io;

use model::relabel::{RelabelRule, relabel};
use model::{Labels, LabelsBuilder};
use tsdb::batch::{Batch, BatchSeries};

use super::figures::newest_ms;
use crate::config::SendConfig;
use crate::pipeline::push_series;
use crate::queue::record::RecordReader;
use crate::queue::{Position, Queue};

/// Samples of a window; more would only take longer to send again.
const SAMPLES_MAX: usize = 50_000;
/// Records of a window.
const RECORDS_MAX: usize = 2048;

/// How series are named for other systems.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    /// Labels that series get unless they have them.
    pub(super) external: Labels,
    /// The label that names tenants other than the default one.
    pub(super) tenant_label: String,
}

impl Naming {
    fn name(&self, tenant: &str, labels: &mut LabelsBuilder) {
        for (name, value) in &self.external {
            if labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
        if !tenant.is_empty() && labels.get(&self.tenant_label).is_none() {
            labels.set(&self.tenant_label, tenant);
        }
    }
}

/// Samples to be sent.
#[derive(Debug)]
pub(super) struct Window {
    /// Batches by shard: those of one shard are sent one after the other.
    pub(super) shards: Vec<Vec<Batch>>,
    /// The place behind it in the queue.
    pub(super) end: Position,
    /// Samples that are not sent: dropped by rules, or too old.
    pub(super) filtered: usize,
    /// Records that cannot be read.
    pub(super) damaged: usize,
    /// The time of the newest sample, of those that are not sent as well; none without samples.
    pub(super) newest_ms: Option<i64>,
}

/// What turns records into windows.
#[derive(Debug)]
pub(super) struct Windows<'a> {
    pub(super) naming: &'a Naming,
    pub(super) rules: &'a [RelabelRule],
    pub(super) send: &'a SendConfig,
}

impl Windows<'_> {
    /// The first window of the queue; nothing when that is empty. One that a killed run had on its way
    /// comes again as it was, with the same requests: who has a request refuses it as a whole, and
    /// with it what would have been added.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub(super) fn next(&self, queue: &Queue, now_ms: i64) -> io::Result<Option<Window>> {
        let per_request = self.send.samples_max;
        let wanted = per_request
            .saturating_mul(self.send.shards_max)
            .min(SAMPLES_MAX);
        let mut at = queue.front();
        let (mut all, mut filtered, mut damaged) = (Batch::new(), 0, 0);
        let mut newest = None;
        let mut reader = RecordReader::default();
        let given = queue.given();
        let end_before = (given > at).then_some(given);
        for _ in 0..RECORDS_MAX {
            if all.sample_count() >= wanted || end_before.is_some_and(|end| at >= end) {
                break;
            }
            let Some(entry) = queue.read(at)? else {
                break;
            };
            match reader.read(&entry.payload) {
                Ok((tenant, batch)) => {
                    newest = newest.max(newest_ms(batch));
                    filtered += self.add(tenant, batch, now_ms, &mut all);
                }
                Err(error) => {
                    tracing::error!(%error, "samples on their way are lost");
                    damaged += entry.samples as usize;
                }
            }
            at = entry.end;
        }
        if at == queue.front() {
            return Ok(None);
        }
        queue.give(at);
        let shards = all.sample_count().div_ceil(per_request);
        Ok(Some(Window {
            shards: split(&all, shards.clamp(1, self.send.shards_max), per_request),
            end: at,
            filtered,
            damaged,
            newest_ms: newest,
        }))
    }

    /// Adds the series of a batch as they are sent; returns the samples that are not.
    fn add(&self, tenant: &str, batch: &Batch, now_ms: i64, all: &mut Batch) -> usize {
        let mut builder = LabelsBuilder::new();
        let mut filtered = 0;
        let oldest = self
            .send
            .age_max_ms
            .map_or(i64::MIN, |max| now_ms.saturating_sub(max));
        for series in batch.iter() {
            let samples = series.floats.len() + series.histograms.len();
            builder.reset(&Labels::from_encoded(series.labels));
            self.naming.name(tenant, &mut builder);
            if !relabel(self.rules, &mut builder) {
                filtered += samples;
                continue;
            }
            let mut young: BatchSeries<'_> = series;
            let floats: Vec<_>;
            if series.floats.iter().any(|float| float.t < oldest) {
                floats = series
                    .floats
                    .iter()
                    .copied()
                    .filter(|f| f.t >= oldest)
                    .collect();
                young.floats = &floats;
            }
            filtered += series.floats.len() - young.floats.len();
            push_series(all, &builder.labels(), &young);
        }
        filtered
    }
}

/// Spreads series over shards by their labels, and cuts each shard into requests.
fn split(all: &Batch, shards: usize, per_request: usize) -> Vec<Vec<Batch>> {
    let mut split: Vec<Vec<Batch>> = vec![Vec::new(); shards];
    for series in all.iter() {
        let labels = Labels::from_encoded(series.labels);
        let shard = match shards {
            1 => 0,
            _ => (labels.stable_hash() % shards as u64) as usize,
        };
        let requests = &mut split[shard];
        if requests
            .last()
            .is_none_or(|last| last.sample_count() >= per_request)
        {
            requests.push(Batch::new());
        }
        let request = requests.last_mut().expect("there is one");
        push_series(request, &labels, &series);
    }
    split.retain(|requests| !requests.is_empty());
    split
}
