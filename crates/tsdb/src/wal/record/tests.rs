use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{CounterResetHint, Span};
use proptest::prelude::*;

use super::*;
use crate::cursor::{put_uvarint, put_varint};

fn any_labels() -> impl Strategy<Value = Labels> {
    prop::collection::vec(("[a-z]{1,5}", ".{0,8}"), 0..5).prop_map(Labels::from_pairs)
}

fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let span = (any::<i32>(), 0u32..4).prop_map(|(offset, length)| Span { offset, length });
    prop::collection::vec(span, 0..4)
}

fn any_hint() -> impl Strategy<Value = CounterResetHint> {
    prop_oneof![
        Just(CounterResetHint::Unknown),
        Just(CounterResetHint::Reset),
        Just(CounterResetHint::NotReset),
        Just(CounterResetHint::Gauge)
    ]
}

fn buckets<T: Clone>(spans: &[Span], values: &[T]) -> Vec<T> {
    let count: u32 = spans.iter().map(|s| s.length).sum();
    values
        .iter()
        .cycle()
        .take(count as usize)
        .cloned()
        .collect()
}

/// Bits rather than floats, for NaNs are equal to nothing.
fn any_finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("comparable", |v| !v.is_nan())
}

prop_compose! {
    fn any_histogram()(
        counter_reset_hint in any_hint(),
        schema in prop_oneof![-4..=8i32, Just(CUSTOM_BUCKETS_SCHEMA)],
        zero_threshold in any_finite(),
        zero_count: u64,
        count: u64,
        sum in any_finite(),
        positive_spans in any_spans(),
        negative_spans in any_spans(),
        deltas in prop::collection::vec(any::<i64>(), 1..9),
        custom in prop::collection::vec(any_finite(), 0..4),
    ) -> Histogram {
        Histogram {
            counter_reset_hint,
            schema,
            zero_threshold,
            zero_count,
            count,
            sum,
            positive_buckets: buckets(&positive_spans, &deltas),
            negative_buckets: buckets(&negative_spans, &deltas),
            positive_spans,
            negative_spans,
            custom_values: if schema == CUSTOM_BUCKETS_SCHEMA { custom } else { Vec::new() },
        }
    }
}

prop_compose! {
    fn any_float_histogram()(
        of in any_histogram(),
        zero_count in any_finite(),
        count in any_finite(),
        values in prop::collection::vec(any_finite(), 1..9),
    ) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: of.counter_reset_hint,
            schema: of.schema,
            zero_threshold: of.zero_threshold,
            zero_count,
            count,
            sum: of.sum,
            positive_buckets: buckets(&of.positive_spans, &values),
            negative_buckets: buckets(&of.negative_spans, &values),
            positive_spans: of.positive_spans,
            negative_spans: of.negative_spans,
            custom_values: of.custom_values,
        }
    }
}

fn rows<V: std::fmt::Debug + Clone>(
    value: impl Strategy<Value = V>,
) -> impl Strategy<Value = Vec<RefValue<V>>> {
    let row = (any::<u64>(), any::<i64>(), value).prop_map(|(series, t, value)| RefValue {
        series,
        t,
        value,
    });
    prop::collection::vec(row, 0..10)
}

