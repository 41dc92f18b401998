use proptest::prelude::*;

use super::*;

fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
    pairs
        .iter()
        .map(|&(offset, length)| Span { offset, length })
        .collect()
}

fn exponential(schema: i32, positive: &[(i32, u32)], buckets: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema,
        count: buckets.iter().sum(),
        positive_spans: spans(positive),
        positive_buckets: buckets.to_vec(),
        ..FloatHistogram::default()
    }
}

fn custom(bounds: &[f64], buckets: &[f64]) -> FloatHistogram {
    FloatHistogram {
        custom_values: bounds.to_vec(),
        ..exponential(CUSTOM_BUCKETS_SCHEMA, &[(0, buckets.len() as u32)], buckets)
    }
}

#[test]
fn sum_of_two_layouts_has_the_buckets_of_both() {
    let mut sum = exponential(0, &[(0, 2), (3, 1)], &[1.0, 2.0, 3.0]);
    let other = exponential(
        0,
        &[(-1, 3), (1, 1), (9, 1)],
        &[10.0, 20.0, 30.0, 40.0, 50.0],
    );
    assert_eq!(sum.add(&other), Ok(Reconciled::default()));
    assert_eq!(
        sum.positive_spans,
        spans(&[(-1, 3), (1, 1), (1, 1), (7, 1)])
    );
    assert_eq!(sum.positive_buckets, [10.0, 21.0, 32.0, 40.0, 3.0, 50.0]);
    assert_eq!(sum.count, 156.0);
}

#[test]
fn coarser_schema_and_wider_zero_bucket_win() {
    let mut sum = FloatHistogram {
        zero_threshold: 0.001,
        ..exponential(1, &[(1, 4)], &[1.0, 2.0, 3.0, 4.0])
    };
    let other = FloatHistogram {
        zero_threshold: 1.2,
        zero_count: 7.0,
        ..exponential(0, &[(2, 1)], &[5.0])
    };
    assert!(sum.add(&other).is_ok());
    // The threshold 1.2 is within the first bucket, whose end is the square root of two, which in
    // turn is no bound of schema 0.
    assert_eq!(
        sum.to_string(),
        "{count:15, sum:0, [-1.414213562373095,1.414213562373095]:8, (1,2]:2, (2,4]:12}"
    );
}

#[test]
fn hints_of_sums() {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    for (a, b, want, collision) in [
        (Unknown, Unknown, Unknown, false),
        (Reset, Reset, Reset, false),
        (NotReset, NotReset, NotReset, false),
        (Reset, NotReset, Unknown, true),
        (NotReset, Reset, Unknown, true),
        (Unknown, Reset, Unknown, false),
        (NotReset, Unknown, Unknown, false),
        (Gauge, Reset, Gauge, false),
        (NotReset, Gauge, Gauge, false),
        (Unknown, Gauge, Gauge, false),
    ] {
        let with = |counter_reset_hint| FloatHistogram {
            counter_reset_hint,
            ..FloatHistogram::default()
        };
        for add in [FloatHistogram::add, FloatHistogram::sub] {
            let mut sum = with(a);
            let reconciled = add(&mut sum, &with(b)).unwrap();
            assert_eq!(sum.counter_reset_hint, want, "{a:?} {b:?}");
            assert_eq!(reconciled.counter_reset_collision, collision, "{a:?} {b:?}");
        }
    }
}

#[test]
fn custom_bounds_that_differ_are_intersected() {
    let mut sum = custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]);
    let other = custom(&[0.5, 2.0, 3.0, 4.0], &[10.0, 20.0, 30.0, 40.0, 50.0]);
    let reconciled = sum.add(&other).unwrap();
    assert!(reconciled.custom_bounds);
    assert_eq!(sum.custom_values, [2.0, 4.0]);
    assert_eq!(sum.positive_buckets, [33.0, 73.0, 54.0]);

    let mut mixed = custom(&[1.0], &[1.0]);
    let before = mixed.clone();
    assert_eq!(mixed.add(&exponential(0, &[], &[])), Err(MixedSchemas));
    assert_eq!(mixed, before);
}

#[test]
fn compensation_keeps_what_buckets_lose() {
    let mut sum = exponential(0, &[(0, 1)], &[1e17]);
    let mut lost = sum.zero_compensation();
    for _ in 0..10 {
        // The second bucket is new at first.
        let one = exponential(0, &[(0, 2)], &[1.0, 0.1]);
        let _ = sum.kahan_add(&one, &mut lost).unwrap();
    }
    assert_eq!(sum.positive_buckets[0], 1e17);
    let _ = sum.add(&lost).unwrap();
    assert_eq!(sum.positive_buckets, [1e17 + 16.0, 1.0]);
    assert_eq!(1e17 + 16.0, 1e17 + 10.0, "floats there are 16 apart");
}

