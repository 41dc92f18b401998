//! Thanos' downsampled chunks: up to five chunks in one, an aggregate each.
//!
//! Payload: for each [`Aggregate`] in order a uvarint length; unless it is zero, which means that the
//! aggregate is absent, an encoding byte and that many bytes of inner payload follow.
//!
//! The `counter` aggregate holds the first raw sample of its time, then one sample per window, and
//! then the last raw value at the time of the last window again. [`CounterResets`] reads it.

use bytes::Bytes;

use super::{Chunk, Encoding};
use crate::cursor::{self, Cursor};
use crate::error::Corruption;

/// What an inner chunk holds of every window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Number of raw samples.
    Count,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The last, with counter resets added up.
    Counter,
}

impl Aggregate {
    /// All aggregates in the order of the format.
    pub const ALL: [Self; 5] = [Self::Count, Self::Sum, Self::Min, Self::Max, Self::Counter];
}

/// Joins inner chunks, given in the order of [`Aggregate::ALL`], to an aggregate chunk.
pub fn encode(chunks: &[Option<Chunk>; 5]) -> Chunk {
    let len: usize = chunks
        .iter()
        .flatten()
        .map(|chunk| chunk.data.len() + 1 + cursor::VARINT_MAX_LEN)
        .sum();
    let mut data = Vec::with_capacity(len + chunks.len());
    for chunk in chunks {
        // An inner chunk without a payload could not be told from an absent one.
        match chunk {
            Some(chunk) if !chunk.data.is_empty() => {
                cursor::put_uvarint(&mut data, chunk.data.len() as u64);
                data.push(chunk.encoding.as_byte());
                data.extend_from_slice(&chunk.data);
            }
            _ => data.push(0),
        }
    }
    Chunk {
        encoding: Encoding::Aggregate,
        data: Bytes::from(data),
    }
}

/// Splits an aggregate chunk's payload into its inner chunks, in the order of [`Aggregate::ALL`].
/// They share the payload's memory.
///
/// # Errors
/// When the payload is damaged.
pub fn decode(data: &Bytes) -> Result<[Option<Chunk>; 5], Corruption> {
    let mut cursor = Cursor::new(data);
    let mut chunks = [const { None }; 5];
    for chunk in &mut chunks {
        *chunk = next_chunk(data, &mut cursor)?;
    }
    Ok(chunks)
}

/// One inner chunk of an aggregate chunk's payload; nothing when the aggregate is absent.
///
/// # Errors
/// When the payload is damaged up to the end of that chunk.
pub fn get(data: &Bytes, aggregate: Aggregate) -> Result<Option<Chunk>, Corruption> {
    let mut cursor = Cursor::new(data);
    for _ in 0..aggregate as usize {
        next_chunk(data, &mut cursor)?;
    }
    next_chunk(data, &mut cursor)
}

fn next_chunk(data: &Bytes, cursor: &mut Cursor<'_>) -> Result<Option<Chunk>, Corruption> {
    let len = cursor.uvarint("the length of an aggregate")?;
    if len == 0 {
        return Ok(None);
    }
    let encoding = match Encoding::from_byte(cursor.byte("the encoding of an aggregate")?) {
        Some(encoding @ (Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram)) => {
            encoding
        }
        _ => return Err(cursor.corrupt("an aggregate of floats or histograms before")),
    };
    let len = usize::try_from(len)
        .ok()
        .filter(|&len| len <= cursor.remaining())
        .ok_or_else(|| cursor.corrupt("an aggregate no longer than the payload"))?;
    let start = cursor.pos();
    cursor.take(len, "an aggregate")?;
    Ok(Some(Chunk {
        encoding,
        data: data.slice(start..start + len),
    }))
}

/// Turns raw or downsampled counters into ones without resets.
///
/// Takes the samples of all chunks of a series in order of time, each chunk's whole: overlaps between
/// chunks are dropped, resets add the value before to all that follow, and the repeated time at the
/// end of a `counter` aggregate tells the next chunk which raw value came before it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CounterResets {
    /// Time and raw value of the last sample.
    last: Option<(i64, f64)>,
    total: f64,
}

impl CounterResets {
    /// Before the first sample.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a sample; returns what to make of it, unless it is to be dropped.
    #[inline]
    pub fn push(&mut self, t: i64, v: f64) -> Option<(i64, f64)> {
        if v.is_nan() {
            return None;
        }
        match &mut self.last {
            None => {
                self.last = Some((t, v));
                self.total = v;
            }
            Some((last_t, last_v)) if t > *last_t => {
                self.total += if v >= *last_v { v - *last_v } else { v };
                (*last_t, *last_v) = (t, v);
            }
            Some((last_t, last_v)) => {
                if t == *last_t {
                    *last_v = v;
                }
                return None;
            }
        }
        Some((t, self.total))
    }

    /// Goes on in another chunk that holds the same samples, of which those up to some time were
    /// skipped: `skipped` is the last of their values, at whose time the total was `total`.
    pub fn resume(&mut self, total: f64, skipped: f64) {
        if let Some((_, last_v)) = &mut self.last {
            (*last_v, self.total) = (skipped, total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::xor;

    fn floats(samples: &[(i64, f64)]) -> Chunk {
        let mut encoder = xor::Encoder::new();
        for &(t, v) in samples {
            encoder.append(t, v);
        }
        encoder.chunk()
    }

    #[test]
    fn aggregates_return_and_absent_ones_stay_absent() {
        let chunks = [
            Some(floats(&[(299_999, 20.0)])),
            Some(floats(&[(299_999, 400.5)])),
            None,
            Some(floats(&[(299_999, 31.0)])),
            None,
        ];
        let chunk = encode(&chunks);
        assert_eq!(decode(&chunk.data).unwrap(), chunks);
        assert_eq!(get(&chunk.data, Aggregate::Max).unwrap(), chunks[3]);
        assert_eq!(get(&chunk.data, Aggregate::Counter).unwrap(), None);
        assert_eq!(chunk.sample_count().unwrap(), 1);
        assert!(chunk.samples().next().unwrap().is_err());
        for len in 0..chunk.data.len() {
            assert!(decode(&chunk.data.slice(..len)).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn the_bytes_are_lengths_encodings_and_payloads() {
        let inner = Chunk {
            encoding: Encoding::FloatHistogram,
            data: Bytes::from_static(b"abc"),
        };
        let chunk = encode(&[None, Some(inner), None, None, None]);
        assert_eq!(chunk.data[..], [0, 3, 3, b'a', b'b', b'c', 0, 0, 0]);
    }

    #[test]
    fn resets_inside_and_between_chunks_are_added_up() {
        // Two downsampled chunks: first raw sample, windows, last raw value at the last time.
        let first = [(0, 10.0), (100, 30.0), (200, 45.0), (200, 5.0)];
        let second = [(250, 7.0), (300, 27.0), (300, 27.0)];
        let mut resets = CounterResets::new();
        let read: Vec<_> = first
            .into_iter()
            .chain([(150, 99.0), (260, f64::NAN)])
            .chain(second)
            .chain([(400, 3.0)])
            .filter_map(|(t, v)| resets.push(t, v))
            .collect();
        assert_eq!(
            read,
            [
                (0, 10.0),
                (100, 30.0),
                (200, 45.0),
                (250, 47.0),
                (300, 67.0),
                (400, 70.0)
            ]
        );
    }
}
