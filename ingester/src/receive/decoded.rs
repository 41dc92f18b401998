//! What a decoder fills: batches by tenant, and what it refused.

use std::ops::Range;
use std::sync::Arc;

use model::relabel::{RelabelRule, relabel};
use model::{Labels, LabelsBuilder, Metadata};
use tsdb::batch::{Batch, SeriesRef};

use super::known::Known;
use super::labels::{LabelLimits, normalize};
use super::outcome::{Reason, Refusals};
use super::wire::DecodeError;
use crate::storage::tenant_name;

/// Bytes of a series' labels that an error shows.
const SHOWN_BYTES: usize = 512;
/// Batches that are kept for the next request.
const BATCHES_KEPT: usize = 4;

/// What a request may hold, and how it is taken apart.
#[derive(Debug, Clone, Default)]
pub struct DecodeOptions {
    /// What labels may be like.
    pub labels: LabelLimits,
    /// Series of a request; 0 for any number.
    pub series_max: usize,
    /// Samples of a request; 0 for any number.
    pub samples_max: usize,
    /// The label that names a series' tenant, and is removed from it.
    pub split_tenant_label: Option<String>,
    /// Rules for the labels of series; those that they drop are not taken, which is no refusal.
    pub relabel: Arc<[RelabelRule]>,
    /// Where messages say since when a series counts, it has a zero then.
    pub zeros: bool,
}

/// Metadata of a metric, as remote write 1.0 sends it apart from series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyMetadata {
    /// Name of the metric family.
    pub family: String,
    /// What is known of it.
    pub metadata: Metadata,
}

/// Where a series is in its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    start: u32,
    labels_end: u32,
    end: u32,
    /// True when its series was named before.
    pub(super) is_known: bool,
}

impl Message {
    /// The message at `range`, which begins with the labels up to `labels_end`. In requests of more
    /// than 4 GiB messages are not told of.
    #[inline]
    pub(super) const fn new(range: &Range<usize>, labels_end: usize, is_known: bool) -> Self {
        Self {
            is_known,
            start: range.start as u32,
            labels_end: labels_end as u32,
            end: range.end as u32,
        }
    }

    /// All of it.
    pub(super) const fn all(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Its labels.
    pub(super) const fn labels(self) -> Range<usize> {
        self.start as usize..self.labels_end as usize
    }
}

/// A decoded request. Made once and cleared between requests, so that it allocates little.
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    /// Samples of the tenant that the request is for.
    batch: Batch,
    /// Where the series of that batch are, when they are looked for among known ones.
    messages: Vec<Option<Message>>,
    /// Samples of tenants that series name themselves. Only the first `others_used` count.
    others: Vec<(String, Batch)>,
    others_used: usize,
    current: Option<usize>,
    series: usize,
    samples: usize,
    /// What was refused.
    pub refusals: Refusals,
    /// Metadata of metrics.
    pub metadata: Vec<FamilyMetadata>,
}

