//! Where buckets are: spans to bucket indices and back.
//!
//! Spans come from disk and from the network. A layout that contradicts its buckets never panics
//! here: what is there of both, spans and buckets, is what counts.

use super::Span;
use super::schema::reduced_index;

/// The indices of the buckets that spans describe, in ascending order.
#[derive(Debug, Clone)]
pub struct Indices<'a> {
    spans: &'a [Span],
    /// The next bucket to yield: its span, its place in it, its index.
    front: Place,
    /// The place after the last bucket to yield.
    back: Place,
    left: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    span: usize,
    in_span: u32,
    index: i32,
}

impl<'a> Indices<'a> {
    /// The indices of the first `buckets` buckets of `spans`, or of fewer if there are fewer.
    pub fn new(spans: &'a [Span], buckets: usize) -> Self {
        let mut indices = Self {
            spans,
            front: Place::default(),
            back: Place::default(),
            left: 0,
        };
        let Some(first) = spans.first() else {
            return indices;
        };
        indices.front.index = first.offset;
        let mut end = 0_i32;
        for (i, span) in spans.iter().enumerate() {
            let missing = buckets - indices.left;
            let taken = span.length.min(u32::try_from(missing).unwrap_or(u32::MAX));
            end = end.wrapping_add(span.offset).wrapping_add_unsigned(taken);
            indices.left += taken as usize;
            indices.back = Place {
                span: i,
                in_span: taken,
                index: end,
            };
            if indices.left == buckets {
                break;
            }
        }
        indices
    }
}

impl Iterator for Indices<'_> {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        self.left = self.left.checked_sub(1)?;
        while self.front.in_span >= self.spans[self.front.span].length {
            self.front.span += 1;
            self.front.in_span = 0;
            let offset = self.spans[self.front.span].offset;
            self.front.index = self.front.index.wrapping_add(offset);
        }
        let index = self.front.index;
        self.front.in_span += 1;
        self.front.index = index.wrapping_add(1);
        Some(index)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Indices<'_> {
    fn next_back(&mut self) -> Option<i32> {
        self.left = self.left.checked_sub(1)?;
        while self.back.in_span == 0 {
            let offset = self.spans[self.back.span].offset;
            self.back.index = self.back.index.wrapping_sub(offset);
            self.back.span -= 1;
            self.back.in_span = self.spans[self.back.span].length;
        }
        self.back.in_span -= 1;
        self.back.index = self.back.index.wrapping_sub(1);
        Some(self.back.index)
    }
}

impl ExactSizeIterator for Indices<'_> {}

/// Builds spans from ascending bucket indices.
#[derive(Debug, Default)]
pub(super) struct Spans {
    spans: Vec<Span>,
    /// The index after the last bucket.
    end: i32,
}

impl Spans {
    /// Adds bucket `index`, in the last span if it follows its last bucket.
    pub(super) fn push(&mut self, index: i32) {
        let offset = index.wrapping_sub(self.end);
        self.end = index.wrapping_add(1);
        match self.spans.last_mut() {
            Some(last) if offset == 0 => last.length = last.length.saturating_add(1),
            _ => self.spans.push(Span { offset, length: 1 }),
        }
    }

    /// Buckets between the last one and `index`; `None` before the first one, or when `index`
    /// does not ascend.
    fn gap(&self, index: i32) -> Option<usize> {
        if self.spans.is_empty() {
            return None;
        }
        usize::try_from(i64::from(index) - i64::from(self.end)).ok()
    }

    pub(super) fn finish(self) -> Vec<Span> {
        self.spans
    }
}

/// Drops empty buckets, but where at most `empty_max` of them lie between two others keeps or adds
/// them, so that the two share a span. `None` when spans and buckets are that way already.
pub(super) fn compact<C: Copy + Default + PartialEq>(
    spans: &[Span],
    counts: impl ExactSizeIterator<Item = C> + Clone,
    empty_max: usize,
) -> Option<(Vec<Span>, Vec<C>)> {
    let empty = C::default();
    let is_compact = counts.clone().all(|count| count != empty)
        && spans.iter().enumerate().all(|(i, span)| {
            let gap = usize::try_from(span.offset).unwrap_or(0);
            span.length > 0 && (i == 0 || gap > empty_max)
        });
    if is_compact {
        return None;
    }
    let mut compacted = Spans::default();
    let mut buckets = Vec::with_capacity(counts.len());
    for (index, count) in Indices::new(spans, counts.len()).zip(counts) {
        if count == empty {
            continue;
        }
        if let Some(gap) = compacted.gap(index).filter(|&gap| gap <= empty_max) {
            for missing in 0..gap {
                compacted.push(index.wrapping_sub((gap - missing) as i32));
                buckets.push(empty);
            }
        }
        compacted.push(index);
        buckets.push(count);
    }
    Some((compacted.finish(), buckets))
}

