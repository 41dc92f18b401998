//! Labels as the store shows them, and the order that series are sent in.
//!
//! Adding the same labels to all series keeps their order but for one case: a series whose labels
//! are the beginning of another's may move behind it, as `{a} {a,b}` becomes `{a,b,x} {a,x}`.
//! Series that extend one another follow each other directly in a block, so that sorting such runs
//! is enough ([`Runs`]). Where labels are removed or replaced, all series have to be sorted.

use std::cmp::Ordering;
use std::collections::VecDeque;

use model::Labels;

/// A series' own labels with external ones added, which win, and without some.
pub fn shown(own: &Labels, external: &Labels, without: &[String]) -> Labels {
    let is_kept = |name: &str| !without.iter().any(|w| w == name);
    let mut own = own.iter().filter(|(name, _)| is_kept(name)).peekable();
    let mut external = external.iter().filter(|(name, _)| is_kept(name)).peekable();
    let merged = std::iter::from_fn(|| {
        let order = match (own.peek(), external.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        match order {
            Ordering::Less => own.next(),
            Ordering::Equal => {
                own.next();
                external.next()
            }
            Ordering::Greater => external.next(),
        }
    });
    Labels::from_sorted(merged)
}

/// Puts series in order that come in the order of their labels before external ones were added.
#[derive(Debug)]
pub struct Runs<T> {
    /// The own labels of the first series of the run; the others' start with them.
    first: Labels,
    run: Vec<(Labels, T)>,
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self {
            first: Labels::empty(),
            run: Vec::new(),
        }
    }
}

impl<T> Runs<T> {
    /// Takes a series with `own` labels that is shown as `shown`; appends to `out` those whose place
    /// is known.
    pub fn push(&mut self, own: Labels, shown: Labels, series: T, out: &mut VecDeque<(Labels, T)>) {
        if !own.as_encoded().starts_with(self.first.as_encoded()) || self.run.is_empty() {
            self.finish(out);
            self.first = own;
        }
        self.run.push((shown, series));
    }

    /// Appends what is left to `out`.
    pub fn finish(&mut self, out: &mut VecDeque<(Labels, T)>) {
        if self.run.len() > 1 {
            self.run.sort_by(|a, b| a.0.cmp(&b.0));
        }
        out.extend(self.run.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = Labels> {
        proptest::collection::vec(("[a-e]", "[xy]{1,2}"), 1..4).prop_map(Labels::from_pairs)
    }

    proptest! {
        #[test]
        fn runs_are_all_that_needs_sorting(
            own in proptest::collection::btree_set(labels(), 0..30),
            external in "[f-h]|bb|cc|__r",
        ) {
            let external = Labels::from_pairs([(external, "v")]);
            let mut runs = Runs::default();
            let mut out = VecDeque::new();
            for own in &own {
                runs.push(own.clone(), shown(own, &external, &[]), (), &mut out);
            }
            runs.finish(&mut out);
            let mut expected: Vec<_> = own.iter().map(|o| (shown(o, &external, &[]), ())).collect();
            expected.sort();
            prop_assert_eq!(out, expected);
        }
    }

    #[test]
    fn external_labels_win_and_replica_labels_go() {
        let own = Labels::from_pairs([("a", "1"), ("c", "own"), ("r", "9")]);
        let external = Labels::from_pairs([("b", "2"), ("c", "ext"), ("s", "8")]);
        let check = |without: &[&str], expected: &str| {
            let without: Vec<String> = without.iter().map(|w| (*w).to_owned()).collect();
            assert_eq!(shown(&own, &external, &without).to_string(), expected);
        };
        check(&[], r#"{a="1", b="2", c="ext", r="9", s="8"}"#);
        check(&["r", "s", "c"], r#"{a="1", b="2"}"#);
    }
}
