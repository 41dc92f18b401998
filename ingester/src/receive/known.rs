//! Series that writers named before, told by the bytes of their labels.
//!
//! A writer sends the same series again and again, and nearly always in the same order. So the bytes
//! of a message before its first value, which are the labels as they lie on the wire, are remembered
//! with the series that the head made of them, and every series knows the one that followed it last.
//! A message that begins with the bytes of that one needs no look at its labels: one comparison of
//! memory stands for decoding, checking, hashing and finding them. Any other is looked up by a hash
//! of its label bytes, and what is not found takes the long way. Nothing is taken for known that is
//! not equal byte by byte.
//!
//! Neighbours share most of their labels, so their bytes are stored as [`Pieces`].

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ahash::RandomState;
use hashbrown::HashTable;
use tsdb::batch::SeriesRef;

use super::pieces::{PIECE_BYTES_MAX, Piece, Pieces};

/// Between two sweeps. Writers that send a series less often than this have it forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(20 * 60);
/// Series in a block of them; a power of two.
const NAMED_BLOCK: usize = 1 << 10;
/// The key of a label: field 1, bytes.
const LABEL_KEY: u8 = 0x0a;

/// The place before the first series of a request; has no bytes, and nothing begins with it.
pub(crate) const START: u32 = 0;

/// One series.
#[derive(Debug)]
struct Named {
    series: SeriesRef,
    hash: u32,
    /// Place of the series that followed it last.
    next: AtomicU32,
    labels: Piece,
    /// True when it was met since the last sweep.
    is_used: AtomicBool,
}

/// The series of one tenant that writers named.
///
/// Threads that decode share it: what they change are hints. Series are added when a request has
/// been appended. From time to time those that were not met any more are forgotten.
#[derive(Debug)]
pub struct Known {
    /// By place, in blocks, so that they are never moved as more come.
    named: Vec<Vec<Named>>,
    pieces: Pieces,
    by_hash: HashTable<u32>,
    hasher: RandomState,
    swept: Option<Instant>,
}

impl Default for Known {
    fn default() -> Self {
        Self::with_hasher(RandomState::new())
    }
}

