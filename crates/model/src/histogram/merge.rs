//! Adding the buckets of one layout to those of another.

use super::Span;
use super::layout::{Indices, Spans};
use super::zero::buckets_within_zero;
use crate::kahan;

/// Where the buckets of one layout go in another, which is widened to have them all.
struct Alignment {
    /// For each bucket its place in the widened layout.
    places: Vec<Place>,
    /// Buckets that the layout did not have before.
    missing: usize,
}

struct Place {
    at: usize,
    is_new: bool,
}

impl Alignment {
    fn new(mut into: Indices<'_>, from: impl Iterator<Item = i32>) -> Self {
        let mut missing = 0;
        let mut passed = 0;
        let mut next = into.next();
        let places = from
            .map(|index| {
                while next.is_some_and(|next| next < index) {
                    passed += 1;
                    next = into.next();
                }
                let at = passed + missing;
                let is_new = next != Some(index);
                if is_new {
                    missing += 1;
                } else {
                    passed += 1;
                    next = into.next();
                }
                Place { at, is_new }
            })
            .collect();
        Self { places, missing }
    }

    /// Puts an empty bucket wherever one is new.
    fn make_room(&self, buckets: &mut Vec<f64>) {
        let mut read = buckets.len();
        let mut write = read + self.missing;
        buckets.resize(write, 0.0);
        for place in self.places.iter().rev().filter(|place| place.is_new) {
            let behind = write - place.at - 1;
            buckets.copy_within(read - behind..read, place.at + 1);
            buckets[place.at] = 0.0;
            read -= behind;
            write = place.at;
        }
    }
}

/// The spans of all indices in either of two ascending sequences.
fn union(a: Indices<'_>, b: impl Iterator<Item = i32>) -> Vec<Span> {
    let mut spans = Spans::default();
    let mut a = a.peekable();
    for index in b {
        while let Some(before) = a.next_if(|&a| a < index) {
            spans.push(before);
        }
        a.next_if_eq(&index);
        spans.push(index);
    }
    a.for_each(|index| spans.push(index));
    spans.finish()
}

/// One side of a histogram that is added to.
pub(super) struct Side<'a> {
    pub(super) spans: &'a mut Vec<Span>,
    pub(super) buckets: &'a mut Vec<f64>,
}

/// One side of the histogram that is added.
pub(super) struct Addend<'a> {
    pub(super) spans: &'a [Span],
    pub(super) buckets: &'a [f64],
    /// How many of the first buckets are left out.
    pub(super) skipped: usize,
}

impl<'a> Addend<'a> {
    /// All buckets but those that lie within the zero threshold, as they are in the zero count.
    pub(super) fn new(spans: &'a [Span], buckets: &'a [f64], schema: i32, threshold: f64) -> Self {
        Self {
            spans,
            buckets,
            skipped: buckets_within_zero(spans, buckets.len(), schema, threshold),
        }
    }

    fn indices(&self) -> impl Iterator<Item = i32> {
        Indices::new(self.spans, self.buckets.len()).skip(self.skipped)
    }

    fn counts(&self) -> std::slice::Iter<'a, f64> {
        self.buckets[self.skipped..].iter()
    }

    fn compensations<'c>(&self, given: Option<&'c [f64]>) -> impl Iterator<Item = f64> + use<'c> {
        let given = given.unwrap_or(&[]).iter().copied().skip(self.skipped);
        given.chain(std::iter::repeat(0.0))
    }

    /// True if its buckets are those of `spans` one by one.
    fn has_layout(&self, spans: &[Span], buckets: usize) -> bool {
        self.skipped == 0 && self.buckets.len() == buckets && self.spans == spans
    }
}

impl Side<'_> {
    /// Adds `addend` times `sign`, which is 1 or -1.
    pub(super) fn add(self, addend: &Addend<'_>, sign: f64) {
        if addend.has_layout(self.spans, self.buckets.len()) {
            for (sum, count) in self.buckets.iter_mut().zip(addend.buckets) {
                *sum += count * sign;
            }
            return;
        }
        let alignment = widen(self.spans, self.buckets, addend);
        alignment.make_room(self.buckets);
        for (place, count) in alignment.places.iter().zip(addend.counts()) {
            if place.is_new {
                self.buckets[place.at] = count * sign;
            } else {
                self.buckets[place.at] += count * sign;
            }
        }
    }

    /// Adds `addend` and, where its buckets are sums already, what compensates those.
    /// `compensation` has a value for each bucket of this side, before and after.
    pub(super) fn kahan_add(
        self,
        compensation: &mut Vec<f64>,
        addend: &Addend<'_>,
        addend_compensation: Option<&[f64]>,
    ) {
        compensation.resize(self.buckets.len(), 0.0);
        if addend_compensation.is_none() && addend.has_layout(self.spans, self.buckets.len()) {
            let sums = self.buckets.iter_mut().zip(compensation.iter_mut());
            for ((sum, compensation), &count) in sums.zip(addend.buckets) {
                (*sum, *compensation) = kahan::add(count, *sum, *compensation);
            }
            return;
        }
        let alignment = widen(self.spans, self.buckets, addend);
        compensation.truncate(self.buckets.len());
        alignment.make_room(self.buckets);
        alignment.make_room(compensation);
        let counts = addend
            .counts()
            .zip(addend.compensations(addend_compensation));
        for (&Place { at, is_new }, (&count, compensated)) in alignment.places.iter().zip(counts) {
            let (mut sum, mut lost) = (count, compensated);
            if !is_new {
                (sum, lost) = kahan::add(count, self.buckets[at], compensation[at]);
                if compensated != 0.0 {
                    (sum, lost) = kahan::add(compensated, sum, lost);
                }
            }
            (self.buckets[at], compensation[at]) = (sum, lost);
        }
    }
}

/// Widens `spans` to have the buckets of `addend`, and drops buckets that are in no span.
fn widen(spans: &mut Vec<Span>, buckets: &mut Vec<f64>, addend: &Addend<'_>) -> Alignment {
    let indices = Indices::new(spans, buckets.len());
    buckets.truncate(indices.len());
    let alignment = Alignment::new(indices.clone(), addend.indices());
    if alignment.missing > 0 {
        *spans = union(indices, addend.indices());
    }
    alignment
}
