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
//! Neighbours share most of their labels. So of most series only the bytes between what they share
//! with the beginning and the end of another one, their base, are stored.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ahash::RandomState;
use hashbrown::HashTable;
use tsdb::batch::SeriesRef;

/// Longest labels that are remembered, in bytes on the wire.
const LABELS_BYTES_MAX: usize = 4096;
/// Between two sweeps. Writers that send a series less often than this have it forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(20 * 60);
/// Series in a block of them; a power of two.
const NAMED_BLOCK: usize = 1 << 10;
/// Bytes in a block of them; a power of two.
const BYTES_BLOCK: usize = 1 << 16;
/// The key of a label: field 1, bytes.
const LABEL_KEY: u8 = 0x0a;

/// The place before the first series of a request; has no bytes, and nothing begins with it.
const START: u32 = 0;

/// One series.
#[derive(Debug)]
struct Named {
    series: SeriesRef,
    hash: u32,
    /// Place of its base in [`Known::bases`].
    base: u32,
    /// Where its own bytes begin.
    own_at: At,
    /// Bytes that it shares with the beginning of its base.
    prefix: u16,
    /// Bytes of its own, after those.
    own: u16,
    /// Bytes that it shares with the end of its base, after those.
    suffix: u16,
    /// True when it was met since the last sweep.
    is_used: AtomicBool,
    /// Place of the series that followed it last.
    next: AtomicU32,
}

/// Where bytes are: the number of their block, and their offset in it.
#[derive(Debug, Clone, Copy, Default)]
struct At(u32);

/// Bytes in blocks, so that they are never moved as more come.
#[derive(Debug, Default)]
struct Blocks(Vec<Vec<u8>>);

impl Blocks {
    /// Takes bytes over, at most [`LABELS_BYTES_MAX`]; nothing when there are 4 GiB of them.
    fn push(&mut self, bytes: &[u8]) -> Option<At> {
        let has_room = |block: &Vec<u8>| block.len() + bytes.len() <= BYTES_BLOCK;
        if !self.0.last().is_some_and(has_room) {
            self.0.push(Vec::with_capacity(BYTES_BLOCK));
        }
        let number = self.0.len() - 1;
        let block = &mut self.0[number];
        let at = u32::try_from(number * BYTES_BLOCK + block.len().min(BYTES_BLOCK - 1)).ok()?;
        block.extend_from_slice(bytes);
        Some(At(at))
    }

    #[inline]
    fn get(&self, At(at): At, len: usize) -> &[u8] {
        let at = at as usize;
        &self.0[at / BYTES_BLOCK][at % BYTES_BLOCK..][..len]
    }
}

/// Whole labels.
#[derive(Debug, Clone, Copy, Default)]
struct Base {
    at: At,
    len: u32,
}

