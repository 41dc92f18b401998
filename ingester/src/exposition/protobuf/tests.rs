use proptest::prelude::*;

use super::*;

fn label(name: &str, value: &str) -> LabelPair {
    LabelPair {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn family(name: &str, kind: client::MetricType, metric: Metric) -> MetricFamily {
    MetricFamily {
        name: name.to_owned(),
        r#type: kind.into(),
        metric: vec![metric],
        ..MetricFamily::default()
    }
}

/// Every sample as `labels value timestamp`, through the wire format and back.
fn read(family: &MetricFamily, forms: HistogramForms) -> Vec<String> {
    let mut out = Vec::new();
    let bytes = family.encode_length_delimited_to_vec();
    for family in Families::new(&bytes) {
        let take = |s: Sample<'_>| {
            let labels = s.name.to_labels()?;
            let value = match s.value {
                Value::Float(v) => v.to_string(),
                Value::Histogram(h) => format!("{}/{}", h.count, h.positive_buckets.len()),
                Value::FloatHistogram(h) => format!("float {}", h.count),
            };
            let times: Vec<_> = s.exemplars.iter().map(|(e, own)| (e.t, *own)).collect();
            out.push(format!("{labels} {value} {:?} {times:?}", s.timestamp));
            Ok::<_, String>(())
        };
        samples(&family.unwrap(), forms, take).unwrap();
    }
    out
}

const NATIVE: HistogramForms = HistogramForms {
    native: true,
    always_classic: false,
};
const BOTH: HistogramForms = HistogramForms {
    native: true,
    always_classic: true,
};

#[test]
fn simple_types_are_one_sample() {
    let counter = Metric {
        label: vec![label("a", "b")],
        counter: Some(client::Counter {
            value: 2.5,
            created_timestamp: None,
            exemplar: Some(client::Exemplar {
                label: vec![label("trace", "x")],
                value: 1.0,
                timestamp: Some(client::Timestamp {
                    seconds: 7,
                    nanos: 5_999_999,
                }),
            }),
        }),
        timestamp_ms: 1234,
        ..Metric::default()
    };
    assert_eq!(
        read(
            &family("c_total", client::MetricType::Counter, counter),
            NATIVE
        ),
        [r#"{__name__="c_total", a="b"} 2.5 Some(1234) [(7005, true)]"#]
    );
    let gauge = Metric {
        gauge: Some(client::Gauge { value: -1.0 }),
        ..Metric::default()
    };
    assert_eq!(
        read(&family("g", client::MetricType::Gauge, gauge), NATIVE),
        [r#"{__name__="g"} -1 None []"#]
    );
}

#[test]
fn summaries_are_count_sum_and_quantiles() {
    let quantile = |quantile| client::Quantile {
        quantile,
        value: 3.0,
    };
    let metric = Metric {
        summary: Some(client::Summary {
            sample_count: 4,
            sample_sum: 5.5,
            quantile: vec![quantile(0.0), quantile(0.99), quantile(1.0)],
            created_timestamp: None,
        }),
        ..Metric::default()
    };
    assert_eq!(
        read(&family("s", client::MetricType::Summary, metric), NATIVE),
        [
            r#"{__name__="s_count"} 4 None []"#,
            r#"{__name__="s_sum"} 5.5 None []"#,
            r#"{__name__="s", quantile="0.0"} 3 None []"#,
            r#"{__name__="s", quantile="0.99"} 3 None []"#,
            r#"{__name__="s", quantile="1.0"} 3 None []"#,
        ]
    );
}

#[test]
fn histograms_are_taken_in_the_forms_that_are_wanted() {
    let bucket = |upper_bound, cumulative_count| client::Bucket {
        cumulative_count,
        upper_bound,
        ..client::Bucket::default()
    };
    let metric = Metric {
        histogram: Some(client::Histogram {
            sample_count: 7,
            sample_sum: 9.0,
            bucket: vec![bucket(0.5, 2), bucket(1.0, 5)],
            schema: 3,
            zero_threshold: 0.001,
            zero_count: 1,
            positive_span: vec![client::BucketSpan {
                offset: 1,
                length: 3,
            }],
            positive_delta: vec![2, 0, 0],
            ..client::Histogram::default()
        }),
        ..Metric::default()
    };
    let classic = [
        r#"{__name__="h_count"} 7 None []"#,
        r#"{__name__="h_sum"} 9 None []"#,
        r#"{__name__="h_bucket", le="0.5"} 2 None []"#,
        r#"{__name__="h_bucket", le="1.0"} 5 None []"#,
        r#"{__name__="h_bucket", le="+Inf"} 7 None []"#,
    ];
    let native = r#"{__name__="h"} 7/3 None []"#;
    let family = family("h", client::MetricType::Histogram, metric);
    assert_eq!(read(&family, HistogramForms::CLASSIC), classic);
    assert_eq!(read(&family, NATIVE), [native]);
    let mut both = vec![native];
    both.extend(classic);
    assert_eq!(read(&family, BOTH), both);
}

#[test]
fn histograms_without_observations_and_with_float_counts() {
    let metric = |histogram| Metric {
        histogram: Some(histogram),
        ..Metric::default()
    };
    let empty = metric(client::Histogram {
        positive_span: vec![client::BucketSpan::default()],
        ..client::Histogram::default()
    });
    assert_eq!(
        read(&family("h", client::MetricType::Histogram, empty), NATIVE),
        [r#"{__name__="h"} 0/0 None []"#]
    );
    let floats = metric(client::Histogram {
        sample_count_float: 1.5,
        zero_count_float: 1.5,
        zero_threshold: 1.0,
        ..client::Histogram::default()
    });
    assert_eq!(
        read(
            &family("h", client::MetricType::GaugeHistogram, floats),
            NATIVE
        ),
        [r#"{__name__="h"} float 1.5 None []"#]
    );
}

#[test]
fn keys_tell_series_apart() {
    let key = |suffix, labels: &[LabelPair]| {
        let mut key = Vec::new();
        let name = Name {
            family: "a",
            suffix,
            labels,
            extra: None,
        };
        name.push_key(&mut key);
        key
    };
    let labels = [label("b", "c")];
    assert_ne!(key("_sum", &labels), key("_count", &labels));
    assert_ne!(key("", &labels), key("", &[]));
    assert_ne!(key("", &labels), key("", &[label("bc", "")]));
}

#[test]
fn what_is_cut_off_is_refused_at_every_byte() {
    let gauge = Metric {
        gauge: Some(client::Gauge { value: 1.0 }),
        ..Metric::default()
    };
    let bytes = family("g", client::MetricType::Gauge, gauge).encode_length_delimited_to_vec();
    for len in 1..bytes.len() {
        let found: Vec<_> = Families::new(&bytes[..len]).collect();
        assert!(matches!(found[..], [Err(Error::Truncated(0))]), "{len}");
    }
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0];
    assert!(Families::new(&huge).all(|f| f.is_err()));
}

proptest! {
    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for family in Families::new(&bytes).flatten() {
            samples(&family, BOTH, |s| s.name.to_labels().map(drop)).unwrap_or_default();
        }
    }
}
