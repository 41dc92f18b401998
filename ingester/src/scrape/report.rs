//! The series about the scrapes themselves: `up` and its companions.

use model::labels::METRIC_NAME;
use model::sample::STALE_NAN;
use model::{Labels, LabelsBuilder};
use tsdb::batch::{Appended, Batch};

use super::cache::Cache;
use super::round::Counts;
use crate::config::Job;

/// The series in order; the last three only with `extra_scrape_metrics`.
const NAMES: [&str; SERIES] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
/// How many there are.
pub(super) const SERIES: usize = 8;
const ALWAYS: usize = 5;

/// What a scrape says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Report {
    pub(super) up: bool,
    pub(super) seconds: f64,
    pub(super) counts: Counts,
    /// Bytes of the body; -1 when there were too many.
    pub(super) body_bytes: i64,
    /// How long the scrape might have taken, which relabelling may set for each target.
    pub(super) timeout_ms: i64,
}

impl Report {
    fn values(&self, job: &Job) -> [f64; SERIES] {
        [
            if self.up { 1.0 } else { 0.0 },
            self.seconds,
            self.counts.scraped as f64,
            self.counts.kept as f64,
            self.counts.added as f64,
            self.timeout_ms as f64 / 1000.0,
            job.shared.limits.samples as f64,
            self.body_bytes as f64,
        ]
    }
}

/// Fills `batch` with the report of a scrape at `t`, or with stale markers if there is none.
pub(super) fn fill(
    batch: &mut Batch,
    cache: &Cache,
    (job, target): (&Job, &Labels),
    report: Option<&Report>,
    t: i64,
) {
    batch.clear();
    let values = report.map_or([STALE_NAN; SERIES], |report| report.values(job));
    let series = if job.shared.extra_metrics {
        SERIES
    } else {
        ALWAYS
    };
    let mut builder = LabelsBuilder::from_labels(target);
    for i in 0..series {
        builder.set(METRIC_NAME, NAMES[i]);
        let labels = builder.labels();
        match cache.report[i] {
            Some(known) => batch.known_series(known, &labels),
            None => batch.series(&labels),
        }
        batch.float(t, values[i]);
    }
}

/// Remembers what the store calls the series.
pub(super) fn settle(cache: &mut Cache, appended: &Appended) {
    for (known, series) in cache.report.iter_mut().zip(&appended.series) {
        *known = *series;
    }
}
