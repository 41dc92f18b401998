//! Series in memory, as scripts load them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::sample::is_stale;
use model::{CounterResetHint, FloatHistogram, Labels, TimeRange};

use crate::columns::{Samples, StepValue};
use crate::source::{SelectRequest, Series, SeriesSet, Source, SourceError};

/// A series of a `load` command: time and start timestamp (0 when not known) in milliseconds, value.
#[derive(Debug, Clone)]
pub struct LoadedSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its samples in order of time.
    pub samples: Vec<(i64, i64, StepValue)>,
}

/// Series in memory. Histograms come back with the counter reset hints that a TSDB gives them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    series: BTreeMap<Labels, Vec<(i64, i64, StepValue)>>,
}

impl MemoryStorage {
    /// A storage without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a series' samples; of two at one time the later loaded wins.
    pub fn append(&mut self, series: LoadedSeries) {
        let samples = self.series.entry(series.labels).or_default();
        for sample in series.samples {
            match samples.binary_search_by_key(&sample.0, |(t, ..)| *t) {
                Ok(i) => samples[i] = sample,
                Err(i) => samples.insert(i, sample),
            }
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.series.clear();
    }
}

impl Source for MemoryStorage {
    fn select(&self, request: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError> {
        let accepted = |labels: &Labels| {
            let value = |name: &str| labels.get(name).unwrap_or_default().to_owned();
            request.matchers.iter().all(|m| m.matches(&value(m.name())))
        };
        let series: Vec<_> = self
            .series
            .iter()
            .filter(|(labels, _)| accepted(labels))
            .map(|(labels, samples)| MemorySeries {
                labels: labels.clone(),
                samples: as_stored(samples),
            })
            .collect();
        Ok(Box::new(MemorySeriesSet(series.into_iter())))
    }
}

struct MemorySeriesSet(std::vec::IntoIter<MemorySeries>);

impl SeriesSet for MemorySeriesSet {
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        Ok(self.0.next().map(|s| Box::new(s) as Box<dyn Series>))
    }
}

struct MemorySeries {
    labels: Labels,
    samples: Vec<(i64, i64, StepValue)>,
}

impl Series for MemorySeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        for (t, start, value) in &self.samples {
            match value {
                _ if !range.contains(*t) => {}
                StepValue::Float(v) => out.push_float(*t, *v, *start),
                StepValue::Histogram(h) => out.push_hist(*t, Arc::clone(h), *start),
            }
        }
        Ok(())
    }
}

/// The samples with the hints that they would have after a trip through histogram chunks.
///
/// A chunk holds histograms of one layout without a reset between them, so a reader knows of all but
/// its first sample that no reset happened; of the first it knows nothing. Gauges keep their hint.
fn as_stored(samples: &[(i64, i64, StepValue)]) -> Vec<(i64, i64, StepValue)> {
    let mut previous: Option<&FloatHistogram> = None;
    samples
        .iter()
        .map(|(t, start, value)| {
            let stored = match value {
                StepValue::Float(v) => {
                    previous = None;
                    StepValue::Float(*v)
                }
                StepValue::Histogram(h) => {
                    let hint = stored_hint(previous, h);
                    previous = Some(h);
                    let mut stored = FloatHistogram::clone(h);
                    stored.counter_reset_hint = hint;
                    StepValue::Histogram(Arc::new(stored))
                }
            };
            (*t, *start, stored)
        })
        .collect()
}

fn stored_hint(previous: Option<&FloatHistogram>, h: &FloatHistogram) -> CounterResetHint {
    if h.counter_reset_hint == CounterResetHint::Gauge {
        return CounterResetHint::Gauge;
    }
    let continues = previous.is_some_and(|previous| {
        previous.counter_reset_hint != CounterResetHint::Gauge
            && h.counter_reset_hint != CounterResetHint::Reset
            && (is_stale(h.sum) || !is_stale(previous.sum) && in_one_chunk(previous, h))
    });
    if continues {
        CounterResetHint::NotReset
    } else {
        CounterResetHint::Unknown
    }
}

/// True when a chunk that ends with `previous` can take `h`.
fn in_one_chunk(previous: &FloatHistogram, h: &FloatHistogram) -> bool {
    previous.schema == h.schema
        && previous.zero_threshold == h.zero_threshold
        && previous.custom_values == h.custom_values
        && !h.detect_reset(previous)
}

#[cfg(test)]
mod tests {
    use model::matcher::Matcher;

    use super::*;
    use crate::source::Hints;

    #[test]
    fn selects_in_order_of_labels_and_reads_what_is_in_range() {
        let mut storage = MemoryStorage::new();
        for job in ["b", "a", "c"] {
            storage.append(LoadedSeries {
                labels: Labels::from_pairs([("__name__", "up"), ("job", job)]),
                samples: (0..5)
                    .map(|i| (i * 10, 0, StepValue::Float(i as f64)))
                    .collect(),
            });
        }
        let request = SelectRequest {
            stop: model::Stop::never(),
            matchers: vec![Matcher::not_equal("job", "c")],
            range: TimeRange::new(10, 30),
            hints: Hints::default(),
        };
        let mut set = storage.select(&request).unwrap();
        for job in ["a", "b"] {
            let mut series = set.next().unwrap().expect("two series match");
            assert_eq!(series.labels().get("job"), Some(job));
            let mut samples = Samples::default();
            series.read(request.range, &mut samples).unwrap();
            assert_eq!((samples.ts, samples.values), (vec![10, 20], vec![1.0, 2.0]));
        }
        assert!(set.next().unwrap().is_none());
    }
}
