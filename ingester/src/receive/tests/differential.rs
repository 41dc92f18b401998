//! Both decoders see what prost sees, on sound messages and on damaged ones.

use model::{Labels, Metadata};
use proptest::prelude::*;
use prost::Message;
use proto::prometheus::{BucketSpan, Exemplar, Histogram, MetricMetadata, histogram};
use proto::write_v2;
use tsdb::batch::{Batch, SeriesRef};

use super::*;

/// A series as a batch holds it, in a form that compares NaN by its bits.
fn shown(batch: &Batch) -> Vec<String> {
    batch
        .iter()
        .map(|series| {
            let labels = Labels::from_encoded(series.labels);
            let floats: Vec<_> = (series.floats.iter())
                .map(|float| (float.t, float.v.to_bits()))
                .collect();
            format!(
                "{labels} {floats:?} {:?} {:?} {:?}",
                series.histograms, series.exemplars, series.metadata
            )
        })
        .collect()
}

fn all_shown(decoded: &Decoded) -> Vec<String> {
    let batches = decoded.batches();
    batches
        .flat_map(|(tenant, batch)| {
            let tenant = format!("{tenant:?}");
            shown(batch)
                .into_iter()
                .map(move |series| format!("{tenant} {series}"))
        })
        .collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-z_]{1,6}",
        2 => Just("__name__".to_owned()),
        1 => "\\PC{0,4}",
        1 => "[a-z]{120,140}",
    ]
}

fn labels() -> impl Strategy<Value = Vec<(String, String)>> {
    let named =
        (text(), prop::collection::vec((text(), text()), 0..6)).prop_map(|(name, mut rest)| {
            rest.insert(0, ("__name__".to_owned(), name));
            rest
        });
    prop_oneof![5 => named, 1 => prop::collection::vec((text(), text()), 0..4)]
}

fn wire(labels: &[(String, String)]) -> Vec<Label> {
    let pairs: Vec<_> = labels
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    wire_labels(&pairs)
}

fn spans() -> impl Strategy<Value = Vec<BucketSpan>> {
    let span = (any::<i32>(), any::<u32>());
    let span = span.prop_map(|(offset, length)| BucketSpan { offset, length });
    prop::collection::vec(span, 0..3)
}

fn a_histogram() -> impl Strategy<Value = Histogram> {
    let numbers = || prop::collection::vec(-1e9..1e9_f64, 0..4);
    let deltas = || prop::collection::vec(any::<i64>(), 0..4);
    (
        (
            any::<bool>(),
            any::<u64>(),
            -9..9_i32,
            any::<i64>(),
            0..5_i32,
        ),
        (spans(), spans()),
        (deltas(), deltas()),
        (numbers(), numbers(), numbers()),
    )
        .prop_map(
            |((float, count, schema, timestamp, reset_hint), spans, deltas, numbers)| {
                let as_float = count as f64;
                Histogram {
                    count: Some(if float {
                        histogram::Count::CountFloat(as_float)
                    } else {
                        histogram::Count::CountInt(count)
                    }),
                    zero_count: (count % 3 > 0).then_some(if count % 2 == 0 {
                        histogram::ZeroCount::ZeroCountFloat(as_float)
                    } else {
                        histogram::ZeroCount::ZeroCountInt(count)
                    }),
                    sum: -as_float,
                    schema,
                    zero_threshold: 0.25,
                    negative_spans: spans.0,
                    positive_spans: spans.1,
                    negative_deltas: deltas.0,
                    positive_deltas: deltas.1,
                    negative_counts: numbers.0,
                    positive_counts: numbers.1,
                    custom_values: numbers.2,
                    reset_hint,
                    timestamp,
                }
            },
        )
}

fn a_series() -> impl Strategy<Value = TimeSeries> {
    let samples = prop::collection::vec((any::<i64>(), any::<u64>()), 0..4);
    let exemplars = prop::collection::vec((labels(), any::<i64>(), -1.0..1.0_f64), 0..2);
    let histograms = prop::collection::vec(a_histogram(), 0..2);
    (labels(), samples, exemplars, histograms).prop_map(
        |(labels, samples, exemplars, histograms)| TimeSeries {
            labels: wire(&labels),
            samples: (samples.into_iter())
                .map(|(timestamp, bits)| Sample {
                    value: f64::from_bits(bits),
                    timestamp,
                })
                .collect(),
            exemplars: (exemplars.into_iter())
                .map(|(labels, timestamp, value)| Exemplar {
                    labels: wire(&labels),
                    value,
                    timestamp,
                })
                .collect(),
            histograms,
        },
    )
}

