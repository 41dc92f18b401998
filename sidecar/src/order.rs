//! Series in order of the labels that they are shown with, from series in order of their own.
//!
//! Labels that are added to all series alike leave the order of two series as it is, unless one has
//! all labels of the other and more: `{a} {a,b}` become `{a,b,x} {a,x}`. A series that extends
//! another comes after it, with nothing between that does not. So a series waits while those that
//! come sort before it, and it is only the extended ones that wait for long: at most as many as a
//! series has labels.

use model::Labels;
use storeapi::{Series, SeriesChunk};

/// A series came after one that it sorts before, as happens when labels that are added replace some
/// of the series' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disorder;

/// Series that wait for their place.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// The one with the least labels last.
    waiting: Vec<Series>,
    /// Labels of the last series that was let go.
    last: Option<Labels>,
}

impl Order {
    /// Takes in a series, or more chunks of the last one, and lets those go that have their place.
    pub(crate) fn push(
        &mut self,
        labels: Labels,
        chunks: Vec<SeriesChunk>,
        out: &mut Vec<Series>,
    ) -> Result<(), Disorder> {
        while let Some(least) = self.waiting.pop_if(|series| series.labels < labels) {
            self.last = Some(least.labels.clone());
            out.push(least);
        }
        match self
            .waiting
            .binary_search_by(|other| labels.cmp(&other.labels))
        {
            Ok(same) => self.waiting[same].chunks.extend(chunks),
            Err(_) if self.last.as_ref().is_some_and(|last| labels < *last) => {
                return Err(Disorder);
            }
            Err(at) => self.waiting.insert(at, Series { labels, chunks }),
        }
        Ok(())
    }

    /// Lets all go: there are no more series.
    pub(crate) fn finish(&mut self, out: &mut Vec<Series>) {
        out.extend(self.waiting.drain(..).rev());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use storeapi::external_labels::with_external;

    use super::*;

    fn any_labels() -> impl Strategy<Value = Labels> {
        prop::collection::vec(("[a-e]", "[xy]"), 0..5).prop_map(Labels::from_pairs)
    }

    proptest! {
        #[test]
        fn order_is_kept_with_little_waiting(
            own in prop::collection::btree_set(any_labels(), 0..60),
            external in prop::collection::btree_set("[a-e]{2}|[f-h]", 0..3),
        ) {
            let external = Labels::from_pairs(external.iter().map(|name| (name, "v")));
            let mut order = Order::default();
            let mut out = Vec::new();
            for labels in &own {
                order.push(with_external(labels, &external), Vec::new(), &mut out).unwrap();
                prop_assert!(order.waiting.len() <= 6, "at most the labels of a series, and one");
            }
            order.finish(&mut out);
            let got: Vec<_> = out.into_iter().map(|series| series.labels).collect();
            let expected: BTreeSet<_> = own.iter().map(|own| with_external(own, &external)).collect();
            prop_assert_eq!(got, expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn disorder_is_told() {
        let labels = |value: &str| Labels::from_pairs([("a", value)]);
        let mut order = Order::default();
        let mut out = Vec::new();
        for value in ["1", "3", "4"] {
            order.push(labels(value), Vec::new(), &mut out).unwrap();
        }
        assert_eq!(order.push(labels("2"), Vec::new(), &mut out), Err(Disorder));
    }
}
