//! Texts that are much alike, each stored as what it shares with the beginning and the end of
//! another one, its base, and its own bytes between.

/// Longest text, in bytes.
pub(crate) const PIECE_BYTES_MAX: usize = 4096;
/// Bytes in a block of them; a power of two.
const BLOCK: usize = 1 << 16;

/// A stored text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// Place of its base in [`Pieces::bases`].
    base: Number,
    /// Where its own bytes begin.
    own_at: Number,
    /// Bytes that it shares with the beginning of its base.
    prefix: u16,
    /// Bytes of its own, after those.
    own: u16,
    /// Bytes that it shares with the end of its base, after those.
    suffix: u16,
}

/// A `u32` in halves, so that a piece fits between other fields.
#[derive(Debug, Clone, Copy, Default)]
struct Number([u16; 2]);

impl Number {
    const fn new(number: u32) -> Self {
        Self([number as u16, (number >> 16) as u16])
    }

    const fn get(self) -> usize {
        let Self([low, high]) = self;
        low as usize | (high as usize) << 16
    }
}

/// A whole text.
#[derive(Debug, Clone, Copy, Default)]
struct Base {
    at: Number,
    len: u16,
}

/// Stored texts.
#[derive(Debug)]
pub(crate) struct Pieces {
    bases: Vec<Base>,
    /// In blocks, so that they are never moved as more come.
    blocks: Vec<Vec<u8>>,
}

impl Default for Pieces {
    fn default() -> Self {
        Self {
            bases: vec![Base::default()],
            // Empty ones lie here.
            blocks: vec![Vec::new()],
        }
    }
}

/// Bytes that two slices share at the beginning.
fn shared<'a>(a: impl Iterator<Item = &'a u8>, b: impl Iterator<Item = &'a u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

/// True when `text` may be cut at `at` without parting a character.
fn is_boundary(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|b| *b & 0xc0 != 0x80)
}

impl Pieces {
    /// The empty text.
    pub(crate) const EMPTY: Piece = Piece {
        base: Number::new(0),
        own_at: Number::new(0),
        prefix: 0,
        own: 0,
        suffix: 0,
    };

    /// Stores a text of at most [`PIECE_BYTES_MAX`], whose characters are not parted; nothing when
    /// there are 4 GiB of them.
    pub(crate) fn push(&mut self, text: &[u8]) -> Option<Piece> {
        let base = self.bases[self.bases.len() - 1];
        let of_base = self.bytes(base.at, usize::from(base.len));
        let mut prefix = shared(of_base.iter(), text.iter());
        while prefix > 0 && !is_boundary(text, prefix) {
            prefix -= 1;
        }
        let mut suffix = shared(of_base[prefix..].iter().rev(), text[prefix..].iter().rev());
        while suffix > 0 && !is_boundary(text, text.len() - suffix) {
            suffix -= 1;
        }
        let mut own = prefix..text.len() - suffix;
        let is_base = own.len() > text.len() / 2;
        if is_base {
            own = 0..text.len();
        }
        let own_at = self.push_bytes(&text[own.clone()])?;
        // Texts are no longer than PIECE_BYTES_MAX.
        if is_base {
            self.bases.push(Base {
                at: own_at,
                len: text.len() as u16,
            });
        }
        Some(Piece {
            base: Number::new((self.bases.len() - 1) as u32),
            own_at,
            prefix: own.start as u16,
            own: own.len() as u16,
            suffix: (text.len() - own.end) as u16,
        })
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Option<Number> {
        let has_room = |block: &Vec<u8>| block.len() + bytes.len() <= BLOCK;
        if !self.blocks.last().is_some_and(has_room) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        let at = u32::try_from(number * BLOCK + block.len().min(BLOCK - 1)).ok()?;
        block.extend_from_slice(bytes);
        Some(Number::new(at))
    }

    #[inline]
    fn bytes(&self, at: Number, len: usize) -> &[u8] {
        let at = at.get();
        &self.blocks[at / BLOCK][at % BLOCK..][..len]
    }

    /// The text: what it shares with the beginning of its base, its own bytes, and what it shares
    /// with the end.
    #[inline]
    pub(crate) fn get(&self, piece: &Piece) -> [&[u8]; 3] {
        let base = self.bases[piece.base.get()];
        let base = self.bytes(base.at, usize::from(base.len));
        [
            &base[..usize::from(piece.prefix)],
            self.bytes(piece.own_at, usize::from(piece.own)),
            &base[base.len() - usize::from(piece.suffix)..],
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_come_back_in_whole_characters(
            texts in prop::collection::vec("[aé😀]{0,6}[ab]{0,40}[éü]{0,3}", 0..40),
        ) {
            let mut pieces = Pieces::default();
            let stored: Vec<_> = texts.iter().map(|text| pieces.push(text.as_bytes()).unwrap()).collect();
            for (text, piece) in texts.iter().zip(&stored) {
                let parts = pieces.get(piece).map(|part| std::str::from_utf8(part).unwrap());
                prop_assert_eq!(&parts.concat(), text);
            }
            prop_assert_eq!(pieces.get(&Pieces::EMPTY).concat(), Vec::<u8>::new());
        }
    }
}
