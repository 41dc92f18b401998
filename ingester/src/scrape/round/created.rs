//! The part of a pass that reads since when something counts: OpenMetrics says so by samples that end in
//! `_created` and follow those of their metric, protobuf by fields of its messages.

use std::borrow::Cow;

use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MetricType};

use super::super::lines::What;
use super::Round;
use crate::exposition::SampleEntry;

const CREATED: &str = "_created";

impl Round<'_> {
    /// Says since when the series counts that was begun last in the batch.
    pub(super) fn start(&mut self, start: Option<i64>) {
        if let Some(start) = start.filter(|_| self.rules.zeros) {
            self.batch.start(self.batch.len() - 1, start);
        }
    }

    /// Says since when the histogram counts that is gathered.
    pub(super) fn start_collecting(&mut self, start: Option<i64>) {
        if let Some(collecting) = &mut self.collecting {
            collecting.start = start;
        }
    }

    /// Takes a sample that says since when the metric before it counts; false if it is none, but one to
    /// be stored.
    pub(super) fn created(&mut self, sample: &SampleEntry<'_, '_>) -> bool {
        let counts = matches!(
            self.kind,
            MetricType::Counter | MetricType::Histogram | MetricType::Summary
        );
        if !self.rules.zeros || !counts {
            return false;
        }
        let name = sample.series.name.unescape();
        let Some(family) = name
            .strip_suffix(CREATED)
            .filter(|family| self.is_family(family))
        else {
            return false;
        };
        let start = (sample.reading.value * 1000.0) as i64;
        let pairs = sample.series.labels.iter();
        let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = pairs
            .map(|label| (label.name.unescape(), label.value.unescape()))
            .collect();
        if start > 0 {
            self.start_metric(family, &Labels::from_pairs(pairs), start);
        }
        true
    }

    fn is_family(&self, name: &str) -> bool {
        let families = self.families.lock();
        self.family.and_then(|family| families.name(family)) == Some(name)
    }

    /// Says since when a metric counts whose samples were the last.
    fn start_metric(&mut self, family: &str, labels: &Labels, start: i64) {
        let metric = self.cache.metric(self.family, labels);
        let mut first = self.batch.len();
        while first > self.startless && self.cache.series(self.numbers[first - 1]).metric == metric
        {
            first -= 1;
        }
        for at in first..self.batch.len() {
            self.batch.start(at, start);
        }
        self.startless = self.batch.len();
        let mut of_histogram = LabelsBuilder::from_labels(labels);
        let of_histogram = of_histogram.set(METRIC_NAME, family).labels();
        let histogram = self.cache.histogram(&of_histogram);
        if self
            .collecting
            .as_ref()
            .is_some_and(|c| c.histogram == histogram)
        {
            self.start_collecting(Some(start));
        }
    }

    /// Remembers which metric a sample belongs to that was met for the first time; `exposed` has its labels.
    pub(super) fn note_metric(&mut self, what: What, exposed: &mut LabelsBuilder) {
        if !self.rules.zeros {
            return;
        }
        let what = match what {
            What::Part(part) => self.cache.part(part).classic,
            what => Some(what),
        };
        let Some(What::Series(number)) = what else {
            return;
        };
        let bound = match self.kind {
            MetricType::Histogram => "le",
            MetricType::Summary => "quantile",
            _ => METRIC_NAME,
        };
        let labels = exposed.delete(METRIC_NAME).delete(bound).labels();
        self.cache.series(number).metric = self.cache.metric(self.family, &labels);
    }
}