fn a_request() -> impl Strategy<Value = WriteRequest> {
    let metadata =
        (0..9_i32, text(), text(), text()).prop_map(|(kind, family, help, unit)| MetricMetadata {
            r#type: kind,
            metric_family_name: family,
            help,
            unit,
        });
    let series = prop::collection::vec(a_series(), 0..4);
    (series, prop::collection::vec(metadata, 0..3)).prop_map(|(timeseries, metadata)| {
        WriteRequest {
            timeseries,
            metadata,
        }
    })
}

/// What the two ways make of `bytes`: the batch or the refusal of all, ours and prost's.
fn both_v1(bytes: &[u8]) -> (Option<Decoded>, Option<Decoded>) {
    let options = DecodeOptions::default();
    let mut ours = Decoded::new();
    let ours = v1::decode(bytes, &options, &mut ours)
        .is_ok()
        .then_some(ours);
    let theirs = WriteRequest::decode(bytes).ok().map(|message| {
        let mut decoded = Decoded::new();
        message::fill(&message.timeseries, &options, &mut decoded).unwrap();
        decoded
    });
    (ours, theirs)
}

fn refused(decoded: &Decoded) -> Vec<(&'static str, usize)> {
    let refusals = decoded.refusals.iter();
    refusals
        .map(|(reason, count)| (reason.name(), count))
        .collect()
}

/// The same series in 2.0, each text a symbol of its own.
fn to_v2(request: &WriteRequest) -> write_v2::Request {
    let mut out = write_v2::Request {
        symbols: vec![bytes::Bytes::new()],
        ..Default::default()
    };
    for series in &request.timeseries {
        let mut refs = |labels: &[Label]| {
            let mut refs = Vec::new();
            for text in labels.iter().flat_map(|label| [&label.name, &label.value]) {
                refs.push(out.symbols.len() as u32);
                out.symbols.push(text.clone());
            }
            refs
        };
        let labels_refs = refs(&series.labels);
        let exemplars = series.exemplars.iter().map(|exemplar| write_v2::Exemplar {
            labels_refs: refs(&exemplar.labels),
            value: exemplar.value,
            timestamp: exemplar.timestamp,
        });
        let exemplars = exemplars.collect();
        let samples = series.samples.iter().map(|sample| write_v2::Sample {
            value: sample.value,
            timestamp: sample.timestamp,
            start_timestamp: 5,
        });
        let histograms = series.histograms.iter().map(|histogram| {
            // The same message but for the last field.
            write_v2::Histogram::decode(histogram.encode_to_vec().as_slice()).unwrap()
        });
        out.timeseries.push(write_v2::TimeSeries {
            labels_refs,
            samples: samples.collect(),
            histograms: histograms.collect(),
            exemplars,
            metadata: None,
        });
    }
    out
}