#[test]
fn division_by_zero_leaves_no_buckets() {
    let mut h = exponential(0, &[(0, 2)], &[1.0, 2.0]);
    h.div(0.0);
    assert_eq!(h.count, f64::INFINITY);
    assert!(h.sum.is_nan());
    assert!(h.positive_spans.is_empty() && h.positive_buckets.is_empty());
    assert!(h.has_overflow());
}

#[test]
fn resets() {
    let before = exponential(1, &[(0, 2), (1, 1)], &[1.0, 0.0, 5.0]);
    let with = |change: fn(&mut FloatHistogram)| {
        let mut h = before.clone();
        change(&mut h);
        h.detect_reset(&before)
    };
    assert!(!with(|_| {}));
    assert!(with(|h| h.count -= 1.0));
    assert!(with(|h| h.positive_buckets[2] -= 1.0));
    assert!(with(|h| h.schema = 2));
    // A bucket may go if it was empty, or if it is in the zero bucket now.
    assert!(!with(|h| _ = h.compact(0)));
    assert!(!with(|h| {
        h.zero_threshold = 1.0;
        h.zero_count = 1.0;
        h.positive_spans = spans(&[(3, 1)]);
        h.positive_buckets = vec![5.0];
    }));
    assert!(!with(|h| h.reduce_resolution(0).unwrap()));
    assert!(!with(|h| {
        h.positive_buckets[2] = 0.0;
        h.counter_reset_hint = CounterResetHint::NotReset;
    }));
    assert!(with(|h| h.counter_reset_hint = CounterResetHint::Reset));
    // The first bucket that is gone was empty, the next was not.
    let gone = exponential(1, &[(0, 1)], &[6.0]);
    let empty_first = exponential(1, &[(1, 2)], &[0.0, 6.0]);
    assert!(gone.detect_reset(&empty_first));
}

#[test]
fn classic_buckets_are_cumulative() {
    let mut h = custom(&[1.0, 2.0, 4.0], &[1.0, 0.0, 3.0, 4.0]);
    let want = [(1.0, 1.0), (2.0, 1.0), (4.0, 4.0), (f64::INFINITY, 8.0)];
    assert_eq!(h.classic_buckets().collect::<Vec<_>>(), want);
    h.compact(0);
    assert_eq!(h.classic_buckets().collect::<Vec<_>>(), want);
}