/// Merges buckets that share a bucket in the schema that is lower by `by`, in order of index.
pub(super) fn reduce<C: Copy>(
    spans: &[Span],
    counts: impl ExactSizeIterator<Item = C>,
    by: u32,
    merge: impl Fn(&mut C, C),
) -> (Vec<Span>, Vec<C>) {
    let mut reduced = Spans::default();
    let mut buckets: Vec<C> = Vec::with_capacity(counts.len());
    let mut last = None;
    for (index, count) in Indices::new(spans, counts.len()).zip(counts) {
        let index = reduced_index(index, by);
        match buckets.last_mut() {
            Some(bucket) if last == Some(index) => merge(bucket, count),
            _ => {
                reduced.push(index);
                buckets.push(count);
                last = Some(index);
            }
        }
    }
    (reduced.finish(), buckets)
}

/// True when both spans describe the same buckets, whatever spans without buckets are among them.
pub(super) fn spans_match(a: &[Span], b: &[Span]) -> bool {
    if a == b {
        return true;
    }
    // A span without buckets only moves the span after it.
    let mut a = Populated(a);
    let mut b = Populated(b);
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (a, b) if a != b => return false,
            _ => {}
        }
    }
}

/// Spans that have buckets, with the offsets of empty ones before them added to theirs.
struct Populated<'a>(&'a [Span]);

