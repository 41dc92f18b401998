//! Rules and limits applied to a batch.

use std::borrow::Cow;

use model::labels::METRIC_NAME;
use model::relabel::{RelabelRule, relabel};
use model::{Labels, LabelsBuilder};
use tsdb::batch::{Batch, BatchSeries, Reject};

use super::{Rules, Stage};
use crate::config::pipeline::SaidLimits;
use crate::protocols::names::Names;
use crate::receive::{LabelLimits, Reason, normalize};

/// Samples that rules dropped, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// By rules for points as they came.
    pub before: usize,
    /// By rules for series as they were to be stored.
    pub after: usize,
}

/// A batch after rules and limits.
#[derive(Debug, Default)]
pub struct Refined {
    /// What is left of it.
    pub batch: Batch,
    /// By series of what is left, its number in the batch as it came.
    pub origins: Vec<usize>,
    /// What rules dropped.
    pub dropped: Dropped,
    /// Series that exceed a limit, by number in the batch as it came.
    pub refused: Vec<(usize, Reason)>,
}

/// What is left of one series.
enum Fate {
    DroppedBefore,
    DroppedAfter,
    Refused(Reason),
    Kept,
}

impl Stage {
    /// True when rules look at points as their clients name them.
    pub(crate) fn has_rules_before(&self) -> bool {
        !self.rules().before.is_empty()
    }

    /// True when there is anything to apply to what `tenant` sends.
    pub fn applies(&self, tenant: &str) -> bool {
        self.rules().apply_to(tenant)
    }

    /// What is left of `batch`, which `tenant` sent, at the time `now_ms`; nothing when there is
    /// nothing to apply, and all of it is left. `names` is what becomes of metric names between the
    /// rules `before` and the limits.
    pub fn refine(
        &self,
        tenant: &str,
        batch: &Batch,
        names: Names,
        now_ms: i64,
    ) -> Option<Refined> {
        let rules = self.rules();
        if !rules.apply_to(tenant) && names == Names::Keep {
            return None;
        }
        let limits = rules.limits(tenant);
        let mut refined = Refined::default();
        let mut builder = LabelsBuilder::new();
        for (i, series) in batch.iter().enumerate() {
            let mut labels = Labels::from_encoded(series.labels);
            let fate = rules.apply(&mut labels, &mut builder, names, &label_limits(&limits));
            let samples = series.floats.len() + series.histograms.len();
            match fate {
                Fate::DroppedBefore => refined.dropped.before += samples,
                Fate::DroppedAfter => refined.dropped.after += samples,
                Fate::Refused(reason) => refined.refused.push((i, reason)),
                Fate::Kept if !self.admits(tenant, &labels, limits.series, now_ms) => {
                    let reason = Reason::Head(Reject::SeriesLimit);
                    refined.refused.push((i, reason));
                }
                Fate::Kept => {
                    push_series(&mut refined.batch, labels.iter(), &series);
                    refined.origins.push(i);
                }
            }
        }
        Some(refined)
    }

    fn admits(&self, tenant: &str, labels: &Labels, max: Option<u64>, now_ms: i64) -> bool {
        let Some(max) = max else {
            return true;
        };
        let mut series = self.series.lock();
        let of_tenant = match series.get_mut(tenant) {
            Some(of_tenant) => of_tenant,
            None => series.entry(tenant.to_owned()).or_default(),
        };
        of_tenant.admits(labels.stable_hash(), max, now_ms)
    }
}

impl Rules {
    fn apply_to(&self, tenant: &str) -> bool {
        let limits = self.limits(tenant);
        let has_limits = limits.labels.is_some()
            || limits.label_name_bytes.is_some()
            || limits.label_value_bytes.is_some()
            || limits.series.is_some();
        !self.before.is_empty() || !self.after.is_empty() || has_limits
    }

    fn apply(
        &self,
        labels: &mut Labels,
        builder: &mut LabelsBuilder,
        names: Names,
        limits: &LabelLimits,
    ) -> Fate {
        if !apply(&self.before, labels, builder) {
            return Fate::DroppedBefore;
        }
        if let Cow::Owned(name) = names.metric(labels.metric_name()) {
            builder.reset(labels).set(METRIC_NAME, &name);
            *labels = builder.labels();
        }
        let mut pairs: Vec<_> = labels.iter().collect();
        if let Err(reason) = normalize(&mut pairs, limits) {
            return Fate::Refused(reason);
        }
        if !apply(&self.after, labels, builder) {
            return Fate::DroppedAfter;
        }
        match labels.metric_name() {
            "" => Fate::Refused(Reason::NoMetricName),
            _ => Fate::Kept,
        }
    }
}

/// Applies `rules`; false when they drop the series.
fn apply(rules: &[RelabelRule], labels: &mut Labels, builder: &mut LabelsBuilder) -> bool {
    if rules.is_empty() {
        return true;
    }
    builder.reset(labels);
    let is_kept = relabel(rules, builder);
    *labels = builder.labels();
    is_kept
}

/// What labels may be like; the receiver's own limits were applied before.
fn label_limits(said: &SaidLimits) -> LabelLimits {
    let bound = |said: Option<u64>| {
        let max = said.and_then(|max| usize::try_from(max).ok());
        max.unwrap_or(usize::MAX)
    };
    LabelLimits {
        count_max: bound(said.labels),
        name_bytes_max: bound(said.label_name_bytes),
        value_bytes_max: bound(said.label_value_bytes),
    }
}

/// Adds a series with these labels and the values of `values`.
pub(crate) fn push_series<'l>(
    batch: &mut Batch,
    labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    values: &BatchSeries<'_>,
) {
    batch.series(labels);
    for float in values.floats {
        batch.float(float.t, float.v);
    }
    for histogram in values.histograms {
        batch.histogram(histogram.clone());
    }
    for exemplar in values.exemplars {
        batch.exemplar(exemplar.clone());
    }
    if let Some(metadata) = values.metadata {
        batch.metadata(metadata.clone());
    }
}
