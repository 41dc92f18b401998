//! Series entries: the labels of a series as symbols, and where its chunks are.

use std::ops::RangeInclusive;

use crate::chunk::ChunkMeta;
use crate::cursor::{Cursor, put_uvarint, put_varint};
use crate::error::Corruption;

/// Times of any chunk.
pub(super) const ALL_TIMES: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// A series as the index holds it. Reuse one for many series: its buffers are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeriesEntry {
    /// Symbols of name and value of each label, in order of names.
    pub labels: Vec<(u32, u32)>,
    /// The chunks in order of time; their times are closed ranges.
    pub chunks: Vec<ChunkMeta>,
}

impl SeriesEntry {
    /// Fills this entry from an entry's payload (between its length and its checksum), with those of
    /// its chunks that overlap `times`. Chunks are in order of their first times: from the first that begins behind
    /// `times` on they are not looked at, as in Thanos.
    pub(super) fn decode(
        &mut self,
        payload: &[u8],
        times: &RangeInclusive<i64>,
    ) -> Result<(), Corruption> {
        let mut c = Cursor::new(payload);
        self.labels.clear();
        self.chunks.clear();
        let labels = c.count(2, "a number of labels that fit into the series")?;
        self.labels.reserve(labels);
        for _ in 0..labels {
            let name = symbol(&mut c)?;
            self.labels.push((name, symbol(&mut c)?));
        }
        let chunks = c.count(3, "a number of chunks that fit into the series")?;
        let (first, last) = (*times.start(), *times.end());
        let mut reference = 0u64;
        let mut end = 0i64;
        for i in 0..chunks {
            let at = c.pos();
            let start = match i {
                0 => c.varint("a chunk's first time")?,
                // Wraps as in Go: a chunk that starts before its predecessor ends is readable.
                _ => end.wrapping_add(c.uvarint("a chunk's first time")?.cast_signed()),
            };
            if start > last {
                return Ok(());
            }
            let span = c.uvarint("a chunk's span of time")?;
            end = i64::try_from(span)
                .ok()
                .and_then(|span| start.checked_add(span))
                .ok_or_else(|| Corruption::new(at, "a chunk that ends after it starts"))?;
            reference = match i {
                0 => c.uvarint("a chunk's reference")?,
                _ => reference.wrapping_add_signed(c.varint("a chunk's reference")?),
            };
            if end >= first {
                if self.chunks.is_empty() {
                    self.chunks.reserve(chunks - i);
                }
                self.chunks.push(ChunkMeta {
                    min_time: start,
                    max_time: end,
                    reference,
                });
            }
        }
        match c.is_empty() {
            true => Ok(()),
            false => Err(c.corrupt("the end of the series")),
        }
    }

    /// Appends the entry's payload to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_uvarint(out, self.labels.len() as u64);
        for &(name, value) in &self.labels {
            put_uvarint(out, u64::from(name));
            put_uvarint(out, u64::from(value));
        }
        put_uvarint(out, self.chunks.len() as u64);
        let mut last: Option<&ChunkMeta> = None;
        for chunk in &self.chunks {
            match last {
                None => put_varint(out, chunk.min_time),
                Some(l) => {
                    put_uvarint(out, chunk.min_time.wrapping_sub(l.max_time).cast_unsigned())
                }
            }
            put_uvarint(
                out,
                chunk.max_time.wrapping_sub(chunk.min_time).cast_unsigned(),
            );
            match last {
                None => put_uvarint(out, chunk.reference),
                Some(l) => put_varint(out, chunk.reference.wrapping_sub(l.reference).cast_signed()),
            }
            last = Some(chunk);
        }
    }
}

fn symbol(c: &mut Cursor<'_>) -> Result<u32, Corruption> {
    let at = c.pos();
    u32::try_from(c.uvarint("a symbol's reference")?)
        .map_err(|_| Corruption::new(at, "a symbol's reference below 2^32"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = SeriesEntry> {
        let chunk = (any::<i64>(), 0..i64::MAX, any::<u64>()).prop_map(|(t, span, reference)| {
            let min_time = t.min(i64::MAX - span);
            ChunkMeta {
                min_time,
                max_time: min_time + span,
                reference,
            }
        });
        (
            proptest::collection::vec(any::<(u32, u32)>(), 0..20),
            proptest::collection::vec(chunk, 0..20),
        )
            .prop_map(|(labels, chunks)| SeriesEntry { labels, chunks })
    }

    proptest! {
        #[test]
        fn entries_round_trip(entry in entry()) {
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            let mut decoded = SeriesEntry::default();
            decoded.decode(&bytes, &ALL_TIMES).unwrap();
            prop_assert_eq!(decoded, entry);
        }

        #[test]
        fn chunks_of_a_time_are_those_that_overlap_it(
            mut entry in entry(),
            (a, b) in any::<(i64, i64)>(),
        ) {
            entry.chunks.sort_by_key(|chunk| chunk.min_time);
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            let times = a.min(b)..=a.max(b);
            let mut decoded = SeriesEntry::default();
            decoded.decode(&bytes, &times).unwrap();
            let overlaps = |chunk: &ChunkMeta| {
                chunk.min_time <= *times.end() && *times.start() <= chunk.max_time
            };
            entry.chunks.retain(overlaps);
            prop_assert_eq!(decoded, entry);
        }

        #[test]
        fn any_bytes_decode_or_fail(bytes: Vec<u8>) {
            let _ = SeriesEntry::default().decode(&bytes, &ALL_TIMES);
        }
    }

    #[test]
    fn a_count_that_cannot_fit_reserves_nothing() {
        let mut entry = SeriesEntry::default();
        let err = entry.decode(&[0xff, 0xff, 0xff, 0x7f, 0], &ALL_TIMES);
        let err = err.unwrap_err();
        assert_eq!(err.offset, 0);
        assert_eq!(entry.labels.capacity(), 0);
    }
}
