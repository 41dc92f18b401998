//! The chunks of one series from several blocks as one sequence without overlap.

use model::Sample;

use super::{SampleMerge, penalty};
use crate::chunk::{SeriesEncoder, TimedChunk};
use crate::error::{Error, Result};

/// What becomes of chunks of one series that overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// All their samples count.
    #[default]
    Union,
    /// They are of replicas that scraped each for itself: one is followed, and another only where that
    /// one has a gap.
    Penalty,
}

/// Merges the chunks of one series. `chunks` may come in any order; those of one block must not
/// be equal to each other.
///
/// Chunks that overlap no other are handed through. Equal chunks become one. Of chunks that
/// overlap, the samples are merged and cut anew.
///
/// # Errors
/// [`Error::Invalid`] when a chunk that has to be decoded is damaged or contradicts itself.
pub fn merge_chunks(chunks: Vec<TimedChunk>) -> Result<Vec<TimedChunk>> {
    merge_overlapping(chunks, Overlap::Union)
}

/// As [`merge_chunks`], with what becomes of chunks that overlap.
pub(super) fn merge_overlapping(
    mut chunks: Vec<TimedChunk>,
    overlap: Overlap,
) -> Result<Vec<TimedChunk>> {
    let key = |c: &TimedChunk| (c.min_time, c.max_time);
    if chunks.windows(2).all(|w| w[0].max_time < w[1].min_time) {
        return Ok(chunks);
    }
    chunks.sort_by_key(key);

    let mut merged = Vec::with_capacity(chunks.len());
    let mut rest = chunks.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut end = first.max_time;
        let mut overlapping: Vec<TimedChunk> = Vec::new();
        while let Some(next) = rest.next_if(|next| next.min_time <= end) {
            let before = overlapping.last().unwrap_or(&first);
            if key(&next) != key(before) || next.chunk.data != before.chunk.data {
                end = end.max(next.max_time);
                overlapping.push(next);
            }
        }
        match overlap {
            _ if overlapping.is_empty() => merged.push(first),
            Overlap::Union => {
                // Prometheus puts the first chunk last; ties depend on it.
                overlapping.push(first);
                merge_samples(&overlapping, &mut merged)?;
            }
            Overlap::Penalty => {
                overlapping.insert(0, first);
                penalty::merge_samples(&overlapping, &mut merged)?;
            }
        }
    }
    Ok(merged)
}

fn merge_samples(chunks: &[TimedChunk], merged: &mut Vec<TimedChunk>) -> Result<()> {
    let places = chunks.iter().map(|timed| timed.chunk.samples()).collect();
    let samples = SampleMerge::new(places);
    encode(
        samples.map(|s| s.map_err(|e| Error::Invalid(format!("a chunk to be merged is {e}")))),
        merged,
    )
}

/// Encodes samples in order of time; the first error ends them.
pub(crate) fn encode(
    samples: impl IntoIterator<Item = Result<Sample>>,
    chunks: &mut Vec<TimedChunk>,
) -> Result<()> {
    let mut encoder = SeriesEncoder::new();
    for sample in samples {
        chunks.extend(encoder.push(&sample?)?);
    }
    chunks.extend(encoder.finish());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::Value;
    use proptest::prelude::*;

    use super::*;

    fn chunks(samples: impl IntoIterator<Item = (i64, f64)>) -> Vec<TimedChunk> {
        let mut out = Vec::new();
        let samples = samples.into_iter().map(|(t, v)| {
            Ok(Sample {
                t,
                value: Value::Float(v),
            })
        });
        encode(samples, &mut out).unwrap();
        out
    }

    fn samples(chunks: &[TimedChunk]) -> Vec<(i64, f64)> {
        chunks
            .iter()
            .flat_map(|c| c.chunk.samples())
            .map(|s| match s.unwrap() {
                Sample {
                    t,
                    value: Value::Float(v),
                } => (t, v),
                other => panic!("only floats went in, not {other:?}"),
            })
            .collect()
    }

    #[test]
    fn chunks_without_overlap_and_equal_chunks_stay_as_they_are() {
        let a = chunks((0..150).map(|t| (t, 1.0)));
        let b = chunks((200..300).map(|t| (t, 2.0)));
        let both = [b.clone(), a.clone(), a.clone()].concat();
        assert_eq!(merge_chunks(both).unwrap(), [a, b].concat());
    }

    #[test]
    fn only_what_overlaps_is_cut_anew() {
        let a = chunks((0..240).map(|t| (t, 1.0)));
        let b = chunks([(200, 2.0), (250, 2.0)]);
        let merged = merge_chunks([a.clone(), b].concat()).unwrap();
        assert_eq!(merged[0], a[0]);
        let bounds: Vec<_> = merged.iter().map(|c| (c.min_time, c.max_time)).collect();
        assert_eq!(bounds, [(0, 119), (120, 239), (250, 250)]);
    }

    proptest! {
        #[test]
        fn merging_is_the_union_of_samples(
            blocks in proptest::collection::vec(
                proptest::collection::btree_map(0i64..600, Just(()), 0..300), 1..4),
        ) {
            // One value for each time, so that ties do not matter.
            let of = |t: &i64| (*t, *t as f64 * 0.5);
            let all: BTreeMap<i64, ()> = blocks.iter().flatten().map(|(t, ())| (*t, ())).collect();
            let input = blocks.iter().flat_map(|b| chunks(b.keys().map(of))).collect();
            let merged = merge_chunks(input).unwrap();
            prop_assert_eq!(samples(&merged), all.keys().map(of).collect::<Vec<_>>());
            prop_assert!(merged.windows(2).all(|w| w[0].max_time < w[1].min_time));
        }
    }
}
