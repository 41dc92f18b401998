//! Uniting any number of lists.

use super::{Bitmap, Head, LAZY_UNION_MAX, Node, Postings};

/// Collects what a union consists of.
#[derive(Debug, Default)]
pub(in crate::index) struct UnionBuilder {
    lists: Vec<Node>,
    /// The contents of short lists, in no order.
    loose: Vec<u32>,
}

impl UnionBuilder {
    /// Adds a list.
    pub(in crate::index) fn add(&mut self, list: Postings) {
        if list.len_max() > 0 {
            self.lists.push(list.node);
        }
    }

    /// Adds references in any order; for lists that are shorter than their bookkeeping.
    pub(in crate::index) fn add_loose(&mut self, refs: impl Iterator<Item = u32>) {
        self.loose.extend(refs);
    }

    /// The union. Many lists are united into a bitmap where that is smaller than a vector, else
    /// into a vector.
    pub(in crate::index) fn finish(mut self) -> Postings {
        if self.loose.is_empty() && self.lists.len() <= LAZY_UNION_MAX {
            return match self.lists.len() {
                0 => Postings::empty(),
                1 => self.lists.remove(0).into(),
                _ => Node::Union(self.lists.into_iter().map(Head::new).collect()).into(),
            };
        }
        let inserted = self.loose.len() + self.lists.iter().map(Node::len_max).sum::<usize>();
        let listed_least = self.lists.iter_mut().filter_map(Node::peek).min();
        let least = self
            .loose
            .iter()
            .copied()
            .chain(listed_least)
            .min()
            .unwrap_or(0);
        let listed_greatest = self.lists.iter().filter_map(Node::greatest_max).max();
        let greatest = self
            .loose
            .iter()
            .copied()
            .chain(listed_greatest)
            .max()
            .unwrap_or(0);
        let span = greatest.saturating_sub(least) as usize + 1;
        if span / 8 <= inserted * size_of::<u32>() {
            return self.into_bitmap(least, span, inserted);
        }
        let mut refs = self.loose;
        for node in self.lists {
            refs.extend(Postings::from(node).map(|r| r.0));
        }
        refs.sort_unstable();
        refs.dedup();
        Postings::from_sorted(refs)
    }

    /// A bitmap of `span` bits from the reference `least` on, which hold all that was added.
    fn into_bitmap(self, least: u32, span: usize, inserted: usize) -> Postings {
        let mut words = vec![0u64; span.div_ceil(64)];
        let mut set = |r: u32| {
            let bit = (r - least) as usize;
            words[bit / 64] |= 1 << (bit % 64);
        };
        self.loose.into_iter().for_each(&mut set);
        for node in self.lists {
            Postings::from(node).for_each(|r| set(r.0));
        }
        Node::Bitmap(Bitmap {
            words,
            base: least,
            pos: 0,
            inserted,
        })
        .into()
    }
}
