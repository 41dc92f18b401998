//! Samples as text, in Prometheus' format 0.0.4.

use std::fmt::Write as _;

use model::Labels;
use model::float::G;
use promql::columns::StepValue;
use runtime::metrics::push_escaped;

use super::{Newest, classic, legacy};

/// All samples that text can show.
pub(super) fn write(newest: &Newest) -> String {
    let mut out = String::new();
    let mut family = ("", false);
    for ((name, is_histogram, labels), (t, value)) in newest {
        let (kind, buckets) = match value {
            StepValue::Float(_) => ("untyped", Vec::new()),
            StepValue::Histogram(histogram) => match classic::buckets(histogram) {
                Some(buckets) => ("histogram", buckets),
                None => continue,
            },
        };
        if (name.as_str(), *is_histogram) != family {
            family = (name, *is_histogram);
            let _ = writeln!(out, "# TYPE {} {kind}", legacy(name));
        }
        let mut line = |suffix: &str, more: Option<f64>, value: f64| {
            series(
                &mut out,
                &format!("{}{suffix}", legacy(name)),
                (labels, more),
            );
            let _ = writeln!(out, " {} {t}", G(value));
        };
        match value {
            StepValue::Float(value) => line("", None, *value),
            StepValue::Histogram(histogram) => {
                for (bound, below) in buckets {
                    line("_bucket", Some(bound), below);
                }
                line("_sum", None, histogram.sum);
                line("_count", None, histogram.count);
            }
        }
    }
    out
}

/// Name and labels, and the upper bound of a bucket.
fn series(out: &mut String, name: &str, (labels, bound): (&Labels, Option<f64>)) {
    out.push_str(name);
    out.push('{');
    for (name, value) in labels.iter().filter(|(name, _)| *name != "__name__") {
        let _ = write!(out, "{}=\"", legacy(name));
        push_escaped(out, value);
        out.push_str("\",");
    }
    if labels.get("instance").is_none() {
        out.push_str("instance=\"\",");
    }
    if let Some(bound) = bound {
        let _ = write!(out, "le=\"{}\",", G(bound));
    }
    // There is one label at least.
    out.pop();
    out.push('}');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::classic::tests::listed;
    use super::*;

    #[test]
    fn histograms_of_the_classic_kind_are_shown() {
        let labels = Labels::from_pairs([("__name__", "h"), ("job", "x")]);
        let value = StepValue::Histogram(Arc::new(listed()));
        let key = ("h".to_owned(), true, labels);
        let newest = Newest::from([(key, (7, value))]);
        assert_eq!(
            write(&newest),
            "# TYPE h histogram\n\
             h_bucket{job=\"x\",instance=\"\",le=\"1\"} 2 7\n\
             h_bucket{job=\"x\",instance=\"\",le=\"5\"} 2 7\n\
             h_bucket{job=\"x\",instance=\"\",le=\"+Inf\"} 5 7\n\
             h_sum{job=\"x\",instance=\"\"} 30.5 7\n\
             h_count{job=\"x\",instance=\"\"} 5 7\n"
        );
    }
}
