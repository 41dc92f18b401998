//! Sets of references as bits.

/// A set of references in a range, one bit each.
#[derive(Debug, Clone)]
pub(super) struct Bitmap {
    pub(super) words: Vec<u64>,
    /// The reference that the first bit stands for.
    pub(super) base: u32,
    /// Next bit to look at.
    pub(super) pos: usize,
    /// Number of references that were put in, duplicates included.
    pub(super) inserted: usize,
}

impl Bitmap {
    pub(super) fn len_max(&self) -> usize {
        self.inserted
            .min((self.words.len() * 64).saturating_sub(self.pos))
    }

    pub(super) fn peek(&mut self) -> Option<u32> {
        let mut i = self.pos / 64;
        let mut word = self.words.get(i)? & (u64::MAX << (self.pos % 64));
        while word == 0 {
            i += 1;
            word = *self.words.get(i)?;
        }
        self.pos = i * 64 + word.trailing_zeros() as usize;
        Some(self.base + self.pos as u32)
    }

    pub(super) fn skip_to(&mut self, target: u32) {
        let bit = target.saturating_sub(self.base) as usize;
        self.pos = self.pos.max(bit);
    }
}