proptest! {
    #[test]
    fn samples_round_trip(samples in rows(any_finite())) {
        let (mut record, mut found) = (Vec::new(), Vec::new());
        encode_samples(&samples, &mut record);
        decode_samples(&record, &mut found).unwrap();
        prop_assert_eq!(found, samples);
    }

    #[test]
    fn histograms_round_trip(histograms in rows(any_histogram())) {
        let mut found = Vec::new();
        let records = encode_histograms(&histograms);
        prop_assert!(records.len() <= 2);
        for record in records {
            let custom = RecordType::of(&record) == Some(RecordType::CustomHistograms);
            let before = found.len();
            decode_histograms(&record, &mut found).unwrap();
            prop_assert!(found[before..].iter().all(|h| (h.value.schema == CUSTOM_BUCKETS_SCHEMA) == custom));
        }
        let (custom, mut expected): (Vec<_>, Vec<_>) =
            histograms.into_iter().partition(|h| h.value.schema == CUSTOM_BUCKETS_SCHEMA);
        expected.extend(custom);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn float_histograms_round_trip(histograms in rows(any_float_histogram())) {
        let mut found = Vec::new();
        for record in encode_float_histograms(&histograms) {
            decode_float_histograms(&record, &mut found).unwrap();
        }
        let (custom, mut expected): (Vec<_>, Vec<_>) =
            histograms.into_iter().partition(|h| h.value.schema == CUSTOM_BUCKETS_SCHEMA);
        expected.extend(custom);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_is_about_series_round_trips(
        refs in prop::collection::vec((any::<u64>(), any::<i64>(), any::<i64>(), any_finite(), any_labels(), any::<u8>()), 0..6),
    ) {
        let series: Vec<_> = refs.iter().map(|r| RefSeries { series: r.0, labels: r.4.clone() }).collect();
        let (mut record, mut found) = (Vec::new(), Vec::new());
        encode_series(&series, &mut record);
        decode_series(&record, &mut found).unwrap();
        prop_assert_eq!(found, series);

        let stones: Vec<_> = refs.iter().map(|r| RefTombstone { series: r.0, min: r.1, max: r.2 }).collect();
        let (mut record, mut found) = (Vec::new(), Vec::new());
        encode_tombstones(&stones, &mut record);
        decode_tombstones(&record, &mut found).unwrap();
        prop_assert_eq!(found, stones);

        let exemplars: Vec<_> = refs.iter()
            .map(|r| RefExemplar { series: r.0, t: r.1, value: r.3, labels: r.4.clone() }).collect();
        let (mut record, mut found) = (Vec::new(), Vec::new());
        encode_exemplars(&exemplars, &mut record);
        decode_exemplars(&record, &mut found).unwrap();
        prop_assert_eq!(found, exemplars);

        let markers: Vec<_> = refs.iter().map(|r| MmapMarker { series: r.0, chunk: r.0 ^ 5 }).collect();
        let (mut record, mut found) = (Vec::new(), Vec::new());
        encode_markers(&markers, &mut record);
        decode_markers(&record, &mut found).unwrap();
        prop_assert_eq!(found, markers);

        let metadata: Vec<_> = refs.iter()
            .map(|r| RefMetadata { series: r.0, metric_type: r.5, unit: "s".into(), help: r.4.to_string() }).collect();
        let (mut record, mut found) = (Vec::new(), Vec::new());
        encode_metadata(&metadata, &mut record);
        decode_metadata(&record, &mut found).unwrap();
        prop_assert_eq!(found, metadata);
    }

    #[test]
    fn any_histogram_of_a_high_resolution_is_reduced_or_refused(
        mut of in any_histogram(),
        schema in 9i32..=52,
    ) {
        of.schema = schema;
        of.custom_values.clear();
        for record in encode_histograms(&[RefHistogram { series: 1, t: 1, value: of }]) {
            let mut found = Vec::new();
            let result = decode_histograms(&record, &mut found);
            prop_assert_eq!(result.is_ok(), found.iter().any(|h| h.value.schema == 8));
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(kind in 0u8..20, bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut record = vec![kind];
        record.extend(bytes);
        let _ = Checker::default().check(&record);
    }
}

/// Rows of the enhanced frame, as Prometheus 3.11 and later write them.
fn enhanced(record_type: RecordType, value: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut record = vec![record_type as u8];
    put_varint(&mut record, 10);
    put_varint(&mut record, 1000);
    put_varint(&mut record, 900);
    value(&mut record);
    // Series 15, t 1005, no start; series 12, t 1010, same start; series 13, t 1000, start 950.
    for (delta, t, marker) in [(5, 5, &[0][..]), (-3, 10, &[1]), (1, 0, &[2, 100])] {
        put_varint(&mut record, delta);
        put_varint(&mut record, t);
        record.extend_from_slice(marker);
        value(&mut record);
    }
    record
}

const ENHANCED_ROWS: [(u64, i64); 4] = [(10, 1000), (15, 1005), (12, 1010), (13, 1000)];

#[test]
fn enhanced_records_are_read_without_start_timestamps() {
    let record = enhanced(RecordType::SamplesV2, |out| {
        out.extend_from_slice(&1.5f64.to_bits().to_be_bytes());
    });
    let mut samples = Vec::new();
    decode_samples(&record, &mut samples).unwrap();
    assert_eq!(
        samples.iter().map(|s| (s.series, s.t)).collect::<Vec<_>>(),
        ENHANCED_ROWS
    );
    assert!(samples.iter().all(|s| s.value == 1.5));

    let plain = encode_histograms(&[RefHistogram {
        series: 0,
        t: 0,
        value: Histogram::default(),
    }]);
    // Type, base and two zero deltas come before the histogram.
    let body = plain[0][1 + 16 + 2..].to_vec();
    let record = enhanced(RecordType::HistogramsV2, |out| out.extend_from_slice(&body));
    let mut histograms = Vec::new();
    decode_histograms(&record, &mut histograms).unwrap();
    assert_eq!(
        histograms
            .iter()
            .map(|s| (s.series, s.t))
            .collect::<Vec<_>>(),
        ENHANCED_ROWS
    );

    let mut floats = Vec::new();
    assert!(
        decode_float_histograms(&record, &mut floats).is_err(),
        "the wrong kind"
    );
}

#[test]
fn histograms_of_unknown_schemas_are_skipped() {
    let row = |series, schema| RefHistogram {
        series,
        t: 0,
        value: Histogram {
            schema,
            ..Histogram::default()
        },
    };
    let record = encode_histograms(&[row(1, 3), row(2, 60), row(3, -54), row(4, 8)]).remove(0);
    let mut found = Vec::new();
    decode_histograms(&record, &mut found).unwrap();
    assert_eq!(found.iter().map(|h| h.series).collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn histograms_of_too_high_a_resolution_are_reduced() {
    let value = Histogram {
        schema: 9,
        count: 3,
        positive_spans: vec![Span {
            offset: 1,
            length: 2,
        }],
        positive_buckets: vec![1, 1],
        ..Histogram::default()
    };
    let record = encode_histograms(&[RefHistogram {
        series: 1,
        t: 0,
        value,
    }])
    .remove(0);
    let mut found = Vec::new();
    decode_histograms(&record, &mut found).unwrap();
    let reduced = &found[0].value;
    assert_eq!(
        (reduced.schema, &reduced.positive_buckets[..]),
        (8, &[3][..])
    );
}

#[test]
fn buckets_that_the_spans_do_not_list_are_damage() {
    let value = Histogram {
        positive_spans: vec![Span {
            offset: 0,
            length: 3,
        }],
        positive_buckets: vec![1, 2],
        ..Histogram::default()
    };
    let record = encode_histograms(&[RefHistogram {
        series: 1,
        t: 0,
        value,
    }])
    .remove(0);
    let error = decode_histograms(&record, &mut Vec::new()).unwrap_err();
    assert_eq!(error.expected, "3 buckets as the spans say, found 2");
}

#[test]
fn an_error_leaves_what_was_there() {
    let sample = RefSample {
        series: 1,
        t: 2,
        value: 3.0,
    };
    let (mut record, mut out) = (Vec::new(), vec![sample]);
    encode_samples(&[sample, sample], &mut record);
    record.pop();
    let error = decode_samples(&record, &mut out).unwrap_err();
    assert_eq!((error.offset, &error.expected[..]), (29, "a float value"));
    assert_eq!(out, [sample]);
}

#[test]
fn labels_in_disorder_are_sorted() {
    let mut record = vec![RecordType::Series as u8];
    record.extend_from_slice(&7u64.to_be_bytes());
    put_uvarint(&mut record, 3);
    for s in ["b", "2", "a", "1", "c", ""] {
        put_uvarint(&mut record, s.len() as u64);
        record.extend_from_slice(s.as_bytes());
    }
    let mut found = Vec::new();
    decode_series(&record, &mut found).unwrap();
    assert_eq!(
        found[0].labels,
        Labels::from_pairs([("a", "1"), ("b", "2")])
    );
}
