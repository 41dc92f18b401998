use std::collections::BTreeMap;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::sample::{STALE_NAN, is_stale};
use model::{CounterResetHint, FloatHistogram, Histogram, Span};
use proptest::prelude::*;

use super::counts::Counts;
use super::*;
use crate::error::Error;

fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
    spans
        .iter()
        .map(|&(offset, length)| Span { offset, length })
        .collect()
}

/// A histogram with these counts in its positive buckets.
fn histogram(layout: &[(i32, u32)], buckets: &[i64]) -> Histogram {
    let mut histogram = Histogram {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2,
        count: 2 + buckets.iter().sum::<i64>() as u64,
        sum: buckets.len() as f64,
        ..Histogram::default()
    };
    IntegerCounts::set_buckets(&mut histogram, 0, spans(layout), buckets);
    histogram
}

fn gauge(mut histogram: Histogram) -> Histogram {
    histogram.counter_reset_hint = CounterResetHint::Gauge;
    histogram
}

fn stale() -> Histogram {
    Histogram {
        sum: STALE_NAN,
        ..Histogram::default()
    }
}

/// Header and histograms of each chunk that encoding `histograms` yields.
fn encode<C: Counts>(
    encoder: &mut GenericEncoder<C>,
    histograms: &[C::Histogram],
) -> Vec<(CounterReset, Vec<C::Histogram>)> {
    let mut chunks = Vec::new();
    for (t, histogram) in histograms.iter().enumerate() {
        chunks.extend(encoder.append(t as i64 * 15_000, histogram).unwrap());
    }
    chunks.push(encoder.chunk());
    let mut times = 0..;
    chunks
        .into_iter()
        .map(|chunk| {
            let samples = GenericSamples::<C>::new(&chunk.data).unwrap();
            let histograms = samples
                .map(|sample| {
                    let (t, histogram) = sample.unwrap();
                    assert_eq!(t, times.next().unwrap() * 15_000);
                    histogram
                })
                .collect();
            (counter_reset(&chunk.data).unwrap(), histograms)
        })
        .collect()
}

/// Checks the headers and sizes of the chunks that both kinds of encoders make of `histograms`.
fn check(
    histograms: &[Histogram],
    integer: &[(CounterReset, usize)],
    float: &[(CounterReset, usize)],
) {
    fn outline<H>(chunks: &[(CounterReset, Vec<H>)]) -> Vec<(CounterReset, usize)> {
        chunks
            .iter()
            .map(|(header, histograms)| (*header, histograms.len()))
            .collect()
    }
    let chunks = encode(&mut Encoder::new(), histograms);
    assert_eq!(outline(&chunks), integer, "integer");
    let floats: Vec<_> = histograms.iter().map(Histogram::to_float).collect();
    let chunks = encode(&mut FloatEncoder::new(), &floats);
    assert_eq!(outline(&chunks), float, "float");
}

use CounterReset::{Gauge, NotReset, Reset, Unknown};

#[test]
fn new_chunks_start_where_the_promise_breaks() {
    let first = histogram(&[(0, 3)], &[1, 2, 3]);
    let both = |after: Histogram, header| {
        check(
            &[first.clone(), after.clone(), after],
            &[(Unknown, 1), (header, 2)],
            &[(Unknown, 1), (header, 2)],
        );
    };
    // A bucket shrank though the count grew; a used bucket went; the count shrank.
    both(histogram(&[(0, 3)], &[9, 1, 3]), Reset);
    both(histogram(&[(1, 2)], &[9, 9]), Reset);
    both(histogram(&[(0, 3)], &[0, 0, 1]), Reset);
    both(
        Histogram {
            zero_count: 1,
            count: 99,
            ..first.clone()
        },
        Reset,
    );
    both(
        Histogram {
            schema: 2,
            ..first.clone()
        },
        Unknown,
    );
    both(
        Histogram {
            zero_threshold: 0.01,
            ..first.clone()
        },
        Unknown,
    );
    both(gauge(first.clone()), Gauge);
    let hinted = Histogram {
        counter_reset_hint: CounterResetHint::Reset,
        ..first.clone()
    };
    check(
        &[first.clone(), hinted.clone(), hinted],
        &[(Unknown, 1), (Reset, 1), (Reset, 1)],
        &[(Unknown, 1), (Reset, 1), (Reset, 1)],
    );
    // After gauges the two kinds differ, as they do in Prometheus.
    check(
        &[gauge(first.clone()), first.clone()],
        &[(Gauge, 1), (NotReset, 1)],
        &[(Gauge, 1), (Unknown, 1)],
    );
    let custom = |bounds: &[f64]| Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: bounds.to_vec(),
        ..first.clone()
    };
    check(
        &[
            custom(&[0.1, 2.0]),
            custom(&[0.1, 2.0]),
            custom(&[0.1, 2.5]),
        ],
        &[(Unknown, 2), (Reset, 1)],
        &[(Unknown, 2), (Reset, 1)],
    );
}

