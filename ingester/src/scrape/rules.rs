//! From the labels that a target exposes to those that are stored: the target's labels, relabelling,
//! and the limits that a scrape must keep.

use std::sync::Arc;

use model::labels::{METRIC_NAME, NameScheme};
use model::relabel::{RelabelRule, relabel};
use model::{Labels, LabelsBuilder};

use super::error::Error;
use super::target::Histograms;
use crate::config::{Job, Limits};

/// What becomes of the samples of one target.
#[derive(Debug)]
pub(super) struct SampleRules {
    /// The labels that every series of the target gets.
    pub(super) target: Labels,
    pub(super) relabel: Arc<[RelabelRule]>,
    pub(super) honor_labels: bool,
    pub(super) honor_timestamps: bool,
    pub(super) track_timestamps_staleness: bool,
    pub(super) limits: Limits,
    pub(super) name_scheme: NameScheme,
    pub(super) histograms: Histograms,
    /// Where targets say since when something counts, it has a zero then.
    pub(super) zeros: bool,
    /// Native histograms are brought to this resolution at most.
    pub(super) schema_max: i32,
}

impl SampleRules {
    pub(super) fn new(
        job: &Job,
        target: Labels,
        (histograms, zeros): (Histograms, bool),
        relabel: Arc<[RelabelRule]>,
    ) -> Self {
        Self {
            target,
            relabel,
            honor_labels: job.honor_labels,
            honor_timestamps: job.honor_timestamps,
            track_timestamps_staleness: job.track_timestamps_staleness,
            limits: job.shared.limits,
            name_scheme: job.shared.name_scheme,
            histograms,
            zeros,
            schema_max: schema_for_factor(job.min_bucket_factor),
        }
    }

    /// The labels to store for those that were exposed; `None` when relabelling drops the series.
    /// `exposed` tells which labels were exposed, also with empty values.
    pub(super) fn labels(
        &self,
        raw: &Labels,
        exposed: impl Fn(&str) -> bool,
    ) -> Result<Option<Labels>, Error> {
        let mut builder = LabelsBuilder::from_labels(raw);
        if self.honor_labels {
            let missing = self.target.iter().filter(|(name, _)| !exposed(name));
            builder.extend(missing);
        } else {
            self.override_labels(raw, &mut builder);
        }
        if !relabel(&self.relabel, &mut builder) || builder.is_empty() {
            return Ok(None);
        }
        let labels = builder.labels();
        self.check(&labels)?;
        Ok(Some(labels))
    }

    /// Sets the target's labels; what was exposed under their names moves to `exported_` ones.
    fn override_labels(&self, raw: &Labels, builder: &mut LabelsBuilder) {
        let mut conflicts = Vec::new();
        for (name, value) in &self.target {
            if let Some(exposed) = raw.get(name) {
                conflicts.push((name, exposed));
            }
            builder.set(name, value);
        }
        // The shortest first, so that `exported_x` is free for `x` before it is for others.
        conflicts.sort_by_key(|(name, _)| name.len());
        for (name, value) in conflicts {
            let mut new_name = format!("exported_{name}");
            while builder.get(&new_name).is_some() {
                new_name.insert_str(0, "exported_");
            }
            builder.set(&new_name, value);
        }
    }

    fn check(&self, labels: &Labels) -> Result<(), Error> {
        let metric = labels.get(METRIC_NAME).ok_or(Error::NoName)?;
        let valid = |name: &str| self.name_scheme.is_valid_label_name(name);
        if !self.name_scheme.is_valid_metric_name(metric) || !labels.iter().all(|(n, _)| valid(n)) {
            return Err(Error::InvalidName(labels.to_string()));
        }
        let limits = &self.limits;
        let over = |len: usize, limit: u64| limit > 0 && len as u64 > limit;
        if limits.labels > 0 && over(labels.len(), limits.labels) {
            return Err(Error::LabelLimit {
                metric: metric.to_owned(),
                found: labels.len(),
                limit: limits.labels,
            });
        }
        if limits.label_name_bytes == 0 && limits.label_value_bytes == 0 {
            return Ok(());
        }
        for (name, value) in labels {
            if over(name.len(), limits.label_name_bytes) {
                return Err(Error::LabelNameLimit {
                    metric: metric.to_owned(),
                    name: name.to_owned(),
                    limit: limits.label_name_bytes,
                });
            }
            if over(value.len(), limits.label_value_bytes) {
                return Err(Error::LabelValueLimit {
                    metric: metric.to_owned(),
                    name: name.to_owned(),
                    value: value.to_owned(),
                    limit: limits.label_value_bytes,
                });
            }
        }
        Ok(())
    }
}