/// How a valid histogram is changed, and what is said of that.
type Broken<H> = (fn(&mut H), Option<&'static str>);

#[test]
fn rules() {
    let valid = Histogram {
        schema: 1,
        count: 7,
        sum: 1.0,
        zero_count: 1,
        positive_spans: spans(&[(-3, 2)]),
        positive_buckets: vec![1, 1],
        negative_spans: spans(&[(0, 1), (2, 1)]),
        negative_buckets: vec![1, 1],
        ..Histogram::default()
    };
    let with = |change: fn(&mut Histogram)| {
        let mut h = valid.clone();
        change(&mut h);
        h.validate().err().map(|e| e.to_string())
    };
    #[rustfmt::skip]
    let cases: [Broken<Histogram>; 10] = [
        (|_| {}, None),
        (|h| h.count = 8, Some("histogram has 7 observations in its buckets, its count 8 must be equal to that")),
        (|h| { h.count = 8; h.sum = f64::NAN; }, None),
        (|h| { h.count = 6; h.sum = f64::NAN; }, Some("histogram has 7 observations in its buckets, its count 6 must be at least that")),
        (|h| h.schema = 9, Some("histogram has schema 9, it must be between -4 and 8, or -53 for custom buckets")),
        (|h| h.negative_spans[1].offset = -1, Some("negative span 2 of the histogram has the negative offset -1")),
        (|h| h.positive_spans[0].length = 3, Some("positive spans of the histogram need 3 buckets, it has 2")),
        (|h| h.positive_buckets[1] = -2, Some("positive bucket 2 of the histogram has the negative count -1")),
        (|h| h.custom_values.push(1.0), Some("histogram with an exponential schema must not have custom bounds")),
        (|h| h.schema = CUSTOM_BUCKETS_SCHEMA, Some("positive span 1 of the histogram has the negative offset -3")),
    ];
    for (i, (change, want)) in cases.into_iter().enumerate() {
        assert_eq!(with(change).as_deref(), want, "case {i}");
    }
}

#[test]
fn rules_of_custom_buckets() {
    let valid = custom(&[1.0, 2.0], &[1.0, 2.0, 3.0]);
    let with = |change: fn(&mut FloatHistogram)| {
        let mut h = valid.clone();
        change(&mut h);
        h.validate().err().map(|e| e.to_string())
    };
    #[rustfmt::skip]
    let cases: [Broken<FloatHistogram>; 10] = [
        (|_| {}, None),
        (|h| h.custom_values[1] = 1.0, Some("custom bounds of the histogram must ascend, 1 follows 1")),
        (|h| h.custom_values[1] = f64::INFINITY, Some("custom bounds of the histogram must be finite numbers, the bound +Inf is implied")),
        (|h| h.custom_values[0] = f64::NAN, Some("custom bounds of the histogram must be finite numbers, the bound +Inf is implied")),
        (|h| h.positive_spans[0].offset = 1, Some("2 custom bounds of the histogram are too few for spans over 4 buckets")),
        (|h| h.zero_count = 1.0, Some("histogram with custom buckets must not have observations in a zero bucket")),
        (|h| h.zero_threshold = 1.0, Some("histogram with custom buckets must not have a zero threshold")),
        (|h| h.negative_buckets.push(1.0), Some("histogram with custom buckets must not have negative buckets")),
        (|h| h.count = -1.0, Some("histogram has the negative count -1")),
        (|h| h.positive_buckets[0] = -1.0, Some("positive bucket 1 of the histogram has the negative count -1")),
    ];
    for (i, (change, want)) in cases.into_iter().enumerate() {
        assert_eq!(with(change).as_deref(), want, "case {i}");
    }
}

type Counts = std::collections::BTreeMap<i32, u32>;

/// Spans and buckets of all counts that are not within the zero bucket.
fn side(counts: &Counts, schema: i32, zero_threshold: f64) -> (Vec<Span>, Vec<f64>) {
    let mut spans = layout::Spans::default();
    let mut buckets = Vec::new();
    for (&index, &count) in counts {
        if schema::exponential_bound(index - 1, schema) >= zero_threshold {
            spans.push(index);
            buckets.push(f64::from(count));
        }
    }
    (spans.finish(), buckets)
}

fn histogram() -> impl Strategy<Value = FloatHistogram> {
    (-2_i32..4).prop_flat_map(histogram_with)
}

/// Two histograms with one schema. With two schemas and two zero thresholds, what is widened into
/// the zero bucket may be counted in a bucket of the coarser schema too, as in Prometheus.
fn pair() -> impl Strategy<Value = (FloatHistogram, FloatHistogram)> {
    (-2_i32..4).prop_flat_map(|schema| (histogram_with(schema), histogram_with(schema)))
}

/// A valid exponential histogram with whole-numbered counts.
fn histogram_with(schema: i32) -> impl Strategy<Value = FloatHistogram> {
    let thresholds = prop::sample::select(vec![0.0, 1e-9, 0.3, 0.5, 1.0, 1.5, 2.0]);
    let counts = || prop::collection::btree_map(-12_i32..12, 0_u32..100, 0..8);
    (thresholds, 0_u32..100, counts(), counts()).prop_map(
        move |(zero_threshold, zero, positive, negative)| {
            let zero_count = f64::from(zero);
            let (positive_spans, positive_buckets) = side(&positive, schema, zero_threshold);
            let (negative_spans, negative_buckets) = side(&negative, schema, zero_threshold);
            let in_buckets: f64 = positive_buckets.iter().chain(&negative_buckets).sum();
            FloatHistogram {
                schema,
                zero_threshold,
                zero_count,
                count: zero_count + in_buckets,
                sum: zero_count * 3.0,
                positive_spans,
                positive_buckets,
                negative_spans,
                negative_buckets,
                ..FloatHistogram::default()
            }
        },
    )
}

/// A histogram as damaged bytes may yield it.
fn damaged() -> impl Strategy<Value = FloatHistogram> {
    let number = || {
        prop_oneof![
            any::<f64>(),
            prop::sample::select(vec![
                0.0,
                1.0,
                -1.0,
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY
            ])
        ]
    };
    let span = (
        prop_oneof![-3_i32..3, any::<i32>()],
        prop_oneof![0_u32..3, any::<u32>()],
    )
        .prop_map(|(offset, length)| Span { offset, length });
    let side = || {
        (
            prop::collection::vec(span.clone(), 0..4),
            prop::collection::vec(number(), 0..6),
        )
    };
    (
        prop_oneof![Just(CUSTOM_BUCKETS_SCHEMA), -4_i32..9, any::<i32>()],
        (number(), number(), number()),
        side(),
        side(),
        prop::collection::vec(number(), 0..4),
    )
        .prop_map(
            |(schema, (zero_threshold, zero_count, count), positive, negative, custom_values)| {
                FloatHistogram {
                    schema,
                    zero_threshold,
                    zero_count,
                    count,
                    positive_spans: positive.0,
                    positive_buckets: positive.1,
                    negative_spans: negative.0,
                    negative_buckets: negative.1,
                    custom_values,
                    ..FloatHistogram::default()
                }
            },
        )
}

/// The sum of all buckets, which operations that keep observations keep.
fn in_buckets(h: &FloatHistogram) -> f64 {
    h.all().map(|bucket| bucket.count).sum()
}

proptest! {
    #[test]
    fn sums_keep_observations((a, b) in pair()) {
        let mut sum = a.clone();
        let _ = sum.add(&b).unwrap();
        prop_assert_eq!(in_buckets(&sum), in_buckets(&a) + in_buckets(&b));
        prop_assert!(sum.validate().is_ok());
        prop_assert_eq!(sum.count, a.count + b.count);

        let mut reversed = b.clone();
        let _ = reversed.add(&a).unwrap();
        prop_assert!(sum.compact(0).equals(reversed.compact(0)));
    }

    #[test]
    fn difference_undoes_sum(a in histogram(), b in histogram()) {
        let mut h = a.clone();
        let _ = h.add(&b).unwrap();
        let _ = h.sub(&b).unwrap();
        // What remains of b is its resolution and its zero bucket.
        let mut want = a.clone();
        let empty = FloatHistogram { schema: b.schema, zero_threshold: h.zero_threshold, ..FloatHistogram::default() };
        let _ = want.add(&empty).unwrap();
        prop_assert_eq!(h.zero_threshold, want.zero_threshold);
        prop_assert!(h.compact(0).equals(want.compact(0)));
    }

    #[test]
    fn kahan_sum_of_whole_numbers_is_the_sum(a in histogram(), others in prop::collection::vec(histogram(), 1..5)) {
        let mut sum = a.clone();
        let mut exact = a.clone();
        let mut lost = a.zero_compensation();
        for other in &others {
            let _ = sum.kahan_add(other, &mut lost).unwrap();
            let _ = exact.add(other).unwrap();
        }
        let _ = sum.add(&lost).unwrap();
        prop_assert!(sum.compact(0).equals(exact.compact(0)));
    }

    #[test]
    fn reducing_a_sum_is_summing_the_reduced(mut a in histogram(), mut b in histogram()) {
        (a.zero_threshold, b.zero_threshold) = (0.0, 0.0);
        let mut sum = a.clone();
        let _ = sum.add(&b).unwrap();
        let mut sum_of_reduced = a.at_schema(-3);
        let _ = sum_of_reduced.add(&b.at_schema(-3)).unwrap();
        prop_assert!(sum.at_schema(-3).compact(0).equals(sum_of_reduced.compact(0)));
    }

    #[test]
    fn growth_is_no_reset_and_the_way_back_is((a, b) in pair()) {
        let mut sum = a.clone();
        let _ = sum.add(&b).unwrap();
        prop_assert!(!sum.detect_reset(&a));
        if b.count > 0.0 {
            prop_assert!(a.detect_reset(&sum));
        }
    }

    #[test]
    fn what_is_below_and_what_is_above_are_all(a in histogram(), limit in -9.0..9.0) {
        let (mut below, mut above) = (a.clone(), a.clone());
        below.keep_below(limit);
        above.keep_above(limit);
        prop_assert!((in_buckets(&below) + in_buckets(&above) - in_buckets(&a)).abs() < 1e-9);
    }

    #[test]
    fn buckets_run_the_same_both_ways(a in histogram()) {
        let up: Vec<_> = a.all().collect();
        let mut down: Vec<_> = a.all().rev().collect();
        down.reverse();
        prop_assert_eq!(&up, &down);
        prop_assert!(up.is_sorted_by(|a, b| a.lower <= b.lower));
        prop_assert_eq!(up.len(), a.all().len());
    }

    #[test]
    fn damaged_histograms_never_panic(a in damaged(), b in damaged(), limit in any::<f64>()) {
        let _ = a.validate();
        let _ = (a.to_string(), a.detect_reset(&b), a.equals(&b), a.classic_buckets().count());
        prop_assert_eq!(a.all().count(), a.all().rev().count());
        let mut h = a.clone();
        let _ = h.add(&b);
        h.compact(2);
        let mut lost = h.zero_compensation();
        let _ = h.kahan_add(&a, &mut lost);
        let _ = h.kahan_add(&b, &mut lost);
        let _ = h.sub(&lost);
        let _ = h.reduce_resolution(a.schema.saturating_sub(3));
        h.keep_below(limit).keep_above(-limit).mul(-1.0).div(0.0);
        let _ = a.at_schema(-4).compact(0);
    }
}