#[test]
fn only_stale_samples_follow_a_stale_one() {
    let first = histogram(&[(0, 3)], &[1, 2, 3]);
    check(
        &[first.clone(), stale(), stale(), first.clone(), stale()],
        &[(Unknown, 3), (Unknown, 2)],
        &[(Unknown, 3), (Unknown, 2)],
    );
    check(
        &[stale(), first.clone()],
        &[(Unknown, 1), (Unknown, 1)],
        &[(Unknown, 1), (Unknown, 1)],
    );
    let chunks = encode(&mut Encoder::new(), &[first, stale()]);
    let read = &chunks[0].1[1];
    assert!(is_stale(read.sum));
    assert_eq!(
        (read.count, read.positive_spans.len(), read.schema),
        (0, 0, 0)
    );
}

#[test]
fn a_cut_chunk_is_compared_with_by_the_next() {
    let first = histogram(&[(0, 3)], &[1, 2, 3]);
    let less = histogram(&[(0, 3)], &[1, 2, 2]);
    let coarser = Histogram {
        schema: 2,
        ..first.clone()
    };
    for (next, integer, float) in [
        (&first, NotReset, NotReset),
        (&less, Reset, Reset),
        (&coarser, Unknown, NotReset),
        (&gauge(first.clone()), Gauge, Gauge),
        (&stale(), NotReset, NotReset),
    ] {
        let mut encoder = Encoder::new();
        encoder.append(0, &first).unwrap();
        assert_eq!(counter_reset(&encoder.cut().data).unwrap(), Unknown);
        assert_eq!(encoder.count(), 0);
        encoder.append(1, next).unwrap();
        assert_eq!(counter_reset(&encoder.chunk().data).unwrap(), integer);

        let mut encoder = FloatEncoder::new();
        encoder.append(0, &first.to_float()).unwrap();
        encoder.cut();
        encoder.append(1, &next.to_float()).unwrap();
        assert_eq!(counter_reset(&encoder.chunk().data).unwrap(), float);
    }
}

#[test]
fn layouts_widen_both_ways() {
    let narrow = histogram(&[(0, 2), (2, 1)], &[1, 0, 3]);
    // Lacks the unused bucket 1 and the unused 4 is new.
    let other = histogram(&[(0, 1), (3, 2)], &[2, 4, 7]);
    let wide = [(0, 2), (2, 2)];
    for (histograms, layout, expected) in [
        // The chunk is recoded.
        (
            [narrow.clone(), histogram(&[(-1, 3), (2, 1)], &[5, 1, 1, 3])],
            &[(-1, 3), (2, 1)][..],
            [[0, 1, 0, 3], [5, 1, 1, 3]],
        ),
        // The histogram is widened.
        (
            [histogram(&wide, &[1, 0, 3, 0]), narrow.clone()],
            &wide[..],
            [[1, 0, 3, 0], [1, 0, 3, 0]],
        ),
        // Both.
        (
            [narrow.clone(), other.clone()],
            &wide[..],
            [[1, 0, 3, 0], [2, 0, 4, 7]],
        ),
    ] {
        let chunks = encode(&mut Encoder::new(), &histograms);
        assert_eq!(chunks.len(), 1);
        for (read, expected) in chunks[0].1.iter().zip(expected) {
            assert_eq!(read.positive_spans, spans(layout));
            assert_eq!(IntegerCounts::absolute_of(read)[0], expected);
        }
    }
    // Gauges may lose used buckets.
    let chunks = encode(
        &mut Encoder::new(),
        &[
            gauge(other),
            gauge(narrow.clone()),
            gauge(stale()),
            gauge(stale()),
        ],
    );
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].1[1].positive_spans, spans(&wide));
    assert_eq!(IntegerCounts::absolute_of(&chunks[0].1[1])[0], [1, 0, 3, 0]);
    assert_eq!(chunks[0].1[0].counter_reset_hint, CounterResetHint::Gauge);
}

#[test]
fn hints_are_unknown_first_and_not_reset_later() {
    let first = histogram(&[(0, 1)], &[5]);
    let chunks = encode(
        &mut Encoder::new(),
        &[first.clone(), first.clone(), stale()],
    );
    let hints: Vec<_> = chunks[0].1.iter().map(|h| h.counter_reset_hint).collect();
    assert_eq!(
        hints,
        [
            CounterResetHint::Unknown,
            CounterResetHint::NotReset,
            CounterResetHint::Unknown
        ]
    );
}

