//! Native histograms with custom buckets from the classic histograms of a `load_with_nhcb`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Value;
use model::histogram::ClassicHistogram;
use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder};

use super::storage::LoadedSeries;
use crate::columns::StepValue;

/// What a classic histogram's series holds, by the suffix of its name.
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

/// The labels of the histogram that `labels` is a part of, and which part; `None` for other series.
fn part_of(labels: &Labels) -> Option<(Labels, Part)> {
    let name = labels.metric_name();
    let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
        let bound: f64 = labels.get("le")?.parse().ok()?;
        (base, Part::Bucket(bound))
    } else if let Some(base) = name.strip_suffix("_count") {
        (base, Part::Count)
    } else {
        (name.strip_suffix("_sum")?, Part::Sum)
    };
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.set(METRIC_NAME, base).delete("le");
    Some((builder.labels(), part))
}

/// The histograms that the classic ones among `series` make, each at the times of its parts.
///
/// # Errors
/// When the parts of a histogram contradict each other.
pub(super) fn derive(series: &[LoadedSeries]) -> Result<Vec<LoadedSeries>, String> {
    let mut histograms: BTreeMap<Labels, BTreeMap<i64, ClassicHistogram>> = BTreeMap::new();
    for loaded in series {
        let Some((labels, part)) = part_of(&loaded.labels) else {
            continue;
        };
        let by_time = histograms.entry(labels).or_default();
        for (t, _, value) in &loaded.samples {
            let StepValue::Float(v) = value else { continue };
            let histogram = by_time.entry(*t).or_default();
            match part {
                Part::Bucket(bound) => histogram.add_bucket(bound, *v),
                Part::Count => histogram.set_count(*v),
                Part::Sum => histogram.set_sum(*v),
            }
        }
    }
    histograms
        .into_iter()
        .map(|(labels, by_time)| {
            let samples = by_time
                .into_iter()
                .map(|(t, mut classic)| {
                    let histogram = match classic.convert().map_err(|e| e.to_string())? {
                        Value::Histogram(h) => h.to_float(),
                        Value::FloatHistogram(h) => *h,
                        Value::Float(_) => return Err("a histogram became a float".to_owned()),
                    };
                    Ok((t, 0, StepValue::Histogram(Arc::new(histogram))))
                })
                .collect::<Result<_, String>>()?;
            Ok(LoadedSeries { labels, samples })
        })
        .collect()
}
