//! Decoders against prost, and the whole way from a request to an answer.

mod answers;
mod differential;

use proto::prometheus::{Label, Sample, TimeSeries, WriteRequest};

use super::*;

/// Labels as a message has them.
fn wire_labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    let label = |(name, value): &(&str, &str)| Label {
        name: name.to_string().into(),
        value: value.to_string().into(),
    };
    pairs.iter().map(label).collect()
}

/// A series of floats.
fn floats(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let sample = |(timestamp, value): &(i64, f64)| Sample {
        value: *value,
        timestamp: *timestamp,
    };
    TimeSeries {
        labels: wire_labels(labels),
        samples: samples.iter().map(sample).collect(),
        ..TimeSeries::default()
    }
}

fn request(timeseries: Vec<TimeSeries>) -> WriteRequest {
    WriteRequest {
        timeseries,
        ..WriteRequest::default()
    }
}
