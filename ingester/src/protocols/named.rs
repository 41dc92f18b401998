//! Points whose series were named before in the same words, told by their bytes.
//!
//! Clients send the same series again and again, in nearly the same order, and of a point only the
//! time and the value change. So the text of a point is remembered with a mark in the place of each
//! of these two, together with the series that the head made of it and its labels. A text that is
//! that of the series which followed last time, but for two numbers, needs neither parsing nor a
//! look at its labels. What the marks stand for are numbers as JSON writes them; any other point
//! takes the long way, which decides alone what is right. Known points come with their labels all
//! the same, for whoever looks at those.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memchr2;
use parking_lot::RwLock;
use tsdb::batch::SeriesRef;

use crate::exposition::number::plain;
use crate::receive::known::{Known, START};
use crate::receive::pieces::{PIECE_BYTES_MAX, Piece, Pieces};

/// Stands for the time in a text that is remembered. A text with such a byte is not remembered.
const TIME: u8 = 1;
/// Stands for the value.
const VALUE: u8 = 2;
/// Texts of one tenant. A client may say the same series in many ways.
const NAMED_MAX: usize = 1 << 20;
/// Between two attempts to forget something where there are so many.
const FULL_EVERY: Duration = Duration::from_secs(60);

/// Points of one tenant that were named before.
#[derive(Debug, Default)]
pub struct Named {
    known: Known,
    /// By place among the known ones, the labels.
    labels: Vec<Piece>,
    pieces: Pieces,
    swept_when_full: Option<Instant>,
}

/// A series that was named before.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamedSeries<'n> {
    /// What the head calls it.
    pub(super) series: SeriesRef,
    /// Its labels as they are encoded, in parts.
    pub(super) labels: [&'n [u8]; 3],
}

/// A point that was told by its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamedPoint<'n> {
    /// Its series.
    pub(super) series: NamedSeries<'n>,
    /// Its time as it was written; nothing when the text has none.
    pub(super) time: Option<i64>,
    /// Its value.
    pub(super) value: f64,
    /// Bytes of its text.
    pub(super) len: usize,
}

impl Named {
    fn series(&self, place: u32) -> NamedSeries<'_> {
        self.known.met(place);
        NamedSeries {
            series: self.known.series(place),
            labels: self.pieces.get(&self.labels[place as usize]),
        }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// True when none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Remembers that `text`, with its marks, is a point of `series` with these labels.
    pub(super) fn learn(&mut self, text: &[u8], series: SeriesRef, labels: &str) {
        if labels.len() > PIECE_BYTES_MAX || self.len() >= NAMED_MAX {
            return;
        }
        let Some(labels) = self.pieces.push(labels.as_bytes()) else {
            return;
        };
        let Some(place) = self.known.learn(text, series) else {
            return;
        };
        let place = place as usize;
        if self.labels.len() <= place {
            self.labels.resize(place + 1, Pieces::EMPTY);
        }
        self.labels[place] = labels;
    }

    /// Forgets what was not met for long; soon when there is too much of it.
    pub(super) fn sweep_if_due(&mut self, now: Instant) {
        let is_long_ago = |at: Instant| now.saturating_duration_since(at) >= FULL_EVERY;
        let is_full = self.len() >= NAMED_MAX && self.swept_when_full.is_none_or(is_long_ago);
        if is_full {
            self.swept_when_full = Some(now);
        }
        if self.known.is_sweep_due(now) || is_full {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        let mut pieces = Pieces::default();
        let mut labels = vec![Pieces::EMPTY];
        self.known.sweep(|place| {
            let text = self.pieces.get(&self.labels[place as usize]).concat();
            labels.push(pieces.push(&text).expect("there was room for more of them"));
        });
        (self.labels, self.pieces) = (labels, pieces);
    }
}

/// The named points in the order in which a request has them.
#[derive(Debug, Clone)]
pub(super) struct Met<'n> {
    named: &'n Named,
    last: u32,
}

