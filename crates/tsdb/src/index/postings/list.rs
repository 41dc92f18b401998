//! Lists in the bytes of an index, and walking lists side by side.

use bytes::Bytes;
use model::stop::{Pace, Stopped};

/// A list in the bytes of an index.
#[derive(Debug, Clone)]
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    /// Index of the next reference.
    pub(super) pos: usize,
}

impl Encoded {
    pub(super) fn len(&self) -> usize {
        (self.bytes.len() / 4).saturating_sub(self.pos)
    }

    #[inline]
    pub(super) fn refs(&self) -> &[[u8; 4]] {
        self.bytes.as_chunks().0
    }

    /// What is not yet walked.
    pub(super) fn rest(&self) -> &[[u8; 4]] {
        self.refs().get(self.pos..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u32> {
        self.refs().get(self.pos).map(|b| u32::from_be_bytes(*b))
    }

    #[inline]
    pub(super) fn skip_to(&mut self, target: u32) {
        let refs = self.refs();
        self.pos = gallop(self.pos.min(refs.len()), refs.len(), |i| {
            u32::from_be_bytes(refs[i]) < target
        });
    }
}

/// The first index in `from..len` for which `below` is false, where `below` holds for a prefix:
/// steps that double, then halve. Cheap when the answer is near, logarithmic when it is far.
#[inline]
pub(super) fn gallop(from: usize, len: usize, below: impl Fn(usize) -> bool) -> usize {
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

/// A reference in a list's memory.
pub(super) trait Stored: Copy {
    fn get(self) -> u32;
}

impl Stored for u32 {
    fn get(self) -> u32 {
        self
    }
}

impl Stored for [u8; 4] {
    fn get(self) -> u32 {
        u32::from_be_bytes(self)
    }
}

/// Walks both lists without a branch on their contents, which no predictor could learn.
pub(super) fn intersect_walking(
    a: &[impl Stored],
    b: &[impl Stored],
    pace: &Pace<'_>,
) -> Result<Vec<u32>, Stopped> {
    let mut out = vec![0; a.len().min(b.len()) + 1];
    let (mut i, mut j, mut len) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        pace.spend(WALK * 4)?;
        // In a walk of the longest length each step is inside both lists.
        let steps = WALK.min(a.len() - i).min(b.len() - j);
        for _ in 0..steps {
            let (x, y) = (a[i].get(), b[j].get());
            out[len] = x;
            len += usize::from(x == y);
            i += usize::from(x <= y);
            j += usize::from(y <= x);
        }
    }
    out.truncate(len);
    Ok(out)
}

/// Steps of a walk between two looks at who waits for it.
const WALK: usize = 1 << 14;
