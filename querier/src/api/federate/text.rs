//! Samples as text, in Prometheus' format 0.0.4, and for who asks for it with names in quotes, as 1.0.0
//! has them: `{"a.metric","a label"="x",plain="y"} 1`.

use std::fmt::Write as _;

use model::Labels;
use model::float::G;
use model::labels::{is_legacy_label_name, is_legacy_metric_name};
use promql::columns::StepValue;
use runtime::metrics::push_escaped;

use super::{Newest, classic, legacy};

/// All samples that text can show. Names that need quotes are in quotes if `is_utf_8`, and else legacy
/// ones.
pub(super) fn write(newest: &Newest, is_utf_8: bool) -> String {
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
            out.push_str("# TYPE ");
            push_name(&mut out, name, is_utf_8 && !is_legacy_metric_name(name));
            let _ = writeln!(out, " {kind}");
        }
        let mut line = |suffix: &str, more: Option<f64>, value: f64| {
            series(
                &mut out,
                &format!("{name}{suffix}"),
                (labels, more),
                is_utf_8,
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
fn series(out: &mut String, name: &str, (labels, bound): (&Labels, Option<f64>), is_utf_8: bool) {
    let is_quoted = is_utf_8 && !is_legacy_metric_name(name);
    if is_quoted {
        out.push('{');
    }
    push_name(out, name, is_quoted);
    out.push(if is_quoted { ',' } else { '{' });
    for (name, value) in labels.iter().filter(|(name, _)| *name != "__name__") {
        push_name(out, name, is_utf_8 && !is_legacy_label_name(name));
        out.push_str("=\"");
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

fn push_name(out: &mut String, name: &str, is_quoted: bool) {
    if !is_quoted {
        return out.push_str(&legacy(name));
    }
    out.push('"');
    push_escaped(out, name);
    out.push('"');
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
            write(&newest, true),
            "# TYPE h histogram\n\
             h_bucket{job=\"x\",instance=\"\",le=\"1\"} 2 7\n\
             h_bucket{job=\"x\",instance=\"\",le=\"5\"} 2 7\n\
             h_bucket{job=\"x\",instance=\"\",le=\"+Inf\"} 5 7\n\
             h_sum{job=\"x\",instance=\"\"} 30.5 7\n\
             h_count{job=\"x\",instance=\"\"} 5 7\n"
        );
    }

    #[test]
    fn names_of_any_letters_are_quoted_for_who_takes_them() {
        let labels = [("__name__", "a.b"), ("job", "x"), ("n\"ö", "y")];
        let key = ("a.b".to_owned(), false, Labels::from_pairs(labels));
        let newest = Newest::from([(key, (7, StepValue::Float(1.0)))]);
        let head = "# TYPE \"a.b\" untyped\n";
        let line = "{\"a.b\",job=\"x\",\"n\\\"ö\"=\"y\",instance=\"\"} 1 7\n";
        assert_eq!(write(&newest, true), format!("{head}{line}"));
        let legacy = "# TYPE a_b untyped\na_b{job=\"x\",n__=\"y\",instance=\"\"} 1 7\n";
        assert_eq!(write(&newest, false), legacy);
    }
}
