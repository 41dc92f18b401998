//! The `analysis` of a query: what each operator took, as Thanos shows it.

use std::time::Duration;

use promql::stats::{FanOutStats, OperatorStats};
use serde_json::{Map, Value, json};

/// The operators as a tree; the first is the one that yields the result.
pub(super) fn tree(operators: &[OperatorStats]) -> Value {
    match operators {
        [] => json!({}),
        [only] => node(only),
        several => json!({ "children": several.iter().map(node).collect::<Vec<_>>() }),
    }
}

fn node(operator: &OperatorStats) -> Value {
    let mut object = Map::new();
    object.insert("name".to_owned(), json!(operator.name));
    object.insert(
        "executionTime".to_owned(),
        json!(go_duration(operator.time)),
    );
    // As in Thanos, what is nothing is left out.
    for (name, count) in [
        ("peakSamples", operator.samples_peak),
        ("totalSamples", operator.samples),
        ("series", operator.series),
    ] {
        if count > 0 {
            object.insert(name.to_owned(), json!(count));
        }
    }
    if !operator.fan_out.is_empty() {
        let fan_out: Vec<_> = operator.fan_out.iter().map(asked).collect();
        object.insert("fanout".to_owned(), fan_out.into());
    }
    if !operator.inputs.is_empty() {
        let children: Vec<_> = operator.inputs.iter().map(node).collect();
        object.insert("children".to_owned(), children.into());
    }
    Value::Object(object)
}

/// What a store answered. Thanos has all of these fields but the error.
fn asked(store: &FanOutStats) -> Value {
    let mut object = Map::new();
    object.insert("endpointAddr".to_owned(), json!(store.name));
    object.insert("duration".to_owned(), json!(go_duration(store.time)));
    for (name, count) in [
        ("bytesProcessed", store.bytes),
        ("numResponses", store.responses),
        ("series", store.series),
        ("chunks", store.chunks),
        ("samples", store.samples),
    ] {
        object.insert(name.to_owned(), json!(count));
    }
    if let Some(error) = &store.error {
        object.insert("error".to_owned(), json!(error));
    }
    Value::Object(object)
}

/// A duration as Go prints it: `1h2m3.5s`, `1.5ms`, `250ns`.
fn go_duration(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let with_fraction = |unit: u128, name: &str| {
        let fraction = format!("{:09}", ns % unit * (1_000_000_000 / unit));
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{}{point}{fraction}{name}", ns / unit)
    };
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => with_fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => with_fraction(1_000_000, "ms"),
        1_000_000_000..60_000_000_000 => with_fraction(1_000_000_000, "s"),
        _ => {
            let seconds = duration.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = duration - Duration::from_secs(seconds / 60 * 60);
            let rest = match rest.as_secs() {
                0 => "0s".to_owned(),
                _ => go_duration(rest),
            };
            let hours = if hours > 0 {
                format!("{hours}h")
            } else {
                String::new()
            };
            format!("{hours}{minutes}m{rest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_look_as_in_go() {
        for (ns, expected) in [
            (0, "0s"),
            (250, "250ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (1_234_567, "1.234567ms"),
            (3_500_000_000, "3.5s"),
            (3_000_000_001, "3.000000001s"),
            (62_000_000_000, "1m2s"),
            (3_723_500_000_000, "1h2m3.5s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(ns)), expected);
        }
    }

    #[test]
    fn stores_that_were_asked_have_the_fields_of_thanos() {
        let leaf = OperatorStats {
            name: "latest".to_owned(),
            fan_out: vec![FanOutStats {
                name: "10.0.0.1:10901".to_owned(),
                time: Duration::from_micros(1_500),
                bytes: 4_096,
                responses: 2,
                series: 3,
                chunks: 5,
                samples: 600,
                error: None,
            }],
            ..OperatorStats::default()
        };
        let shown = tree(std::slice::from_ref(&leaf));
        let expected = json!([{"endpointAddr": "10.0.0.1:10901", "duration": "1.5ms",
            "bytesProcessed": 4096, "numResponses": 2, "series": 3, "chunks": 5, "samples": 600}]);
        assert_eq!(shown["fanout"], expected);
        let mut failed = leaf;
        failed.fan_out[0].error = Some("sent nothing for 2s".to_owned());
        assert_eq!(tree(&[failed])["fanout"][0]["error"], "sent nothing for 2s");
    }

    #[test]
    fn operators_are_a_tree() {
        let leaf = OperatorStats {
            name: "latest".to_owned(),
            samples: 3,
            ..OperatorStats::default()
        };
        let root = OperatorStats {
            name: "sum".to_owned(),
            time: Duration::from_millis(1),
            inputs: vec![leaf],
            ..OperatorStats::default()
        };
        assert_eq!(
            tree(&[root]),
            json!({"name": "sum", "executionTime": "1ms", "children": [
                {"name": "latest", "executionTime": "0s", "totalSamples": 3}]})
        );
    }
}
