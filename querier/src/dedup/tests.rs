//! Cases that Thanos documents, and properties.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};
use proptest::prelude::*;

use super::*;

fn floats(points: &[(i64, f64)]) -> Samples {
    Samples {
        ts: points.iter().map(|p| p.0).collect(),
        values: points.iter().map(|p| p.1).collect(),
        ..Samples::default()
    }
}

fn merged(dedup: Dedup, replicas: &[&[(i64, f64)]], is_counter: bool) -> Vec<(i64, f64)> {
    let replicas: Vec<_> = replicas.iter().map(|r| floats(r)).collect();
    let mut out = Samples::default();
    dedup.merge(&replicas, is_counter, &mut out);
    out.ts.into_iter().zip(out.values).collect()
}

#[test]
fn penalty_follows_one_replica() {
    let check = |a: &[(i64, f64)], b: &[(i64, f64)], expected: &[(i64, f64)]| {
        assert_eq!(merged(Dedup::Penalty, &[a, b], false), expected);
    };
    // The first is preferred.
    check(
        &[(10_000, 10.0), (20_000, 11.0), (30_000, 12.0)],
        &[(10_000, 20.0), (20_000, 21.0), (30_000, 22.0)],
        &[(10_000, 10.0), (20_000, 11.0), (30_000, 12.0)],
    );
    // The one that starts earlier is.
    check(
        &[(10_100, 1.0), (20_100, 1.0), (30_100, 1.0), (40_100, 1.0)],
        &[(10_000, 2.0), (20_000, 2.0), (30_000, 2.0), (40_000, 2.0)],
        &[(10_000, 2.0), (20_000, 2.0), (30_000, 2.0), (40_000, 2.0)],
    );
    // One missing sample is no reason to change.
    check(
        &[(10_000, 1.0), (20_000, 1.0), (40_000, 1.0)],
        &[(10_100, 2.0), (20_100, 2.0), (30_100, 2.0), (40_100, 2.0)],
        &[(10_000, 1.0), (20_000, 1.0), (40_000, 1.0)],
    );
    check(
        &[(10_000, 1.0), (20_000, 1.0), (40_000, 1.0)],
        &[(15_000, 2.0), (25_000, 2.0), (35_000, 2.0), (45_000, 2.0)],
        &[(10_000, 1.0), (20_000, 1.0), (40_000, 1.0)],
    );
    // More than two are, and then one stays with the other.
    check(
        &[
            (10_000, 1.0),
            (20_000, 1.0),
            (30_000, 1.0),
            (60_000, 1.0),
            (70_000, 1.0),
        ],
        &[
            (10_100, 2.0),
            (20_100, 2.0),
            (30_100, 2.0),
            (40_100, 2.0),
            (50_100, 2.0),
            (60_100, 2.0),
        ],
        &[
            (10_000, 1.0),
            (20_000, 1.0),
            (30_000, 1.0),
            (50_100, 2.0),
            (60_100, 2.0),
        ],
    );
}

#[test]
fn counters_do_not_go_down_where_replicas_change() {
    // The second replica started later, so it counts from less.
    let a = [(10_000, 100.0), (20_000, 110.0), (30_000, 120.0)];
    let b = [
        (10_100, 5.0),
        (20_100, 15.0),
        (30_100, 25.0),
        (60_000, 55.0),
        (70_000, 65.0),
    ];
    let expected = [
        (10_000, 100.0),
        (20_000, 110.0),
        (30_000, 120.0),
        (60_000, 120.0),
        (70_000, 130.0),
    ];
    assert_eq!(merged(Dedup::Penalty, &[&a, &b], true), expected);
    let plain = merged(Dedup::Penalty, &[&a, &b], false);
    assert_eq!(plain[3], (60_000, 55.0));
}

#[test]
fn nothing_is_lifted_before_the_first_sample() {
    let late = [(10_100, 100.0), (20_100, 110.0)];
    let early = [(10_000, 1.0), (20_000, 2.0), (30_000, 3.0)];
    assert_eq!(merged(Dedup::Penalty, &[&late, &early], true), early);
}