/// The series of one tenant that writers named.
///
/// Threads that decode share it: what they change are hints. Series are added when a request has
/// been appended. From time to time those that were not met any more are forgotten.
#[derive(Debug)]
pub struct Known {
    /// By place, in blocks, so that they are never moved as more come.
    named: Vec<Vec<Named>>,
    bases: Vec<Base>,
    bytes: Blocks,
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

/// Bytes that two slices share at the beginning.
fn shared<'a>(a: impl Iterator<Item = &'a u8>, b: impl Iterator<Item = &'a u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

impl Known {
    fn with_hasher(hasher: RandomState) -> Self {
        let start = Named {
            series: SeriesRef(0),
            hash: 0,
            base: 0,
            own_at: At::default(),
            prefix: 0,
            own: 0,
            suffix: 0,
            is_used: AtomicBool::new(false),
            next: AtomicU32::new(START),
        };
        Self {
            named: vec![vec![start]],
            bases: vec![Base::default()],
            // Empty ones lie here.
            bytes: Blocks(vec![Vec::new()]),
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

    /// The bytes of a series: those shared with the beginning of its base, its own, and those shared
    /// with the end.
    #[inline]
    fn parts(&self, named: &Named) -> [&[u8]; 3] {
        let base = self.bases[named.base as usize];
        let base = self.bytes.get(base.at, base.len as usize);
        [
            &base[..usize::from(named.prefix)],
            self.bytes.get(named.own_at, usize::from(named.own)),
            &base[base.len() - usize::from(named.suffix)..],
        ]
    }

    /// How many bytes of `message` are the labels of `named`, if it begins with them.
    #[inline]
    fn begins(&self, message: &[u8], named: &Named) -> Option<usize> {
        let [prefix, own, suffix] = self.parts(named);
        let rest = message.strip_prefix(prefix)?;
        let rest = rest.strip_prefix(own)?;
        let rest = rest.strip_prefix(suffix)?;
        let len = message.len() - rest.len();
        (len > 0).then_some(len)
    }

    fn place(&self, hash: u32, labels: &[u8]) -> Option<u32> {
        let equals = |place: &u32| {
            let named = self.at(*place);
            named.hash == hash && self.begins(labels, named) == Some(labels.len())
        };
        self.by_hash.find(spread(hash), equals).copied()
    }

    /// Remembers that `labels`, as they lie on the wire, are those of `series`. Labels that are very
    /// long are not remembered.
    pub(super) fn learn(&mut self, labels: &[u8], series: SeriesRef) {
        if labels.is_empty() || labels.len() > LABELS_BYTES_MAX {
            return;
        }
        let hash = self.hash(labels);
        if let Some(place) = self.place(hash, labels) {
            let place = place as usize;
            self.named[place / NAMED_BLOCK][place % NAMED_BLOCK].series = series;
        } else {
            // Nothing is forgotten for what finds no place.
            let _ = self.add(labels, hash, series);
        }
    }

    fn add(&mut self, labels: &[u8], hash: u32, series: SeriesRef) -> Option<()> {
        let base = self.bases[self.bases.len() - 1];
        let of_base = self.bytes.get(base.at, base.len as usize);
        let prefix = shared(of_base.iter(), labels.iter());
        let suffix = shared(
            of_base[prefix..].iter().rev(),
            labels[prefix..].iter().rev(),
        );
        let mut own = prefix..labels.len() - suffix;
        let is_base = own.len() > labels.len() / 2;
        if is_base {
            own = 0..labels.len();
        }
        let blocks = self.named.len();
        let has_room = self.named[blocks - 1].len() < NAMED_BLOCK;
        let place = if has_room {
            (blocks - 1) * NAMED_BLOCK + self.named[blocks - 1].len()
        } else {
            blocks * NAMED_BLOCK
        };
        let place = u32::try_from(place).ok()?;
        let own_at = self.bytes.push(&labels[own.clone()])?;
        // Labels are no longer than LABELS_BYTES_MAX.
        if is_base {
            self.bases.push(Base {
                at: own_at,
                len: labels.len() as u32,
            });
        }
        let named = Named {
            series,
            hash,
            base: (self.bases.len() - 1) as u32,
            own_at,
            prefix: own.start as u16,
            own: own.len() as u16,
            suffix: (labels.len() - own.end) as u16,
            is_used: AtomicBool::new(true),
            next: AtomicU32::new(START),
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
        Some(())
    }

    /// Forgets the series that were not met since the last sweep, when that is long ago.
    pub(super) fn sweep_if_due(&mut self, now: Instant) {
        let swept = *self.swept.get_or_insert(now);
        if now.saturating_duration_since(swept) >= SWEEP_EVERY {
            self.sweep();
            self.swept = Some(now);
        }
    }

    fn sweep(&mut self) {
        let mut kept = Self::with_hasher(self.hasher.clone());
        let mut labels = Vec::with_capacity(LABELS_BYTES_MAX);
        for named in self.named.iter().flatten().skip(1) {
            if named.is_used.load(Relaxed) {
                labels.clear();
                (self.parts(named).iter()).for_each(|part| labels.extend_from_slice(part));
                // It had a place before.
                let _ = kept.add(&labels, named.hash, named.series);
            }
        }
        let all = kept.named.iter().flatten();
        all.for_each(|named| named.is_used.store(false, Relaxed));
        *self = kept;
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
        let next = self.known.at(self.last).next.load(Relaxed);
        let named = self.known.at(next);
        let (place, len) = match self.known.begins(message, named) {
            Some(len) if message.get(len) != Some(&LABEL_KEY) => (next, len),
            _ => self.look_up(message)?,
        };
        self.last = place;
        let named = self.known.at(place);
        if !named.is_used.load(Relaxed) {
            named.is_used.store(true, Relaxed);
        }
        Some((named.series, len))
    }

    #[inline(never)]
    fn look_up(&self, message: &[u8]) -> Option<(u32, usize)> {
        let labels = &message[..labels_len(message)?];
        let place = self.known.place(self.known.hash(labels), labels)?;
        self.known.at(self.last).next.store(place, Relaxed);
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
