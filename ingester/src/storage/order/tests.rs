use std::collections::BTreeSet;

use model::TimeRange;
use proptest::prelude::*;

use super::super::tenants::Layout;
use super::super::testing::{START, open, options, write};
use super::*;

fn any_labels(names: &'static str) -> impl Strategy<Value = Labels> {
    let pairs = prop::collection::btree_map(names, "[12]", 0..5);
    pairs.prop_map(Labels::from_pairs)
}

/// Writes series into several tenants and compares what is shown of them with a plain sort.
fn check(tenants: &[BTreeSet<Labels>], external: &[Labels], without: &[String]) {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(options(dir.path(), Layout::PerTenant)).unwrap();
    let (mut sources, mut expected, mut streamed) = (Vec::new(), Vec::new(), 0);
    for (i, (series, external)) in tenants.iter().zip(external).enumerate() {
        let name = format!("t{i}");
        write(
            &opened,
            &name,
            START,
            &series.iter().cloned().collect::<Vec<_>>(),
        );
        let db = &opened.get(&name).unwrap().db;
        let appearance = Appearance::new(external, without);
        let names = db.label_names(&[], TimeRange::ALL, usize::MAX).unwrap();
        let is_mixed = (appearance.mixing()).any(|mixing| names.iter().any(|name| name == mixing));
        streamed += usize::from(!is_mixed);
        expected.extend(series.iter().map(|own| appearance.show(own)));
        let selection = db.select(&[], TimeRange::ALL).unwrap();
        sources
            .push(Ordered::new(selection, appearance, is_mixed.then_some(&Stop::never())).unwrap());
    }
    expected.sort();
    let mut merged = Merged::new(sources).unwrap();
    let shown: Vec<_> = std::iter::from_fn(|| merged.next().unwrap()).collect();
    let shown: Vec<_> = shown.into_iter().map(|s| s.labels).collect();
    assert_eq!(shown, expected, "{streamed} streamed, without {without:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn series_are_in_order_of_what_is_shown(
        tenants in prop::collection::vec(
            prop::collection::btree_set(any_labels("[aceg]"), 1..20), 1..4),
        external in prop::collection::vec(any_labels("[bdfh]"), 4),
        without in prop::collection::vec("[bdfh]", 0..2),
    ) {
        let tenants: Vec<_> = tenants.into_iter().map(named).collect();
        check(&tenants, &external, &without);
    }

    #[test]
    fn labels_may_be_hidden_or_taken_off(
        tenants in prop::collection::vec(
            prop::collection::btree_set(any_labels("[abcd]"), 1..20), 1..4),
        external in prop::collection::vec(any_labels("[bcde]"), 4),
        without in prop::collection::vec("[abc]", 0..2),
    ) {
        let tenants: Vec<_> = tenants.into_iter().map(named).collect();
        check(&tenants, &external, &without);
    }
}

/// A series needs a label at least.
fn named(series: BTreeSet<Labels>) -> BTreeSet<Labels> {
    let named = |labels: &Labels| {
        let mut builder = LabelsBuilder::from_labels(labels);
        builder.set("__name__", "x").labels()
    };
    series.iter().map(named).collect()
}
