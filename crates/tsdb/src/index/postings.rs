//! Postings: ascending lists of series, and the set operations on them.
//!
//! A list from an index stays in its bytes (big-endian 32-bit integers) and is decoded as it is
//! walked. Intersection and difference are lazy and gallop, except that lists of similar lengths are
//! intersected at once; a union of many lists becomes a bitmap
//! or a sorted vector, whichever is smaller, so its memory is bounded by four bytes per input.

mod bitmap;
mod list;
mod union;

use bytes::Bytes;
use model::Stop;
use model::stop::{Pace, Stopped};

use bitmap::Bitmap;
use list::{Encoded, gallop, intersect_walking};

pub(super) use union::UnionBuilder;

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
    Union(Vec<Head>),
    Without(Box<Node>, Box<Node>),
}

/// A list of a union and its next reference; [`Head::END`] after the last.
#[derive(Debug, Clone)]
struct Head {
    next: u64,
    list: Node,
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
        Self::intersect_at_pace(lists, &Pace::new(&Stop::never())).expect("nobody asks for a stop")
    }

    /// As [`Postings::intersect`], for who may stop waiting for it.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn intersect_at_pace(lists: Vec<Self>, pace: &Pace<'_>) -> Result<Self, Stopped> {
        let mut nodes: Vec<Node> = lists.into_iter().map(|l| l.node).collect();
        nodes.sort_by_key(Node::len_max);
        while let [a, b, ..] = &nodes[..]
            && let Some(both) = intersect_similar(a, b, pace)?
        {
            nodes.splice(..2, [both]);
        }
        Ok(match nodes.first() {
            None => Self::empty(),
            Some(shortest) if shortest.len_max() == 0 => Self::empty(),
            Some(_) if nodes.len() == 1 => nodes.remove(0).into(),
            Some(_) => Node::Intersect(nodes).into(),
        })
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

    /// True when any of the series left is in `sorted`, which ascends.
    pub(super) fn meet(mut self, sorted: &[u32]) -> bool {
        let mut pos = 0;
        while let Some(SeriesRef(next)) = self.peek() {
            pos = gallop(pos, sorted.len(), |i| sorted[i] < next);
            match sorted.get(pos) {
                None => return false,
                Some(&found) if found == next => return true,
                Some(&found) => self.skip_to(SeriesRef(found)),
            }
        }
        false
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

    /// Walks plain lists without asking for each series what kind of node it comes from.
    fn fold<B, F: FnMut(B, SeriesRef) -> B>(self, init: B, mut f: F) -> B {
        match self.node {
            Node::Encoded(list) => {
                let refs = list.rest().iter();
                refs.fold(init, |acc, r| f(acc, SeriesRef(u32::from_be_bytes(*r))))
            }
            Node::Sorted { refs, pos } => {
                let refs = refs[pos..].iter();
                refs.fold(init, |acc, r| f(acc, SeriesRef(*r)))
            }
            mut node => {
                let mut acc = init;
                while let Some(next) = node.peek() {
                    node.bump();
                    acc = f(acc, SeriesRef(next));
                }
                acc
            }
        }
    }
}

impl Node {
    fn len_max(&self) -> usize {
        match self {
            Self::Encoded(list) => list.len(),
            Self::Sorted { refs, pos } => refs.len() - pos,
            Self::Bitmap(bitmap) => bitmap.len_max(),
            Self::Intersect(nodes) => nodes.iter().map(Self::len_max).min().unwrap_or(0),
            Self::Union(heads) => heads.iter().map(|h| h.list.len_max()).sum(),
            Self::Without(kept, _) => kept.len_max(),
        }
    }

    fn peek(&mut self) -> Option<u32> {
        match self {
            Self::Encoded(list) => list.peek(),
            Self::Sorted { refs, pos } => refs.get(*pos).copied(),
            Self::Bitmap(bitmap) => bitmap.peek(),
            Self::Intersect(nodes) => peek_common(nodes),
            Self::Union(heads) => {
                let least = heads.iter().map(|h| h.next).min();
                least.and_then(|next| u32::try_from(next).ok())
            }
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
            Self::Union(heads) => {
                let least = heads.iter().map(|h| h.next).min();
                for head in heads.iter_mut().filter(|h| Some(h.next) == least) {
                    head.list.bump();
                    head.load();
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
            Self::Union(heads) => {
                for head in heads.iter_mut().filter(|h| h.next < u64::from(target)) {
                    head.list.skip_to(target);
                    head.load();
                }
            }
            Self::Without(kept, _) => kept.skip_to(target),
        }
    }
}

impl Head {
    /// Greater than every reference.
    const END: u64 = u64::MAX;

    fn new(list: Node) -> Self {
        let mut head = Self { next: 0, list };
        head.load();
        head
    }

    fn load(&mut self) {
        self.next = self.list.peek().map_or(Self::END, u64::from);
    }
}

/// Below this ratio of lengths, walking two lists beats galloping in the longer one.
const SIMILAR: usize = 8;

/// The intersection of two plain lists of similar lengths; `None` for all others, which gallop.
fn intersect_similar(a: &Node, b: &Node, pace: &Pace<'_>) -> Result<Option<Node>, Stopped> {
    let (short, long) = (a.len_max(), b.len_max());
    if short == 0 || long / short >= SIMILAR {
        return Ok(None);
    }
    let refs = match (a, b) {
        (Node::Encoded(a), Node::Encoded(b)) => intersect_walking(a.rest(), b.rest(), pace),
        (Node::Encoded(a), Node::Sorted { refs, pos }) => {
            intersect_walking(a.rest(), &refs[*pos..], pace)
        }
        (Node::Sorted { refs, pos }, Node::Encoded(b)) => {
            intersect_walking(&refs[*pos..], b.rest(), pace)
        }
        (Node::Sorted { refs: a, pos: at_a }, Node::Sorted { refs: b, pos: at_b }) => {
            intersect_walking(&a[*at_a..], &b[*at_b..], pace)
        }
        _ => return Ok(None),
    };
    Ok(Some(Node::Sorted {
        refs: refs?,
        pos: 0,
    }))
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
            Self::Union(heads) => heads.iter().filter_map(|h| h.list.greatest_max()).max(),
            Self::Without(kept, _) => kept.greatest_max(),
        }
    }
}

#[cfg(test)]
mod tests;
