//! Postings: ascending lists of series, and the set operations on them.
//!
//! A list from an index stays in its bytes (big-endian 32-bit integers) and is decoded as it is
//! walked. Intersection and difference are lazy and gallop; a union of many lists becomes a bitmap
//! or a sorted vector, whichever is smaller, so its memory is bounded by four bytes per input.

use bytes::Bytes;

/// A series in one index: the offset of its entry (version 1), or a sixteenth of it.
///
/// References ascend in the order of the series' labels. They mean nothing in another block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u32);

/// An ascending sequence of series without duplicates.
///
/// Iterate over it, or skip ahead with [`Postings::skip_to`].
#[derive(Debug, Clone)]
pub struct Postings {
    node: Node,
}

#[derive(Debug, Clone)]
enum Node {
    Encoded(Encoded),
    Sorted {
        refs: Vec<u32>,
        pos: usize,
    },
    Bitmap(Bitmap),
    /// At least two, the shortest first.
    Intersect(Vec<Node>),
    /// At most [`LAZY_UNION_MAX`].
    Union(Vec<Node>),
    Without(Box<Node>, Box<Node>),
}

/// Longest union that is walked list by list; the work per step grows with the number of lists.
const LAZY_UNION_MAX: usize = 4;

impl Postings {
    /// No series.
    pub fn empty() -> Self {
        Self::from_sorted(Vec::new())
    }

    /// Series in ascending order without duplicates.
    ///
    /// # Panics
    /// In debug builds when they are not.
    pub fn from_sorted(refs: Vec<u32>) -> Self {
        debug_assert!(refs.is_sorted_by(|a, b| a < b), "postings ascend");
        Node::Sorted { refs, pos: 0 }.into()
    }

    /// Series as an index holds them: big-endian, four bytes each. The order is the caller's word.
    pub(super) fn from_encoded(bytes: Bytes) -> Self {
        Node::Encoded(Encoded { bytes, pos: 0 }).into()
    }

    /// The series that are in all of `lists`; of no lists, none.
    pub fn intersect(lists: Vec<Self>) -> Self {
        let mut nodes: Vec<Node> = lists.into_iter().map(|l| l.node).collect();
        nodes.sort_by_key(Node::len_max);
        match nodes.first() {
            None => Self::empty(),
            Some(shortest) if shortest.len_max() == 0 => Self::empty(),
            Some(_) if nodes.len() == 1 => nodes.remove(0).into(),
            Some(_) => Node::Intersect(nodes).into(),
        }
    }

    /// The series that are in any of `lists`.
    pub fn union(lists: Vec<Self>) -> Self {
        let mut union = UnionBuilder::default();
        lists.into_iter().for_each(|l| union.add(l));
        union.finish()
    }

    /// The series of this list that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        if self.len_max() == 0 || other.len_max() == 0 {
            return self;
        }
        Node::Without(Box::new(self.node), Box::new(other.node)).into()
    }

    /// Upper bound of the number of series left.
    pub fn len_max(&self) -> usize {
        self.node.len_max()
    }

    /// Drops the series below `target`, so that the next one is not less.
    pub fn skip_to(&mut self, target: SeriesRef) {
        self.node.skip_to(target.0);
    }

    /// The next series, without taking it.
    pub fn peek(&mut self) -> Option<SeriesRef> {
        self.node.peek().map(SeriesRef)
    }
}

impl From<Node> for Postings {
    fn from(node: Node) -> Self {
        Self { node }
    }
}

impl Iterator for Postings {
    type Item = SeriesRef;

    #[inline]
    fn next(&mut self) -> Option<SeriesRef> {
        let next = self.node.peek()?;
        self.node.bump();
        Some(SeriesRef(next))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.len_max()))
    }
}

impl Node {
    fn len_max(&self) -> usize {
        match self {
            Self::Encoded(list) => list.len(),
            Self::Sorted { refs, pos } => refs.len() - pos,
            Self::Bitmap(bitmap) => bitmap.len_max(),
            Self::Intersect(nodes) => nodes.iter().map(Self::len_max).min().unwrap_or(0),
            Self::Union(nodes) => nodes.iter().map(Self::len_max).sum(),
            Self::Without(kept, _) => kept.len_max(),
        }
    }

    fn peek(&mut self) -> Option<u32> {
        match self {
            Self::Encoded(list) => list.peek(),
            Self::Sorted { refs, pos } => refs.get(*pos).copied(),
            Self::Bitmap(bitmap) => bitmap.peek(),
            Self::Intersect(nodes) => peek_common(nodes),
            Self::Union(nodes) => nodes.iter_mut().filter_map(Self::peek).min(),
            Self::Without(kept, dropped) => loop {
                let candidate = kept.peek()?;
                dropped.skip_to(candidate);
                if dropped.peek() != Some(candidate) {
                    return Some(candidate);
                }
                kept.bump();
            },
        }
    }

    /// Takes what [`Node::peek`] returned last.
    fn bump(&mut self) {
        match self {
            Self::Encoded(list) => list.pos += 1,
            Self::Sorted { pos, .. } => *pos += 1,
            Self::Bitmap(bitmap) => bitmap.pos += 1,
            Self::Intersect(nodes) => nodes[0].bump(),
            Self::Union(nodes) => {
                let Some(least) = nodes.iter_mut().filter_map(Self::peek).min() else {
                    return;
                };
                for node in nodes {
                    if node.peek() == Some(least) {
                        node.bump();
                    }
                }
            }
            Self::Without(kept, _) => kept.bump(),
        }
    }

