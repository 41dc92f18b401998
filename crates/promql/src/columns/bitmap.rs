//! Which steps hold a value.

/// One bit per step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// `len` zero bits.
    pub fn zeros(len: usize) -> Self {
        Self {
            words: vec![0; len.div_ceil(64)],
            len,
        }
    }

    /// Becomes `len` zero bits.
    pub fn reset(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
    }

    /// Becomes `len` one bits.
    pub fn fill(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), u64::MAX);
        self.len = len;
        if let (Some(last), tail @ 1..) = (self.words.last_mut(), len % 64) {
            *last = (1 << tail) - 1;
        }
    }

    /// Appends zero bits until there are `len`, if there are fewer.
    pub(crate) fn grow(&mut self, len: usize) {
        if len > self.len {
            self.words.resize(len.div_ceil(64), 0);
            self.len = len;
        }
    }

    /// Number of bits.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when there are no bits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit `i`.
    #[inline]
    pub fn get(&self, i: usize) -> bool {
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    /// Sets bit `i`.
    #[inline]
    pub fn set(&mut self, i: usize) {
        self.words[i / 64] |= 1 << (i % 64);
    }

    /// Clears bit `i`.
    #[inline]
    pub fn unset(&mut self, i: usize) {
        self.words[i / 64] &= !(1 << (i % 64));
    }

    /// Replaces the bits from `64 * word` on by those of `bits`, lowest first; bits beyond the last
    /// must be zero.
    #[inline]
    pub(crate) fn set_word(&mut self, word: usize, bits: u64) {
        self.words[word] = bits;
    }

    /// Number of one bits.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// True when some bit is one.
    pub fn any(&self) -> bool {
        self.words.iter().any(|&w| w != 0)
    }

    /// True when every bit is one.
    pub fn all(&self) -> bool {
        self.count() == self.len
    }

    /// True when a bit is one in both.
    pub fn intersects(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// Sets the bits that are one in `other`.
    pub fn union(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a |= b;
        }
    }

    /// Clears the bits that are zero in `other`.
    pub fn intersect(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= b;
        }
    }

    /// Clears the bits that are one in `other`.
    pub fn subtract(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= !b;
        }
    }

    /// The indices of the one bits, ascending.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.ones_from(0)
    }

    /// Number of one bits before bit `i`.
    pub(crate) fn rank(&self, i: usize) -> usize {
        let i = i.min(self.len);
        let whole = self.words[..i / 64].iter().map(|w| w.count_ones());
        let part = self.words.get(i / 64);
        let part = part.map_or(0, |w| (w & ((1 << (i % 64)) - 1)).count_ones());
        (whole.sum::<u32>() + part) as usize
    }

    /// The indices of the one bits from bit `first` on, ascending.
    pub(crate) fn ones_from(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        let from = (first / 64).min(self.words.len());
        let words = self.words.iter().enumerate().skip(from);
        words.flat_map(move |(i, &word)| {
            let mut rest = match i == first / 64 {
                true => word & (u64::MAX << (first % 64)),
                false => word,
            };
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(i * 64 + bit)
            })
        })
    }

    /// Bytes of memory it owns.
    pub fn heap_bytes(&self) -> usize {
        self.words.capacity() * 8
    }
}
