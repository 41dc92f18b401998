//! The samples of one series in one block, encoded as they arrive.

use tsdb::Encoding;
use tsdb::chunk::series::{SAMPLES_PER_CHUNK, TimedChunk};
use tsdb::chunk::xor;

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was kept; so many more bytes of memory are in use.
    Kept(usize),
    /// The series has the very same sample already.
    Repeated,
}

/// Samples of one series in one block. Those in order of time go straight into chunks; those that
/// come late wait to be merged in.
#[derive(Debug, Default)]
pub(super) struct Track {
    done: Vec<TimedChunk>,
    open: Option<Open>,
    late: Vec<(i64, f64)>,
}

#[derive(Debug)]
struct Open {
    min: i64,
    encoder: xor::Encoder,
}

/// Memory of an encoder that was just opened: itself and its first buffer.
const OPEN_BYTES: usize = size_of::<Open>() + 160;

impl Track {
    pub(super) fn push(&mut self, t: i64, v: f64) -> Taken {
        let Some(open) = &mut self.open else {
            let mut encoder = xor::Encoder::new();
            encoder.append(t, v);
            self.open = Some(Open { min: t, encoder });
            return Taken::Kept(OPEN_BYTES);
        };
        let (last, value) = open.encoder.last().expect("opened with a sample");
        if t <= last {
            if t == last && v.to_bits() == value.to_bits() {
                return Taken::Repeated;
            }
            self.late.push((t, v));
            return Taken::Kept(size_of::<(i64, f64)>());
        }
        if open.encoder.count() < SAMPLES_PER_CHUNK {
            let before = open.encoder.byte_len();
            open.encoder.append(t, v);
            return Taken::Kept(open.encoder.byte_len() - before);
        }
        let full = std::mem::replace(
            open,
            Open {
                min: t,
                encoder: xor::Encoder::new(),
            },
        );
        open.encoder.append(t, v);
        self.done.push(full.close());
        Taken::Kept(size_of::<TimedChunk>() + 64)
    }

    /// The samples as chunks in order of time, and how many were dropped because the series had
    /// another sample at their time.
    pub(super) fn into_chunks(self) -> (Vec<TimedChunk>, u64) {
        let mut chunks = self.done;
        chunks.extend(self.open.map(Open::close));
        if self.late.is_empty() {
            return (chunks, 0);
        }
        let mut samples = decode(&chunks);
        samples.extend(self.late);
        recode(samples)
    }
}

impl Open {
    fn close(self) -> TimedChunk {
        let (max, _) = self.encoder.last().expect("opened with a sample");
        TimedChunk {
            min_time: self.min,
            max_time: max,
            chunk: self.encoder.chunk(),
        }
    }
}

/// Joins the chunks of several runs, in the order in which the runs were written; and how many
/// samples were dropped because the series had another at their time.
///
/// TimedChunks that are full and in order stay as they are.
pub(super) fn join(chunks: Vec<TimedChunk>) -> (Vec<TimedChunk>, u64) {
    let ordered = chunks.windows(2).all(|w| w[0].max_time < w[1].min_time);
    let full = chunks.split_last().is_none_or(|(_, before)| {
        before
            .iter()
            .all(|p| xor::count(&p.chunk.data) == Ok(SAMPLES_PER_CHUNK))
    });
    if ordered && full {
        return (chunks, 0);
    }
    recode(decode(&chunks))
}

fn decode(chunks: &[TimedChunk]) -> Vec<(i64, f64)> {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for timed in chunks {
        debug_assert_eq!(timed.chunk.encoding, Encoding::Xor);
        xor::decode_columns(&timed.chunk.data, &mut times, &mut values)
            .expect("encoded by this process, or checked when it was read back");
    }
    times.into_iter().zip(values).collect()
}

/// Sorts and encodes samples; of those with one time, the first to arrive is kept.
fn recode(mut samples: Vec<(i64, f64)>) -> (Vec<TimedChunk>, u64) {
    samples.sort_by_key(|(t, _)| *t);
    let mut track = Track::default();
    let mut dropped = 0;
    for (t, v) in samples {
        let repeated = track.push(t, v) == Taken::Repeated;
        dropped += u64::from(repeated) + std::mem::take(&mut track.late).len() as u64;
    }
    let (chunks, _) = track.into_chunks();
    (chunks, dropped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn track(samples: &[(i64, f64)]) -> Track {
        let mut track = Track::default();
        for (t, v) in samples {
            track.push(*t, *v);
        }
        track
    }

    #[test]
    fn full_chunks_are_cut_and_left_alone() {
        let samples: Vec<_> = (0..300).map(|i| (i, i as f64)).collect();
        let (chunks, dropped) = track(&samples).into_chunks();
        let bounds: Vec<_> = chunks.iter().map(|p| (p.min_time, p.max_time)).collect();
        assert_eq!(
            (bounds, dropped),
            (vec![(0, 119), (120, 239), (240, 299)], 0)
        );
        assert_eq!(join(chunks.clone()), (chunks, 0));
    }

    #[test]
    fn of_two_values_at_one_time_the_first_stays() {
        let (chunks, dropped) =
            track(&[(1, 1.0), (2, 2.0), (2, 2.0), (1, 9.0), (0, 0.0)]).into_chunks();
        assert_eq!(decode(&chunks), [(0, 0.0), (1, 1.0), (2, 2.0)]);
        assert_eq!(dropped, 1);
    }

    proptest! {
        #[test]
        fn any_order_in_any_runs_gives_the_same(
            samples in proptest::collection::vec((0i64..400, 0u8..3), 0..600),
            cut in 0usize..600,
        ) {
            let samples: Vec<_> = samples.into_iter().map(|(t, v)| (t, f64::from(v))).collect();
            let mut expected = std::collections::BTreeMap::new();
            for (t, v) in &samples {
                expected.entry(*t).or_insert(*v);
            }
            let (first, second) = samples.split_at(cut.min(samples.len()));
            let (mut chunks, _) = track(first).into_chunks();
            chunks.extend(track(second).into_chunks().0);
            let (joined, _) = join(chunks);
            prop_assert_eq!(decode(&joined), expected.into_iter().collect::<Vec<_>>());
            prop_assert!(joined.windows(2).all(|w| w[0].max_time < w[1].min_time));
        }
    }
}
