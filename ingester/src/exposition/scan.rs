//! Where names and quoted text end, eight bytes at a time.
//!
//! Names and values are short, so that asking a vectorised search for each costs more than the
//! search. A word of eight bytes is looked at as a whole instead: every step sets the high bit of the
//! bytes that it means, and the lowest of these bits tells the first such byte. What carries out of
//! a byte can only spoil bytes behind it.

use memchr::memchr3;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * LOW;
/// Text that is longer is searched by vectors.
const SHORT: usize = 32;

/// The length of what `s` begins with of letters, digits and underscores, and colons where `colon`.
#[inline]
pub(super) fn name_len(s: &[u8], colon: bool) -> usize {
    let mut at = 0;
    while let Some(word) = s[at..].first_chunk() {
        let others = !name_bytes(u64::from_le_bytes(*word), colon) & HIGH;
        if others != 0 {
            return at + first(others);
        }
        at += 8;
    }
    let mut word = [0; 8];
    let rest = &s[at..];
    word[..rest.len()].copy_from_slice(rest);
    at + first(!name_bytes(u64::from_le_bytes(word), colon) & HIGH)
}

/// A word of this byte.
#[inline]
const fn eight(byte: u8) -> u64 {
    byte as u64 * LOW
}

/// Sets the high bit of each byte that may be part of a name. No step carries.
#[inline]
const fn name_bytes(word: u64, colon: bool) -> u64 {
    let low = word & !HIGH;
    let lower = low | eight(0x20);
    let letters = at_least(lower, b'a') & !at_least(lower, b'z' + 1);
    // The colon follows the nine.
    let after = if colon { b':' } else { b'9' } + 1;
    let digits = at_least(low, b'0') & !at_least(low, after);
    let underscores = !at_least(low ^ eight(b'_'), 1);
    (letters | digits | underscores) & !word & HIGH
}

/// Sets the high bit of each byte that is `min` or more; high bits are not set before.
#[inline]
const fn at_least(word: u64, min: u8) -> u64 {
    word + eight(0x80 - min)
}

/// Where the first quote, backslash or end of a line is.
#[inline]
pub(super) fn text_end(s: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < SHORT
        && let Some(word) = s[at..].first_chunk()
    {
        let word = u64::from_le_bytes(*word);
        let found =
            zeros(word ^ eight(b'"')) | zeros(word ^ eight(b'\\')) | zeros(word ^ eight(b'\n'));
        if found != 0 {
            return Some(at + first(found));
        }
        at += 8;
    }
    memchr3(b'"', b'\\', b'\n', &s[at..]).map(|found| at + found)
}

/// Sets the high bit of the first byte that is zero, and maybe of bytes behind it.
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

/// The first byte whose high bit is set.
#[inline]
const fn first(high: u64) -> usize {
    high.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes of which about half are those that matter and their neighbours.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let near = prop::sample::select(b"azAZ09_:\"\\\n`{@[/;!#]\t\x80\xdf\xa2\xdc\x8a".to_vec());
        let letter = prop::sample::select(b"abcxyzABCXYZ0123456789_".to_vec());
        proptest::collection::vec(
            prop_oneof![1 => near, 1 => any::<u8>(), 12 => letter],
            0..80,
        )
    }

    proptest! {
        #[test]
        fn ends_are_found_as_byte_by_byte(s in bytes()) {
            for colon in [false, true] {
                let is_part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || (colon && *b == b':');
                let len = s.iter().take_while(|b| is_part(b)).count();
                prop_assert_eq!(name_len(&s, colon), len);
            }
            let end = s.iter().position(|b| matches!(b, b'"' | b'\\' | b'\n'));
            prop_assert_eq!(text_end(&s), end);
        }
    }

    #[test]
    fn every_byte_is_told() {
        for b in 0..=u8::MAX {
            for at in 0..8 {
                let mut s = *b"xxxxxxxxxxxxxxxx";
                s[at] = b;
                let ends = matches!(b, b'"' | b'\\' | b'\n');
                assert_eq!(text_end(&s), ends.then_some(at), "{b}");
                let is_name = b.is_ascii_alphanumeric() || b == b'_';
                assert_eq!(name_len(&s, false), if is_name { 16 } else { at }, "{b}");
            }
        }
    }
}