#[test]
fn contradictory_histograms_are_refused_and_change_nothing() {
    let mut encoder = Encoder::new();
    encoder.append(0, &histogram(&[(0, 1)], &[5])).unwrap();
    let before = encoder.chunk();
    let mut wrong = histogram(&[(0, 1)], &[6]);
    wrong.positive_spans[0].length = u32::MAX;
    assert!(matches!(encoder.append(1, &wrong), Err(Error::Invalid(_))));
    assert_eq!(encoder.chunk(), before);
}

/// A chunk of two histograms in the given schema, which takes six bits.
fn chunk_of_schema(schema: u8) -> Vec<u8> {
    let histogram = Histogram {
        schema: 8,
        zero_threshold: 0.0,
        ..histogram(&[(0, 4)], &[1, 2, 3, 4])
    };
    let mut encoder = Encoder::new();
    encoder.append(0, &histogram).unwrap();
    encoder.append(1, &histogram).unwrap();
    let mut data = encoder.chunk().data.to_vec();
    // Header, threshold, then the schema: 110 and six bits.
    assert_eq!((data[4], data[5] >> 7), (0b1100_0100, 0));
    data[4] = 0b1100_0000 | schema >> 1;
    data[5] = data[5] & 0x7f | schema << 7;
    data
}

#[test]
fn schemas_too_fine_are_brought_down() {
    let read: Vec<_> = Samples::new(&chunk_of_schema(9))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(read.len(), 2);
    for (_, histogram) in read {
        assert_eq!(histogram.schema, 8);
        assert_eq!(IntegerCounts::absolute_of(&histogram)[0], [1, 5, 4]);
    }
    let mut encoder = Encoder::new();
    let fine = Histogram {
        schema: 9,
        ..Histogram::default()
    };
    assert!(matches!(encoder.append(0, &fine), Err(Error::Invalid(_))));
}

#[test]
fn a_histogram_is_reused() {
    let histograms = [
        histogram(&[(0, 3)], &[1, 2, 3]),
        histogram(&[(0, 3)], &[1, 2, 4]),
    ];
    let mut encoder = Encoder::new();
    for (t, histogram) in histograms.iter().enumerate() {
        encoder.append(t as i64, histogram).unwrap();
    }
    let data = encoder.chunk().data;
    let mut samples = Samples::new(&data).unwrap();
    let mut histogram = histogram(&[(7, 9)], &[1; 9]);
    let mut read = Vec::new();
    while let Some(time) = samples.next_into(&mut histogram) {
        read.push((time.unwrap(), histogram.clone()));
    }
    let fresh: Vec<_> = Samples::new(&data).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, fresh);
}

/// What a histogram means: counts by bucket index, unused buckets left out.
fn meaning(histogram: &FloatHistogram) -> (Vec<u64>, [BTreeMap<i64, u64>; 2]) {
    let side = |spans: &[Span], buckets: &[f64]| {
        let mut index = 0;
        let mut counts = buckets.iter();
        let mut map = BTreeMap::new();
        for span in spans {
            index += i64::from(span.offset);
            for _ in 0..span.length {
                let count = counts.next().unwrap();
                if *count != 0.0 {
                    map.insert(index, count.to_bits());
                }
                index += 1;
            }
        }
        map
    };
    let mut numbers = vec![
        histogram.schema as u64,
        histogram.zero_threshold.to_bits(),
        histogram.zero_count.to_bits(),
        histogram.count.to_bits(),
        histogram.sum.to_bits(),
    ];
    numbers.extend(histogram.custom_values.iter().map(|bound| bound.to_bits()));
    (
        numbers,
        [
            side(&histogram.positive_spans, &histogram.positive_buckets),
            side(&histogram.negative_spans, &histogram.negative_buckets),
        ],
    )
}

prop_compose! {
    fn side()(
        runs in prop::collection::vec((0i32..4, 0u32..4), 0..4),
        start in -5i32..5,
    )(
        counts in prop::collection::vec(
            prop_oneof![3 => 0i64..4, 1 => 0i64..1_000_000],
            runs.iter().map(|run| run.1 as usize).sum::<usize>(),
        ),
        mut runs in Just(runs),
        start in Just(start),
    ) -> (Vec<Span>, Vec<i64>) {
        if let Some(first) = runs.first_mut() {
            first.0 = start;
        }
        (spans(&runs), counts)
    }
}