impl<'n> Met<'n> {
    /// At the start of a request.
    pub(super) fn new(named: &'n Named) -> Self {
        Self { named, last: START }
    }

    /// The point that `text` begins with, if it is one of the series that followed last time.
    #[inline]
    pub(super) fn expected(&mut self, text: &[u8]) -> Option<NamedPoint<'n>> {
        match self.named.known.next(self.last) {
            START => None,
            place => self.point(place, text),
        }
    }

    /// The point that `text` is, given that text with its marks.
    pub(super) fn find(&mut self, text: &[u8], marked: &[u8]) -> Option<NamedPoint<'n>> {
        let place = self.named.known.find(self.last, marked)?;
        self.point(place, text)
    }

    /// The point that `text` begins with, if it is one of the series at `place`.
    #[inline]
    fn point(&mut self, place: u32, text: &[u8]) -> Option<NamedPoint<'n>> {
        let named = self.named;
        let mut rest = text;
        let (mut time, mut value) = (None, None);
        for mut part in named.known.parts(place) {
            while let Some(at) = memchr2(TIME, VALUE, part) {
                rest = rest.strip_prefix(&part[..at])?;
                let (number, len) = plain(rest)?;
                rest = &rest[len..];
                if part[at] == TIME {
                    time = Some(number.whole()?);
                } else {
                    value = Some(number);
                }
                part = &part[at + 1..];
            }
            rest = rest.strip_prefix(part)?;
        }
        self.last = place;
        Some(NamedPoint {
            series: named.series(place),
            time,
            value: value?.value(),
            len: text.len() - rest.len(),
        })
    }
}

/// Where a text has its two numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Numbers {
    /// Its time, from byte to byte.
    pub(super) time: Option<(usize, usize)>,
    /// Its value.
    pub(super) value: Option<(usize, usize)>,
}

/// Writes `text` into `key` with marks for its numbers; false when it cannot be told by its bytes.
pub(super) fn marked(text: &[u8], numbers: Numbers, key: &mut Vec<u8>) -> bool {
    let Some(value) = numbers.value else {
        return false;
    };
    if text.len() > PIECE_BYTES_MAX || memchr2(TIME, VALUE, text).is_some() {
        return false;
    }
    let is_plain =
        |(from, to): (usize, usize)| plain(&text[from..to]).filter(|(_, len)| *len == to - from);
    let is_time = |at| is_plain(at).is_some_and(|(number, _)| number.whole().is_some());
    if is_plain(value).is_none() || !numbers.time.is_none_or(is_time) {
        return false;
    }
    let mut holes = [Some((value, VALUE)), numbers.time.map(|at| (at, TIME))];
    holes.sort_unstable();
    key.clear();
    let mut from = 0;
    for ((start, end), mark) in holes.into_iter().flatten() {
        key.extend_from_slice(&text[from..start]);
        key.push(mark);
        from = end;
    }
    key.extend_from_slice(&text[from..]);
    true
}

/// Named points by tenant. References of a tenant's head stay good as long as the process runs.
#[derive(Debug, Default)]
pub(super) struct ByTenant {
    named: RwLock<HashMap<String, Arc<RwLock<Named>>>>,
}

impl ByTenant {
    /// Those of a tenant.
    pub(super) fn of(&self, tenant: &str) -> Arc<RwLock<Named>> {
        let named = self.named.read().get(tenant).map(Arc::clone);
        named.unwrap_or_default()
    }

    /// Keeps those of a tenant, which is one that can be.
    pub(super) fn keep(&self, tenant: &str, named: &Arc<RwLock<Named>>) {
        if !self.named.read().contains_key(tenant) {
            let mut all = self.named.write();
            all.entry(tenant.to_owned())
                .or_insert_with(|| Arc::clone(named));
        }
    }
}

#[cfg(test)]
mod tests;