/// The lowest and the highest bits of a hash choose a place in a table.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Known {
    fn with_hasher(hasher: RandomState) -> Self {
        let start = Named {
            series: SeriesRef(0),
            hash: 0,
            next: AtomicU32::new(START),
            labels: Pieces::EMPTY,
            is_used: AtomicBool::new(false),
        };
        Self {
            named: vec![vec![start]],
            pieces: Pieces::default(),
            by_hash: HashTable::new(),
            hasher,
            swept: None,
        }
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// True when no series is known.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    #[inline]
    fn at(&self, place: u32) -> &Named {
        let place = place as usize;
        &self.named[place / NAMED_BLOCK][place % NAMED_BLOCK]
    }

    fn hash(&self, labels: &[u8]) -> u32 {
        self.hasher.hash_one(labels) as u32
    }

    /// What was learned as the series at `place`, in parts.
    #[inline]
    pub(crate) fn parts(&self, place: u32) -> [&[u8]; 3] {
        self.pieces.get(&self.at(place).labels)
    }

    /// How many bytes of `message` are the labels of `named`, if it begins with them.
    #[inline]
    fn begins(&self, message: &[u8], named: &Named) -> Option<usize> {
        let [prefix, own, suffix] = self.pieces.get(&named.labels);
        let rest = message.strip_prefix(prefix)?;
        let rest = rest.strip_prefix(own)?;
        let rest = rest.strip_prefix(suffix)?;
        let len = message.len() - rest.len();
        (len > 0).then_some(len)
    }

    /// The series at `place`.
    #[inline]
    pub(crate) fn series(&self, place: u32) -> SeriesRef {
        self.at(place).series
    }

    /// Where the series is that followed the one at `last` last.
    #[inline]
    pub(crate) fn next(&self, last: u32) -> u32 {
        self.at(last).next.load(Relaxed)
    }

    /// Notes that the series at `place` was met.
    #[inline]
    pub(crate) fn met(&self, place: u32) {
        let named = self.at(place);
        if !named.is_used.load(Relaxed) {
            named.is_used.store(true, Relaxed);
        }
    }

    /// Where the series with these labels is, which followed the one at `last`.
    #[inline(never)]
    pub(crate) fn find(&self, last: u32, labels: &[u8]) -> Option<u32> {
        let place = self.place(self.hash(labels), labels)?;
        self.at(last).next.store(place, Relaxed);
        Some(place)
    }

    fn place(&self, hash: u32, labels: &[u8]) -> Option<u32> {
        let equals = |place: &u32| {
            let named = self.at(*place);
            named.hash == hash && self.begins(labels, named) == Some(labels.len())
        };
        self.by_hash.find(spread(hash), equals).copied()
    }

    /// Remembers that `labels`, as they lie on the wire, are those of `series`. Labels that are very
    /// long are not remembered. Returns the place of a series that is new.
    pub(crate) fn learn(&mut self, labels: &[u8], series: SeriesRef) -> Option<u32> {
        if labels.is_empty() || labels.len() > PIECE_BYTES_MAX {
            return None;
        }
        let hash = self.hash(labels);
        let Some(place) = self.place(hash, labels) else {
            // Nothing is forgotten for what finds no place.
            return self.add(labels, hash, series);
        };
        let place = place as usize;
        self.named[place / NAMED_BLOCK][place % NAMED_BLOCK].series = series;
        None
    }

    fn add(&mut self, labels: &[u8], hash: u32, series: SeriesRef) -> Option<u32> {
        let blocks = self.named.len();
        let has_room = self.named[blocks - 1].len() < NAMED_BLOCK;
        let place = if has_room {
            (blocks - 1) * NAMED_BLOCK + self.named[blocks - 1].len()
        } else {
            blocks * NAMED_BLOCK
        };
        let place = u32::try_from(place).ok()?;
        let named = Named {
            series,
            hash,
            next: AtomicU32::new(START),
            labels: self.pieces.push(labels)?,
            is_used: AtomicBool::new(true),
        };
        if !has_room {
            self.named.push(Vec::with_capacity(NAMED_BLOCK));
        }
        let last = self.named.len() - 1;
        self.named[last].push(named);
        let Self { by_hash, named, .. } = self;
        by_hash.insert_unique(spread(hash), place, |place| {
            let place = *place as usize;
            spread(named[place / NAMED_BLOCK][place % NAMED_BLOCK].hash)
        });
        Some(place)
    }

    /// Forgets the series that were not met since the last sweep, when that is long ago.
    pub(super) fn sweep_if_due(&mut self, now: Instant) {
        if self.is_sweep_due(now) {
            self.sweep(|_| ());
        }
    }

    /// True once after each time that is long.
    pub(crate) fn is_sweep_due(&mut self, now: Instant) -> bool {
        let swept = *self.swept.get_or_insert(now);
        let is_due = now.saturating_duration_since(swept) >= SWEEP_EVERY;
        if is_due {
            self.swept = Some(now);
        }
        is_due
    }

    /// Forgets the series that were not met since the last sweep. `kept` is called with the place
    /// that each of the others had; they have the places from 1 on afterwards, in that order.
    pub(crate) fn sweep(&mut self, mut kept: impl FnMut(u32)) {
        let mut left = Self::with_hasher(self.hasher.clone());
        left.swept = self.swept;
        let mut labels = Vec::with_capacity(PIECE_BYTES_MAX);
        for (place, named) in (0..).zip(self.named.iter().flatten()).skip(1) {
            if named.is_used.load(Relaxed) {
                labels.clear();
                let parts = self.pieces.get(&named.labels);
                (parts.iter()).for_each(|part| labels.extend_from_slice(part));
                if left.add(&labels, named.hash, named.series).is_some() {
                    kept(place);
                }
            }
        }
        let all = left.named.iter().flatten();
        all.for_each(|named| named.is_used.store(false, Relaxed));
        *self = left;
    }
}

/// The known series in the order in which a request has them.
#[derive(Debug, Clone)]
pub(super) struct Met<'a> {
    known: &'a Known,
    /// Place of the series that was met last.
    last: u32,
}

impl<'a> Met<'a> {
    /// At the start of a request.
    pub(super) fn new(known: &'a Known) -> Self {
        Self { known, last: START }
    }

    /// The series whose labels `message` begins with, and how many bytes those are. Whether what
    /// follows has further labels is for the caller to see.
    #[inline]
    pub(super) fn series(&mut self, message: &[u8]) -> Option<(SeriesRef, usize)> {
        let next = self.known.next(self.last);
        let named = self.known.at(next);
        let (place, len) = match self.known.begins(message, named) {
            Some(len) if message.get(len) != Some(&LABEL_KEY) => (next, len),
            _ => self.look_up(message)?,
        };
        self.last = place;
        self.known.met(place);
        Some((self.known.series(place), len))
    }

    fn look_up(&self, message: &[u8]) -> Option<(u32, usize)> {
        let labels = &message[..labels_len(message)?];
        let place = self.known.find(self.last, labels)?;
        Some((place, labels.len()))
    }
}

/// Bytes of the labels that a message begins with. Nothing for labels of 16 KiB or more, and where
/// the message ends within one.
fn labels_len(message: &[u8]) -> Option<usize> {
    let mut rest = message;
    while let [LABEL_KEY, len, after @ ..] = rest {
        let (len, after) = match (len, after) {
            (0..0x80, after) => (usize::from(*len), after),
            (_, [high @ 0..0x80, after @ ..]) => {
                (usize::from(*len & 0x7f) | usize::from(*high) << 7, after)
            }
            _ => return None,
        };
        rest = after.get(len..)?;
    }
    Some(message.len() - rest.len())
}

#[cfg(test)]
mod tests;