prop_compose! {
    fn any_histogram()(
        sides in (side(), side()),
        schema in prop_oneof![8 => Just(2), 1 => Just(3), 2 => Just(CUSTOM_BUCKETS_SCHEMA)],
        zero_threshold in prop_oneof![5 => Just(0.001), 1 => Just(0.0)],
        zero_count in 0u64..3,
        count in any::<u64>(),
        shift in 0u32..64,
        sum in prop_oneof![
            6 => any::<f64>(),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => Just(STALE_NAN),
        ],
        hint in prop_oneof![
            6 => Just(CounterResetHint::Unknown),
            3 => Just(CounterResetHint::Gauge),
            1 => Just(CounterResetHint::Reset),
            1 => Just(CounterResetHint::NotReset),
        ],
        custom_values in prop_oneof![3 => Just(vec![0.5, 1.0]), 1 => Just(vec![f64::NAN])],
    ) -> Histogram {
        let mut histogram = Histogram {
            counter_reset_hint: hint,
            schema,
            zero_threshold,
            zero_count,
            count: count >> shift,
            sum,
            ..Histogram::default()
        };
        if schema == CUSTOM_BUCKETS_SCHEMA {
            histogram.custom_values = custom_values;
        }
        let (positive, negative) = sides;
        IntegerCounts::set_buckets(&mut histogram, 0, positive.0, &positive.1);
        IntegerCounts::set_buckets(&mut histogram, 1, negative.0, &negative.1);
        histogram
    }
}

/// The meaning that a decoder gives to a histogram: a stale one keeps nothing but its sum.
fn expected(histogram: &FloatHistogram) -> (Vec<u64>, [BTreeMap<i64, u64>; 2]) {
    if is_stale(histogram.sum) {
        return meaning(&FloatHistogram {
            sum: histogram.sum,
            ..FloatHistogram::default()
        });
    }
    meaning(histogram)
}

proptest! {
    #[test]
    fn histograms_keep_their_meaning(histograms in prop::collection::vec(any_histogram(), 1..30)) {
        let expected: Vec<_> = histograms.iter().map(|h| expected(&h.to_float())).collect();
        let chunks = encode(&mut Encoder::new(), &histograms);
        let read: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.1).map(|h| meaning(&h.to_float())).collect();
        prop_assert_eq!(&read, &expected);

        let floats: Vec<_> = histograms.iter().map(Histogram::to_float).collect();
        let chunks = encode(&mut FloatEncoder::new(), &floats);
        let read: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.1).map(meaning).collect();
        prop_assert_eq!(&read, &expected);
    }

    #[test]
    fn resumed_chunks_go_on_as_if_never_closed(histograms in prop::collection::vec(any_histogram(), 1..10)) {
        let (mut whole, mut whole_float) = (Encoder::new(), FloatEncoder::new());
        for (t, histogram) in histograms.iter().enumerate() {
            let mut resumed = Encoder::resume(&whole.chunk().data).unwrap();
            prop_assert_eq!(resumed.append(t as i64, histogram).unwrap(), whole.append(t as i64, histogram).unwrap());
            prop_assert_eq!(resumed.chunk(), whole.chunk());

            let histogram = histogram.to_float();
            let mut resumed = FloatEncoder::resume(&whole_float.chunk().data).unwrap();
            prop_assert_eq!(resumed.append(t as i64, &histogram).unwrap(), whole_float.append(t as i64, &histogram).unwrap());
            prop_assert_eq!(resumed.chunk(), whole_float.chunk());
        }
    }

    #[test]
    fn damaged_chunks_never_panic(
        histograms in prop::collection::vec(any_histogram(), 1..20),
        flips in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut encoder = Encoder::new();
        for (t, histogram) in histograms.iter().enumerate() {
            encoder.append(t as i64, histogram).unwrap();
        }
        let mut data = encoder.chunk().data.to_vec();
        for (index, flip) in flips {
            let at = index.index(data.len());
            data[at] ^= flip;
        }
        for data in [&data[..], &data[..cut.index(data.len())]] {
            if let Ok(samples) = Samples::new(data) {
                let errors = samples.filter(Result::is_err).count();
                prop_assert!(errors <= 1);
            }
            if let Ok(samples) = FloatSamples::new(data) {
                samples.for_each(drop);
            }
            let _ = (Encoder::resume(data), FloatEncoder::resume(data));
        }
    }

    #[test]
    fn any_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(samples) = Samples::new(&data) {
            samples.for_each(drop);
        }
        if let Ok(samples) = FloatSamples::new(&data) {
            samples.for_each(drop);
        }
    }
}
