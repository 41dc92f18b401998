//! Samples of one series that came out of order: sorted in a small buffer, encoded when it is full.

use model::Sample;

use crate::chunk::{SeriesEncoder, TimedChunk};

/// Samples that are buffered before they become a chunk; Prometheus' default.
const BUFFER_SIZE: usize = 32;

/// Out-of-order samples of one series.
#[derive(Debug, Clone, Default)]
pub struct OutOfOrder {
    chunks: Vec<TimedChunk>,
    /// Sorted by time, without duplicates.
    buffer: Vec<Sample>,
}

impl OutOfOrder {
    /// Adds chunks that were written to disk.
    pub fn add_chunks(&mut self, chunks: Vec<TimedChunk>) {
        self.chunks.extend(chunks);
    }

    /// Inserts a sample; of two at the same time in the buffer the first stays.
    pub fn insert(&mut self, sample: Sample) {
        if self.buffer.len() >= BUFFER_SIZE {
            let full = std::mem::take(&mut self.buffer);
            self.chunks.extend(encode(&full));
        }
        let at = self.buffer.partition_point(|s| s.t < sample.t);
        if self.buffer.get(at).is_none_or(|s| s.t != sample.t) {
            self.buffer.insert(at, sample);
        }
    }

    /// Forgets the buffered samples, which are in a chunk on disk.
    pub fn clear_buffer(&mut self) {
        self.buffer.clear();
    }

    /// First and last time; `None` when there are no samples.
    pub(super) fn time_span(&self) -> Option<(i64, i64)> {
        let chunks = self.chunks.iter().map(|c| (c.min_time, c.max_time));
        let buffered = self.buffer.iter().map(|s| (s.t, s.t));
        chunks
            .chain(buffered)
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// All chunks, the buffer as if it were full.
    pub(super) fn chunks(&self) -> impl Iterator<Item = TimedChunk> {
        self.chunks.iter().cloned().chain(encode(&self.buffer))
    }
}

/// Encodes sorted samples; a histogram that contradicts itself is left out.
fn encode(samples: &[Sample]) -> Vec<TimedChunk> {
    let mut encoder = SeriesEncoder::new();
    let mut chunks: Vec<_> = samples
        .iter()
        .filter_map(|sample| encoder.push(sample).ok().flatten())
        .collect();
    chunks.extend(encoder.finish());
    chunks
}

#[cfg(test)]
mod tests {
    use model::Value;

    use super::*;

    fn times(out_of_order: &OutOfOrder) -> Vec<Vec<i64>> {
        out_of_order
            .chunks()
            .map(|c| c.chunk.samples().map(|s| s.unwrap().t).collect())
            .collect()
    }

    fn sample(t: i64, v: f64) -> Sample {
        Sample {
            t,
            value: Value::Float(v),
        }
    }

    #[test]
    fn samples_are_sorted_and_cut_every_32() {
        let mut out_of_order = OutOfOrder::default();
        for t in (0..40).rev() {
            out_of_order.insert(sample(t, 1.0));
        }
        out_of_order.insert(sample(3, 2.0));
        let expected = [(8..40).collect::<Vec<_>>(), (0..8).collect()];
        assert_eq!(times(&out_of_order), expected);
        assert_eq!(out_of_order.time_span(), Some((0, 39)));
        let last = out_of_order.chunks().last().unwrap();
        let values: Vec<_> = last.chunk.samples().map(|s| s.unwrap().value).collect();
        assert!(values.iter().all(|v| *v == Value::Float(1.0)));
    }

    #[test]
    fn a_marker_forgets_the_buffer_only() {
        let mut out_of_order = OutOfOrder::default();
        for t in 0..33 {
            out_of_order.insert(sample(t, 1.0));
        }
        out_of_order.clear_buffer();
        assert_eq!(times(&out_of_order), [(0..32).collect::<Vec<_>>()]);
    }
}