/// The finest schema whose buckets grow at least by `factor`.
fn schema_for_factor(factor: f64) -> i32 {
    const FINEST: i32 = 8;
    const COARSEST: i32 = -4;
    if factor <= 1.0 {
        return FINEST;
    }
    let schema = -factor.log2().log2();
    (schema.floor() as i32).clamp(COARSEST, FINEST)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    /// Rules of a job with these further lines and the target labels `instance` and `job`.
    fn rules(lines: &str) -> SampleRules {
        let text = format!("scrape_configs:\n- job_name: j\n{lines}");
        let job = Config::parse(&text, Path::new("/"))
            .expect(lines)
            .jobs
            .pop()
            .expect("a job");
        let compiled: Result<Vec<_>, _> = (job.metric_relabel.iter())
            .map(|rule| rule.compile(job.shared.name_scheme))
            .collect();
        let target = Labels::from_pairs([("instance", "i"), ("job", "j")]);
        SampleRules::new(
            &job,
            target,
            (Histograms::of_job(&job), false),
            compiled.expect(lines).into(),
        )
    }

    fn labels(rules: &SampleRules, raw: &[(&str, &str)]) -> String {
        let set = Labels::from_pairs(raw.iter().copied());
        match rules.labels(&set, |name| raw.iter().any(|(n, _)| *n == name)) {
            Ok(Some(labels)) => labels.to_string(),
            Ok(None) => "dropped".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn exposed_labels_give_way_or_are_honoured() {
        let check = |lines: &str, raw: &[(&str, &str)], expected: &str| {
            assert_eq!(labels(&rules(lines), raw), expected, "{lines} {raw:?}");
        };
        check(
            "",
            &[("__name__", "a")],
            r#"{__name__="a", instance="i", job="j"}"#,
        );
        let conflict = [("__name__", "a"), ("job", "x")];
        check(
            "",
            &conflict,
            r#"{__name__="a", exported_job="x", instance="i", job="j"}"#,
        );
        check(
            "  honor_labels: true\n",
            &conflict,
            r#"{__name__="a", instance="i", job="x"}"#,
        );
        check(
            "  honor_labels: true\n",
            &[("__name__", "a"), ("job", "")],
            r#"{__name__="a", instance="i"}"#,
        );
        check(
            "",
            &[("__name__", "a"), ("job", "x"), ("exported_job", "y")],
            r#"{__name__="a", exported_exported_job="x", exported_job="y", instance="i", job="j"}"#,
        );
    }

    #[test]
    fn relabelling_drops_and_may_lose_the_name() {
        let drop =
            rules("  metric_relabel_configs: [{action: drop, source_labels: [x], regex: y}]\n");
        assert_eq!(labels(&drop, &[("__name__", "a"), ("x", "y")]), "dropped");
        let nameless = rules("  metric_relabel_configs: [{action: labeldrop, regex: __name__}]\n");
        assert_eq!(
            labels(&nameless, &[("__name__", "a")]),
            "missing metric name (__name__ label)"
        );
        let legacy = rules("  metric_name_validation_scheme: legacy\n");
        assert_eq!(
            labels(&legacy, &[("__name__", "a.b")]),
            r#"invalid metric name or label names: {__name__="a.b", instance="i", job="j"}"#
        );
    }

    #[test]
    fn limits_fail_with_the_words_of_prometheus() {
        let raw = [("__name__", "metric"), ("label", "value")];
        for (lines, expected) in [
            (
                "  label_limit: 3\n",
                "label_limit exceeded (metric: metric, number of labels: 4, limit: 3)",
            ),
            (
                "  label_name_length_limit: 7\n",
                "label_name_length_limit exceeded (metric: metric, label name: __name__, length: 8, limit: 7)",
            ),
            (
                "  label_value_length_limit: 5\n",
                "label_value_length_limit exceeded (metric: metric, label name: __name__, value: \"metric\", length: 6, limit: 5)",
            ),
        ] {
            assert_eq!(labels(&rules(lines), &raw), expected);
        }
        let fits =
            "  label_limit: 4\n  label_name_length_limit: 8\n  label_value_length_limit: 6\n";
        assert!(labels(&rules(fits), &raw).starts_with("{__name__"));
    }

    #[test]
    fn factors_choose_schemas() {
        for (factor, schema) in [
            (0.0, 8),
            (1.0, 8),
            (1.1, 2),
            (2.0, 0),
            (1.5, 0),
            (65536.0, -4),
            (1e30, -4),
        ] {
            assert_eq!(schema_for_factor(factor), schema, "{factor}");
        }
    }
}
