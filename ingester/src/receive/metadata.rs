//! Metadata of metrics as writers send it, for the API to show.

use std::collections::BTreeMap;

use model::labels::{Labels, METRIC_NAME};
use model::{Metadata, MetricType};
use parking_lot::RwLock;
use tsdb::batch::Batch;

use super::decoded::FamilyMetadata;

/// Metrics whose metadata is kept; further ones are not.
const METRICS_MAX: usize = 200_000;

/// The newest metadata of each metric.
#[derive(Debug, Default)]
pub struct MetadataStore {
    by_metric: RwLock<BTreeMap<String, Metadata>>,
}

impl MetadataStore {
    /// Takes metadata that was sent apart from series.
    pub(super) fn record(&self, families: &[FamilyMetadata]) {
        for family in families {
            self.set(&family.family, &family.metadata);
        }
    }

    /// Takes metadata that was sent with series.
    pub(super) fn record_batch(&self, batch: &Batch) {
        if !batch.has_metadata() {
            return;
        }
        for series in batch.iter() {
            let Some(metadata) = series.metadata else {
                continue;
            };
            let mut labels = Labels::iter_encoded(series.labels);
            if let Some((_, metric)) = labels.find(|(name, _)| *name == METRIC_NAME) {
                self.set(family_of(metric, metadata.kind), metadata);
            }
        }
    }

    fn set(&self, metric: &str, metadata: &Metadata) {
        // Mostly nothing is new.
        if self.by_metric.read().get(metric) == Some(metadata) {
            return;
        }
        let mut by_metric = self.by_metric.write();
        if let Some(known) = by_metric.get_mut(metric) {
            known.clone_from(metadata);
        } else if by_metric.len() < METRICS_MAX {
            by_metric.insert(metric.to_owned(), metadata.clone());
        }
    }

    /// Metadata by metric, sorted: of `metric` alone when it is named, else of at most `limit`
    /// metrics, 0 for all.
    pub fn list(&self, metric: Option<&str>, limit: usize) -> Vec<(String, Metadata)> {
        let by_metric = self.by_metric.read();
        let owned = |(metric, metadata): (&String, &Metadata)| (metric.clone(), metadata.clone());
        match metric {
            Some(metric) => by_metric
                .get_key_value(metric)
                .map(owned)
                .into_iter()
                .collect(),
            None if limit > 0 => by_metric.iter().take(limit).map(owned).collect(),
            None => by_metric.iter().map(owned).collect(),
        }
    }
}

/// The family that a series belongs to: for histograms and summaries the name without what tells
/// their series apart.
fn family_of(metric: &str, kind: MetricType) -> &str {
    let suffixes: &[&str] = match kind {
        MetricType::Histogram | MetricType::GaugeHistogram => &["_bucket", "_count", "_sum"],
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    let stripped = suffixes
        .iter()
        .find_map(|suffix| metric.strip_suffix(suffix));
    stripped.unwrap_or(metric)
}