impl Iterator for Populated<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let mut offset = 0_i32;
        while let Some((span, rest)) = self.0.split_first() {
            self.0 = rest;
            offset = offset.wrapping_add(span.offset);
            if span.length > 0 {
                return Some(Span {
                    offset,
                    length: span.length,
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Offsets and lengths of spans.
    type Pairs = &'static [(i32, u32)];
    type Counts = &'static [i64];

    fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
        pairs
            .iter()
            .map(|&(offset, length)| Span { offset, length })
            .collect()
    }

    #[test]
    fn indices_of_spans() {
        #[rustfmt::skip]
        let cases: &[(Pairs, usize, &[i32])] = &[
            (&[], 0, &[]),
            (&[], 3, &[]),
            (&[(0, 2), (1, 2)], 4, &[0, 1, 3, 4]),
            (&[(-5, 1), (0, 1), (3, 0), (2, 2)], 4, &[-5, -4, 2, 3]),
            (&[(7, 0), (1, 0)], 2, &[]),
            (&[(1, 2), (2, 0), (0, 1), (1, 0)], 3, &[1, 2, 5]),
            // Contradictions: fewer and more buckets than the spans say.
            (&[(0, 2), (1, 2)], 3, &[0, 1, 3]),
            (&[(0, u32::MAX), (1, 2)], 2, &[0, 1]),
            (&[(0, 2)], 9, &[0, 1]),
            (&[(i32::MAX, 2)], 2, &[i32::MAX, i32::MIN]),
        ];
        for (pairs, buckets, want) in cases {
            let spans = spans(pairs);
            let indices = Indices::new(&spans, *buckets);
            assert_eq!(indices.len(), want.len());
            assert_eq!(&indices.clone().collect::<Vec<_>>(), want);
            let mut backwards: Vec<_> = indices.rev().collect();
            backwards.reverse();
            assert_eq!(&backwards, want);
        }
    }

    type Buckets = (Vec<Span>, Vec<i64>);

    fn compacted(pairs: &[(i32, u32)], counts: &[i64], empty_max: usize) -> Buckets {
        let spans = spans(pairs);
        compact(&spans, counts.iter().copied(), empty_max).unwrap_or((spans, counts.to_vec()))
    }

    #[test]
    fn compaction() {
        #[rustfmt::skip]
        let cases: &[(Pairs, Counts, usize, Pairs, Counts)] = &[
            (&[], &[], 0, &[], &[]),
            (&[(-2, 1), (2, 3)], &[1, 2, 3, 4], 0, &[(-2, 1), (2, 3)], &[1, 2, 3, 4]),
            // Empty buckets at the ends of spans go whatever is allowed.
            (&[(-4, 6), (3, 6)], &[0, 0, 1, 3, 4, 0, 0, 2, 0, 0, 5, 0], 0, &[(-2, 3), (5, 1), (2, 1)], &[1, 3, 4, 2, 5]),
            // In the middle they stay if there are few.
            (&[(-4, 6), (3, 6)], &[0, 0, 1, 3, 4, 0, 0, 2, 0, 0, 5, 0], 2, &[(-2, 3), (5, 4)], &[1, 3, 4, 2, 0, 0, 5]),
            // A small gap is filled, whether made of a gap, of empty buckets or of both.
            (&[(0, 1), (2, 1)], &[1, 1], 2, &[(0, 4)], &[1, 0, 0, 1]),
            (&[(0, 2), (1, 2)], &[1, 0, 0, 1], 3, &[(0, 5)], &[1, 0, 0, 0, 1]),
            (&[(0, 2), (1, 2)], &[1, 0, 0, 1], 2, &[(0, 1), (3, 1)], &[1, 1]),
            (&[(1, 1), (0, 2), (2, 0), (1, 1)], &[1, 2, 3, 4], 0, &[(1, 3), (3, 1)], &[1, 2, 3, 4]),
            (&[(1, 2), (3, 1)], &[0, 0, 0], 5, &[], &[]),
            (&[(1, 0)], &[], 0, &[], &[]),
        ];
        for &(pairs, counts, empty_max, want_spans, want_counts) in cases {
            let got = compacted(pairs, counts, empty_max);
            assert_eq!(
                got,
                (spans(want_spans), want_counts.to_vec()),
                "{pairs:?} {counts:?} {empty_max}"
            );
        }
    }

    #[test]
    fn spans_that_match() {
        #[rustfmt::skip]
        let cases: &[(Pairs, Pairs, bool)] = &[
            (&[], &[], true),
            (&[], &[(1, 0)], true),
            (&[(1, 2)], &[(1, 2), (3, 0)], true),
            (&[(1, 0), (2, 0), (3, 4)], &[(6, 4)], true),
            (&[(1, 2)], &[(1, 3)], false),
            (&[(1, 2), (1, 1)], &[(1, 2)], false),
        ];
        for &(a, b, want) in cases {
            assert_eq!(spans_match(&spans(a), &spans(b)), want, "{a:?} {b:?}");
            assert_eq!(spans_match(&spans(b), &spans(a)), want, "{b:?} {a:?}");
        }
    }

    fn any_side() -> impl Strategy<Value = Buckets> {
        let span = (0_i32..4, 0_u32..4).prop_map(|(offset, length)| Span { offset, length });
        (-5_i32..5, prop::collection::vec(span, 0..6))
            .prop_map(|(start, mut spans)| {
                if let Some(first) = spans.first_mut() {
                    first.offset = start;
                }
                spans
            })
            .prop_flat_map(|spans| {
                let buckets: u32 = spans.iter().map(|span| span.length).sum();
                (
                    Just(spans),
                    prop::collection::vec(prop_oneof![Just(0_i64), 1_i64..9], buckets as usize),
                )
            })
    }

    fn populated((spans, counts): &Buckets) -> Vec<(i32, i64)> {
        Indices::new(spans, counts.len())
            .zip(counts.iter().copied())
            .filter(|&(_, count)| count != 0)
            .collect()
    }

    proptest! {
        #[test]
        fn compaction_keeps_populated_buckets_and_settles(side in any_side(), empty_max in 0_usize..4) {
            let (spans, counts) = &side;
            let once = compact(spans, counts.iter().copied(), empty_max).unwrap_or_else(|| side.clone());
            prop_assert_eq!(populated(&side), populated(&once));
            let again = compact(&once.0, once.1.iter().copied(), empty_max);
            prop_assert!(again.is_none_or(|again| again == once));
        }

        #[test]
        fn reducing_twice_is_reducing_by_the_sum(side in any_side(), a in 0_u32..4, b in 0_u32..4) {
            let add = |sum: &mut i64, count: i64| *sum += count;
            let (spans, counts) = &side;
            let (half_spans, half) = reduce(spans, counts.iter().copied(), a, add);
            let in_two = reduce(&half_spans, half.iter().copied(), b, add);
            let at_once = reduce(spans, counts.iter().copied(), a + b, add);
            prop_assert_eq!(&in_two, &at_once);
            prop_assert_eq!(at_once.1.iter().sum::<i64>(), counts.iter().sum::<i64>());
        }
    }
}
