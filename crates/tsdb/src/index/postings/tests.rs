use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::*;

fn encoded(refs: &BTreeSet<u32>) -> Postings {
    let bytes: Vec<u8> = refs.iter().flat_map(|r| r.to_be_bytes()).collect();
    Postings::from_encoded(bytes.into())
}

fn sorted(refs: &BTreeSet<u32>) -> Postings {
    Postings::from_sorted(refs.iter().copied().collect())
}

fn refs(postings: Postings) -> Vec<u32> {
    postings.map(|r| r.0).collect()
}

/// Sets of few references in a small range, of many, and of few in the whole range.
fn set() -> impl Strategy<Value = BTreeSet<u32>> {
    prop_oneof![
        proptest::collection::btree_set(0..50u32, 0..20),
        proptest::collection::btree_set(0..2000u32, 0..600),
        proptest::collection::btree_set(any::<u32>(), 0..20),
    ]
}

/// Both representations and a nested union and difference of the same set.
fn all_forms(set: &BTreeSet<u32>) -> Vec<Postings> {
    let (odd, even): (BTreeSet<u32>, BTreeSet<u32>) = set.iter().partition(|r| *r % 2 == 1);
    let parts = set.iter().map(|r| sorted(&BTreeSet::from([*r]))).collect();
    let rest = BTreeSet::from([7, 8, 2_000_000_000]);
    let more: BTreeSet<u32> = set.union(&rest).copied().collect();
    let surplus: BTreeSet<u32> = rest.difference(set).copied().collect();
    vec![
        encoded(set),
        sorted(set),
        Postings::union(vec![encoded(&odd), sorted(&even)]),
        Postings::union(parts),
        encoded(&more).without(sorted(&surplus)),
        Postings::intersect(vec![encoded(&more), sorted(set)]),
    ]
}

proptest! {
    #[test]
    fn every_form_yields_its_set(set in set()) {
        let expected: Vec<u32> = set.iter().copied().collect();
        for form in all_forms(&set) {
            prop_assert!(form.len_max() >= set.len());
            let mut one_by_one = form.clone();
            let stepped: Vec<u32> = std::iter::from_fn(|| one_by_one.next()).map(|r| r.0).collect();
            prop_assert_eq!(&stepped, &expected);
            let mut folded = Vec::new();
            form.for_each(|r| folded.push(r.0));
            prop_assert_eq!(&folded, &expected);
        }
    }

    #[test]
    fn operations_are_those_on_sets(a in set(), b in set(), c in set()) {
        for (x, y) in all_forms(&a).into_iter().zip(all_forms(&b).into_iter().rev()) {
            let both: Vec<u32> = a.intersection(&b).copied().collect();
            prop_assert_eq!(refs(Postings::intersect(vec![x.clone(), y.clone()])), both);
            let any: Vec<u32> = a.union(&b).copied().collect();
            prop_assert_eq!(refs(Postings::union(vec![x.clone(), y.clone()])), any);
            let left: Vec<u32> = a.difference(&b).copied().collect();
            prop_assert_eq!(refs(x.clone().without(y.clone())), left);
            let of_three = Postings::intersect(vec![x, y, encoded(&c)]);
            let expected: Vec<u32> =
                a.iter().filter(|r| b.contains(r) && c.contains(r)).copied().collect();
            prop_assert_eq!(refs(of_three), expected);
        }
    }

    #[test]
    fn skipping_lands_on_the_next_that_is_not_less(set in set(), steps in proptest::collection::vec((any::<bool>(), 0..2100u32), 0..20)) {
        for mut form in all_forms(&set) {
            let mut expected = set.clone();
            for &(take, target) in &steps {
                if take {
                    prop_assert_eq!(form.next().map(|r| r.0), expected.pop_first());
                } else {
                    form.skip_to(SeriesRef(target));
                    expected = expected.split_off(&target);
                    prop_assert_eq!(form.peek().map(|r| r.0), expected.first().copied());
                }
            }
            prop_assert_eq!(refs(form), expected.into_iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_union_of_many_dense_lists_is_a_bitmap_and_of_sparse_ones_a_vector() {
    let lists = |step: u32| {
        let list = |i: u32| sorted(&(0..100).map(|k| i * step + k * step * 10).collect());
        Postings::union((0..10).map(list).collect())
    };
    let (dense, sparse) = (lists(1), lists(100_000));
    assert!(matches!(dense.node, Node::Bitmap(_)));
    assert!(matches!(sparse.node, Node::Sorted { .. }));
    assert_eq!(refs(dense), (0..1000).collect::<Vec<_>>());
    assert_eq!(refs(sparse).len(), 1000);
}

#[test]
fn galloping_finds_every_boundary() {
    for len in 0..40 {
        for from in 0..=len {
            for boundary in from..=len {
                assert_eq!(gallop(from, len, |i| i < boundary), boundary);
            }
        }
    }
}

#[test]
fn walking_long_lists_ends_when_nobody_waits() {
    let list = |step: usize| encoded(&(0..600_000).step_by(step).collect());
    let run = |looks| {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let stop = Stop::when(move || count.fetch_add(1, Relaxed) >= looks);
        let both = Postings::intersect_at_pace(vec![list(2), list(3)], &Pace::new(&stop));
        (both.map(Iterator::count), seen.load(Relaxed))
    };
    let (both, all) = run(usize::MAX);
    assert_eq!(both, Ok(100_000));
    assert!(all > 3, "looked {all} times");
    assert_eq!(run(1), (Err(Stopped), 2));
}
