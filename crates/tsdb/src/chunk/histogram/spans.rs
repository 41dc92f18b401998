//! Bringing two bucket layouts together.

use model::Span;

/// Indices of the buckets that spans hold, ascending for well-formed spans.
fn indices(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut end = 0;
    spans.iter().flat_map(move |span| {
        let start = end + i64::from(span.offset);
        end = start + i64::from(span.length);
        start..end
    })
}

/// Two layouts of one side merged into one that holds the buckets of both.
#[derive(Debug, PartialEq)]
pub(crate) struct Union {
    /// The runs of buckets, none empty and none touching the next.
    pub(crate) spans: Vec<Span>,
    /// Number of buckets.
    pub(crate) len: usize,
    /// Where the buckets of the first layout went.
    pub(crate) first: Vec<usize>,
    /// Where the buckets of the second layout went.
    pub(crate) second: Vec<usize>,
}

impl Union {
    /// Merges the layouts.
    pub(crate) fn new(first: &[Span], second: &[Span]) -> Self {
        let mut union = Self {
            spans: Vec::new(),
            len: 0,
            first: Vec::new(),
            second: Vec::new(),
        };
        let (mut a, mut b) = (indices(first).peekable(), indices(second).peekable());
        let mut end = 0;
        loop {
            let index = match (a.peek(), b.peek()) {
                (Some(&a), Some(&b)) => a.min(b),
                (Some(&index), None) | (None, Some(&index)) => index,
                (None, None) => return union,
            };
            if a.next_if_eq(&index).is_some() {
                union.first.push(union.len);
            }
            if b.next_if_eq(&index).is_some() {
                union.second.push(union.len);
            }
            union.len += 1;
            match union.spans.last_mut() {
                Some(span) if index == end => span.length += 1,
                _ => union.spans.push(Span {
                    // Spans of unsound input may lie further apart than an offset can say; such
                    // input is not read back as what it was, but it is not ours to mend.
                    offset: (index - end) as i32,
                    length: 1,
                }),
            }
            end = index + 1;
        }
    }

    /// True when the second layout has buckets that the first lacks.
    pub(crate) fn extends_first(&self) -> bool {
        self.first.len() < self.len
    }

    /// True when the first layout has buckets that the second lacks.
    pub(crate) fn extends_second(&self) -> bool {
        self.second.len() < self.len
    }

    /// True when a bucket of the first layout that is in use is gone or has shrunk in the second.
    pub(crate) fn shrinks<T: Copy + PartialOrd + Default>(&self, old: &[T], new: &[T]) -> bool {
        let new = spread(new, &self.second, self.len);
        let mut present = vec![false; self.len];
        for &position in &self.second {
            present[position] = true;
        }
        old.iter().zip(&self.first).any(|(&old, &position)| {
            if present[position] {
                old > new[position]
            } else {
                old != T::default()
            }
        })
    }
}

/// Moves values to their positions in a wider layout and fills the rest with zeros.
pub(crate) fn spread<T: Copy + Default>(values: &[T], positions: &[usize], len: usize) -> Vec<T> {
    let mut wide = vec![T::default(); len];
    for (&value, &position) in values.iter().zip(positions) {
        wide[position] = value;
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
        spans
            .iter()
            .map(|&(offset, length)| Span { offset, length })
            .collect()
    }

    #[test]
    fn layouts_merge_into_runs_that_do_not_touch() {
        for (first, second, merged) in [
            (&[][..], &[][..], &[][..]),
            (&[(0, 2)], &[(2, 2)], &[(0, 4)]),
            (&[(-3, 1), (1, 2)], &[(-2, 1)], &[(-3, 4)]),
            (&[(5, 1)], &[(-5, 1)], &[(-5, 1), (9, 1)]),
            (
                &[(0, 2), (2, 1), (3, 2), (3, 1), (1, 1)],
                &[(0, 3), (1, 1), (1, 4), (3, 3)],
                &[(0, 3), (1, 1), (1, 4), (3, 3)],
            ),
            (&[(0, 0), (2, 1), (0, 0), (0, 1)], &[], &[(2, 2)]),
        ] {
            let (first, second) = (spans(first), spans(second));
            let union = Union::new(&first, &second);
            assert_eq!(union.spans, spans(merged), "{first:?} and {second:?}");
            let mirrored = Union::new(&second, &first);
            assert_eq!(mirrored.spans, union.spans);
            assert_eq!(
                (mirrored.first, mirrored.second),
                (union.second, union.first)
            );
        }
    }

    #[test]
    fn only_used_buckets_that_go_or_shrink_count_as_shrinking() {
        let union = Union::new(&spans(&[(0, 3)]), &spans(&[(1, 3)]));
        assert!(union.extends_first() && union.extends_second());
        assert!(!union.shrinks(&[0, 1, 2], &[1, 2, 9]));
        assert!(union.shrinks(&[1, 1, 2], &[1, 2, 9]));
        assert!(union.shrinks(&[0, 1, 3], &[1, 2, 9]));
    }
}