    fn skip_to(&mut self, target: u32) {
        match self {
            Self::Encoded(list) => list.skip_to(target),
            Self::Sorted { refs, pos } => *pos = gallop(*pos, refs.len(), |i| refs[i] < target),
            Self::Bitmap(bitmap) => bitmap.skip_to(target),
            Self::Intersect(nodes) => nodes[0].skip_to(target),
            Self::Union(nodes) => nodes.iter_mut().for_each(|n| n.skip_to(target)),
            Self::Without(kept, _) => kept.skip_to(target),
        }
    }
}

/// The first reference that all nodes hold; the others follow the first, which is the shortest.
fn peek_common(nodes: &mut [Node]) -> Option<u32> {
    let (first, others) = nodes.split_first_mut().expect("an intersection has nodes");
    let mut candidate = first.peek()?;
    'candidates: loop {
        for other in &mut *others {
            other.skip_to(candidate);
            let found = other.peek()?;
            if found != candidate {
                first.skip_to(found);
                candidate = first.peek()?;
                continue 'candidates;
            }
        }
        return Some(candidate);
    }
}

/// The first index in `from..len` for which `below` is false, where `below` holds for a prefix:
/// steps that double, then halve. Cheap when the answer is near, logarithmic when it is far.
#[inline]
fn gallop(from: usize, len: usize, below: impl Fn(usize) -> bool) -> usize {
    let mut low = from;
    let mut step = 1;
    while low + step <= len && below(low + step - 1) {
        low += step;
        step *= 2;
    }
    // Everything before `low` is below; the answer is at most `low + step - 1`.
    let mut left = step.min(len - low + 1) - 1;
    while left > 0 {
        let half = left.div_ceil(2);
        let is_below = below(low + half - 1);
        low = if is_below { low + half } else { low };
        left = if is_below { left - half } else { half - 1 };
    }
    low
}

/// A list in the bytes of an index.
#[derive(Debug, Clone)]
struct Encoded {
    bytes: Bytes,
    /// Index of the next reference.
    pos: usize,
}

impl Encoded {
    fn len(&self) -> usize {
        (self.bytes.len() / 4).saturating_sub(self.pos)
    }

    #[inline]
    fn refs(&self) -> &[[u8; 4]] {
        self.bytes.as_chunks().0
    }

    #[inline]
    fn peek(&self) -> Option<u32> {
        self.refs().get(self.pos).map(|b| u32::from_be_bytes(*b))
    }

    #[inline]
    fn skip_to(&mut self, target: u32) {
        let refs = self.refs();
        self.pos = gallop(self.pos.min(refs.len()), refs.len(), |i| {
            u32::from_be_bytes(refs[i]) < target
        });
    }
}

/// A set of references in a range, one bit each.
#[derive(Debug, Clone)]
struct Bitmap {
    words: Vec<u64>,
    /// The reference that the first bit stands for.
    base: u32,
    /// Next bit to look at.
    pos: usize,
    /// Number of references that were put in, duplicates included.
    inserted: usize,
}

impl Bitmap {
    fn len_max(&self) -> usize {
        self.inserted
            .min((self.words.len() * 64).saturating_sub(self.pos))
    }

    fn peek(&mut self) -> Option<u32> {
        let mut i = self.pos / 64;
        let mut word = self.words.get(i)? & (u64::MAX << (self.pos % 64));
        while word == 0 {
            i += 1;
            word = *self.words.get(i)?;
        }
        self.pos = i * 64 + word.trailing_zeros() as usize;
        Some(self.base + self.pos as u32)
    }

    fn skip_to(&mut self, target: u32) {
        let bit = target.saturating_sub(self.base) as usize;
        self.pos = self.pos.max(bit);
    }
}

/// Collects what a union consists of.
#[derive(Debug, Default)]
pub(super) struct UnionBuilder {
    lists: Vec<Node>,
    /// The contents of short lists, in no order.
    loose: Vec<u32>,
}

impl UnionBuilder {
    /// Adds a list.
    pub(super) fn add(&mut self, list: Postings) {
        if list.len_max() > 0 {
            self.lists.push(list.node);
        }
    }

    /// Adds references in any order; for lists that are shorter than their bookkeeping.
    pub(super) fn add_loose(&mut self, refs: impl Iterator<Item = u32>) {
        self.loose.extend(refs);
    }

    /// The union. Many lists are united into a bitmap where that is smaller than a vector, else
    /// into a vector.
    pub(super) fn finish(mut self) -> Postings {
        if self.loose.is_empty() && self.lists.len() <= LAZY_UNION_MAX {
            return match self.lists.len() {
                0 => Postings::empty(),
                1 => self.lists.remove(0).into(),
                _ => Node::Union(self.lists).into(),
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

impl Node {
    /// Upper bound of the references; `None` when there are none.
    fn greatest_max(&self) -> Option<u32> {
        match self {
            Self::Encoded(list) => list.refs().last().map(|b| u32::from_be_bytes(*b)),
            Self::Sorted { refs, .. } => refs.last().copied(),
            Self::Bitmap(bitmap) => {
                let bits = u32::try_from(bitmap.words.len() * 64).unwrap_or(u32::MAX);
                Some(bitmap.base.saturating_add(bits))
            }
            Self::Intersect(nodes) => nodes.iter().filter_map(Self::greatest_max).min(),
            Self::Union(nodes) => nodes.iter().filter_map(Self::greatest_max).max(),
            Self::Without(kept, _) => kept.greatest_max(),
        }
    }
}

#[cfg(test)]
mod tests;
