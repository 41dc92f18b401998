//! Samples as messages `io.prometheus.client.MetricFamily`, each after its length.

use model::Labels;
use model::histogram::{CounterResetHint, FloatHistogram, Span};
use promql::columns::StepValue;
use prost::Message as _;
use proto::client::{
    Bucket, BucketSpan, Histogram, LabelPair, Metric, MetricFamily, MetricType, Untyped,
};

use super::{Newest, classic};

/// All samples, with names as `name` writes them.
pub(super) fn write(newest: &Newest, name: fn(&str) -> String) -> Vec<u8> {
    let mut out = Vec::new();
    let mut family: Option<MetricFamily> = None;
    for ((metric, _, labels), (t, value)) in newest {
        let kind = kind_of(value) as i32;
        let name_of_family = name(metric);
        let is_next =
            |family: &MetricFamily| family.name != name_of_family || family.r#type != kind;
        if family.as_ref().is_none_or(is_next) {
            let next = MetricFamily {
                name: name_of_family,
                r#type: kind,
                ..MetricFamily::default()
            };
            if let Some(whole) = family.replace(next) {
                out.extend(whole.encode_length_delimited_to_vec());
            }
        }
        let mut one = Metric {
            label: pairs(labels, name),
            timestamp_ms: *t,
            ..Metric::default()
        };
        match value {
            StepValue::Float(value) => one.untyped = Some(Untyped { value: *value }),
            StepValue::Histogram(value) => one.histogram = Some(histogram(value)),
        }
        if let Some(family) = &mut family {
            family.metric.push(one);
        }
    }
    if let Some(whole) = family {
        out.extend(whole.encode_length_delimited_to_vec());
    }
    out
}

fn kind_of(value: &StepValue) -> MetricType {
    match value {
        StepValue::Float(_) => MetricType::Untyped,
        StepValue::Histogram(h) if h.counter_reset_hint == CounterResetHint::Gauge => {
            MetricType::GaugeHistogram
        }
        StepValue::Histogram(_) => MetricType::Histogram,
    }
}

fn pairs(labels: &Labels, name: fn(&str) -> String) -> Vec<LabelPair> {
    let pair = |(label, value): (&str, &str)| LabelPair {
        name: name(label),
        value: value.to_owned(),
    };
    let known = labels.iter().filter(|(label, _)| *label != "__name__");
    let mut pairs: Vec<LabelPair> = known.map(pair).collect();
    if labels.get("instance").is_none() {
        pairs.push(pair(("instance", "")));
    }
    pairs
}

fn histogram(histogram: &FloatHistogram) -> Histogram {
    let whole = Histogram {
        sample_count_float: histogram.count,
        sample_sum: histogram.sum,
        ..Histogram::default()
    };
    if let Some(buckets) = classic::buckets(histogram) {
        let bucket = |(upper_bound, below)| Bucket {
            cumulative_count_float: below,
            upper_bound,
            ..Bucket::default()
        };
        return Histogram {
            bucket: buckets.into_iter().map(bucket).collect(),
            ..whole
        };
    }
    Histogram {
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count_float: histogram.zero_count,
        negative_span: spans(&histogram.negative_spans),
        negative_count: histogram.negative_buckets.clone(),
        positive_span: spans(&histogram.positive_spans),
        positive_count: histogram.positive_buckets.clone(),
        ..whole
    }
}

fn spans(spans: &[Span]) -> Vec<BucketSpan> {
    let spans = spans.iter();
    spans
        .map(|span| BucketSpan {
            offset: span.offset,
            length: span.length,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::classic::tests::listed;
    use super::*;

    #[test]
    fn families_come_one_after_the_other() {
        let of = |name: &str| Labels::from_pairs([("__name__", name), ("job", "x")]);
        let native = FloatHistogram {
            count: 3.0,
            zero_threshold: 0.5,
            zero_count: 3.0,
            ..FloatHistogram::default()
        };
        let newest: Newest = [
            ("a.b", StepValue::Float(1.0)),
            ("h", StepValue::Histogram(Arc::new(native))),
            ("l", StepValue::Histogram(Arc::new(listed()))),
        ]
        .into_iter()
        .map(|(name, value)| {
            let is_histogram = matches!(value, StepValue::Histogram(_));
            ((name.to_owned(), is_histogram, of(name)), (7, value))
        })
        .collect();
        let bytes = write(&newest, super::super::legacy);
        let mut rest = bytes.as_slice();
        let mut families = Vec::new();
        while !rest.is_empty() {
            families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
        }
        let names: Vec<(&str, i32)> = families.iter().map(|f| (&*f.name, f.r#type)).collect();
        let histogram = MetricType::Histogram as i32;
        assert_eq!(
            names,
            [
                ("a_b", MetricType::Untyped as i32),
                ("h", histogram),
                ("l", histogram)
            ]
        );
        let one = &families[0].metric[0];
        assert_eq!((one.timestamp_ms, one.untyped.unwrap().value), (7, 1.0));
        let labels: Vec<&str> = one.label.iter().map(|pair| &*pair.name).collect();
        assert_eq!(labels, ["job", "instance"]);
        let native = families[1].metric[0].histogram.as_ref().unwrap();
        assert_eq!(
            (native.sample_count_float, native.zero_count_float),
            (3.0, 3.0)
        );
        let listed = families[2].metric[0].histogram.as_ref().unwrap();
        assert_eq!(listed.bucket.len(), 3);
        assert_eq!(listed.bucket[2].cumulative_count_float, 5.0);
    }
}