#[test]
fn starts_are_heard_where_they_are_wanted() {
    let mut request = write_v2::Request {
        symbols: [&b""[..], b"__name__", b"a", b"h"]
            .map(bytes::Bytes::from)
            .to_vec(),
        ..Default::default()
    };
    let sample = write_v2::Sample {
        value: 1.0,
        timestamp: 9,
        start_timestamp: 5,
    };
    let histogram = write_v2::Histogram {
        start_timestamp: 6,
        ..Default::default()
    };
    let mut series = write_v2::TimeSeries {
        labels_refs: vec![1, 2],
        samples: vec![sample],
        ..Default::default()
    };
    request.timeseries.push(series.clone());
    series.samples[0].start_timestamp = 0;
    request.timeseries.push(series.clone());
    (series.labels_refs, series.samples) = (vec![1, 3], Vec::new());
    series.histograms = vec![histogram];
    request.timeseries.push(series);
    let starts = |zeros| {
        let options = DecodeOptions {
            zeros,
            ..DecodeOptions::default()
        };
        let mut decoded = Decoded::new();
        v2::decode(&request.encode_to_vec(), &options, &mut decoded).unwrap();
        let batches = decoded.batches();
        batches
            .flat_map(|(_, batch)| batch.starts().to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(starts(true), [(0, 5), (2, 6)]);
    assert_eq!(starts(false), []);
}

proptest! {
    #[test]
    fn v1_sees_what_prost_sees(request in a_request()) {
        let bytes = request.encode_to_vec();
        let (ours, theirs) = both_v1(&bytes);
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        prop_assert_eq!(all_shown(&ours), all_shown(&theirs));
        prop_assert_eq!(refused(&ours), refused(&theirs));
        let named = request.metadata.iter().filter(|m| !m.metric_family_name.is_empty());
        prop_assert_eq!(ours.metadata.len(), named.count());
    }

    #[test]
    fn v1_takes_damage_as_prost_does(
        request in a_request(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = request.encode_to_vec();
        bytes.push(0);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() * 2));
        let (ours, theirs) = both_v1(&bytes);
        // What prost takes, we take, and see the same in it; metadata that is no text, where it
        // gives up, is merely left out here.
        if let Some(theirs) = theirs {
            let ours = ours.expect("prost reads it");
            prop_assert_eq!(all_shown(&ours), all_shown(&theirs));
        } else if let Some(ours) = ours {
            prop_assert!(bytes.len() > 1, "{:?}", ours);
        }
        let mut decoded = Decoded::new();
        let _ = v2::decode(&bytes, &DecodeOptions::default(), &mut decoded);
    }

    #[test]
    fn v2_sees_what_v1_sees(request in a_request(), table_last in any::<bool>()) {
        let options = DecodeOptions::default();
        let mut v1 = Decoded::new();
        v1::decode(&request.encode_to_vec(), &options, &mut v1).unwrap();
        let message = to_v2(&request);
        let bytes = if table_last {
            // Fields may come in any order.
            let series = write_v2::Request { symbols: Vec::new(), ..message.clone() };
            let symbols = write_v2::Request { timeseries: Vec::new(), ..message };
            [series.encode_to_vec(), symbols.encode_to_vec()].concat()
        } else {
            message.encode_to_vec()
        };
        let mut v2 = Decoded::new();
        v2::decode(&bytes, &options, &mut v2).unwrap();
        // A series without a sample is an error in 2.0 alone.
        let with_samples = |decoded: &Decoded| {
            let batches = decoded.batches().flat_map(|(_, batch)| {
                let kept = batch.iter().enumerate();
                let kept = kept.filter(|(_, s)| !s.floats.is_empty() || !s.histograms.is_empty());
                let shown = shown(batch);
                kept.map(|(i, _)| shown[i].clone()).collect::<Vec<_>>()
            });
            batches.collect::<Vec<_>>()
        };
        prop_assert_eq!(with_samples(&v2), with_samples(&v1));
    }
}

/// What a decoder that knows all of `bytes` makes of it, and how many series it knew.
fn decoded_again(bytes: &[u8], known: &mut Known) -> Option<(Decoded, usize)> {
    let options = DecodeOptions::default();
    let mut first = Decoded::new();
    v1::decode(bytes, &options, &mut first).ok()?;
    let mut decoded = Decoded::new();
    for _ in 0..2 {
        v1::decode_known(bytes, &options, known, &mut decoded).unwrap();
        let series: Vec<_> = (0..)
            .map(|i| Some(SeriesRef(i)))
            .take(first.series_count())
            .collect();
        decoded.teach(bytes, &series, known);
    }
    // The references say which series of the request is meant, so its labels can be filled in.
    let labels: Vec<_> = first
        .batches()
        .flat_map(|(_, batch)| batch.iter())
        .map(|s| s.labels)
        .collect();
    let (mut again, mut met) = (Decoded::new(), 0);
    v1::decode(bytes, &options, &mut again).unwrap();
    let mut batch = Batch::new();
    for series in decoded.batches().flat_map(|(_, batch)| batch.iter()) {
        met += usize::from(series.known.is_some());
        let labels = series.known.map_or(series.labels, |s| labels[s.0 as usize]);
        batch.series(&Labels::from_encoded(labels));
        series
            .floats
            .iter()
            .for_each(|float| batch.float(float.t, float.v));
        series
            .histograms
            .iter()
            .for_each(|h| batch.histogram(h.clone()));
        series
            .exemplars
            .iter()
            .for_each(|e| batch.exemplar(e.clone()));
    }
    let shown_again = shown(&batch);
    let all: Vec<_> = first
        .batches()
        .flat_map(|(_, batch)| shown(batch))
        .collect();
    assert_eq!(shown_again, all);
    assert_eq!(refused(&decoded), refused(&first));
    assert_eq!(decoded.sample_count(), first.sample_count());
    Some((decoded, met))
}

proptest! {
    #[test]
    fn known_series_are_what_they_were(request in a_request(), more in a_request()) {
        let mut known = Known::default();
        decoded_again(&request.encode_to_vec(), &mut known).unwrap();
        let (decoded, met) = decoded_again(&request.encode_to_vec(), &mut known).unwrap();
        let series = decoded.batches().map(|(_, batch)| batch.len()).sum::<usize>();
        prop_assert_eq!(met, series);
        // References are those of another request now.
        let mut known = Known::default();
        let both = [request.encode_to_vec(), more.encode_to_vec()].concat();
        decoded_again(&both, &mut known).unwrap();
    }

    #[test]
    fn damage_after_known_labels_is_met(
        request in a_request(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let bytes = request.encode_to_vec();
        let mut known = Known::default();
        let _ = decoded_again(&bytes, &mut known);
        let mut damaged = bytes.clone();
        damaged.push(0);
        for (at, byte) in edits {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        let options = DecodeOptions::default();
        let (mut plain, mut with_known) = (Decoded::new(), Decoded::new());
        let plain_result = v1::decode(&damaged, &options, &mut plain);
        let result = v1::decode_known(&damaged, &options, &known, &mut with_known);
        prop_assert_eq!(result, plain_result);
    }
}

#[test]
fn fields_may_come_in_any_order_and_unknown_ones_are_skipped() {
    let series = floats(&[("__name__", "up"), ("job", "x")], &[(5, 1.5)]);
    // Samples before labels, then a group, a 32-bit number and a string that nobody knows.
    let mut message = Vec::new();
    let samples = TimeSeries {
        labels: Vec::new(),
        ..series.clone()
    };
    samples.encode(&mut message).unwrap();
    let labels = TimeSeries {
        samples: Vec::new(),
        ..series.clone()
    };
    message.extend([0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06]);
    message.extend([0xa5, 0x06, 1, 2, 3, 4, 0xaa, 0x06, 1, b'x']);
    labels.encode(&mut message).unwrap();
    let mut bytes = vec![0x0a, message.len() as u8];
    bytes.extend(&message);
    let mut decoded = Decoded::new();
    v1::decode(&bytes, &DecodeOptions::default(), &mut decoded).unwrap();
    let (_, batch) = decoded.batches().next().unwrap();
    assert_eq!(
        shown(batch),
        ["{__name__=\"up\", job=\"x\"} [(5, 4609434218613702656)] [] [] None"]
    );
}

#[test]
fn metadata_of_v2_belongs_to_its_series() {
    let message = write_v2::Request {
        symbols: ["", "__name__", "a", "help", "s"]
            .map(bytes::Bytes::from)
            .to_vec(),
        timeseries: vec![write_v2::TimeSeries {
            labels_refs: vec![1, 2],
            samples: vec![write_v2::Sample::default()],
            metadata: Some(write_v2::Metadata {
                r#type: 1,
                help_ref: 3,
                unit_ref: 4,
            }),
            ..Default::default()
        }],
    };
    let mut decoded = Decoded::new();
    v2::decode(
        &message.encode_to_vec(),
        &DecodeOptions::default(),
        &mut decoded,
    )
    .unwrap();
    let (_, batch) = decoded.batches().next().unwrap();
    let expected = Metadata {
        kind: model::MetricType::Counter,
        unit: "s".to_owned(),
        help: "help".to_owned(),
    };
    assert_eq!(batch.get(0).metadata, Some(&expected));
    assert!(batch.get(0).histograms.is_empty());
}

#[test]
fn references_without_a_symbol_refuse_their_series_alone() {
    let series = |labels_refs| write_v2::TimeSeries {
        labels_refs,
        samples: vec![write_v2::Sample::default()],
        ..Default::default()
    };
    let message = write_v2::Request {
        symbols: ["", "__name__", "a", "\u{fffd}"]
            .map(bytes::Bytes::from)
            .to_vec(),
        timeseries: vec![
            series(vec![1, 9]),
            series(vec![1]),
            series(vec![1, 2]),
            write_v2::TimeSeries {
                labels_refs: vec![1, 2],
                ..Default::default()
            },
            write_v2::TimeSeries {
                labels_refs: vec![1, 2],
                exemplars: vec![write_v2::Exemplar::default()],
                ..Default::default()
            },
        ],
    };
    let mut decoded = Decoded::new();
    v2::decode(
        &message.encode_to_vec(),
        &DecodeOptions::default(),
        &mut decoded,
    )
    .unwrap();
    assert_eq!(refused(&decoded), [("bad_symbol", 2), ("no_samples", 1)]);
    // An exemplar may come alone.
    assert_eq!(decoded.batches().map(|(_, b)| b.len()).sum::<usize>(), 2);
}
