//! Samples of one series that came out of order: sorted in a small buffer, encoded when it is full.

use model::{Sample, TimeRange};

use super::chunk_files::{ChunkFiles, MappedChunk};
use crate::chunk::{SeriesEncoder, TimedChunk};
use crate::error::Result;

/// Samples that are buffered before they become a chunk, unless configured; Prometheus' default.
pub(super) const BUFFER_SIZE: usize = 32;

/// Out-of-order samples of one series.
#[derive(Debug, Clone, Default)]
pub(super) struct OutOfOrder {
    /// Chunks in head chunk files.
    mapped: Vec<MappedChunk>,
    /// Chunks that are in no file.
    full: Vec<TimedChunk>,
    /// Sorted by time, without duplicates.
    buffer: Vec<Sample>,
}

impl OutOfOrder {
    /// Adds chunks that are in head chunk files.
    pub(super) fn add_mapped(&mut self, chunks: impl IntoIterator<Item = MappedChunk>) {
        self.mapped.extend(chunks);
    }

    /// Samples in the buffer.
    pub(super) const fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Makes chunks of the buffered samples, which stay in memory. Only for replays: a head that is
    /// written to uses [`OutOfOrder::write_buffer`].
    pub(super) fn encode_buffer(&mut self) {
        self.full.extend(encode(&std::mem::take(&mut self.buffer)));
    }

    /// Makes chunks of the buffered samples and writes them, with those that are in no file yet,
    /// into head chunk files. Returns the reference of the last one, when all are there; chunks that
    /// cannot be written stay in memory.
    pub(super) fn write_buffer(&mut self, series: u64, files: &ChunkFiles) -> Option<u64> {
        self.encode_buffer();
        let full = std::mem::take(&mut self.full);
        let full: Vec<_> = full.into_iter().map(|chunk| (series, chunk)).collect();
        match files.write(&full, true) {
            Ok(mapped) => {
                let last = mapped.last().map(|chunk| chunk.reference);
                self.mapped.extend(mapped);
                last
            }
            Err(error) => {
                tracing::warn!(%error, "samples that came out of order stay in memory");
                self.full = full.into_iter().map(|(_, chunk)| chunk).collect();
                None
            }
        }
    }

    /// Inserts a sample; of two at the same time in the buffer the first stays, and false is
    /// returned.
    pub(super) fn insert(&mut self, sample: Sample) -> bool {
        let at = self.buffer.partition_point(|s| s.t < sample.t);
        let is_new = self.buffer.get(at).is_none_or(|s| s.t != sample.t);
        if is_new {
            self.buffer.insert(at, sample);
        }
        is_new
    }

    /// Forgets the buffered samples, which are in a chunk on disk.
    pub(super) fn clear_buffer(&mut self) {
        self.buffer.clear();
    }

    /// True when there are no samples.
    pub(super) const fn is_empty(&self) -> bool {
        self.mapped.is_empty() && self.full.is_empty() && self.buffer.is_empty()
    }

    /// Forgets chunks that a file has already. A marker of a chunk that never was stays in the log: at
    /// every replay chunks are made of what is before it, whether they were written since or not.
    pub(super) fn drop_written(&mut self, files: &ChunkFiles) {
        let mapped = &self.mapped;
        self.full.retain(|full| {
            let is_full = |m: &MappedChunk| {
                (m.min_time, m.max_time) == (full.min_time, full.max_time)
                    && m.encoding == full.chunk.encoding
                    && files.read(m).is_ok_and(|m| m.chunk.data == full.chunk.data)
            };
            !mapped.iter().any(is_full)
        });
    }

    /// True when chunks are in no file.
    pub(super) const fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Drops the chunks in files up to the one of reference `until`.
    pub(super) fn drop_until(&mut self, until: u64) {
        self.mapped.retain(|c| c.reference > until);
    }

    /// The reference of the last chunk in a file; 0 when there is none.
    pub(super) fn last_reference(&self) -> u64 {
        self.mapped.iter().map(|c| c.reference).max().unwrap_or(0)
    }

    /// Number of chunks, the buffer taken for one.
    pub(super) fn chunk_count(&self) -> usize {
        self.mapped.len() + self.full.len() + usize::from(!self.buffer.is_empty())
    }

    /// The least number of a head chunk file with a chunk.
    pub(super) fn first_file(&self) -> Option<u32> {
        self.mapped.iter().map(MappedChunk::file).min()
    }

    /// First and last time of each part.
    fn spans(&self) -> impl Iterator<Item = (i64, i64)> {
        let mapped = self.mapped.iter().map(|c| (c.min_time, c.max_time));
        let full = self.full.iter().map(|c| (c.min_time, c.max_time));
        let ends = self.buffer.first().zip(self.buffer.last());
        mapped.chain(full).chain(ends.map(|(a, b)| (a.t, b.t)))
    }

    /// First and last time; `None` when there are no samples.
    pub(super) fn time_span(&self) -> Option<(i64, i64)> {
        self.spans().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// True when some chunk, the buffer taken for one, overlaps `range`.
    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        self.spans()
            .any(|(min, max)| min < range.max && max >= range.min)
    }

    /// The chunks in files, up to the one of reference `until`, that overlap `range`.
    ///
    /// # Errors
    /// When a chunk cannot be read from its file.
    pub(super) fn chunks_until(
        &self,
        until: u64,
        range: TimeRange,
        files: &ChunkFiles,
    ) -> Result<Vec<TimedChunk>> {
        let is_meant = |c: &&MappedChunk| {
            c.reference <= until && c.min_time < range.max && c.max_time >= range.min
        };
        let meant = self.mapped.iter().filter(is_meant);
        meant.map(|c| files.read(c)).collect()
    }

    /// The chunks that overlap `range`, the buffer as if it were full.
    ///
    /// # Errors
    /// When a chunk cannot be read from its file.
    pub(super) fn chunks(&self, range: TimeRange, files: &ChunkFiles) -> Result<Vec<TimedChunk>> {
        let overlaps = |min: i64, max: i64| min < range.max && max >= range.min;
        let mapped = self.mapped.iter();
        let mut found = mapped
            .filter(|c| overlaps(c.min_time, c.max_time))
            .map(|c| files.read(c))
            .collect::<Result<Vec<_>>>()?;
        let in_memory = self.full.iter().cloned().chain(encode(&self.buffer));
        found.extend(in_memory.filter(|c| overlaps(c.min_time, c.max_time)));
        Ok(found)
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
    use std::path::Path;

    use model::Value;

    use super::*;

    fn times(out_of_order: &OutOfOrder) -> Vec<Vec<i64>> {
        let files = ChunkFiles::new(Path::new(""));
        let chunks = out_of_order.chunks(TimeRange::ALL, &files).unwrap();
        chunks
            .iter()
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
    fn samples_are_sorted_and_the_first_of_a_time_stays() {
        let mut out_of_order = OutOfOrder::default();
        for t in (8..40).rev() {
            assert!(out_of_order.insert(sample(t, 1.0)));
        }
        assert!(!out_of_order.insert(sample(9, 2.0)));
        out_of_order.encode_buffer();
        for t in (0..8).rev() {
            out_of_order.insert(sample(t, 1.0));
        }
        let expected = [(8..40).collect::<Vec<_>>(), (0..8).collect()];
        assert_eq!(times(&out_of_order), expected);
        assert_eq!(out_of_order.time_span(), Some((0, 39)));
        out_of_order.clear_buffer();
        assert_eq!(times(&out_of_order), expected[..1]);
    }
}
