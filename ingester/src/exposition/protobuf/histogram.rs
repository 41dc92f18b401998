//! Native histograms of the protobuf exposition.

use model::{CounterResetHint, FloatHistogram, Histogram, Span};
use proto::client;

use super::Value;

/// True when the message has what only native histograms have; one without observations is marked
/// by a zero threshold or by a span without buckets.
pub(super) fn is_native(h: &client::Histogram) -> bool {
    !h.positive_span.is_empty()
        || !h.negative_span.is_empty()
        || h.zero_threshold > 0.0
        || h.zero_count > 0
        || h.zero_count_float > 0.0
}

/// The histogram. Whether it is sound is for whoever appends it to check.
pub(super) fn native(h: &client::Histogram, gauge: bool) -> Value {
    let counter_reset_hint = if gauge {
        CounterResetHint::Gauge
    } else {
        CounterResetHint::Unknown
    };
    if h.sample_count_float > 0.0 || h.zero_count_float > 0.0 {
        let mut histogram = FloatHistogram {
            counter_reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: h.zero_count_float,
            count: h.sample_count_float,
            sum: h.sample_sum,
            positive_spans: spans(&h.positive_span),
            negative_spans: spans(&h.negative_span),
            positive_buckets: h.positive_count.clone(),
            negative_buckets: h.negative_count.clone(),
            custom_values: Vec::new(),
        };
        if histogram.validate().is_ok() {
            histogram.compact(0);
        }
        return Value::FloatHistogram(Box::new(histogram));
    }
    let mut histogram = Histogram {
        counter_reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count,
        count: h.sample_count,
        sum: h.sample_sum,
        positive_spans: spans(&h.positive_span),
        negative_spans: spans(&h.negative_span),
        positive_buckets: h.positive_delta.clone(),
        negative_buckets: h.negative_delta.clone(),
        custom_values: Vec::new(),
    };
    if histogram.validate().is_ok() {
        histogram.compact(0);
    }
    Value::Histogram(Box::new(histogram))
}

fn spans(spans: &[client::BucketSpan]) -> Vec<Span> {
    let span = |s: &client::BucketSpan| Span {
        offset: s.offset,
        length: s.length,
    };
    spans.iter().map(span).collect()
}