impl Decoded {
    /// One without anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.messages.clear();
        self.others.truncate(BATCHES_KEPT);
        for (_, batch) in &mut self.others {
            batch.clear();
        }
        self.others_used = 0;
        self.current = None;
        self.series = 0;
        self.samples = 0;
        self.refusals.clear();
        self.metadata.clear();
    }

    /// The batches with their tenants; `None` for the tenant that the request is for.
    pub fn batches(&self) -> impl Iterator<Item = (Option<&str>, &Batch)> {
        let others = self.others[..self.others_used].iter();
        let others = others.map(|(tenant, batch)| (Some(tenant.as_str()), batch));
        let all = std::iter::once((None, &self.batch)).chain(others);
        all.filter(|(_, batch)| !batch.is_empty())
    }

    /// Where series number `i` of the batch of the tenant that the request is for is in the request,
    /// if that is known.
    pub(super) fn message(&self, i: usize) -> Option<Message> {
        self.messages.get(i).copied().flatten()
    }

    /// True when the batch of the tenant that the request is for has a series that can be learned.
    pub fn has_news(&self) -> bool {
        let mut messages = self.messages.iter().flatten();
        messages.any(|message| !message.is_known)
    }

    /// Remembers the series of that batch that were not known. `bytes` is the request, and `series`
    /// what a head calls the series of the batch.
    pub fn teach(&self, bytes: &[u8], series: &[Option<SeriesRef>], known: &mut Known) {
        for (message, series) in self.messages.iter().zip(series) {
            if let (Some(message), Some(series)) = (message, series)
                && !message.is_known
            {
                known.learn(&bytes[message.labels()], *series);
            }
        }
    }

    /// The batch of the tenant that the request is for.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Series met, refused ones included.
    pub fn series_count(&self) -> usize {
        self.series
    }

    /// Samples met, refused ones included.
    pub fn sample_count(&self) -> usize {
        self.samples
    }

    /// How many series and samples the request has.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.series, self.samples)
    }

    /// Counts a series of `samples` against the limits.
    pub(super) fn count(
        &mut self,
        samples: usize,
        options: &DecodeOptions,
    ) -> Result<(), DecodeError> {
        self.series += 1;
        self.samples += samples;
        if options.series_max > 0 && self.series > options.series_max {
            return Err(DecodeError::TooManySeries {
                found: self.series,
                max: options.series_max,
            });
        }
        if options.samples_max > 0 && self.samples > options.samples_max {
            return Err(DecodeError::TooManySamples {
                found: self.samples,
                max: options.samples_max,
            });
        }
        Ok(())
    }

    /// Begins a series with these labels, which is at `message` where that matters, and returns the
    /// batch that takes its samples; nothing when it is refused, which is counted.
    pub(super) fn begin(
        &mut self,
        labels: &mut Vec<(&str, &str)>,
        samples: usize,
        options: &DecodeOptions,
        message: Option<Message>,
    ) -> Option<&mut Batch> {
        if !self.are_taken(labels, samples, options) {
            return None;
        }
        if options.relabel.is_empty() {
            return self.place(labels, samples, options, message);
        }
        let mut builder = LabelsBuilder::new();
        for (name, value) in labels.iter() {
            builder.set(name, value);
        }
        if !relabel(&options.relabel, &mut builder) {
            return None;
        }
        let relabelled = builder.labels();
        let mut labels: Vec<_> = relabelled.iter().collect();
        if !self.are_taken(&mut labels, samples, options) {
            return None;
        }
        self.place(&mut labels, samples, options, message)
    }

    /// Brings labels into the order of a series; false, and counted, when they cannot be those of one.
    fn are_taken(
        &mut self,
        labels: &mut Vec<(&str, &str)>,
        samples: usize,
        options: &DecodeOptions,
    ) -> bool {
        let normal = normalize(labels, &options.labels);
        normal
            .map_err(|reason| self.refuse_labels(reason, samples, labels, &options.labels))
            .is_ok()
    }

    /// Begins a series in the batch of its tenant.
    fn place(
        &mut self,
        labels: &mut Vec<(&str, &str)>,
        samples: usize,
        options: &DecodeOptions,
        message: Option<Message>,
    ) -> Option<&mut Batch> {
        let mut of_tenant = None;
        if let Some(split) = &options.split_tenant_label
            && let Some(at) = labels.iter().position(|(name, _)| name == split)
        {
            let (_, name) = labels.remove(at);
            if tenant_name::check(name).is_err() {
                self.refuse(Reason::InvalidTenant, samples, labels);
                return None;
            }
            of_tenant = Some(self.place_of(name));
        }
        let batch = match of_tenant {
            Some(place) => &mut self.others[place].1,
            None => {
                self.messages.push(message);
                &mut self.batch
            }
        };
        batch.series(labels.iter().copied());
        Some(batch)
    }

    /// Begins a series that was named before, and returns the batch that takes its samples.
    #[inline]
    pub(super) fn begin_known(&mut self, series: SeriesRef, message: Message) -> &mut Batch {
        self.messages.push(Some(message));
        self.batch.only_known(series);
        &mut self.batch
    }

    /// The place of a tenant's batch.
    fn place_of(&mut self, tenant: &str) -> usize {
        // Neighbours are mostly of one tenant.
        if let Some(place) = self.current
            && self.others[place].0 == tenant
        {
            return place;
        }
        let used = &self.others[..self.others_used];
        let place = used.iter().position(|(name, _)| name == tenant);
        let place = place.unwrap_or_else(|| {
            let place = self.others_used;
            self.others_used += 1;
            match self.others.get_mut(place) {
                Some((name, _)) => tenant.clone_into(name),
                None => self.others.push((tenant.to_owned(), Batch::new())),
            }
            place
        });
        self.current = Some(place);
        place
    }

    /// Counts a series that is refused for labels beyond these limits, or otherwise wrong.
    #[cold]
    fn refuse_labels(
        &mut self,
        reason: Reason,
        samples: usize,
        labels: &[(&str, &str)],
        limits: &LabelLimits,
    ) {
        self.refusals
            .add(reason, samples, || shown_within(labels, limits));
    }

    /// Counts a series that is refused.
    #[cold]
    pub(super) fn refuse(&mut self, reason: Reason, samples: usize, labels: &[(&str, &str)]) {
        self.refusals.add(reason, samples, || shown(labels));
    }
}

/// Labels as an error shows them, cut when they are long, with what they have too much of.
pub(crate) fn shown_within(labels: &[(&str, &str)], limits: &LabelLimits) -> String {
    shown(labels) + &limits.excess(labels)
}

/// Labels as an error shows them, cut when they are long.
fn shown(labels: &[(&str, &str)]) -> String {
    let mut text = String::from("series {");
    for (i, (name, value)) in labels.iter().enumerate() {
        if text.len() > SHOWN_BYTES {
            text.push_str(", ...");
            break;
        }
        if i > 0 {
            text.push_str(", ");
        }
        text.push_str(cut(name));
        text.push('=');
        model::labels::quote_into(&mut text, cut(value));
    }
    text.push('}');
    text
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES / 4)]
}

/// The labels of a series of a batch as an error shows them.
pub(super) fn shown_encoded(encoded: &str) -> String {
    let labels: Vec<_> = Labels::iter_encoded(encoded).collect();
    shown(&labels)
}
