//! Labels and chunks of samples as every implementation of protobuf writes them: fields in order,
//! each once.
//!
//! They are most of what there is to read. What is written in another way is not read here, and no
//! error.

use std::ops::Range;

use tsdb::chunk::Encoding;
use tsdb::cursor;

/// Key of a `Series`' label.
const LABEL: u8 = 0x0a;
/// Keys of a `Label`'s fields.
const NAME: u8 = 0x0a;
const VALUE: u8 = 0x12;

/// Appends the labels that a `Series` starts with to `out`, as [`Labels::encode_sorted`] writes them;
/// returns how many bytes they take. They are in order, none is without a name or a value, and each
/// has less than 128 bytes.
///
/// [`Labels::encode_sorted`]: model::Labels::encode_sorted
pub(super) fn labels(series: &[u8], out: &mut String) -> Option<usize> {
    let mut end = 0;
    while let Some([LABEL, len]) = series.get(end..)?.first_chunk() {
        end += 2 + usize::from(*len);
    }
    // What stands between names and values is ASCII where lengths are less than 128, so that each of them
    // is text where all of it is. A longer length is no text, or one character with what follows it,
    // within which nothing can be split.
    let text = std::str::from_utf8(series.get(..end)?).ok()?;
    out.reserve(end);
    let (mut at, mut last) = (0, "");
    while at < end {
        let stop = at + 2 + usize::from(text.as_bytes()[at + 1]);
        let (name, value_at) = string_field(text, at + 2..stop, NAME)?;
        let (value, value_end) = string_field(text, value_at..stop, VALUE)?;
        if value_end != stop || value.len() == 1 || name.get(1..)? <= last {
            return None;
        }
        // A length before a string is how label sets have it too.
        out.push_str(name);
        out.push_str(value);
        (at, last) = (stop, name.get(1..)?);
    }
    Some(end)
}

/// The field of text with the key `key` that stands first in a part of `text`: with its length before
/// it, and where it ends.
#[inline]
fn string_field(text: &str, part: Range<usize>, key: u8) -> Option<(&str, usize)> {
    match text.as_bytes().get(part.clone())? {
        [found, len, ..] if *found == key => {
            let end = part.start + 2 + usize::from(*len);
            Some((text.get(part.start + 1..end)?, end))
        }
        _ => None,
    }
}

/// A chunk of samples.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UsualChunk {
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    pub(super) encoding: Encoding,
    /// Where in the `AggrChunk` its bytes lie.
    pub(super) data: Range<usize>,
}

/// The raw chunk in an `AggrChunk` with nothing else in it.
#[inline]
pub(super) fn chunk(body: &[u8]) -> Option<UsualChunk> {
    let mut c = Cursor { body, at: 0 };
    let min_time = c.int_field(0x08)?.cast_signed();
    let max_time = c.int_field(0x10)?.cast_signed();
    let inner = c.open(0x1a)?;
    if inner != body.len() - c.at {
        return None;
    }
    let encoding = match c.int_field(0x08)? {
        0 => Encoding::Xor,
        1 => Encoding::Histogram,
        2 => Encoding::FloatHistogram,
        _ => return None,
    };
    let len = c.open(0x12)?;
    let start = c.at;
    let end = start.checked_add(len).filter(|end| *end <= body.len())?;
    c.at = end;
    c.int_field(0x18)?;
    (c.at == body.len()).then_some(UsualChunk {
        min_time,
        max_time,
        encoding,
        data: start..end,
    })
}

struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// An integer whose key is `key`; 0 when another key follows.
    #[inline]
    fn int_field(&mut self, key: u8) -> Option<u64> {
        if self.body.get(self.at) != Some(&key) {
            return Some(0);
        }
        self.at += 1;
        self.varint()
    }

    /// The length of a field whose key is `key`.
    #[inline]
    fn open(&mut self, key: u8) -> Option<usize> {
        if self.body.get(self.at) != Some(&key) {
            return None;
        }
        self.at += 1;
        usize::try_from(self.varint()?).ok()
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let mut rest = cursor::Cursor::new(self.body.get(self.at..)?);
        let value = rest.uvarint("a varint").ok()?;
        self.at += rest.pos();
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    /// An `AggrChunk` of times 5 and 300, and a raw chunk of the bytes `abc`.
    const BODY: &[u8] = &[
        0x08, 5, 0x10, 0xac, 2, 0x1a, 9, 0x08, 1, 0x12, 3, b'a', b'b', b'c', 0x18, 7,
    ];

    /// The labels `a` and `é`, and the key of a chunk.
    const LABELS: &[u8] = b"\x0a\x06\x0a\x01a\x12\x01b\x0a\x08\x0a\x02\xc3\xa9\x12\x02xy\x12";

    #[test]
    fn labels_that_are_written_as_usual_are_read() {
        let mut out = String::new();
        assert_eq!(labels(LABELS, &mut out), Some(18));
        let expected = Labels::from_pairs([("a", "b"), ("é", "xy")]);
        assert_eq!(out, expected.as_encoded());
        for (at, byte, why) in [
            (1, 7, "another field in it"),
            (1, 0x86, "a long length"),
            (2, 0x12, "no name"),
            (3, 2, "a name to the value's length"),
            (3, 0, "an empty name"),
            (5, 0x0a, "two names"),
            (4, 0xc3, "no text"),
            (6, 0, "no value"),
            (9, 40, "a label to beyond the end"),
            (12, b'a', "no text any more"),
        ] {
            let mut series = LABELS.to_vec();
            series[at] = byte;
            assert_eq!(labels(&series, &mut String::new()), None, "{why}");
        }
        // Lengths that are text with what follows them.
        let long = [b"\x0a\xc3\xa9".as_slice(), &[b'x'; 194]].concat();
        assert_eq!(labels(&long, &mut String::new()), None);
        let longer = [b"\x0a\xdf\xbf\x01".as_slice(), &[b'x'; 300]].concat();
        assert_eq!(labels(&longer, &mut String::new()), None);
        let swapped = [&LABELS[8..18], &LABELS[..8]].concat();
        assert_eq!(labels(&swapped, &mut String::new()), None);
        assert_eq!(labels(&LABELS[18..], &mut String::new()), Some(0));
        assert_eq!(labels(b"", &mut String::new()), Some(0));
    }

    #[test]
    fn only_what_is_written_as_usual_is_read() {
        let expected = UsualChunk {
            min_time: 5,
            max_time: 300,
            encoding: Encoding::Histogram,
            data: 11..14,
        };
        assert_eq!(chunk(BODY), Some(expected));
        for cut in 0..BODY.len() {
            assert_eq!(chunk(&BODY[..cut]), None, "cut at {cut}");
        }
        for (at, byte, why) in [
            (0, 0x10, "a time twice"),
            (5, 0x22, "an aggregate"),
            (6, 8, "a field after it"),
            (8, 3, "an encoding that is not known"),
            (10, 4, "bytes that do not end in time"),
            (14, 0x20, "another field"),
        ] {
            let mut body = BODY.to_vec();
            body[at] = byte;
            assert_eq!(chunk(&body), None, "{why}");
        }
    }
}
