//! How a label set lies in memory.
//!
//! A string is written as its length and its bytes. A length below 127 is one byte; any other is
//! the byte 127 and four bytes of seven bits, lowest first. All of these bytes are ASCII, so the
//! whole is one valid `str`: taking a string out of it needs neither a check for UTF-8 nor
//! `unsafe`.

/// Longest label name or value that a label set can hold, in bytes.
pub const MAX_STRING_LEN: usize = (1 << 24) - 1;

const LONG: u8 = 127;
const LONG_PREFIX: usize = 5;

/// Bytes that `s` takes when encoded.
pub(super) fn encoded_len(s: &str) -> usize {
    let prefix = if s.len() < usize::from(LONG) {
        1
    } else {
        LONG_PREFIX
    };
    prefix + s.len()
}

/// Appends `s`.
pub(super) fn push_str(data: &mut String, s: &str) {
    match u8::try_from(s.len()) {
        Ok(len) if len < LONG => data.push(char::from(len)),
        _ => push_long_len(data, s.len()),
    }
    data.push_str(s);
}

#[cold]
fn push_long_len(data: &mut String, len: usize) {
    assert!(
        len <= MAX_STRING_LEN,
        "a label string is at most {MAX_STRING_LEN} bytes"
    );
    data.push(char::from(LONG));
    for shift in [0, 7, 14, 21] {
        data.push(char::from((len >> shift & 0x7f) as u8));
    }
}

/// Splits one string off the front of `data`.
#[inline]
pub(super) fn take_str(data: &str) -> (&str, &str) {
    match data.as_bytes()[0] {
        LONG => take_long(data),
        len => data[1..].split_at(usize::from(len)),
    }
}

#[cold]
fn take_long(data: &str) -> (&str, &str) {
    let (prefix, rest) = data.split_at(LONG_PREFIX);
    rest.split_at(long_len(prefix.as_bytes()))
}

/// The length in the first five bytes of a long string.
fn long_len(data: &[u8]) -> usize {
    let septets = data[1..LONG_PREFIX].iter().rev();
    septets.fold(0, |len, septet| len << 7 | usize::from(*septet))
}

/// Bytes that the string at the front of `data` takes.
#[inline]
pub(super) fn str_len(data: &[u8]) -> usize {
    match data[0] {
        LONG => LONG_PREFIX + long_len(data),
        len => 1 + usize::from(len),
    }
}