#[test]
fn three_replicas_are_folded() {
    let a = [(10_000, 1.0), (20_000, 2.0)];
    let b = [(10_500, 1.0), (20_500, 2.0), (60_500, 6.0)];
    let c = [(11_000, 1.0), (100_000, 10.0), (110_000, 11.0)];
    // After the gap before 60.5 s the third is held back to 141.5 s, where it has nothing.
    let expected = [(10_000, 1.0), (20_000, 2.0), (60_500, 6.0)];
    assert_eq!(merged(Dedup::Penalty, &[&a, &b, &c], false), expected);
}

#[test]
fn chain_takes_every_sample() {
    let a = [(10, 1.0), (20, 2.0), (40, 4.0)];
    let b = [(10, 1.0), (15, 1.5), (30, 3.0), (50, 5.0)];
    let expected = [
        (10, 1.0),
        (15, 1.5),
        (20, 2.0),
        (30, 3.0),
        (40, 4.0),
        (50, 5.0),
    ];
    assert_eq!(merged(Dedup::Chain, &[&a, &b], false), expected);
}

#[test]
fn a_histogram_of_another_replica_knows_of_no_reset() {
    let hist = || {
        Arc::new(FloatHistogram {
            counter_reset_hint: CounterResetHint::NotReset,
            ..FloatHistogram::default()
        })
    };
    let (mut a, mut b) = (Samples::default(), Samples::default());
    a.push_float(10_000, 1.0, 0);
    a.push_hist(20_000, hist(), 0);
    a.push_hist(30_000, hist(), 0);
    b.push_hist(60_000, hist(), 0);
    b.push_hist(70_000, hist(), 0);
    for dedup in [Dedup::Penalty, Dedup::Chain] {
        let mut out = Samples::default();
        dedup.merge(&[a.clone(), b.clone()], true, &mut out);
        assert_eq!(out.ts, [10_000]);
        assert_eq!(out.hist_ts, [20_000, 30_000, 60_000, 70_000]);
        let hints: Vec<_> = out.hists.iter().map(|h| h.counter_reset_hint).collect();
        use CounterResetHint::{NotReset, Unknown};
        assert_eq!(hints[1..], [NotReset, Unknown, NotReset], "{dedup:?}");
    }
}

fn replica() -> impl Strategy<Value = Vec<(i64, f64)>> {
    prop::collection::btree_map(0_i64..500_000, 0_u32..1000, 0..40)
        .prop_map(|points| points.into_iter().map(|(t, v)| (t, v.into())).collect())
}

proptest! {
    #[test]
    fn times_ascend_and_copies_change_nothing(
        replicas in prop::collection::vec(replica(), 1..4),
        is_counter in any::<bool>(),
    ) {
        let all: Vec<&[(i64, f64)]> = replicas.iter().map(Vec::as_slice).collect();
        for dedup in [Dedup::Penalty, Dedup::Chain] {
            let out = merged(dedup, &all, is_counter);
            prop_assert!(out.windows(2).all(|w| w[0].0 < w[1].0));
            let copies = [all[0], all[0], all[0]];
            prop_assert_eq!(merged(dedup, &copies, false), all[0].to_vec());
        }
        if is_counter {
            let rising: Vec<Vec<(i64, f64)>> = replicas
                .iter()
                .map(|r| {
                    let mut total = 0.0;
                    r.iter().map(|(t, v)| { total += v; (*t, total) }).collect()
                })
                .collect();
            let rising: Vec<&[(i64, f64)]> = rising.iter().map(Vec::as_slice).collect();
            let out = merged(Dedup::Penalty, &rising, true);
            prop_assert!(out.windows(2).all(|w| w[0].1 <= w[1].1));
        }
    }
}

#[test]
fn stale_markers_stay_what_they_are() {
    let replica: &[(i64, f64)] = &[(10_000, 5.0), (20_000, model::sample::STALE_NAN)];
    for dedup in [Dedup::Penalty, Dedup::Chain] {
        for is_counter in [false, true] {
            let all = merged(dedup, &[replica, replica], is_counter);
            assert_eq!(all.len(), 2);
            assert!(model::sample::is_stale(all[1].1), "{dedup:?} {:?}", all[1]);
        }
    }
}
