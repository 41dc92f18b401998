//! Between the messages of remote read and write and [`model`].

use bytes::Bytes;
use model::{CounterResetHint, FloatHistogram, Labels, Matcher, Sample, Span, Value};

use crate::convert::{ConvertError, matcher, matcher_type, text};
use crate::prometheus::{self, BucketSpan, Histogram, Label, LabelMatcher, histogram};

/// A label set from the labels of a message, in any order; an empty value means that the label is
/// absent.
///
/// # Errors
/// When a label is not text.
pub fn labels_from_wire(labels: &[Label]) -> Result<Labels, ConvertError> {
    let pairs: Vec<_> = labels
        .iter()
        .map(|label| Ok((text(&label.name)?, text(&label.value)?)))
        .collect::<Result<_, ConvertError>>()?;
    Ok(Labels::from_pairs(pairs))
}

/// The labels of a message from a label set.
pub fn labels_to_wire(labels: &Labels) -> Vec<Label> {
    let label = |(name, value): (&str, &str)| Label {
        name: Bytes::copy_from_slice(name.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    labels.iter().map(label).collect()
}

impl TryFrom<&LabelMatcher> for Matcher {
    type Error = ConvertError;

    fn try_from(m: &LabelMatcher) -> Result<Self, ConvertError> {
        matcher(m.r#type, &m.name, &m.value)
    }
}

impl From<&Matcher> for LabelMatcher {
    fn from(m: &Matcher) -> Self {
        Self {
            r#type: matcher_type(m),
            name: m.name().to_owned(),
            value: m.value().to_owned(),
        }
    }
}

fn spans_from_wire(spans: &[BucketSpan]) -> Vec<Span> {
    let span = |span: &BucketSpan| Span {
        offset: span.offset,
        length: span.length,
    };
    spans.iter().map(span).collect()
}

fn spans_to_wire(spans: &[Span]) -> Vec<BucketSpan> {
    let span = |span: &Span| BucketSpan {
        offset: span.offset,
        length: span.length,
    };
    spans.iter().map(span).collect()
}

fn hint_from_wire(hint: i32) -> CounterResetHint {
    match hint {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

/// A histogram and its time; with float counts where the message counts in floats, as in Prometheus.
impl From<&Histogram> for Sample {
    fn from(h: &Histogram) -> Self {
        let value = match h.count {
            Some(histogram::Count::CountFloat(count)) => {
                Value::FloatHistogram(Box::new(FloatHistogram {
                    counter_reset_hint: hint_from_wire(h.reset_hint),
                    schema: h.schema,
                    zero_threshold: h.zero_threshold,
                    zero_count: match h.zero_count {
                        Some(histogram::ZeroCount::ZeroCountFloat(count)) => count,
                        _ => 0.0,
                    },
                    count,
                    sum: h.sum,
                    positive_spans: spans_from_wire(&h.positive_spans),
                    negative_spans: spans_from_wire(&h.negative_spans),
                    positive_buckets: h.positive_counts.clone(),
                    negative_buckets: h.negative_counts.clone(),
                    custom_values: h.custom_values.clone(),
                }))
            }
            count => Value::Histogram(Box::new(model::Histogram {
                counter_reset_hint: hint_from_wire(h.reset_hint),
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                zero_count: match h.zero_count {
                    Some(histogram::ZeroCount::ZeroCountInt(count)) => count,
                    _ => 0,
                },
                count: match count {
                    Some(histogram::Count::CountInt(count)) => count,
                    _ => 0,
                },
                sum: h.sum,
                positive_spans: spans_from_wire(&h.positive_spans),
                negative_spans: spans_from_wire(&h.negative_spans),
                positive_buckets: h.positive_deltas.clone(),
                negative_buckets: h.negative_deltas.clone(),
                custom_values: h.custom_values.clone(),
            })),
        };
        Self {
            t: h.timestamp,
            value,
        }
    }
}

/// A histogram at a time.
impl From<(i64, &model::Histogram)> for Histogram {
    fn from((timestamp, h): (i64, &model::Histogram)) -> Self {
        Self {
            count: Some(histogram::Count::CountInt(h.count)),
            sum: h.sum,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: Some(histogram::ZeroCount::ZeroCountInt(h.zero_count)),
            negative_spans: spans_to_wire(&h.negative_spans),
            negative_deltas: h.negative_buckets.clone(),
            positive_spans: spans_to_wire(&h.positive_spans),
            positive_deltas: h.positive_buckets.clone(),
            reset_hint: h.counter_reset_hint as i32,
            timestamp,
            custom_values: h.custom_values.clone(),
            ..Self::default()
        }
    }
}

/// A float histogram at a time.
impl From<(i64, &FloatHistogram)> for Histogram {
    fn from((timestamp, h): (i64, &FloatHistogram)) -> Self {
        Self {
            count: Some(histogram::Count::CountFloat(h.count)),
            sum: h.sum,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: Some(histogram::ZeroCount::ZeroCountFloat(h.zero_count)),
            negative_spans: spans_to_wire(&h.negative_spans),
            negative_counts: h.negative_buckets.clone(),
            positive_spans: spans_to_wire(&h.positive_spans),
            positive_counts: h.positive_buckets.clone(),
            reset_hint: h.counter_reset_hint as i32,
            timestamp,
            custom_values: h.custom_values.clone(),
            ..Self::default()
        }
    }
}

impl prometheus::TimeSeries {
    /// Adds a sample, of whichever kind.
    pub fn push(&mut self, sample: &Sample) {
        match &sample.value {
            Value::Float(value) => self.samples.push(prometheus::Sample {
                value: *value,
                timestamp: sample.t,
            }),
            Value::Histogram(h) => self.histograms.push((sample.t, &**h).into()),
            Value::FloatHistogram(h) => self.histograms.push((sample.t, &**h).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn histograms_cross_the_wire() {
        let integer = Value::Histogram(Box::new(model::Histogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
            count: 3,
            sum: -1.5,
            positive_spans: vec![Span {
                offset: 1,
                length: 2,
            }],
            positive_buckets: vec![2, -1],
            custom_values: vec![0.5, 1.0],
            ..model::Histogram::default()
        }));
        let float = Value::FloatHistogram(Box::new(FloatHistogram {
            schema: -2,
            zero_count: 0.5,
            count: 2.5,
            negative_spans: vec![Span {
                offset: -3,
                length: 1,
            }],
            negative_buckets: vec![2.0],
            ..FloatHistogram::default()
        }));
        for value in [integer, float] {
            let sample = Sample { t: -7, value };
            let mut series = prometheus::TimeSeries::default();
            series.push(&sample);
            let bytes = series.encode_to_vec();
            let series = prometheus::TimeSeries::decode(bytes.as_slice()).unwrap();
            assert_eq!(Sample::from(&series.histograms[0]), sample);
        }
    }

    #[test]
    fn labels_come_in_any_order() {
        let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
        let mut wire = labels_to_wire(&labels);
        wire.reverse();
        assert_eq!(labels_from_wire(&wire).unwrap(), labels);
        wire[0].name = Bytes::from_static(b"\xff");
        assert!(matches!(
            labels_from_wire(&wire),
            Err(ConvertError::Utf8(_))
        ));
    }
}
